"""A whole night of four data sets, by step, for the synthetic district: its first night, and one with some changes."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

import report
from server import SERVER, database
from watch import PYTHON, run

from district.demo.postgres import throwaway_server
from district.synthetic import SIZES, generate

HERE = Path(__file__).resolve().parent
STEPS = ("extract", "validate", "load")


def main() -> None:
    """Runs the rounds, prints the table, writes it into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="medium", help=f"{', '.join(SIZES)}, or a number of students")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    size = int(options.size) if options.size.isdigit() else options.size
    students = SIZES[size][0] if isinstance(size, str) else size
    district = HERE / "work" / f"district_{students}"
    if not (district / "expected.json").exists():
        generate(district, size=size, nights=2)
    rounds = []
    with throwaway_server(SERVER) as server:
        for number in range(1, options.rounds + 1):
            with tempfile.TemporaryDirectory(dir=HERE / "work") as name, database(server, "bench") as url:
                nights = [run(server, PYTHON, "ours_night", str(district), n, url, name) for n in ("1", "2")]
            rounds.append(nights)
            walls = ", ".join(f"{night['wall']:.1f} s" for night in nights)
            print(f"round {number}, {students:,} students: {walls}", flush=True)
            for wrong in [*nights[0]["wrong"], *nights[1]["wrong"]]:
                print(f"  not what was to be expected: {wrong}", flush=True)
    rows = summarise(rounds)
    report.print_rows(rows)
    report.write_nights(students, len(rounds), rows)


def summarise(rounds: list[list[dict[str, Any]]]) -> list[list[str]]:
    """The table: per night and data set the medians of each step."""
    table = [["night", "data set", "rows", "changed", *STEPS, "all"]]
    for number, title in enumerate(("first", "second")):
        nights = [each[number] for each in rounds]
        totals = dict.fromkeys(STEPS, 0.0)
        for dataset, figures in nights[0]["steps"].items():
            seconds = {s: statistics.median(n["steps"][dataset].get(s, 0.0) for n in nights) for s in STEPS}
            totals = {step: totals[step] + seconds[step] for step in STEPS}
            counts = [f"{figures['rows']:,}", f"{figures['changed']:,}"]
            table.append([title, dataset, *counts, *texts(seconds)])
        every = [sum(f[name] for f in nights[0]["steps"].values()) for name in ("rows", "changed")]
        table.append([title, "all four", *(f"{count:,}" for count in every), *texts(totals)])
        cpu = statistics.median(night["cpu"] for night in nights)
        rss = statistics.median(night["client_rss_mb"] for night in nights)
        print(f"{title} night: {cpu:.1f} CPU-s of client and server, client's peak {rss:.0f} MB")
    return table


def texts(seconds: dict[str, float]) -> list[str]:
    """Seconds of the steps and of all of them."""
    return [f"{value:.1f}" for value in (*seconds.values(), sum(seconds.values()))]


if __name__ == "__main__":
    main()
