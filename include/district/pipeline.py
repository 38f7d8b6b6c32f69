"""The steps of an import run, each safe to repeat: extract, validate, load, finish."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, exists, func, select, text

from district import import_log, issues
from district.calendar.record import recorded_calendar
from district.carried import reread
from district.database import engine
from district.dataset import Dataset
from district.extract.again import stage_again
from district.extract.arriving import arrive, carry_forward, night_of
from district.extract.changed import stage_delivery
from district.extract.staging import drop_staging, is_staged
from district.layout import Layout
from district.load.batch import Batch
from district.load.judging import judge_load, reason_of
from district.load.loader import make_changes
from district.load.lock import alone, lock
from district.review.decisions import mark_used
from district.review.holds import changes_of, record_changes
from district.review.tables import hold
from district.run import (
    Aside,
    Blocked,
    Held,
    ImportStopped,
    Locked,
    NotArrived,
    Refused,
    RunKind,
    RunSummary,
    State,
    release_key,
)
from district.semester_change.confirmation import check_foreseen, check_strict, unconfirmed
from district.semester_change.foresight import foresee
from district.settings import settings
from district.trouble import recorded
from district.validate.batch import drop_views, validate_batch
from district.validate.parameters import day_parameters, judged_years
from district.validate.suite import read_suite


def extract(
    dataset: Dataset,
    *,
    partition: str,
    run_key: str,
    file: Path | None = None,
    layout: Layout | None = None,
    preview: bool = False,
    kind: RunKind = "import",
    steps_aside: bool = False,
) -> RunSummary:
    """Finds the delivery, keeps a copy, checks its shape and stages its rows.

    A ``preview`` is a check by hand: no other run and no mail takes notice of it. A run of the kind
    ``semester_change`` is judged more strictly; a nightly one ``steps_aside`` for it where the data set has such.
    Returns state ``extracted``, or ``unchanged`` where the file and everything it is judged by are as last loaded.

    Raises:
        NotArrived, Blocked, Aside, Refused, Held: the import does not go on; the run's row says the same.
        ImportStopped: something else failed; the message holds no value.
    """
    with recorded(dataset, run_key), import_log.timed(dataset, run_key, "extract"):
        return arrive(dataset, partition, run_key, file, layout, preview=preview, kind=kind, steps_aside=steps_aside)


def validate(dataset: Dataset, *, run_key: str) -> RunSummary:
    """Gives every staged row its fate. Raises Held or Refused where the batch as a whole must not load."""
    with recorded(dataset, run_key), import_log.timed(dataset, run_key, "validate"):
        run = _run(dataset, run_key)
        if _goes_on(run, "extracted", "validated", "held", "failed", "locked"):
            _validate(dataset, run)
        return _summary(run.id)


def load(dataset: Dataset, *, run_key: str, preview: bool = False) -> RunSummary:
    """Loads what validation and the gate let through, in one transaction; ``preview`` only counts what it would do.

    What the gate holds waits for a person; the state is ``held`` where that is all of it.

    Raises:
        Locked: another run is loading. Held: another run has loaded since this one began.
    """
    with recorded(dataset, run_key), import_log.timed(dataset, run_key, "load"):
        run = _run(dataset, run_key)
        if _waits(run):
            return _summary(run.id)
        if _goes_on(run, "validated", "locked", "failed", *(("held",) if unconfirmed(run) else ())):
            run = _restore_staging(dataset, run)
            _load(dataset, run, preview=preview)
        return _summary(run.id)


def finish(dataset: Dataset, *, partition: str, run_key: str, failed_task: str = "") -> RunSummary:
    """Closes the run: records a failure that no step could record, clears staging, sends the mail that waits.

    Raises:
        ImportStopped: a mail could not be sent; it waits in the outbox, and this step may be repeated.
    """
    from district.notify.mail import queue_failure, send_waiting

    with engine().begin() as connection:
        run = import_log.find_run(connection, dataset, run_key, locked=True)
        if run is None:
            run_id = import_log.open_run(
                connection, dataset, partition=partition, run_key=run_key, night=night_of(dataset, partition)
            )
        else:
            run_id = run.id
        if run is None or run.state not in import_log.FINAL:
            where = f"the task {failed_task}" if failed_task else "a task"
            reason = f"{where.capitalize()} stopped before it could say why; see its log in Airflow."
            import_log.update_run(connection, run_id, state="failed", reason=reason)
        # A file that no task failed over may still come: a state's results are awaited night after night.
        awaited = run is not None and run.state == "missing" and not failed_task
        if not awaited:
            queue_failure(connection, run_id)
    # Not under the run's lock: a load that was given up may still read its staging, and come to its run's row last.
    with engine().begin() as connection:
        drop_views(connection, dataset, run_id)
        drop_staging(connection, dataset, run_id)
    send_waiting()
    return _summary(run_id)


def release(dataset: Dataset, *, run_key: str) -> RunSummary:
    """Imports again, whole and from its landed copy, what a run holds and a person has let through since.

    A run of its own, with the same suite and gate; the decision is what lets the schools through. Safe to repeat: the
    release of a run loads once. Where the gate holds it in its turn, that waits for a decision about the release.

    Raises:
        Held: no decision lets it through (any more), or a newer delivery has come in its place.
        Locked: another process releases it. ImportStopped: it did not go on, as any run.
    """
    from district.notify.mail import queue_failure

    key = release_key(run_key)
    # Outside of what is recorded: whoever comes second must not write into the run of the first.
    with alone(dataset, key), recorded(dataset, key), import_log.timed(dataset, key, "release"):
        held = _run(dataset, run_key)
        run_id = stage_again(dataset, held, key)
        run = _run(dataset, key)
        if run.state == "extracted":
            _validate(dataset, run)
            run = _run(dataset, key)
        if run.state == "validated":
            _load(dataset, run, preview=False)
        with engine().begin() as connection:
            queue_failure(connection, run_id)
            drop_views(connection, dataset, run_id)
            drop_staging(connection, dataset, run_id)
        return _summary(run_id)


def close(dataset: Dataset, *, run_key: str, preview: bool = False) -> None:
    """Clears what a run by hand leaves in staging; a ``preview`` leaves the state ``checked``.

    A run that a person broke off is over, and as unnoticed as a preview: it must keep nothing waiting.
    """
    with engine().begin() as connection:
        run = import_log.find_run(connection, dataset, run_key)
        if run is not None:
            drop_views(connection, dataset, run.id)
            drop_staging(connection, dataset, run.id)
            if preview and run.state == "validated":
                import_log.update_run(connection, run.id, state="checked")
            elif run.state not in import_log.FINAL:
                reason = "It was broken off before its end."
                import_log.update_run(connection, run.id, state="failed", reason=reason, unnoticed=True)


def _validate(dataset: Dataset, run: Row[Any]) -> None:
    _restage_if_lost(dataset, run)
    with engine().connect() as connection:
        kind = import_log.judged_as(connection, run)
        sent = import_log.years_sent(dataset, run)
        years = judged_years(recorded_calendar(connection), run.night, kind, sent)
        last = import_log.last_loaded(connection, dataset, run.partition, run.scope)
    strict = kind == "semester_change"
    suite = read_suite(dataset, settings().expectations_folder, strict=strict)
    parameters = {**day_parameters(run.night, years), "min_rows": last.read // 2 or 1 if last is not None else 1}
    validate_batch(engine(), dataset, suite, parameters, run)
    if strict:
        foresee(dataset, run, last)
    with engine().begin() as connection:
        import_log.update_run(connection, run.id, state="validated")


def _load(dataset: Dataset, run: Row[Any], *, preview: bool) -> None:
    with engine().connect() as connection, connection.begin() as transaction:
        connection.execute(text("SET LOCAL lock_timeout = '30s'"))
        lock(connection, dataset, run.partition)
        if _run(dataset, run.run_key, connection).state == "loaded":
            return
        last = import_log.last_loaded(connection, dataset, run.partition, run.scope)
        if last is not None and last.loaded_at > run.started_at and not preview:
            _give_way(connection, dataset, run, last)
            return
        confirmed = check_strict(connection, dataset, run) if run.kind == "semester_change" and not preview else []
        foreseen = changes_of(connection, run.id)
        batch = Batch(connection, dataset, run)
        run = _narrowed(batch)
        last = import_log.last_loaded(connection, dataset, run.partition, run.scope)
        changes, judgement = judge_load(batch, last, preview=preview)
        if confirmed:
            check_foreseen(run, foreseen, changes_of(connection, run.id))
        told = {
            "state": "held" if judgement.whole else "validated" if preview else "loaded",
            "reason": reason_of(connection, run, judgement, len(changes.schools), preview=preview),
            "rule_id": judgement.reasons[0].rule_id if judgement.reasons else "",
            **{name: getattr(changes, name) for name in ("inserted", "updated", "unchanged", "withdrawn", "held")},
        }
        if preview:
            transaction.rollback()
        elif judgement.whole:
            import_log.update_run(connection, run.id, **told)
        else:
            make_changes(batch, changes)
            mark_used(connection, confirmed, run.id)
            import_log.update_run(connection, run.id, loaded_at=func.clock_timestamp(), **told)
    if preview:
        with engine().begin() as connection:
            record_changes(connection, run.id, changes.schools, judgement)
            import_log.update_run(connection, run.id, **told)


def _narrowed(batch: Batch) -> Row[Any]:
    """The run, about the scope values of the rows that may load: one that is rejected speaks for no others."""
    scope = [[str(value) for value in values] for values in batch.loaded_scope]
    if scope and scope != batch.run.scope:
        import_log.update_run(batch.connection, batch.run.id, scope=scope)
        batch.run = _run(batch.dataset, batch.run.run_key, batch.connection)
    return batch.run


def _give_way(connection: Connection, dataset: Dataset, run: Row[Any], last: Row[Any]) -> None:
    """Another run has loaded since this one began: what this one found out by then no longer holds.

    Raises:
        Held: the other run loaded another file, or judged this one by other rules.
    """
    if (last.delivery_id, last.versions) != (run.delivery_id, run.versions):
        message = f"Another run has loaded {last.file_name} since this one began; clear `extract` to look again."
        raise Held(message, rule_id="run.overtaken")
    for step in ("extract", "validate"):
        issues.forget_issues(connection, run.id, step)
    carry_forward(connection, dataset, run.id, last)


def _waits(run: Row[Any]) -> bool:
    """Whether the gate has held all of a run, which a person decides about and no repeated step changes."""
    with engine().connect() as connection:
        return bool(
            run.state == "held" and connection.execute(select(exists().where(hold.c.import_run_id == run.id))).scalar()
        )


def _goes_on(run: Row[Any], *states: State) -> bool:
    """Whether a step has work to do: in one of these states, but not where the rows are loaded already.

    Raises:
        ImportStopped: an earlier step stopped the run; says again why.
    """
    if run.state in import_log.DONE:
        return False
    if run.state in states and run.plan is not None:
        return True
    kinds: dict[str, type[ImportStopped]] = {k.state: k for k in (Refused, Held, Blocked, Aside, Locked, NotArrived)}
    reason = run.reason or f"{run.dataset}: this run is {run.state}, an earlier step has not ended; clear that one."
    raise kinds.get(run.state, ImportStopped)(reason, rule_id=run.rule_id)


def _restore_staging(dataset: Dataset, run: Row[Any]) -> Row[Any]:
    """Staging is unlogged: a crash of the server empties it, and then it is made and judged again.

    So is a run judged again that failed: nobody knows in which step.
    """
    if _restage_if_lost(dataset, run) or run.state == "failed":
        _validate(dataset, run)
        return _run(dataset, run.run_key)
    return run


def _restage_if_lost(dataset: Dataset, run: Row[Any]) -> bool:
    with engine().begin() as connection:
        if is_staged(connection, dataset, run.id):
            return False
        drop_views(connection, dataset, run.id)
        staged = stage_delivery(connection, *reread(connection, run), dataset, run, whole=run.since_id is None)
        import_log.update_run(connection, run.id, since_id=staged.since)
    return True


def _run(dataset: Dataset, run_key: str, connection: Connection | None = None) -> Row[Any]:
    if connection is None:
        with engine().connect() as fresh:
            return _run(dataset, run_key, fresh)
    run = import_log.find_run(connection, dataset, run_key)
    if run is None:
        raise ImportStopped(f"{dataset.name} has no run {run_key}; start with extract.")
    return run


def _summary(run_id: int) -> RunSummary:
    with engine().connect() as connection:
        return import_log.summary(connection, run_id)
