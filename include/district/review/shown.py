"""What people were shown of a run, as a short mark: who decides says by it what they have looked at."""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import Connection, Row, Table, select

from district.dataset import Dataset
from district.review.tables import hold, school_change
from district.run import NotAllowed
from district.tables import delivery, import_issue, import_run

_LENGTH = 12


def mark_of(connection: Connection, run: Row[Any]) -> str:
    """The mark of what a run shows now: its delivery, what would change, its issues and what is held.

    The same counts of the same delivery have the same mark, however often they are found.
    """
    sha256 = connection.execute(select(delivery.c.sha256).where(delivery.c.id == run.delivery_id)).scalar()
    told = [
        (run.id, sha256),
        *_rows(connection, school_change, run.id),
        *_rows(connection, import_issue, run.id, "rule_id", "cause", "rows"),
        *_rows(connection, hold, run.id, "school_id", "rule_id", "reason"),
    ]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:_LENGTH]


def run_as_shown(connection: Connection, dataset: Dataset, run_id: int, mark: str) -> Row[Any]:
    """The run that a person has looked at.

    Raises:
        NotAllowed: there is no such run, or it shows something else by now.
    """
    query = select(import_run).where(import_run.c.id == run_id, import_run.c.dataset == dataset.name)
    run = connection.execute(query).first()
    if run is None:
        raise NotAllowed(f"{dataset.name} has no run {run_id}; `district holds` tells which wait.")
    if mark_of(connection, run) != mark:
        raise NotAllowed(f"{dataset.name}: what was shown of run {run_id} has changed. Look at it again, then decide.")
    return run


def _rows(connection: Connection, table: Table, run_id: int, *names: str) -> list[tuple[Any, ...]]:
    columns = [table.c[name] for name in names] if names else list(table.c)
    query = select(*columns).where(table.c.import_run_id == run_id).order_by(*columns)
    return [tuple(row) for row in connection.execute(query)]
