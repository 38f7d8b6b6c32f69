"""Scope: does this delivery speak for what this run is about, or is it another year's or another district's file?"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, Text, cast, func, select

from district.dataset import Dataset
from district.run import Refused
from district.settings import settings
from district.tables import finding_table, staging_table


@dataclass(frozen=True, kw_only=True)
class Carried:
    """Rows of the delivery that are not staged, because they stand in the table already: how many, and their values."""

    rows: int = 0
    values: dict[str, set[Any]] = field(default_factory=dict)
    """Of the columns that a scope is told by."""
    scopes: frozenset[tuple[Any, ...]] = frozenset()


def check_scope(
    connection: Connection, dataset: Dataset, run_id: int, carried: Carried, *, partition: str, by_hand: bool
) -> None:
    """Compares the staged scope with the run's partition and the district's schools.

    A file given ``by_hand`` may be of any year and source, but not of another administration.

    Raises:
        Refused: the file is another administration's, year's or district's.
    """
    if dataset.partition != "night":
        _check_partition(connection, dataset, run_id, partition)
    if by_hand:
        return
    if dataset.partition == "night":
        _check_school_year(connection, dataset, run_id, carried, partition)
    _check_schools(connection, dataset, run_id, carried)


def scope_of(connection: Connection, dataset: Dataset, run_id: int, carried: Carried) -> list[list[str]]:
    """The scope values that the delivery's rows hold, as texts."""
    staged = staging_table(dataset, run_id)
    columns = [cast(staged.c[name], Text) for name in dataset.scope]
    query = (
        select(*columns).where(_whole(dataset, run_id, staged), *[column.is_not(None) for column in columns]).distinct()
    )
    texts = {tuple(map(str, values)) for values in carried.scopes}
    return sorted(list(values) for values in {*texts, *map(tuple, connection.execute(query))})


def _whole(dataset: Dataset, run_id: int, staged: Table) -> ColumnElement[bool]:
    """A row that is no malformed record: a line of totals belongs to no administration, school or year."""
    findings = finding_table(dataset, run_id)
    malformed = select(findings.c.row_no).where(findings.c.rule_id == f"{dataset.name}.row.fields")
    return staged.c.row_no.not_in(malformed)


def _present(connection: Connection, dataset: Dataset, run_id: int, carried: Carried, name: str) -> set[Any]:
    staged = staging_table(dataset, run_id)
    column = staged.c[name]
    query = select(column).where(_whole(dataset, run_id, staged)).distinct()
    return {*connection.execute(query).scalars(), *carried.values.get(name, ())} - {None}


def _check_partition(connection: Connection, dataset: Dataset, run_id: int, partition: str) -> None:
    staged = staging_table(dataset, run_id)
    column = staged.c[dataset.partition]
    others = select(func.count()).where(column != partition, _whole(dataset, run_id, staged))
    count = connection.execute(others).scalar_one()
    if count:
        message = (
            f"{count:,} rows are of another {dataset.partition} than {partition}; "
            f"deliver each {dataset.partition} in a file of its own."
        )
        raise Refused(message, rule_id="file.partition")


def _check_school_year(connection: Connection, dataset: Dataset, run_id: int, carried: Carried, partition: str) -> None:
    if "school_year" not in dataset.target_columns:
        return
    year = settings().district.school_year_of(datetime.date.fromisoformat(partition))
    if year is None:
        return
    present = _present(connection, dataset, run_id, carried, "school_year")
    if present and year.end_year not in present:
        listed = ", ".join(str(found) for found in sorted(present)[:5])
        message = (
            f"Every row is of school year {listed}; this night belongs to {year.end_year}. Send the current export."
        )
        raise Refused(message, rule_id="file.school_year")


def _check_schools(connection: Connection, dataset: Dataset, run_id: int, carried: Carried) -> None:
    known = {school.school_id for school in settings().district.schools}
    if "school_id" not in dataset.target_columns or not known:
        return
    present = _present(connection, dataset, run_id, carried, "school_id")
    if present and not present & known:
        message = f"None of the {len(present)} schools in the file is a school of {settings().district.name}."
        raise Refused(message + " It may be another district's file.", rule_id="file.other_district")
