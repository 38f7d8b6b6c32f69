"""How the ends of an import become Airflow's: no retry, retry, wait or fail, and never a value of a row."""

from __future__ import annotations

import datetime
import re
from collections import defaultdict
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from airflow.sdk.api.datamodels._generated import DagRunType
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSkipException,
)

from district import Column, Dataset, Files
from district.catalog import UnknownDataset
from district.dataset import DatasetError
from district.layout import LayoutError
from district.run import Blocked, Held, ImportStopped, Locked, NotArrived, Refused, RunSummary
from district.settings import SettingsError, settings
from district_airflow import tasks

ZONE = ZoneInfo("America/Los_Angeles")
NONE_YET = NotArrived("No file.")
COLUMNS = (Column("student_id", personal=True), Column("administration"), Column("school_year", "integer"))
NIGHTLY = Dataset(
    name="meals",
    extract=Files("meals.csv"),
    key=("student_id", "school_year"),
    scope=("school_year",),
    columns=COLUMNS,
)
ADMINISTERED = Dataset(
    name="scores",
    extract=Files("scores.csv"),
    key=("student_id", "administration"),
    scope=("administration",),
    columns=COLUMNS,
    partition="administration",
)


@pytest.mark.parametrize("kind", [Refused, Held, Blocked])
def test_what_a_person_decides_is_not_tried_again(kind: type[ImportStopped]) -> None:
    with pytest.raises(AirflowFailException, match="the reason") as caught:
        tasks.said(lambda: stop(kind("the reason")), "run 1")
    assert caught.value.__context__ is None


def test_a_lock_is_waited_for() -> None:
    with pytest.raises(AirflowException, match="the reason") as caught:
        tasks.said(lambda: stop(Locked("the reason")), "run 1")
    assert not isinstance(caught.value, AirflowFailException)


@pytest.mark.parametrize("slip", [DatasetError, LayoutError, SettingsError, UnknownDataset])
def test_a_slip_in_what_people_declare_is_said(slip: type[Exception]) -> None:
    with pytest.raises(AirflowException, match=r"^clubs\.py cannot be read\.$") as caught:
        tasks.said(lambda: stop(slip("clubs.py cannot be read.")), "run 1")
    assert not isinstance(caught.value, AirflowFailException), "it is tried again, and may be mended by then"


def test_the_text_of_an_unexpected_exception_stays_out_of_the_log() -> None:
    def break_down() -> None:
        try:
            raise KeyError("Maribel Quist")
        except KeyError as error:
            raise ValueError("duplicate key (1234567, Maribel Quist)") from error

    with pytest.raises(AirflowException) as caught:
        tasks.said(break_down, "manual__1")
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert re.match(r"ValueError in \w+\.py, line \d+ of run manual__1\.", str(caught.value))
    assert "Quist" not in str(caught.value)
    assert not isinstance(caught.value, AirflowFailException), "a database that is back in a minute is worth a retry"


def test_the_line_that_broke_is_named() -> None:
    with pytest.raises(AirflowException, match=r"KeyError in dataset\.py, line \d+ of run r"):
        tasks.said(lambda: NIGHTLY.column("none"), "r")


def test_partition_is_the_key_or_tonight() -> None:
    assert tasks.partition_of(NIGHTLY, "2026-11-20") == "2026-11-20"
    assert tasks.partition_of(NIGHTLY, None) == settings().district.today().isoformat()
    assert tasks.partition_of(ADMINISTERED, "2024-25_spring") == "2024-25_spring"


@pytest.mark.parametrize(("dataset", "key"), [(NIGHTLY, "soon"), (ADMINISTERED, None)])
def test_a_run_without_a_usable_key_fails_at_once(dataset: Dataset, key: str | None) -> None:
    with pytest.raises(AirflowFailException, match="key"):
        tasks.partition_of(dataset, key)


@pytest.mark.parametrize(
    ("now", "ends"), [("02:00", "wait"), ("04:59", "wait"), ("05:00", "fail"), ("11:00", "fail"), ("00:10", "wait")]
)
def test_a_night_waits_until_its_deadline(now: str, ends: str) -> None:
    moment = datetime.datetime.fromisoformat(f"2026-11-20T{now}:00").replace(tzinfo=ZONE)
    outcome = tasks.when_missing(NIGHTLY, "2026-11-20", "scheduled", NONE_YET, now=moment)
    if ends == "wait":
        assert isinstance(outcome, AirflowRescheduleException)
        assert moment < outcome.reschedule_date <= moment.replace(hour=5, minute=0)
    else:
        assert isinstance(outcome, AirflowFailException)
        assert str(outcome) == "Nothing arrived by 05:00 of 2026-11-20. No file."


