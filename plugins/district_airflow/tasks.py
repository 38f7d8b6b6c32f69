"""What the tasks do: call the pipeline, and tell Airflow how it ended without a value of any row."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

from airflow.sdk import Asset, get_current_context
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSkipException,
)

from district.partitions import UnknownPartition, check_partition
from district.run import Aside, Blocked, Held, ImportStopped, NotArrived, Refused, RunKind
from district.settings import settings

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import RuntimeTaskInstanceProtocol

    from district.dataset import Dataset

Result = TypeVar("Result")

STEPS = ("extract", "validate", "acknowledge", "confirm", "load")
# The data sets that have a semester change beside their nightly import; filled while their DAG files are read.
with_semester_change: set[str] = set()

log = logging.getLogger(__name__)


def extract(dataset: Dataset, kind: RunKind = "import") -> dict[str, Any]:
    """Extract; while nothing has arrived, come back until the night's deadline."""
    from district import pipeline

    run = get_current_context()["dag_run"]
    partition = partition_of(dataset, run.partition_key)
    missing: NotArrived | None = None
    try:
        summary = said(
            lambda: pipeline.extract(
                dataset,
                partition=partition,
                run_key=run.run_id,
                kind=kind,
                steps_aside=dataset.name in with_semester_change,
            ),
            run.run_id,
        )
    except NotArrived as stopped:
        missing = stopped
    if missing:
        raise when_missing(dataset, partition, run.run_type, missing, now=datetime.datetime.now(datetime.UTC))
    return summary.as_dict()


def validate(dataset: Dataset) -> dict[str, Any]:
    """Validate what was extracted in this run."""
    from district import pipeline

    run_key = get_current_context()["dag_run"].run_id
    return said(lambda: pipeline.validate(dataset, run_key=run_key), run_key).as_dict()


def load(dataset: Dataset) -> dict[str, Any]:
    """Load what was validated in this run."""
    from district import pipeline

    run_key = get_current_context()["dag_run"].run_id
    return said(lambda: pipeline.load(dataset, run_key=run_key), run_key).as_dict()


def notify(dataset: Dataset, *, tells: bool = True) -> dict[str, Any]:
    """Finish the run, however it went; where it ``tells``, the data sets that wait for this one begin."""
    from district import pipeline

    context = get_current_context()
    run, ti = context["dag_run"], context["ti"]
    states = ti.get_task_states(dag_id=run.dag_id, run_ids=[run.run_id]).get(run.run_id, {})
    failed = next((step for step in STEPS if states.get(step) == "failed"), "")
    partition = partition_of(dataset, run.partition_key)
    try:
        told = said(
            lambda: pipeline.finish(dataset, partition=partition, run_key=run.run_id, failed_task=failed), run.run_id
        ).as_dict()
    except AirflowException as failure:
        if ti.try_number <= ti.max_tries:
            raise
        # The last try: no mail server may keep the data sets that wait from their own import, or from saying why not.
        log.warning("%s The data sets that wait for %s are told all the same.", failure, dataset.name)
        told = {"id": None, "state": "unknown", "reason": str(failure)}
    if tells:
        tell_waiting(dataset, context, partition, told)
    leave_note(dataset, ti, run.run_id)
    return told


def release(dataset: Dataset, *, tells: bool = True) -> dict[str, Any]:
    """Load what was held, if the record in the district's database says that a person let it through.

    Raises:
        AirflowSkipException: a person rejected it. AirflowFailException: there is no decision in the record, or the
            gate holds the release in its turn.
    """
    from district import pipeline
    from district.review.outcome import asked_key, outcome_of

    context = get_current_context()
    run = context["dag_run"]
    key = said(lambda: asked_key(dataset, run.run_id), run.run_id)
    outcome = said(lambda: outcome_of(dataset, key), run.run_id)
    if outcome is not None and outcome.state == "rejected":
        raise AirflowSkipException(outcome.sentence)
    if outcome is not None and outcome.state in ("expired", "superseded"):
        raise AirflowFailException(outcome.sentence)
    if outcome is None or outcome.state != "approved":
        raise AirflowFailException("Nobody has let this through: nothing is loaded. Clear `review` to ask again.")
    summary = said(lambda: pipeline.release(dataset, run_key=key), run.run_id).as_dict()
    leave_note(dataset, context["ti"], run.run_id)
    if summary["state"] == "held":
        raise AirflowFailException(f"The release is held: {summary['reason']}")
    if tells:
        tell_waiting(dataset, context, partition_of(dataset, run.partition_key), summary)
    return summary


