"""Wide files: a state's research file of 400 columns, all kept, and of 2,000, of which a layout keeps sixty."""

from __future__ import annotations

import json
import random
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import report
from server import SERVER, database
from systems import OURS
from watch import PYTHON, WorkerFailed, run

from district.demo.postgres import Server, throwaway_server

WIDTHS = {400: 400, 2_000: 60}
"""Columns of the file, and how many of them the data set keeps."""
MOST_COLUMNS = 1_600  # of a PostgreSQL table
DECLARATION = '''"""A generated data set: a file of {width} columns."""

from district import Column, Dataset, Files, Layout

WIDE = Dataset(
    name="wide",
    extract=Files("wide_*.txt"),
    key=("student_id", "school_year"),
    scope=("school_year",),
    columns=tuple(Column(name, kind) for name, kind in {columns!r}),
    layout=Layout(delimiter="\\t", ignored=("*",)),
)
'''


def run_wide(work: Path, rows: int, rounds: int) -> list[dict[str, Any]]:
    """Each width at a quarter of the rows and at all of them: memory must not grow."""
    figures = defaultdict(list)
    folders = [(width, size, make_file(work, width, size)) for width in WIDTHS for size in (rows // 4, rows)]
    with throwaway_server(SERVER) as server:
        for number in range(1, rounds + 1):
            for width, size, folder in folders:
                try:
                    found = one_turn(server, work, folder / "wide_1.txt", width)
                except WorkerFailed as error:
                    print(f"{width:,} columns, {size:,} rows: {error}", flush=True)
                    continue
                kept = "all" if WIDTHS[width] == width else f"{WIDTHS[width]}"
                figures[f"wide file, {width:,} columns, {kept} kept", size, OURS].append(found)
                print(f"round {number}: {width:,} columns, {report.line(OURS, size, 1, found)}", flush=True)
    return [report.summary(key, found) for key, found in figures.items()]


def one_turn(server: Server, work: Path, file: Path, width: int) -> dict[str, Any]:
    """The raw COPY (of whole lines where a table cannot have the columns), then ours."""
    floor = "floors:raw" if width <= MOST_COLUMNS else "floors:lines"
    with database(server, "floor") as url:
        raw = run(server, PYTHON, floor, str(file), "1", url, str(work))
    with tempfile.TemporaryDirectory(prefix="turn_", dir=work) as name, database(server, "bench") as url:
        return run(server, PYTHON, "ours_wide", str(file), "1", url, name) | {"raw": raw}


def make_file(work: Path, width: int, rows: int) -> Path:
    """The folder of a file, its declaration and its suite; what an earlier run made is used again."""
    folder = work / f"wide_{width}_{rows}"
    if (folder / "complete").exists():
        return folder
    for part in ("dags", "expectations"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    columns = [kind_of(number) for number in range(width)]
    kept = columns[: WIDTHS[width]]
    (folder / "dags" / "wide.py").write_text(DECLARATION.format(width=width, columns=kept), encoding="utf-8")
    (folder / "expectations" / "wide.json").write_text(json.dumps(suite()), encoding="utf-8")
    chance = random.Random(width)
    # The answers of a thousand children, again and again under other numbers, made as text once.
    samples = ["\t".join(value_of(kind, chance) for _, kind in columns[2:]) for _ in range(1_000)]
    with (folder / "wide_1.txt").open("w", encoding="utf-8") as out:
        out.write("\t".join(name for name, _ in columns) + "\n")
        out.writelines(f"{1_000_000 + number}\t2027\t{samples[number % 1_000]}\n" for number in range(rows))
    (folder / "complete").touch()
    return folder


def kind_of(number: int) -> tuple[str, str]:
    """Name and type of a column: the key, and then scores, errors, dates and answers to items."""
    if number < 2:
        return (("student_id", "text"), ("school_year", "integer"))[number]
    kind = ("integer", "decimal", "date", "text", "text", "text", "text", "text")[number % 8]
    return f"{ {'integer': 'score', 'decimal': 'error', 'date': 'tested', 'text': 'item'}[kind] }_{number}", kind


def value_of(kind: str, chance: random.Random) -> str:
    """A value as a state's file holds it; one in ten is empty."""
    if chance.random() < 0.1:
        return ""
    day = f"2027-{chance.randint(3, 5):02d}-{chance.randint(1, 28):02d}"
    values = {"integer": str(chance.randint(1200, 1800)), "decimal": f"{chance.random() * 60:.2f}", "date": day}
    return values.get(kind) or chance.choice("ABCD*")


def suite() -> dict[str, Any]:
    """Two rules on rows."""
    rules = [
        ("score_range", "to_be_between", {"column": "score_8", "min_value": 1000, "max_value": 2000}),
        ("item_known", "to_be_in_set", {"column": "item_3", "value_set": [*"ABCD*"]}),
    ]
    return {
        "name": "wide",
        "expectations": [
            {
                "type": f"expect_column_values_{kind}",
                "kwargs": kwargs,
                "severity": "critical",
                "meta": {
                    "rule_id": f"wide.{name}", "title": "A value is none of the test's",
                    "fix": "Ask the state.", "owner": "assessment_lead", "on_fail": "reject",
                },
            }
            for name, kind, kwargs in rules
        ],
        "meta": {},
    }  # fmt: skip
