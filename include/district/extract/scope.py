"""Scope: does this delivery speak for what this run is about, or is it another year's or another district's file?"""

from __future__ import annotations

import datetime
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, select

from district.calendar.standing import current_years
from district.dataset import Dataset
from district.run import Refused
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


def check_scope(dataset: Dataset, census: Census, *, partition: str, by_hand: bool) -> None:
    """Compares what the delivery holds with the run's partition and the district's schools.

    A file given ``by_hand`` may be of any year and source, but not of another administration.

    Raises:
        Refused: the file is another administration's, year's or district's.
    """
    if dataset.partition != "night":
        _check_partition(dataset, census, partition)
    if by_hand:
        return
    if dataset.partition == "night":
        _check_school_year(census, partition)
    _check_schools(census)


def _check_partition(dataset: Dataset, census: Census, partition: str) -> None:
    place = census.names.index(dataset.partition)
    count = sum(n for values, n in census.rows.items() if values[place] is not None and str(values[place]) != partition)
    if count:
        message = (
            f"{count:,} rows are of another {dataset.partition} than {partition}; "
            f"deliver each {dataset.partition} in a file of its own."
        )
        raise Refused(message, rule_id="file.partition")


def _check_school_year(census: Census, partition: str) -> None:
    current = {year.end_year for year in current_years(settings().district, datetime.date.fromisoformat(partition))}
    if "school_year" not in census.names or not current:
        return
    present = census.present("school_year")
    if present and not present & current:
        listed = ", ".join(str(found) for found in sorted(present)[:5])
        tonight = " and ".join(map(str, sorted(current)))
        message = f"Every row is of school year {listed}; this night belongs to {tonight}. Send the current export."
        raise Refused(message, rule_id="file.school_year")


def _check_schools(census: Census) -> None:
    known = {school.school_id for school in settings().district.schools}
    if "school_id" not in census.names or not known:
        return
    present = census.present("school_id")
    if present and not present & known:
        message = f"None of the {len(present)} schools in the file is a school of {settings().district.name}."
        raise Refused(message + " It may be another district's file.", rule_id="file.other_district")