def tell_waiting(dataset: Dataset, context: Context, partition: str, told: dict[str, Any]) -> None:
    """What the data sets that wait for this one are told: how its run ended, and for which partition."""
    event = context["outlet_events"][Asset(dataset.name)]
    event.extra = {"state": told["state"], "run": told["id"]}
    if context["dag_run"].partition_key is None:
        event.add_partitions(partition)


def leave_note(dataset: Dataset, ti: RuntimeTaskInstanceProtocol, run_key: str) -> None:
    """Leave the run's story for its note; a note is no reason to fail a task."""
    from district.report import note
    from district.trouble import place_of

    try:
        ti.xcom_push("note", note(dataset, run_key))
    except Exception as error:  # noqa: BLE001 - see above
        log.warning("The run's note could not be written: %s", place_of(error))


def partition_of(dataset: Dataset, key: str | None) -> str:
    """The run's partition: its key, or tonight where somebody started a night's import without one."""
    if not key:
        if dataset.partition != "night":
            raise AirflowFailException(f"Give this run a partition key: the {dataset.partition} to import.")
        return settings().district.today().isoformat()
    try:
        return check_partition(dataset, key)
    except UnknownPartition as error:
        wrong = str(error)
    raise AirflowFailException(f"{wrong} Start the run again with such a key.")


def when_missing(
    dataset: Dataset, partition: str, run_type: str, missing: NotArrived, *, now: datetime.datetime
) -> AirflowException:
    """How a run goes on for which nothing has arrived: look again, leave it for tonight, or fail."""
    from district.extract.arriving import WAITS

    message, zone = str(missing), ZoneInfo(settings().district.timezone)
    if dataset.partition == "night":
        by = settings().confirm_deadline if missing.rule_id == WAITS else settings().deadline
        deadline = datetime.datetime.combine(datetime.date.fromisoformat(partition), by, tzinfo=zone)
        again = now + datetime.timedelta(seconds=settings().poll_seconds)
        if now < deadline:
            log.info("%s Looking again until %s.", message, f"{deadline:%H:%M}")
            return AirflowRescheduleException(min(again, deadline))
        return AirflowFailException(f"Nothing arrived by {deadline:%H:%M} of {partition}. {message}")
    tonight = now.astimezone(zone).date()
    ends = {each.key: each.results_end for each in settings().district.administrations}
    if run_type == "scheduled" and partition in ends and tonight < ends[partition]:
        return AirflowSkipException(f"{message} Looking again every night until {ends[partition]}.")
    return AirflowFailException(message)


def said(step: Callable[[], Result], run_key: str) -> Result:
    """What the step returns; its exceptions as Airflow's, with a text for people and no cause behind it.

    Raised outside of ``except``: Airflow logs an exception's context, which may hold a student's data.
    """
    from district.trouble import SLIPS, place_of

    failure: Exception
    try:
        return step()
    except NotArrived:
        raise
    except Aside as stopped:
        failure = AirflowSkipException(str(stopped))
    except (Refused, Held, Blocked) as stopped:
        failure = AirflowFailException(str(stopped))
    except (ImportStopped, *SLIPS) as stopped:
        failure = AirflowException(str(stopped))
    except Exception as error:  # noqa: BLE001 - whatever it is, its text must not reach the log
        failure = AirflowException(
            f"{place_of(error)} of run {run_key}. Its text is left out, because it may hold a student's data."
        )
    raise failure
