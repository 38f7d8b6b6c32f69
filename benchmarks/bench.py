"""District Imports, the floors and the peers on the same files in one run, in turn; writes the table and the chart.

Each work runs in a process and on a database of its own, and has a raw COPY of its file right before it: a machine that
is busy for a while slows both.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import report
from files import make_files
from server import SERVER, count_rows, database
from systems import SYSTEMS, WORK, System, chosen
from watch import PYTHON, WorkerFailed, run

from district.demo.postgres import Server, throwaway_server

HERE = Path(__file__).resolve().parent
WORK_FOLDER = HERE / "work"


def main() -> None:
    """Runs the rounds, prints the table, writes what the page shows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="1000000", help="sizes, separated by commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="ours, floors, peers, or a part of a system's name")
    parser.add_argument("--wide", action="store_true", help="files of 400 and 2,000 columns instead")
    parser.add_argument("--wide-rows", type=int, default=100_000)
    options = parser.parse_args()
    WORK_FOLDER.mkdir(exist_ok=True)
    if options.wide:
        from wide import run_wide

        results, replaced = run_wide(WORK_FOLDER, options.wide_rows, options.rounds), ("wide",)
    else:
        systems = chosen(options.only)
        if not systems:
            parser.error(f"--only {options.only} names no system; there are {', '.join(s.name for s in SYSTEMS)}")
        replaced = () if options.only else tuple(WORK.values())
        results = run_rounds([int(size) for size in options.rows.split(",")], options.rounds, systems, replaced)
    kept = report.merge(results, replaced)
    report.print_table(results)
    report.write_page(kept)
    report.draw(kept)


def run_rounds(sizes: list[int], rounds: int, systems: list[System], replaced: tuple[str, ...]) -> list[dict[str, Any]]:
    """Every system once in every round; what a round found is kept, whatever becomes of the next."""
    # A slow system's share is the same for all sizes: once is enough.
    turns = list(dict.fromkeys((system, system.rows(size)) for size in sizes for system in systems))
    folders = {rows: make_files(WORK_FOLDER, rows) for rows in {rows for _, rows in turns}}
    figures: dict[report.Key, list[dict[str, Any]]] = defaultdict(list)
    with throwaway_server(SERVER) as server:
        for number in range(1, rounds + 1):
            for system, rows in turns:
                for night, found in one_turn(server, system, folders[rows]):
                    figures[WORK[night], rows, system.name].append(found)
                    print(f"round {number}: {report.line(system.name, rows, night, found)}", flush=True)
            results = [report.summary(key, found) for key, found in figures.items()]
            report.merge(results, replaced)
    return results


def one_turn(server: Server, system: System, files: Path) -> list[tuple[int, dict[str, Any]]]:
    """A system's nights in a fresh database, each beside a raw COPY of its file; a failure is told and left out."""
    python = PYTHON if system.environment == ".venv" else HERE.parent / system.environment / "bin" / "python"
    done = []
    with tempfile.TemporaryDirectory(prefix="turn_", dir=WORK_FOLDER) as name, database(server, "bench") as url:
        for night in system.nights:
            file = files / f"{system.file}_{night}.txt"
            raw = raw_copy(server, file)
            try:
                found = run(server, python, system.module, str(file), str(night), url, name)
            except WorkerFailed as error:
                print(f"{system.name}, night {night}: {error}", flush=True)
                break
            if night == 1 and system.group != "ours":
                check_loaded(url, system, file)
            done.append((night, found | {"raw": raw}))
    return done


def check_loaded(url: str, system: System, file: Path) -> None:
    """A system that lost rows has no figures."""
    with file.open("rb") as lines:
        expected = sum(1 for _ in lines) - 1
    found = count_rows(url, "attendance")
    if found not in (expected, None):
        sys.exit(f"{system.name} has loaded {found:,} of {expected:,} rows.")


def raw_copy(server: Server, file: Path) -> dict[str, float]:
    """The floor, in a process and a database of its own; the mean of several for a small file.

    The kernel tells a server's CPU in hundredths of a second.
    """
    found = []
    for _ in range(1 if file.stat().st_size > 50e6 else 5):
        with database(server, "floor") as url:
            found.append(run(server, PYTHON, "floors:raw", str(file), "1", url, str(WORK_FOLDER)))
    return {name: statistics.mean(figures[name] for figures in found) for name in ("cpu", "wall")}


if __name__ == "__main__":
    main()
