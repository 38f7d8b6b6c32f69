"""Parameters: what a suite may refer to as ``{"$PARAMETER": name}``, and which of it changes what a row is worth."""

from __future__ import annotations

import datetime
import json
from collections.abc import Collection, Iterator
from typing import Any

from district.calendar.model import SchoolYear
from district.calendar.standing import current_years, years_with
from district.calendar.whole import DistrictCalendar

UPPER_BOUND = "max_value"


def judged_years(
    calendar: DistrictCalendar, night: datetime.date, kind: str, sent: Collection[int] = ()
) -> tuple[SchoolYear, ...]:
    """The school years that a night's rows are of: the current ones, and in a rehearsal the next.

    Where a delivery was ``sent`` for other years alone, as a late correction is, those.
    """
    years = years_with(calendar, night, "next") if kind == "rehearsal" else current_years(calendar, night)
    others = tuple(year for year in calendar.years_of() if year.end_year in sent)
    return years if not others or {year.end_year for year in years} & set(sent) else others


def day_parameters(night: datetime.date, years: tuple[SchoolYear, ...]) -> dict[str, str]:
    """The days that a night's rules may ask for, as Great Expectations compares them."""
    first = min((year.first_day for year in years), default=night)
    end = max((year.last_day for year in years), default=night)
    days = {
        "night": night,
        "night_plus_90": night + datetime.timedelta(days=90),
        "school_year_first_day": first,
        "school_year_last_day": end,
    }
    return {name: f"{day.isoformat()}T00:00:00" for name, day in days.items()}


def bounding_days(suite: str, night: datetime.date, years: tuple[SchoolYear, ...]) -> dict[str, str]:
    """The days by which tonight may judge a row otherwise than last night: all but upper bounds, which only rise."""
    try:
        content = json.loads(suite)
    except (json.JSONDecodeError, RecursionError):
        return {}  # held, with a reason, when it is read to be used
    asked = {name for where, name in _references(content, "") if where != UPPER_BOUND}
    return {name: day for name, day in day_parameters(night, years).items() if name in asked}


def _references(value: Any, where: str) -> Iterator[tuple[str, str]]:
    """Each reference to a parameter with the field that it is the value of."""
    if isinstance(value, dict):
        if "$PARAMETER" in value:
            yield where, str(value["$PARAMETER"])
        for name, inner in value.items():
            yield from _references(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner, where)
