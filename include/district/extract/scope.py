"""Scope: does this delivery speak for what this run is about, or is it another year's or another district's file?"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, select

from district.calendar.model import Status
from district.calendar.standing import current_years, statuses
from district.calendar.whole import DistrictCalendar
from district.dataset import Dataset
from district.run import Refused, RunKind
from district.settings import settings
from district.tables import census_columns, finding_table, staging_table


@dataclass(frozen=True, kw_only=True)
class Census:
    """How many rows there are of each scope, school year and school."""

    names: tuple[str, ...]
    """The columns that ``rows`` has the values of."""
    rows: Counter[tuple[Any, ...]] = field(default_factory=Counter)

    def __add__(self, other: Census) -> Census:
        return Census(names=self.names, rows=self.rows + other.rows)

    def present(self, name: str) -> set[Any]:
        """The values of one of the columns."""
        place = self.names.index(name)
        return {values[place] for values in self.rows} - {None}

    def scopes(self, dataset: Dataset) -> list[tuple[Any, ...]]:
        """The scope values that occur, in order."""
        places = [self.names.index(name) for name in dataset.scope]
        found = {tuple(values[place] for place in places) for values in self.rows}
        return sorted(values for values in found if None not in values)


def take_census(connection: Connection, dataset: Dataset, run_id: int) -> Census:
    """Counts the staged rows, malformed records apart: a line of totals is of no administration, school or year."""
    staged, findings = staging_table(dataset, run_id), finding_table(dataset, run_id)
    malformed = select(findings.c.row_no).where(findings.c.rule_id == f"{dataset.name}.row.fields")
    names = census_columns(dataset)
    columns = [staged.c[name] for name in names]
    counted = select(*columns, func.count()).where(staged.c.row_no.not_in(malformed)).group_by(*columns)
    return Census(names=names, rows=Counter({tuple(values): n for *values, n in connection.execute(counted)}))


def check_scope(
    dataset: Dataset, census: Census, calendar: DistrictCalendar, *, partition: str, kind: RunKind, by_hand: bool
) -> None:
    """Compares what the delivery holds with the run's partition, the calendar and the district's schools.

    A file given ``by_hand`` may be of any year and source, but not of another administration. A rehearsal holds the
    next school year alone, and a night's import nothing of it.

    Raises:
        Refused: the file is another administration's, year's or district's.
    """
    if dataset.partition != "night":
        _check_partition(dataset, census, partition)
    if kind == "rehearsal":
        _check_rehearsed(census, calendar, partition)
    if by_hand:
        return
    if dataset.partition == "night" and kind != "rehearsal":
        _check_school_year(dataset, census, calendar, partition)
        _check_not_ahead(census, calendar, partition)
    _check_schools(census)


def may_come(
    dataset: Dataset, calendar: DistrictCalendar, years: Collection[int], night: datetime.date, kind: RunKind
) -> bool:
    """Whether rows of these school years are a night's, or a rehearsal's, at every school."""
    if not current_years(calendar, night):
        return True
    found = {_status(statuses(calendar, school_id, night), year) for school_id in calendar.calendars for year in years}
    if kind == "rehearsal":
        return found <= {"next"}
    return not found & {"next", "planned"} and (dataset.history or "current" in found)


def _check_partition(dataset: Dataset, census: Census, partition: str) -> None:
    place = census.names.index(dataset.partition)
    count = sum(n for values, n in census.rows.items() if values[place] is not None and str(values[place]) != partition)
    if count:
        message = (
            f"{count:,} rows are of another {dataset.partition} than {partition}; "
            f"deliver each {dataset.partition} in a file of its own."
        )
        raise Refused(message, rule_id="file.partition")


def _check_school_year(dataset: Dataset, census: Census, calendar: DistrictCalendar, partition: str) -> None:
    current = {year.end_year for year in current_years(calendar, datetime.date.fromisoformat(partition))}
    if "school_year" not in census.names:
        return
    if not current:
        _check_none_closed_early(calendar, partition)
        return
    present = census.present("school_year")
    if dataset.history and present and max(present) == min(current) - 1:
        return  # the new year has nothing to tell yet, such as a mark
    if present and not present & current:
        listed = ", ".join(str(found) for found in sorted(present)[:5])
        tonight = " and ".join(map(str, sorted(current)))
        message = f"Every row is of school year {listed}; this night belongs to {tonight}. Send the current export."
        raise Refused(message, rule_id="file.school_year")


def _check_none_closed_early(calendar: DistrictCalendar, partition: str) -> None:
    """Before the calendar's first year nothing is current; where one was closed by hand too early, nothing may come."""
    closed = " and ".join(str(year.end_year) for year in calendar.school_years if year.status in ("closing", "closed"))
    if closed:
        message = (
            f"No school year is current on {partition}: by its status in the settings file, {closed} is over, and no "
            "other has begun. Remove that status."
        )
        raise Refused(message, rule_id="file.school_year")


def _check_not_ahead(census: Census, calendar: DistrictCalendar, partition: str) -> None:
    """Before its year has turned, a row of the next school year has no business among tonight's."""
    ahead = _rows_by_status(census, calendar, partition, "next", "planned")
    if not ahead.total():
        return
    years = ", ".join(map(str, sorted(ahead)))
    message = (
        f"{ahead.total():,} rows are of school year {years}, which has not begun. Have the SIS write next year's rows "
        "into next_year/. If it has begun: see that the calendar has it, and turn it with `district turn-year`."
    )
    raise Refused(message, rule_id="file.next_year")


def _check_rehearsed(census: Census, calendar: DistrictCalendar, partition: str) -> None:
    """A rehearsal touches no row of a year that has begun, is over, or lies further ahead."""
    others = _rows_by_status(census, calendar, partition, "current", "closing", "closed", "planned")
    if not others.total():
        return
    years = ", ".join(map(str, sorted(others)))
    message = f"{others.total():,} rows are of school year {years}; next_year/ is for the next one's rows alone."
    raise Refused(message, rule_id="file.not_next_year")


def _rows_by_status(census: Census, calendar: DistrictCalendar, partition: str, *wanted: str) -> Counter[int]:
    """How many rows there are of each school year with such a status at its row's school."""
    night = datetime.date.fromisoformat(partition)
    if "school_year" not in census.names or not current_years(calendar, night):
        return Counter()
    known = {school_id: statuses(calendar, school_id, night) for school_id in calendar.calendars}
    year_at = census.names.index("school_year")
    school_at = census.names.index("school_id") if "school_id" in census.names else None
    found: Counter[int] = Counter()
    for values, rows in census.rows.items():
        year = values[year_at]
        school = values[school_at] if school_at is not None else ""
        if year is not None and _status(known.get(school, known[""]), year) in wanted:
            found[year] += rows
    return found


def _status(known: dict[int, Status], year: int) -> Status:
    """The status of a year; one before the calendar is over, and one behind it is yet to come."""
    return known.get(year, "closed" if year < min(known) else "planned")


def _check_schools(census: Census) -> None:
    known = {school.school_id for school in settings().district.schools}
    if "school_id" not in census.names or not known:
        return
    present = census.present("school_id")
    if present and not present & known:
        message = f"None of the {len(present)} schools in the file is a school of {settings().district.name}."
        raise Refused(message + " It may be another district's file.", rule_id="file.other_district")
