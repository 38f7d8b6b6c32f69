"""Parameters: what a suite may refer to as ``{"$PARAMETER": name}``, and which of it changes what a row is worth."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from typing import Any

from district.calendar.standing import current_years
from district.settings import settings

UPPER_BOUND = "max_value"


def day_parameters(night: datetime.date) -> dict[str, str]:
    """The days that a night's rules may ask for, as Great Expectations compares them."""
    years = current_years(settings().district, night)
    first = min((year.first_day for year in years), default=night)
    end = max((year.last_day for year in years), default=night)
    days = {
        "night": night,
        "night_plus_90": night + datetime.timedelta(days=90),
        "school_year_first_day": first,
        "school_year_last_day": end,
    }
    return {name: f"{day.isoformat()}T00:00:00" for name, day in days.items()}


def bounding_days(suite: str, night: datetime.date) -> dict[str, str]:
    """The days by which tonight may judge a row otherwise than last night: all but upper bounds, which only rise."""
    try:
        content = json.loads(suite)
    except (json.JSONDecodeError, RecursionError):
        return {}  # held, with a reason, when it is read to be used
    asked = {name for where, name in _references(content, "") if where != UPPER_BOUND}
    return {name: day for name, day in day_parameters(night).items() if name in asked}


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
