"""The calendar as people have turned it: a school year that was rehearsed begins when a person says so."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from sqlalchemy import Connection, select

from district.calendar.model import SchoolDates, SchoolYear
from district.calendar.whole import DistrictCalendar
from district.settings import settings
from district.tables import year_turn


def recorded_calendar(connection: Connection) -> DistrictCalendar:
    """The settings file's calendar, with the turns on record: what a run of tonight goes by."""
    rows = connection.execute(select(year_turn.c.school_year, year_turn.c.turned_on))
    return turned(settings().district, {row.school_year: row.turned_on for row in rows})


def turned(district: DistrictCalendar, turns: Mapping[int, datetime.date | None]) -> DistrictCalendar:
    """The calendar in which these years turned on these days, or still wait (None) and are *next*.

    A school whose own day comes later turns on that; a status set by hand goes before both.
    """
    if not turns:
        return district
    years = tuple(
        _turned(year, turns[year.end_year]) if year.end_year in turns and year.status is None else year
        for year in district.school_years
    )
    # Not validated again: by hand a year may turn after its first day.
    return DistrictCalendar.model_construct(
        schools=district.schools,
        school_years=years,
        administrations=district.administrations,
        calendar=district.calendar,
    )


def _turned(year: SchoolYear, day: datetime.date | None) -> SchoolYear:
    if day is None:
        return year.model_copy(update={"status": "next"})

    def own(dates: SchoolDates) -> SchoolDates:
        return dates.model_copy(update={"turns_on": max(year.of(dates).turning_day, day)})

    return year.model_copy(
        update={"turns_on": max(year.turning_day, day), "schools": tuple(own(dates) for dates in year.schools)}
    )
