"""The nights of a semester change: who steps aside on them, and what a suite's SQL is told of each school's terms."""

from __future__ import annotations

import datetime
from itertools import count
from typing import Any

from district.calendar.model import ONE_DAY
from district.calendar.standing import current_year
from district.calendar.whole import DistrictCalendar
from district.calendar.windows import blackout_on, change_nights, change_on
from district.dataset import Dataset
from district.run import Aside, RunKind
from district.settings import settings

CHANGE = "{change}"
"""In the SQL of a suite of semester change: one row per school of the batch that is in one this night."""
_COLUMNS = {
    "school_year": "integer",
    "year_end": "date",
    "old_term": "text",
    "old_begin": "date",
    "old_end": "date",
    "marks_due": "date",
    "marks_are_due": "boolean",
    "new_term": "text",
    "new_begin": "date",
    "new_end": "date",
    "begun": "boolean",
}


def check_calendar(dataset: Dataset, night: datetime.date, *, kind: RunKind, steps_aside: bool) -> None:
    """Whether the calendar has this import on this night; ``steps_aside`` where the data set has semester changes.

    Raises:
        Aside: it has none, or the semester change imports in its place; says until when.
    """
    district = settings().district
    blackout = blackout_on(district, night, dataset.name)
    if blackout is not None:
        until = f"The calendar has no imports from {blackout.begin} to {blackout.end}: {blackout.reason}."
        raise Aside(until, rule_id="run.blackout")
    nights = change_nights(district)
    if kind == "import" and steps_aside and night in nights:
        back = next(day for n in count(1) if (day := night + n * ONE_DAY) not in nights)
        message = f"It is semester change: {dataset.name}_semester_change imports {dataset.name} this night. "
        raise Aside(message + f"The nightly import comes back on {back}.", rule_id="run.semester_change")
    if kind == "semester_change" and night not in nights:
        raise Aside(f"By the calendar {night} is no night of a semester change.", rule_id="run.no_semester_change")


def change_facts(district: DistrictCalendar, night: datetime.date) -> dict[str, dict[str, Any]]:
    """What is told of each calendar's semester change this night, by school; \'\' is every school without its own."""
    found: dict[str, dict[str, Any]] = {}
    for school_id in district.calendars:
        change, year = change_on(district, school_id, night), current_year(district, school_id, night)
        if change is None or year is None:
            continue
        values = (
            change.school_year, year.last_day, change.ends.code, change.ends.begin, change.ends.end,
            change.ends.marks_due, change.ends.marks_due < night,
            change.begins.code, change.begins.begin, change.begins.end, change.begins.begin < night,
        )  # fmt: skip
        found[school_id] = dict(zip(_COLUMNS, values, strict=True))
    return found


def change_rows(district: DistrictCalendar, night: datetime.date, batch: str) -> str:
    """The facts as a table expression in SQL, with a row for each school of the batch that is in a semester change."""
    facts = change_facts(district, night)
    names = ", ".join(_COLUMNS)
    nobody: dict[Any, dict[str, Any]] = {None: dict.fromkeys(_COLUMNS)}
    lines = [
        ", ".join([f"{_text(school_id)}::text", *(f"{_text(row[name])}::{kind}" for name, kind in _COLUMNS.items())])
        for school_id, row in (facts or nobody).items()
    ]
    own = ", ".join(_text(school_id) for school_id in district.calendars)
    return (
        f"(SELECT schools.school_id, {names} FROM (SELECT DISTINCT school_id FROM {batch}) schools "
        f"JOIN (VALUES {', '.join(f'({line})' for line in lines)}) facts (calendar, {names}) "
        f"ON calendar = CASE WHEN schools.school_id IN ({own}) THEN schools.school_id ELSE '' END)"
    )


def _text(value: object) -> str:
    doubled = str(value).replace("'", "''")
    return "NULL" if value is None else f"'{doubled}'"
