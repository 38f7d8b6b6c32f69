"""Slips that no part of a calendar shows by itself: days that nothing would look at, nights without an end."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING

from district.calendar.model import LONGEST_WINDOW, ONE_DAY, CalendarEvent, SchoolYear
from district.calendar.standing import current_years
from district.calendar.windows import changes_of, spans_of

if TYPE_CHECKING:
    from district.calendar.whole import DistrictCalendar

LONGEST_CHANGE = 150
"""Nights of the longest semester change: sixty school days, the longest break, and some more."""

Span = tuple[datetime.date, datetime.date]


def check_days(year: SchoolYear) -> None:
    """ValueError for a holiday or an event outside of the year, and for a day of the rollover that does not fit it."""
    _check_inside(year, year.holidays, year.events, "")
    for dates in year.schools:
        _check_inside(year.of(dates), dates.holidays or (), dates.events, f" for {', '.join(dates.schools)}")
    if year.rehearsal_from and year.rehearsal_from > year.turning_day:
        raise ValueError(
            f"school year {year.end_year} is rehearsed from {year.rehearsal_from}, and turns on {year.turning_day} "
            "before that; correct one of them"
        )
    if year.closes_on and year.closes_on <= year.last_day:
        raise ValueError(
            f"school year {year.end_year} closes on {year.closes_on}, and its last day is {year.last_day}; "
            "correct one of them"
        )


def check_current(district: DistrictCalendar) -> None:
    """ValueError where statuses set by hand leave no school year to be current, now or later: nothing would be checked.

    Before its first day a year is not current either; that passes.
    """
    if district.school_years and not current_years(district, datetime.date.max):
        by_hand = ", ".join(f"{year.end_year} is {year.status}" for year in district.years_of() if year.status)
        raise ValueError(
            f"no school year would be current any more, since by their status {by_hand}; remove the status of the "
            "newest year, or add the next one"
        )


def check_changes(district: DistrictCalendar) -> None:
    """ValueError for a semester change that would keep the nightly imports away for months."""
    for change in (change for school_id in district.calendars for change in changes_of(district, school_id)):
        if (change.last_night - change.first_night).days >= LONGEST_CHANGE:
            raise ValueError(
                f"the semester change from {change.ends.code} to {change.begins.code} of {change.school_year} would "
                f"go from {change.first_night} to {change.last_night}; {LONGEST_CHANGE} nights are the most. Correct "
                "the dates of these terms, or calendar: semester_change"
            )


def check_strictness(district: DistrictCalendar) -> None:
    """ValueError for windows that meet, one year's and the next one's or two of them, and make gates looser for good.

    Shares of a data set's own count as looser: only its DAG file says whether they are.
    """
    windows = [window for window in district.calendar.strictness if window.scale > 1 or window.gates]
    for school_id in district.calendars:
        years = district.years_of(school_id)
        named = [(window.name, span) for window in windows for span in spans_of(window, years)]
        for begin, end in _joined(span for _, span in named):
            if (end - begin).days >= LONGEST_WINDOW:
                names = dict.fromkeys(name for name, (first, _) in named if begin <= first <= end)
                raise ValueError(
                    f"strictness window {' and '.join(names)}: gates would be looser from {begin} to {end} without a "
                    f"break; {LONGEST_WINDOW} days are the most. To change a gate for good, change it in the data "
                    "set's DAG file"
                )


def _check_inside(
    year: SchoolYear, holidays: Iterable[datetime.date], events: Iterable[CalendarEvent], who: str
) -> None:
    for what, day in chain((("a holiday", day) for day in holidays), (("an event", each.date) for each in events)):
        if not year.first_day <= day <= year.last_day:
            raise ValueError(
                f"school year {year.end_year} has {what} on {day}{who}, and goes from {year.first_day} to "
                f"{year.last_day}; correct the date, or remove it"
            )


def _joined(spans: Iterable[Span]) -> list[Span]:
    """The spans in order, with those that overlap or follow each other as one."""
    runs: list[Span] = []
    for first, last in sorted(spans):
        if runs and first <= runs[-1][1] + ONE_DAY:
            runs[-1] = (runs[-1][0], max(runs[-1][1], last))
        else:
            runs.append((first, last))
    return runs
