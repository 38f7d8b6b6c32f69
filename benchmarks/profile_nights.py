"""Where an import's time goes: its parts on a first and on a second night, drawn as a picture for the page."""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import subprocess
import tempfile
from pathlib import Path

from files import NIGHTS, make_files
from job import Job
from ours import arrange, import_night, imports
from server import SERVER, database

from district.demo.postgres import throwaway_server

HERE = Path(__file__).resolve().parent
WORK_FOLDER = HERE / "work"
# Each part by the function that does it: module, function, what a person calls it. They do not overlap.
PARTS = [
    ("landing", "land", "copy, checksum and census"),
    ("lines", "read_lines", "hash the lines"),
    ("lines", "differ", "compare the lines"),
    ("staging", "stage", "read, type and copy to staging"),
    ("staging", "stage_keys", "keys of lines that are gone"),
    ("scope", "take_census", "which scopes and schools"),
    ("carried", "touch", "which rows are touched"),
    ("carried", "count_standing", "how many rows stand"),
    ("carried", "count_carried", "how many rows are carried"),
    ("carried", "wake", "wake rows"),
    ("carried", "give_lines", "look for lines of woken rows"),
    ("derived", "judge_derived", "keys and parents"),
    ("row_rules", "judge_rows", "rules on rows (Great Expectations)"),
    ("batch", "_add_sql_findings", "rules in SQL"),
    ("expectations", "judge_batch", "rules on the batch (Great Expectations)"),
    ("issues", "record_findings", "findings into issues"),
    ("loader", "changes", "decide what changes"),
    ("loader", "_insert_into_empty", "insert, and build the key"),
    ("loader", "_insert", "insert"),
    ("loader", "_update", "update"),
    ("loader", "_withdraw", "withdraw"),
    ("loader", "_keep_before_images", "keep what rows were before"),
    ("quarantine", "quarantine", "quarantine"),
    ("carried", "keep_for_next", "note what is judged again"),
]


def main() -> None:
    """Runs two nights under a profiler, prints the parts and draws them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    files = make_files(WORK_FOLDER, rows)
    nights = {}
    with (
        throwaway_server(SERVER) as server,
        database(server, "bench") as url,
        tempfile.TemporaryDirectory(dir=WORK_FOLDER) as name,
    ):
        for night, title in ((1, "First night"), (2, "Second night, 1 % changed")):
            job = Job(file=files / f"attendance_{night}.txt", night=night, url=url, folder=Path(name))
            drop = arrange(job, f"attendance_{night}.txt")
            imports(job)
            if night == 1:
                os.link(files / "enrollment.csv", drop / "enrollment_1.csv")
                import_night("enrollment", NIGHTS[0])
            with cProfile.Profile() as profile:
                import_night("attendance", NIGHTS[night - 1])
            nights[f"{title}, {rows:,} rows"] = parts(pstats.Stats(profile))
    for title, shares in nights.items():
        print(f"\n{title}")
        for name, seconds in shares.items():
            print(f"  {seconds:6.2f} s  {name}")
    python = HERE / ".venv-peers" / "bin" / "python"
    subprocess.run([python, HERE / "profile_chart.py"], input=json.dumps(nights), text=True, check=True)


def parts(stats: pstats.Stats) -> dict[str, float]:
    """Seconds of each part, waiting for the database included, longest first; and of all that is none of them."""
    whole = max(figures[3] for figures in stats.stats.values())
    found: dict[str, float] = {}
    for (file, _, function), figures in stats.stats.items():
        for module, name, title in PARTS:
            if file.endswith(f"/{module}.py") and "/district/" in file and function == name:
                found[title] = found.get(title, 0.0) + figures[3]
    # A first load's insert is part of filling the empty table.
    if "insert, and build the key" in found:
        found.pop("insert", None)
    found["all else"] = whole - sum(found.values())
    return dict(sorted(found.items(), key=lambda item: (item[0] == "all else", -item[1])))


if __name__ == "__main__":
    main()
