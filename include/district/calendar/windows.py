"""Windows: the nights of a semester change, those without imports, and those on which gates are looser or stricter."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from district.calendar.model import ONE_DAY, Blackout, SchoolYear, Strictness, Term

if TYPE_CHECKING:
    from district.calendar.whole import DistrictCalendar


@dataclass(frozen=True, kw_only=True)
class Change:
    """A semester change of a school: which term ends, which begins, and the nights around it, both ends included."""

    school_year: int
    ends: Term
    begins: Term
    first_night: datetime.date
    last_night: datetime.date

    @property
    def boundary(self) -> datetime.date:
        """The first day of the new term."""
        return self.begins.begin

    def __contains__(self, night: datetime.date) -> bool:
        return self.first_night <= night <= self.last_night


def changes_of(district: DistrictCalendar, school_id: str) -> tuple[Change, ...]:
    """Every semester change of a school, in order: where one term of a year follows another of its kind.

    The nights reach from some school days before the new term's first day to some after it, the break between two
    terms included: it is when the office ends the one and sets up the other. The first term of a year is none:
    that is the school year's turn.
    """
    rules = district.calendar.semester_change
    before, after = rules.nights_before, rules.nights_after
    found = {}
    for year in district.years_of(school_id):
        for kind, terms in year.terms_by_type.items():
            for ends, begins in pairwise(terms) if kind in rules.term_types else ():
                near = [begins.begin, *year.school_days_around(begins.begin, before=before, after=after)]
                found[begins.begin] = Change(
                    school_year=year.end_year, ends=ends, begins=begins, first_night=min(near), last_night=max(near)
                )
    return tuple(found[boundary] for boundary in sorted(found))


def change_on(district: DistrictCalendar, school_id: str, night: datetime.date) -> Change | None:
    """The semester change in whose window a school's night lies; where two meet, the nearer one."""
    near = [change for change in changes_of(district, school_id) if night in change]
    return min(near, key=lambda change: abs(change.boundary - night), default=None)


def next_change(district: DistrictCalendar, school_id: str, day: datetime.date) -> Change | None:
    """The next semester change of a school whose new term begins after a day."""
    return next((change for change in changes_of(district, school_id) if change.boundary > day), None)


def change_nights(district: DistrictCalendar) -> tuple[datetime.date, ...]:
    """The nights on which any school is in a semester change: a file holds all schools, so that all take part."""
    changes = (change for school_id in district.calendars for change in changes_of(district, school_id))
    return tuple(sorted({night for change in changes for night in _nights(change)}))


def _nights(change: Change) -> Iterator[datetime.date]:
    for n in range((change.last_night - change.first_night).days + 1):
        yield change.first_night + n * ONE_DAY


def blackout_on(district: DistrictCalendar, night: datetime.date, dataset: str = "") -> Blackout | None:
    """The blackout that keeps a data set from being imported on a night; without one, the blackout of all of them."""
    for blackout in district.calendar.blackouts:
        if night in blackout and (not blackout.datasets or dataset in blackout.datasets):
            return blackout
    return None


def strictness_on(district: DistrictCalendar, school_id: str, day: datetime.date) -> Strictness | None:
    """The strictness window that a school's day lies in; of several, the one that stands first in the file."""
    for window in district.calendar.strictness:
        if any(begin <= day <= end for begin, end in spans_of(window, district.years_of(school_id))):
            return window
    return None


def spans_of(window: Strictness, years: tuple[SchoolYear, ...]) -> Iterator[tuple[datetime.date, datetime.date]]:
    """From when to when a strictness window holds in these school years, both days included."""
    if window.begin and window.end:
        yield window.begin, window.end
    for year in years if window.around else ():
        anchors = {
            "first_day": (year.first_day,),
            "last_day": (year.last_day,),
            "term_begin": tuple(term.begin for term in year.terms),
            "term_end": tuple(term.end for term in year.terms),
        }[window.around or "first_day"]
        for anchor in anchors:
            yield anchor - window.days_before * ONE_DAY, anchor + window.days_after * ONE_DAY
