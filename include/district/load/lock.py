"""The lock: one load of a data set at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from district.database import clean_error, engine
from district.dataset import Dataset
from district.run import ImportStopped, Locked


def lock(connection: Connection, dataset: Dataset, partition: str) -> None:
    """Takes the lock of a data set (or of its partition) until the transaction ends; a killed load frees it at once.

    Raises:
        Locked: another session loads it; names that session.
    """
    _take(connection, dataset, f"district.{dataset.name}", "" if dataset.partition == "night" else partition)


@contextmanager
def alone(dataset: Dataset, run_key: str) -> Iterator[None]:
    """Keeps others from releasing the same run meanwhile; a killed release frees it at once.

    Raises:
        Locked: another session releases it. ImportStopped: the database cannot be used.
    """
    try:
        with engine().begin() as connection:
            _take(connection, dataset, f"district.{dataset.name}.release", run_key)
            yield
    except SQLAlchemyError as error:
        raise ImportStopped(f"{dataset.name}: the database failed with {clean_error(error)}.") from None


def _take(connection: Connection, dataset: Dataset, name: str, part: str) -> None:
    keys = {"dataset": name, "part": part}
    query = text("SELECT pg_try_advisory_xact_lock(hashtext(:dataset), hashtext(:part))")
    if connection.execute(query, keys).scalar():
        return
    holder = connection.execute(
        text(
            "SELECT pid, backend_start::timestamp(0) AS since FROM pg_locks JOIN pg_stat_activity USING (pid) "
            "WHERE locktype = 'advisory' AND granted AND classid::bigint = hashtext(:dataset)::bigint & 4294967295 "
            "AND objid::bigint = hashtext(:part)::bigint & 4294967295 LIMIT 1"
        ),
        keys,
    ).first()
    who = f" by database session {holder.pid}, connected since {holder.since}" if holder else ""
    raise Locked(f"{dataset.name} is locked{who}: another run of it is loading. This run tries again.")