@pytest.mark.parametrize("run_type", ["manual", "backfill", "asset_triggered", "scheduled"])
def test_a_past_night_does_not_wait(run_type: str) -> None:
    now = datetime.datetime(2026, 11, 21, 3, tzinfo=ZONE)
    assert isinstance(tasks.when_missing(NIGHTLY, "2026-11-20", run_type, NONE_YET, now=now), AirflowFailException)


@pytest.mark.parametrize("run_type", [DagRunType.SCHEDULED, DagRunType.MANUAL, DagRunType.BACKFILL])
def test_an_administration_is_awaited_night_by_night_until_the_last(run_type: str) -> None:
    known = settings().district.administrations[0]
    last_night = datetime.datetime.combine(known.results_end, datetime.time(2, 30), tzinfo=ZONE)
    before = tasks.when_missing(ADMINISTERED, known.key, run_type, NONE_YET, now=last_night - datetime.timedelta(1))
    at_last = tasks.when_missing(ADMINISTERED, known.key, run_type, NONE_YET, now=last_night)
    assert isinstance(before, AirflowSkipException if run_type is DagRunType.SCHEDULED else AirflowFailException)
    assert isinstance(at_last, AirflowFailException)


def test_not_arrived_reaches_the_one_who_decides_about_waiting() -> None:
    with pytest.raises(NotArrived):
        tasks.said(lambda: stop(NONE_YET), "r")


def stop(exception: Exception) -> None:
    raise exception


class Event:
    """An outlet's event as a task sees it."""

    def __init__(self) -> None:
        self.extra: dict = {}
        self.partitions: list[str] = []

    def add_partitions(self, key: str) -> None:
        self.partitions.append(key)


@pytest.fixture
def notified(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A run whose `load` failed, in its notify, and a pipeline that takes what it is told."""
    seen = SimpleNamespace(event=Event(), xcom={}, finished=[], finish=None)
    run = SimpleNamespace(dag_id="meals", run_id="r", partition_key="2026-11-20", run_type="scheduled")
    states = {"r": {"extract": "success", "validate": "success", "load": "failed", "notify": "running"}}
    seen.ti = SimpleNamespace(
        try_number=1, max_tries=3, get_task_states=lambda **_: states, xcom_push=seen.xcom.__setitem__
    )
    seen.run = run
    context = {"dag_run": run, "ti": seen.ti, "outlet_events": defaultdict(lambda: seen.event)}
    monkeypatch.setattr(tasks, "get_current_context", lambda: context)

    def finish(_: Dataset, **told: str) -> RunSummary:
        seen.finished.append(told)
        if seen.finish:
            raise seen.finish
        return RunSummary(id=9, dataset="meals", partition=told["partition"], state="held")

    monkeypatch.setattr("district.pipeline.finish", finish)
    monkeypatch.setattr("district.report.note", lambda *_: "**HELD**")
    return seen


def test_notify_names_the_step_that_failed_and_tells_those_who_wait(notified: SimpleNamespace) -> None:
    assert tasks.notify(NIGHTLY)["state"] == "held"
    assert notified.finished == [{"partition": "2026-11-20", "run_key": "r", "failed_task": "load"}]
    assert notified.event.extra == {"state": "held", "run": 9}
    assert notified.event.partitions == []
    assert notified.xcom == {"note": "**HELD**"}


def test_notify_of_a_run_without_key_tells_the_night(notified: SimpleNamespace) -> None:
    notified.run.partition_key = None
    tasks.notify(NIGHTLY)
    assert notified.event.partitions == [settings().district.today().isoformat()]


def test_notify_tries_again_and_at_last_tells_all_the_same(notified: SimpleNamespace) -> None:
    notified.finish = ImportStopped("The mail server does not answer.")
    with pytest.raises(AirflowException, match="mail server"):
        tasks.notify(NIGHTLY)
    assert notified.event.extra == {}
    notified.ti.try_number = 4
    assert tasks.notify(NIGHTLY)["state"] == "unknown"
    assert notified.event.extra == {"state": "unknown", "run": None}


def test_a_note_that_fails_holds_up_nobody(notified: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("district.report.note", lambda *_: stop(KeyError("Quist")))
    assert tasks.notify(NIGHTLY)["state"] == "held"
    assert notified.xcom == {}
