"""The lock: one load of a data set at a time."""

from __future__ import annotations

from sqlalchemy import Connection, text

from district.dataset import Dataset
from district.run import Locked


def lock(connection: Connection, dataset: Dataset, partition: str) -> None:
    """Takes the lock of a data set (or of its partition) until the transaction ends; a killed load frees it at once.

    Raises:
        Locked: another session loads it; names that session.
    """
    part = "" if dataset.partition == "night" else partition
    keys = {"dataset": f"district.{dataset.name}", "part": part}
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
