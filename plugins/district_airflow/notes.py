"""A listener: what a task wrote about a run becomes the run's note, to be read in Airflow without SQL.

Tasks cannot reach Airflow's database, and the scheduler has no business in the district's: notify, and later review
and release, leave the text as an XCom, and here the scheduler copies the newest from one of Airflow's tables to
another.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow.listeners import hookimpl

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

LONGEST = 1000  # Airflow's own limit

log = logging.getLogger(__name__)


@hookimpl
def on_dag_run_success(dag_run: DagRun) -> None:
    """Airflow calls this in the scheduler, or in the API server when a person sets the state."""
    write_note(dag_run)


@hookimpl
def on_dag_run_failed(dag_run: DagRun) -> None:
    """As above, for a run that failed."""
    write_note(dag_run)


def write_note(dag_run: DagRun) -> None:
    """Copy the newest text to the run's note, but for a note that a person wrote; never raises."""
    try:
        _copy(dag_run)
    except Exception as error:  # noqa: BLE001 - the scheduler goes on whatever happens to a note
        log.warning("The note of a run of %s could not be written: %s", dag_run.dag_id, type(error).__name__)


def _copy(dag_run: DagRun) -> None:
    from airflow.models.dagrun import DagRunNote
    from airflow.models.xcom import XComModel
    from sqlalchemy import select
    from sqlalchemy.orm import object_session

    session = object_session(dag_run)
    if session is None:
        return
    # A savepoint of the connection's own: should writing fail, the scheduler's transaction remains usable.
    connection = session.connection()
    with connection.begin_nested():
        told = XComModel.__table__
        text = connection.scalar(
            select(told.c.value)
            .where(told.c.dag_run_id == dag_run.id, told.c.key == "note")
            .order_by(told.c.timestamp.desc())
            .limit(1)
        )
        if not isinstance(text, str):
            return
        content = text if len(text) <= LONGEST else text[: LONGEST - 2] + " …"
        note = DagRunNote.__table__
        own = (note.c.dag_run_id == dag_run.id) & note.c.user_id.is_(None)
        written = connection.execute(note.update().where(own).values(content=content)).rowcount
        if not written and not connection.scalar(select(note.c.dag_run_id).where(note.c.dag_run_id == dag_run.id)):
            connection.execute(note.insert().values(dag_run_id=dag_run.id, content=content))
