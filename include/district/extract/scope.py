"""Scope: does this delivery speak for what this run is about, or is it another year's or another district's file?"""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from district.dataset import Dataset
from district.run import Refused
from district.settings import settings
from district.tables import staging_table


def check_scope(connection: Connection, dataset: Dataset, run_id: int, *, partition: str) -> None:
    """Compares the staged scope with the run's partition and the district's schools.

    ``partition`` is empty for a file given by hand, which may be of any year and source.

    Raises:
        Refused: the file is another administration's, year's or district's.
    """
    if not partition:
        return
    if dataset.partition != "night":
        _check_partition(connection, dataset, run_id, partition)
    else:
        _check_school_year(connection, dataset, run_id, partition)
    _check_schools(connection, dataset, run_id)


def _check_partition(connection: Connection, dataset: Dataset, run_id: int, partition: str) -> None:
    staged = staging_table(dataset, run_id)
    column = staged.c[dataset.partition]
    others = select(func.count()).where(column != partition)
    count = connection.execute(others).scalar_one()
    if count:
        message = (
            f"{count:,} rows are of another {dataset.partition} than {partition}; "
            f"deliver each {dataset.partition} in a file of its own."
        )
        raise Refused(message, rule_id="file.partition")


def _check_school_year(connection: Connection, dataset: Dataset, run_id: int, partition: str) -> None:
    import datetime

    staged = staging_table(dataset, run_id)
    if "school_year" not in staged.c:
        return
    year = settings().district.school_year_of(datetime.date.fromisoformat(partition))
    if year is None:
        return
    present = set(connection.execute(select(staged.c.school_year).distinct()).scalars()) - {None}
    if present and year.end_year not in present:
        listed = ", ".join(str(found) for found in sorted(present)[:5])
        message = (
            f"Every row is of school year {listed}; this night belongs to {year.end_year}. Send the current export."
        )
        raise Refused(message, rule_id="file.school_year")


def _check_schools(connection: Connection, dataset: Dataset, run_id: int) -> None:
    staged = staging_table(dataset, run_id)
    known = {school.school_id for school in settings().district.schools}
    if "school_id" not in staged.c or not known:
        return
    present = set(connection.execute(select(staged.c.school_id).distinct()).scalars()) - {None}
    if present and not present & known:
        message = f"None of the {len(present)} schools in the file is a school of {settings().district.name}."
        raise Refused(message + " It may be another district's file.", rule_id="file.other_district")
