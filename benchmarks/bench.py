"""A first night of attendance, everything on, beside COPY of the raw file into text columns, in one run, in turn."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from district.demo.postgres import Server, ensure_database, throwaway_server

HERE = Path(__file__).resolve().parent
NIGHT = "2027-06-11"
# As PostgreSQL's documentation advises for a server that loads: room for the rows, and no checkpoint amid a load.
SERVER = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "1GB", "max_wal_size": "8GB"}


def main() -> None:
    """Runs the rounds, prints the table, writes ``results.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bad-share", type=float, default=0.005)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="district-bench-") as name, throwaway_server(SERVER) as server:
        folder = Path(name)
        write_files(folder, chosen.rows, chosen.bad_share)
        rounds = [one_round(server, folder, number) for number in range(chosen.rounds)]
    results = summarise(rounds, chosen.rows)
    (HERE / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print_results(results, rounds)


def write_files(folder: Path, rows: int, bad_share: float) -> None:
    """The attendance file, and the enrollment file that its students are in."""
    from district.synthetic import attendance_file, enrollment_file
    from district.synthetic.benchmark import students_for

    attendance_file(folder / "narrow.txt", rows, bad_share=bad_share)
    widen(folder / "narrow.txt", folder / "attendance.txt")
    enrollment_file(folder / "enrollment.csv", students_for(rows))
    size = (folder / "attendance.txt").stat().st_size
    print(f"{rows:,} rows of attendance, {size / 1e6:.0f} MB, {bad_share:.1%} of them bad", flush=True)


def widen(narrow: Path, wide: Path) -> None:
    """Adds two columns that a SIS exports and nobody loads: 11 columns and some 85 MB a million rows are usual."""
    with narrow.open(encoding="utf-8") as lines, wide.open("w", encoding="utf-8") as out:
        out.write(next(lines).rstrip("\n") + "\t10 Entered By\t11 Entered At\n")
        for number, line in enumerate(lines):
            out.write(f"{line[:-1]}\tteacher{number % 997:05d}\t2026-10-12T08:{number % 60:02d}:00-07:00\n")


def one_round(server: Server, folder: Path, number: int) -> dict[str, Any]:
    """A raw COPY, then the import into a fresh database."""
    database = f"bench_{number}"
    ensure_database(server, database)
    environment = os.environ | {
        "DISTRICT_DATABASE_URL": server.url(database),
        "DISTRICT_LANDED_FOLDER": str(folder / f"landed_{number}"),
    }
    run_import(environment, "enrollment", folder / "enrollment.csv")
    raw = raw_copy(server, database, folder / "attendance.txt")
    before = server_cpu(server)
    imported = run_import(environment, "attendance", folder / "attendance.txt", watch=server)
    imported["server_cpu"] = server_cpu(server) - before
    figures = {"raw": raw, "import": imported}
    print(f"round {number + 1}: {json.dumps(figures)}", flush=True)
    return figures


def raw_copy(server: Server, database: str, path: Path) -> dict[str, float]:
    """COPY into an unlogged table of text columns: the floor that everything is a multiple of."""
    with path.open(encoding="utf-8") as file:
        width = file.readline().count("\t") + 1
    connection = psycopg2.connect(server.url(database).replace("postgresql+psycopg2", "postgresql"))
    columns = ", ".join(f"c{number} text" for number in range(width))
    with connection, connection.cursor() as cursor, path.open("rb") as file:
        cursor.execute(f"CREATE UNLOGGED TABLE raw ({columns})")
        start, client, at_server = time.perf_counter(), time.process_time(), server_cpu(server)
        cursor.copy_expert("COPY raw FROM STDIN (FORMAT csv, DELIMITER E'\\t', HEADER)", file)
    wall, client = time.perf_counter() - start, time.process_time() - client
    cursor = connection.cursor()
    cursor.execute("DROP TABLE raw")
    connection.commit()
    connection.close()
    return {"wall": wall, "cpu": client + server_cpu(server) - at_server}


def run_import(environment: dict[str, str], dataset: str, file: Path, watch: Server | None = None) -> dict[str, float]:
    """The import in a process of its own; its figures come back as JSON."""
    command = [sys.executable, str(HERE / "one_import.py"), dataset, str(file), NIGHT]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    peak = 0
    while process.poll() is None:
        if watch is not None:
            peak = max(peak, server_memory(watch))
        time.sleep(0.05)
    output, _ = process.communicate()
    if process.returncode:
        sys.exit(f"The import of {dataset} failed; see above.")
    return {**json.loads(output.splitlines()[-1]), "server_rss_mb": peak / 1e6}


def server_processes(server: Server) -> list[psutil.Process]:
    """The server and its backends."""
    started = psutil.Process(server.running.popen.pid)
    found = []
    for process in [started, *started.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.name().startswith("postgres"):
                found.append(process)
    return found


def server_cpu(server: Server) -> float:
    """CPU seconds of the server and of all its backends, those that have ended included."""
    total = 0.0
    for process in server_processes(server):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def server_memory(server: Server) -> int:
    """Bytes that the server's processes hold for themselves, shared buffers once."""
    total = shared = 0
    for process in server_processes(server):
        try:
            memory = process.memory_info()
        except psutil.NoSuchProcess:
            continue
        total += memory.rss - memory.shared
        shared = max(shared, memory.shared)
    return total + shared


def summarise(rounds: list[dict[str, Any]], rows: int) -> list[dict[str, Any]]:
    """Medians over the rounds, each round's import against its own raw COPY."""

    def median(of: Any) -> float:
        return round(statistics.median(of(figures) for figures in rounds), 2)

    return [
        {
            "work": "first night, attendance",
            "rows": rows,
            "system": "district-imports",
            "ratio_cpu": median(lambda f: (f["import"]["cpu"] + f["import"]["server_cpu"]) / f["raw"]["cpu"]),
            "ratio_wall": median(lambda f: f["import"]["wall"] / f["raw"]["wall"]),
            "imports_ratio_cpu": median(lambda f: f["import"]["imports_cpu"] / f["raw"]["cpu"]),
            "client_rss_mb": median(lambda f: f["import"]["client_rss_mb"]),
            "server_rss_mb": median(lambda f: f["import"]["server_rss_mb"]),
            "n": len(rounds),
        }
    ]


def print_results(results: list[dict[str, Any]], rounds: list[dict[str, Any]]) -> None:
    """The table a person reads."""
    raw = statistics.median(figures["raw"]["cpu"] for figures in rounds)
    print(f"\nraw COPY = 1.00 ({raw:.2f} CPU-s here); medians of {len(rounds)} rounds")
    for result in results:
        print(f"{result['work']}, {result['rows']:,} rows: {result['ratio_cpu']}x CPU, {result['ratio_wall']}x wall")
        print(f"  interpreter start and imports beside it: {result['imports_ratio_cpu']}x CPU")
        print(f"  peak memory: client {result['client_rss_mb']:.0f} MB, server {result['server_rss_mb']:.0f} MB")


if __name__ == "__main__":
    main()
