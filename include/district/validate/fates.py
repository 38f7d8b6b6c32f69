"""Fates: what the findings make of the staged rows, as expressions for the queries that read them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import Connection, Select, Table, and_, case, column, exists, false, null, or_, select, table

from district.database import create_temporary
from district.dataset import Dataset

KEPT_OUT = ("reject", "supersede", "hold")
"""Fates with which a row stays out of the table: rejected, a repetition of another, or its school is held."""


def values_of(dataset: Dataset, staged: Table, findings: Table, blanked: Collection[str]) -> list[Any]:
    """The staged values in the target's columns; null where a finding blanks them in one of the ``blanked`` columns."""

    def value(name: str) -> Any:
        if name not in blanked:
            return staged.c[name]
        bad = select(findings.c.row_no).where(findings.c.fate == "blank", findings.c.column_name == name)
        return case((staged.c.row_no.in_(bad), null()), else_=staged.c[name]).label(name)

    return [value(name) for name in dataset.target_columns]


def blanked_columns(connection: Connection, findings: Table) -> list[str]:
    """The columns in which a finding blanks a value."""
    query = select(findings.c.column_name).where(findings.c.fate == "blank").distinct()
    return list(connection.execute(query).scalars())


def kept_out(staged: Table, findings: Table) -> Any:
    """Whether a finding keeps the staged row out of the table."""
    return exists().where(findings.c.row_no == staged.c.row_no, findings.c.fate.in_(KEPT_OUT))


def perhaps_sent(connection: Connection, dataset: Dataset, staged: Table, findings: Table, target: Table) -> Any:
    """Whether a rejected row may be the target's row: every part of its key that can be read is the same.

    Nobody disappears because a line was bad: such a row of the target is not taken for a vanished one. A line that
    tells no more than its scope is nobody's, or one line of commas would keep everybody.
    """
    unreadable = table("unreadable", *[column(name) for name in dataset.key])
    create_temporary(connection, "unreadable", _unreadable(dataset, staged, findings))
    shapes = select(*[unreadable.c[name].is_(None) for name in dataset.key]).distinct()
    # One equality join for each set of missing parts: there are few such sets, and may be many such rows.
    return or_(false(), *_alike(dataset, target, unreadable, connection.execute(shapes).all()))


def _unreadable(dataset: Dataset, staged: Table, findings: Table) -> Select[Any]:
    key = [staged.c[name] for name in dataset.key]
    telling = [staged.c[name] for name in dataset.key if name not in dataset.scope] or key
    rejected = select(findings.c.row_no).where(findings.c.fate == "reject")
    return (
        select(*key)
        .where(
            staged.c.row_no.in_(rejected),
            or_(*[part.is_(None) for part in key]),
            or_(*[part.is_not(None) for part in telling]),
        )
        .distinct()
    )


def _alike(dataset: Dataset, target: Table, unreadable: Any, shapes: Any) -> Iterator[Any]:
    for shape in shapes:
        parts = zip(dataset.key, shape, strict=True)
        yield exists().where(
            and_(
                *[
                    unreadable.c[name].is_(None) if missing else unreadable.c[name] == target.c[name]
                    for name, missing in parts
                ]
            )
        )
