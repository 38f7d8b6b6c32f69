"""The demo's table beside what is expected, and how extracts arrive."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from district.demo.night_run import deliver
from district.demo.nights import COUNTS, HEADINGS, NightRun, differences, night_table, read_nights
from district.demo.place import DemoFailed
from district.demo.runner import TABLE_WIDTH

RUN = NightRun(dataset="enrollment", partition="2026-10-16", state="loaded", read=12, rejected=2, inserted=10)


def test_equal_tables_have_no_difference():
    assert differences([RUN], [RUN]) == []


@pytest.mark.parametrize("name", COUNTS)
def test_each_cell_is_compared(name: str):
    heading = HEADINGS.get(name, name)
    expected = [f"enrollment: {heading} is {getattr(RUN, name) + 1}, expected {getattr(RUN, name)}"]
    assert differences([RUN], [replace(RUN, **{name: getattr(RUN, name) + 1})]) == expected


def test_state_missing_and_unexpected_runs_are_differences():
    assert differences([RUN], [replace(RUN, state="held")]) == ["enrollment: state is held, expected loaded"]
    assert differences([RUN], []) == ["enrollment: there is no run in the import log"]
    assert differences([], [RUN]) == ["enrollment: not expected this night"]


def test_expected_table_is_read_in_its_order(tmp_path: Path):
    table = {HEADINGS.get(name, name): getattr(RUN, name) for name in COUNTS} | {"state": "loaded", "superseded": 0}
    runs = {name: {"partition": "2026-10-16", "table": table} for name in ("enrollment", "attendance")}
    content = json.dumps({"nights": {"2026-10-16": runs, "2026-10-19": runs}})
    (tmp_path / "expected.json").write_text(content)
    first, second = read_nights(tmp_path)
    assert first.expected == (RUN, replace(RUN, dataset="attendance"))
    assert (second.night, second.folder) == ("2026-10-19", tmp_path / "night_2")


def test_table_has_room_for_millions():
    big = replace(RUN, dataset="state_assessments", partition="2025-26_spring", **dict.fromkeys(COUNTS, 9_999_999))
    console = Console(width=TABLE_WIDTH, record=True, file=io.StringIO())
    console.print(night_table("2026-10-16", [big]))
    text = console.export_text()
    assert text.count("9,999,999") == len(COUNTS)
    assert "state_assessments: 2025-26_spring" in text


def test_extracts_arrive_whole_and_a_newer_one_takes_the_place_of_its_namesake(tmp_path: Path):
    night, drop = tmp_path / "night", tmp_path / "drop"
    night.mkdir()
    drop.mkdir()
    (night / "scores.txt").write_text("first")
    deliver(night, drop)
    (night / "scores.txt").write_text("second, longer")
    deliver(night, drop)
    assert [path.name for path in drop.iterdir()] == ["scores.txt"]
    assert (drop / "scores.txt").read_text() == "second, longer"
    with pytest.raises(DemoFailed, match="clean-demo"):
        deliver(tmp_path / "gone", drop)
