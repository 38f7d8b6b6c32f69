"""Where a school stands on a date: its current school year, the status of every other, its term, and the windows."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from district.calendar.model import ONE_DAY, EventKind, SchoolYear, Status, Term
from district.calendar.windows import Change, blackout_on, change_on, next_change, strictness_on

if TYPE_CHECKING:
    from district.calendar.whole import DistrictCalendar


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a school stands on a date."""

    school_id: str
    date: datetime.date
    year: SchoolYear | None
    """The current one; none before the calendar's first, or where a year was closed by hand."""
    statuses: dict[int, Status]
    """Of every school year in the calendar, by the year in which it ends."""
    term: Term | None
    event: EventKind | None
    instructional: bool
    change: Change | None
    """The semester change in whose window the night lies."""
    next_change: Change | None
    blackout: str
    """Why nothing is imported this night; empty where something is."""
    strictness: str
    """The name of the strictness window; empty in none."""


def standing_of(district: DistrictCalendar, school_id: str, day: datetime.date) -> Standing:
    """Where a school stands on a date; the district's own calendar counts for a school that the file does not name."""
    year = current_year(district, school_id, day)
    blackout = blackout_on(district, day)
    strictness = strictness_on(district, school_id, day)
    return Standing(
        school_id=school_id,
        date=day,
        year=year,
        statuses=statuses(district, school_id, day),
        term=term_on(year, day) if year else None,
        event=year.event_on(day) if year else None,
        instructional=year.instructs(day) if year else False,
        change=change_on(district, school_id, day),
        next_change=next_change(district, school_id, day),
        blackout=blackout.reason if blackout else "",
        strictness=strictness.name if strictness else "",
    )


def current_year(district: DistrictCalendar, school_id: str, day: datetime.date) -> SchoolYear | None:
    """The school year that a school's night belongs to, summer counting to the year before; a set status goes first."""
    years = district.years_of(school_id)
    for year in years:
        if year.status == "current":
            return year
    turned = [y for y in years if (y.turning_day <= day if y.status is None else y.status in ("closing", "closed"))]
    return turned[-1] if turned and turned[-1].status is None else None


def current_years(district: DistrictCalendar, day: datetime.date) -> tuple[SchoolYear, ...]:
    """The current school years of all schools, the district's own first; several where schools turn on other days."""
    found = (current_year(district, school_id, day) for school_id in district.calendars)
    return tuple(dict.fromkeys(year for year in found if year is not None))


def statuses(district: DistrictCalendar, school_id: str, day: datetime.date) -> dict[int, Status]:
    """The status of every school year of a school on a date."""
    years = district.years_of(school_id)
    current = current_year(district, school_id, day)
    closes = {
        before.end_year: before.closes_on or after.turning_day + district.calendar.closing_days * ONE_DAY
        for before, after in pairwise(years)
    }

    def status(year: SchoolYear) -> Status:
        if year.status is not None:
            return year.status
        if year is current:
            return "current"
        over = year.turning_day < current.turning_day if current else year.turning_day <= day
        if over:
            return "closing" if day < closes.get(year.end_year, day) else "closed"
        return "next" if day >= rehearsal_day(district, year) else "planned"

    return {year.end_year: status(year) for year in years}


def rehearsal_day(district: DistrictCalendar, year: SchoolYear) -> datetime.date:
    """The first night on which a school year's extracts are rehearsed beside the current year's."""
    return year.rehearsal_from or year.turning_day - district.calendar.rehearsal_days * ONE_DAY


def term_on(year: SchoolYear, day: datetime.date) -> Term | None:
    """The term of a day, the shortest where a quarter lies in a semester; None in a break."""
    return min((term for term in year.terms if day in term), key=lambda term: term.end - term.begin, default=None)
