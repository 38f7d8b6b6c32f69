"""A whole night through a live Airflow: what of its time is the import's, and what is Airflow's own."""

from __future__ import annotations

import argparse
import datetime
import shutil
import sys
from pathlib import Path
from typing import Any

import report
from sqlalchemy import create_engine, text

from district.demo.nights import read_nights
from district.demo.place import Place
from district.demo.postgres import Server, remove_server, start_server
from district.demo.runner import run_demo
from district.synthetic import SIZES

HERE = Path(__file__).resolve().parent
# Of a task that was tried again, its last try.
TASKS = """
    select task_id, start_date, end_date from task_instance
    where run_id = :run and dag_id = :dag and start_date is not null and state = 'success'
"""
STEPS = "select seconds, started_at from import_log.import_run where run_key = :run and dataset = :dag"
HEADING = ["night", "data set", "import", "Airflow's tasks", "start to end", "Airflow's share"]


def main() -> None:
    """Runs the demo in a folder of its own, reads both databases, writes the table into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="medium", help=f"{', '.join(SIZES)}, or a number of students")
    options = parser.parse_args()
    size = int(options.size) if options.size.isdigit() else options.size
    students = SIZES[size][0] if isinstance(size, str) else size
    folder = HERE / "work" / f"live_{students}"
    if run_demo(exit_after=True, size=size, folder=folder):
        sys.exit("The demo's nights did not end as they should; see above.")
    place = Place(folder)
    server = start_server(folder)
    try:
        rows = [HEADING, *(row for night in read_nights(place.district) for row in night_rows(server, place, night))]
    finally:
        server.stop()
        remove_server(folder)
        shutil.rmtree(folder)
    report.print_rows(rows)
    report.write_live(students, rows)


def night_rows(server: Server, place: Place, night: Any) -> list[list[str]]:
    """A row for each data set, and one for the night: seconds, by the clocks of the import and of Airflow."""
    runs: dict[str, str] = place.recall(f"runs_{night.night}", dict)
    rows, ours, begins, ends = [], 0.0, [], []
    for dataset in (run.dataset for run in night.expected):
        asked = {"run": runs[dataset], "dag": dataset}
        tasks = _read(server, "airflow", TASKS, **asked)
        (run,) = _read(server, "district", STEPS, **asked)
        spent = sum(run["seconds"].values())
        begin, end = min(task["start_date"] for task in tasks), max(task["end_date"] for task in tasks)
        in_tasks = sum(((task["end_date"] - task["start_date"]) for task in tasks), start=datetime.timedelta())
        rows.append(_row("", dataset, spent, in_tasks.total_seconds(), (end - begin).total_seconds()))
        ours += spent
        begins.append(begin)
        ends.append(end)
    whole = (max(ends) - min(begins)).total_seconds()
    rows.append(_row("", "all four", ours, sum(float(row[3]) for row in rows), whole))
    return [[night.night, *row[1:]] for row in rows]


def _row(night: str, dataset: str, ours: float, tasks: float, whole: float) -> list[str]:
    # Several data sets may be imported at once: then the import's seconds are more than the clock's.
    share = f"{max(0.0, 1 - ours / whole):.0%}" if dataset != "all four" else f"{1 - ours / tasks:.0%} of its tasks"
    return [night, dataset, f"{ours:.1f}", f"{tasks:.1f}", f"{whole:.1f}", share]


def _read(server: Server, database: str, query: str, **values: Any) -> list[dict[str, Any]]:
    engine = create_engine(server.url(database))
    try:
        with engine.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(text(query), values)]
    finally:
        engine.dispose()


if __name__ == "__main__":
    main()
