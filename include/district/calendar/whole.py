"""A district's calendar as a whole: its schools, each with its own school years where they differ."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from itertools import pairwise
from typing import Self

from pydantic import model_validator

from district.calendar.model import (
    Administration,
    CalendarPart,
    CalendarRules,
    EndYear,
    Label,
    SchoolYear,
    Text,
    check_known,
    check_once,
)
from district.calendar.slips import check_changes, check_current, check_days, check_strictness


class School(CalendarPart):
    """A school of the district, by the SIS's id."""

    school_id: Label
    name: Text = ""
    groups: tuple[Label, ...] = ()
    """Names under which the calendar speaks of several schools at once."""
    last_year: EndYear | None = None
    """The school year after which it closes, by the year in which it ends."""


class DistrictCalendar(CalendarPart):
    """Schools, school years and administrations, as the settings file has them."""

    schools: tuple[School, ...] = ()
    school_years: tuple[SchoolYear, ...] = ()
    administrations: tuple[Administration, ...] = ()
    calendar: CalendarRules = CalendarRules()

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        for names, what in (
            ((school.school_id for school in self.schools), "there are two schools"),
            ((year.end_year for year in self.school_years), "there are two school years"),
            ((each.key for each in self.administrations), "there are two administrations"),
        ):
            check_once(names, what, "remove or rename one")
        known = [name for school in self.schools for name in (school.school_id, *school.groups)]
        named = [name for year in self.school_years for dates in year.schools for name in dates.schools]
        check_known(named, known, "a school year names the unknown school or group")
        for year in self.school_years:
            check_days(year)
        for school in ("", *(school.school_id for school in self.schools)):
            who = f" of school {school}" if school else ""
            years = self.years_of(school)
            for year in years:
                if year.turning_day > year.first_day:
                    raise ValueError(f"school year {year.end_year}{who} turns on {year.turns_on}, after its first day")
            for before, after in pairwise(years):
                if after.turning_day <= before.last_day:
                    raise ValueError(
                        f"school year {after.end_year}{who} begins on {after.turning_day}, "
                        f"and {before.end_year} ends on {before.last_day}; no school has two years at once"
                    )
                for term in before.terms:
                    if term.end >= after.first_day:
                        raise ValueError(
                            f"term {term.code} of {before.end_year}{who} ends on {term.end}, when {after.end_year} has "
                            f"begun on {after.first_day}; correct one of them"
                        )
            if [year.status for year in years].count("current") > 1:
                raise ValueError(f"two school years{who} have the status current; leave it to one")
        check_current(self)
        check_changes(self)
        check_strictness(self)
        return self

    @cached_property
    def _own_years(self) -> dict[str, tuple[SchoolYear, ...]]:
        """The school years of each school for which one is different."""
        different = {name for year in self.school_years for dates in year.schools for name in dates.schools}
        own = [school for school in self.schools if different & {school.school_id, *school.groups}]
        return {school.school_id: _in_order(_as_at(year, school) for year in self.school_years) for school in own}

    @cached_property
    def _common_years(self) -> tuple[SchoolYear, ...]:
        return _in_order(self.school_years)

    def years_of(self, school_id: str = "") -> tuple[SchoolYear, ...]:
        """A school's years in order; the district's own for a school that the file does not name, and for none."""
        return self._own_years.get(school_id, self._common_years)

    @property
    def calendars(self) -> tuple[str, ...]:
        """One school for each calendar that there is: '' for the district's, and those that differ from it."""
        return ("", *self._own_years)


def _in_order(years: Iterable[SchoolYear]) -> tuple[SchoolYear, ...]:
    return tuple(sorted(years, key=lambda year: year.first_day))


def _as_at(year: SchoolYear, school: School) -> SchoolYear:
    """The year as it is at a school: what is said of the school itself goes before what is said of its groups."""
    for names in ({school.school_id}, set(school.groups)):
        for dates in year.schools:
            if names & set(dates.schools):
                return year.of(dates)
    return year
