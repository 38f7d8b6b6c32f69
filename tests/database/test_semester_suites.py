"""The stricter suites of semester change: each rule finds what it is about, at the schools that change this night."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from calendars import write_calendar
from district.catalog import find_dataset
from district.database import engine, ensure_target, sync_calendar
from district.semester_change.nights import CHANGE, change_rows
from district.settings import PROJECT, settings
from district.validate.suite import read_suite
from importing import Place

SUITES = sorted((PROJECT / "expectations" / "semester_change").glob("*.json"))
# School 0101 changes two months earlier: on these nights nothing of it is asked.
YEAR = {
    "end_year": 2027,
    "first_day": "2026-11-02",
    "last_day": "2027-05-26",
    "terms": [
        {"code": "S1", "begin": "2026-11-02", "end": "2026-11-18"},
        {"code": "S2", "begin": "2026-11-19", "end": "2027-05-26"},
    ],
    "schools": [
        {"schools": ["0101"], "terms": [
            {"code": "S1", "begin": "2026-11-02", "end": "2027-02-26"},
            {"code": "S2", "begin": "2027-02-27", "end": "2027-05-26"},
        ]},
    ],
}  # fmt: skip
NIGHT = datetime.date(2026, 11, 20)
FINE = {
    "enrollment": "'0100', 2027, date '2026-11-02', null::date",
    "attendance": "'0100', 2027, date '2026-11-10', 'S1'",
    "transcripts": "'0100', 2027, 'S1', 'A', 90.0, 's' || n, '12', date '2026-11-18'",
}
COLUMNS = {
    "enrollment": "row_no, school_id, school_year, entry_date, exit_date",
    "attendance": "row_no, school_id, school_year, event_date, session",
    "transcripts": "row_no, school_id, school_year, term_code, letter_mark, numeric_mark, student_id, "
    "grade_level_when_taken, stored_date",
}
# Rows that break a rule, and which of the batch it names: the bad row is number 0, the fine ones count from 1.
BAD: dict[str, tuple[str, set[int]]] = {
    "enrollment.exit_after_year": ("'0100', 2027, date '2026-11-02', date '2027-06-01'", {0}),
    "enrollment.entry_ahead": ("'0100', 2027, date '2027-01-11', null", {0}),
    "attendance.session_ahead": ("'0100', 2027, date '2026-11-10', 'S2'", {0}),
    "attendance.session_over": ("'0100', 2027, date '2026-11-19', 'S1'", {0}),
    "attendance.day_missing": ("'0100', 2027, date '2026-11-12', 'S1'", {0}),
    "transcripts.final_open": ("'0100', 2027, 'S1', null, null, 's1', '12', null", {0}),
    "transcripts.one_class": ("'0100', 2027, 'S1', 'B', 80.0, 'alone', '12', date '2026-11-18'", {0}),
    "transcripts.no_class": ("'0100', 2027, 'S1', 'B', 80.0, 's1', '12', date '2026-11-18'", {0}),
    "transcripts.stored_late": ("'0100', 2027, 'S1', 'B', 80.0, 's1', '12', date '2026-11-20'", {0}),
    "transcripts.new_term_mark": ("'0100', 2027, 'S2', 'B', 80.0, 's1', '12', date '2026-11-10'", {0}),
}
SCHOOL_RULES = ("attendance.day_missing", "transcripts.no_class")


def rules() -> dict[str, dict[str, Any]]:
    """The rules of all stricter suites, by id."""
    specs = [spec for file in SUITES for spec in json.loads(file.read_text(encoding="utf-8"))["expectations"]]
    return {spec["meta"]["rule_id"]: spec for spec in specs}


def found(place: Place, rule_id: str, bad: str) -> set[int]:
    """The rows that a rule names of a batch of one bad row and, twice, each of twenty fine ones."""
    name = rule_id.partition(".")[0]
    batch = f"select 0, {bad} union all select n, {FINE[name]} from generate_series(1, 20) n "
    batch += f"union all select n + 20, {FINE[name]} from generate_series(1, 20) n"
    place.execute("drop table if exists staging.tried")
    place.execute(f"create table staging.tried ({', '.join(_typed(name))})")
    place.execute(f"insert into staging.tried {batch}")
    query = rules()[rule_id]["kwargs"]["unexpected_rows_query"].replace("{batch}", "staging.tried AS batch")
    query = query.replace(CHANGE, change_rows(settings().district, NIGHT, "staging.tried"))
    return {row["row_no"] for row in place.rows(query.replace(":", r"\:"))}


def _typed(name: str) -> list[str]:
    types = {"row_no": "bigint", "school_year": "bigint", "numeric_mark": "numeric"}
    columns = COLUMNS[name].split(", ")
    return [f"{each} {'date' if each.endswith('_date') else types.get(each, 'text')}" for each in columns]


@pytest.fixture
def change(place: Place) -> Place:
    """A night on which school 0100 is in a semester change; ten of its children had no class."""
    write_calendar(place, YEAR)
    with engine().begin() as connection:
        sync_calendar(connection)
        ensure_target(connection, find_dataset("enrollment", PROJECT / "dags"))
    return place


def test_every_rule_is_tried() -> None:
    assert set(BAD) | {"enrollment.exit_with_term"} == set(rules())


@pytest.mark.parametrize("rule_id", BAD)
def test_it_names_the_bad_row_and_at_a_school_that_does_not_change_none(change: Place, rule_id: str) -> None:
    if rule_id == "transcripts.no_class":
        enroll(change, "s1", "gone")
    bad, rows = BAD[rule_id]
    assert found(change, rule_id, bad) == rows
    # A rule about a school as a whole names its first row, whichever is bad.
    of_the_school = {1} if rule_id in SCHOOL_RULES else set()
    assert found(change, rule_id, bad.replace("'0100'", "'0101'")) == of_the_school


def test_a_few_children_leave_with_the_term_and_many_do_not(change: Place) -> None:
    leaves = "'0100', 2027, date '2026-11-02', date '2026-11-18'"
    assert found(change, "enrollment.exit_with_term", leaves) == set()
    many = " union all select ".join([f"{leaves}", *(f"{n}, {leaves}" for n in range(101, 106))])
    assert found(change, "enrollment.exit_with_term", many) == {0, *range(101, 106)}


def test_what_is_promoted_is_in_the_suite() -> None:
    for file in SUITES:
        dataset = find_dataset(file.stem, PROJECT / "dags")
        plain = read_suite(dataset, PROJECT / "expectations")
        strict = read_suite(dataset, PROJECT / "expectations", strict=True)
        promoted = json.loads(file.read_text(encoding="utf-8"))["meta"]["promoted"]
        assert {strict.rules[rule].severity for rule in promoted} <= {"critical"}
        assert {plain.rules[rule].severity for rule in promoted} <= {"warning"}


def enroll(place: Place, *students: str) -> None:
    for student in students:
        place.execute(
            "insert into district.enrollment (student_id, school_id, school_year, entry_date, grade_level_code, "
            "grade_level, primary_enrollment, import_run_id, source_line) "
            "values (:student, '0100', 2027, date '2026-11-02', '12', '12', true, 1, 1)",
            student=student,
        )
