"""The district's calendar as rows: which days instruct, by school year."""

from __future__ import annotations

import datetime
from typing import TypedDict

from district.settings import District


class CalendarRow(TypedDict):
    """One weekday of a school year."""

    school_year: int
    date: datetime.date
    instructional: bool


def calendar_rows(district: District) -> list[CalendarRow]:
    """Every day from the first to the last day of each school year."""
    rows: list[CalendarRow] = []
    for year in district.school_years:
        instructional = set(year.instructional_days())
        for n in range((year.last_day - year.first_day).days + 1):
            day = year.first_day + datetime.timedelta(days=n)
            rows.append({"school_year": year.end_year, "date": day, "instructional": day in instructional})
    return rows
