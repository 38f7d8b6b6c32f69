"""The listener that makes a run's note: it copies what was told last, keeps to a person's note, and never raises."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from airflow.models.dagrun import DagRunNote
from airflow.models.xcom import XComModel
from sqlalchemy import create_engine, insert, select
from sqlalchemy.orm import Session

from district_airflow import notes

RUN = 7


@pytest.fixture
def session() -> Iterator[Session]:
    """A database with the two tables that matter here."""
    engine = create_engine("sqlite://")
    for table in (DagRunNote.__table__, XComModel.__table__):
        table.create(engine)
    with Session(engine) as session:
        yield session


@pytest.fixture
def dag_run(session: Session, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.setattr("sqlalchemy.orm.object_session", lambda _: session)
    return SimpleNamespace(id=RUN, dag_id="enrollment")


def told(session: Session, text: object, task: str = "notify", minute: int = 0) -> None:
    row = {"dag_run_id": RUN, "task_id": task, "map_index": -1, "key": "note", "dag_id": "enrollment", "run_id": "r"}
    when = datetime.datetime(2026, 11, 20, 2, minute, tzinfo=datetime.UTC)
    session.execute(insert(XComModel.__table__).values(**row, value=text, timestamp=when))


def written(session: Session) -> list[str]:
    return list(session.scalars(select(DagRunNote.__table__.c.content)))


def test_note_is_copied_and_renewed(session: Session, dag_run: SimpleNamespace) -> None:
    told(session, "**refused**")
    notes.on_dag_run_failed(dag_run=dag_run)
    session.execute(XComModel.__table__.update().values(value="**loaded**"))
    notes.on_dag_run_success(dag_run=dag_run)
    assert written(session) == ["**loaded**"]


def test_what_was_told_last_counts(session: Session, dag_run: SimpleNamespace) -> None:
    told(session, "**released**", task="release", minute=9)
    told(session, "**held**", minute=1)
    notes.on_dag_run_success(dag_run=dag_run)
    assert written(session) == ["**released**"]


def test_long_note_fits(session: Session, dag_run: SimpleNamespace) -> None:
    told(session, "x" * 5000)
    notes.write_note(dag_run)
    assert [len(note) for note in written(session)] == [notes.LONGEST]


def test_note_of_a_person_stays(session: Session, dag_run: SimpleNamespace) -> None:
    told(session, "**refused**")
    session.execute(insert(DagRunNote.__table__).values(dag_run_id=RUN, user_id="4", content="called the vendor"))
    notes.write_note(dag_run)
    assert written(session) == ["called the vendor"]


def test_run_that_told_nothing_gets_none(session: Session, dag_run: SimpleNamespace) -> None:
    notes.write_note(dag_run)
    assert written(session) == []


def test_failure_is_logged_by_its_class_and_leaves_the_transaction_usable(
    session: Session, dag_run: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    told(session, "**loaded**")
    session.execute(DagRunNote.__table__.delete())
    session.connection().exec_driver_sql("alter table dag_run_note rename to gone")
    notes.write_note(dag_run)
    assert "could not be written: OperationalError" in caplog.text
    assert session.scalar(select(XComModel.__table__.c.value)) == "**loaded**"


def test_airflow_has_it_among_its_listeners() -> None:
    from airflow.listeners.listener import get_listener_manager

    assert notes in get_listener_manager().pm.get_plugins()
