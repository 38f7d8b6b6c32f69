"""What a load left beside its rows, put right when it is undone."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, and_, delete, or_, select, update

from district import import_log
from district.dataset import Dataset
from district.review.tables import decision, hold
from district.tables import carry, import_run, quarantined_row


def forget_load(connection: Connection, dataset: Dataset, run: Row[Any], undo_id: int) -> None:
    """Leaves nothing that follows from the load of a run that is undone.

    The next delivery of the same rows is judged whole, since the table is no longer as any load left it.
    """
    same = select(import_run.c.id).where(import_log.speaks_for(dataset, run.partition, run.scope))
    connection.execute(delete(carry).where(carry.c.import_run_id.in_(same)))
    _reopen_quarantine(connection, dataset, run)
    # An approval of the delivery was given before anybody thought of undoing it.
    approvals = (decision.c.dataset == run.dataset, decision.c.sha256 == run.sha256, decision.c.used_by.is_(None))
    closing = update(decision).where(*approvals).values(used_by=undo_id).returning(decision.c.id)
    closed = connection.execute(closing).scalars().all()
    waits = or_(
        and_(hold.c.import_run_id == run.id, hold.c.state == "open"),
        and_(hold.c.decision_id.in_(closed), hold.c.state == "approved"),
    )
    connection.execute(update(hold).where(waits).values(state="superseded"))


def _reopen_quarantine(connection: Connection, dataset: Dataset, run: Row[Any]) -> None:
    """Rejected rows wait until a later load speaks for them: with this one gone, those of an earlier one wait again."""
    rows = quarantined_row
    own = (rows.c.import_run_id == run.id, rows.c.state == "open")
    connection.execute(update(rows).where(*own).values(state="undone"))
    about = (import_log.speaks_for(dataset, run.partition, run.scope), import_run.c.state == "loaded")
    for scope in connection.execute(select(import_run.c.scope).where(*about).distinct()).scalars():
        last = import_log.last_loaded(connection, dataset, run.partition, scope)
        if last is not None and last.scope == scope:
            its = (rows.c.import_run_id == last.id, rows.c.state == "superseded")
            connection.execute(update(rows).where(*its).values(state="open"))
