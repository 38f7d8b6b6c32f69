"""The steps of an import run, each safe to repeat: extract, validate, load, finish."""

from __future__ import annotations

import datetime
import hashlib
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, func, select, text

from district import import_log
from district.codes import crosswalk_version, seed_crosswalk
from district.database import engine, ensure_target, prepare_alone, sync_calendar
from district.dataset import Dataset
from district.extract.landing import Arrival, find_delivery, land, wait_until_stable
from district.extract.plan import FileWarning, Plan
from district.extract.records import count_lines
from district.extract.scope import check_scope, staged_scope
from district.extract.shape import check_shape
from district.extract.staging import drop_staging, is_staged, stage
from district.layout import Layout, choose_layout, layouts_of, with_fields
from district.load.gate import Changes, judge_changes
from district.load.loader import Loader, lock
from district.run import Blocked, Held, ImportStopped, Locked, NotArrived, Refused, RunSummary, State
from district.settings import settings
from district.tables import delivery, import_run
from district.trouble import recorded
from district.validate.batch import drop_view, validate_batch
from district.validate.suite import read_suite, suite_version

# Seconds by which a sender's clock may run ahead.
CLOCK_TOLERANCE = 3600
# Issues that a note names.
NOTED = 5

_STALE = FileWarning(
    rule_id="file.unchanged",
    cause="",
    title="The file is the same as the last one loaded",
    fix="Nothing, if the SIS was closed; otherwise ask why it sent the old file again.",
)
_FUTURE = FileWarning(
    rule_id="file.time",
    cause="",
    title="The file's time lies in the future",
    fix="Set the clock or time zone of the machine that writes it.",
)


def extract(
    dataset: Dataset,
    *,
    partition: str,
    run_key: str,
    file: Path | None = None,
    layout: Layout | None = None,
    preview: bool = False,
) -> RunSummary:
    """Finds the delivery, keeps a copy, checks its shape and stages its rows.

    A ``preview`` is a check by hand: no other run and no mail takes notice of it.
    Returns state ``extracted``, or ``unchanged`` where the file and everything it is judged by are as last loaded.

    Raises:
        NotArrived, Blocked, Refused, Held: the import does not go on; the run's row says the same.
        ImportStopped: something else failed; the message holds no value.
    """
    with recorded(dataset, run_key):
        return _extract(dataset, partition, run_key, file, layout, preview=preview)


def validate(dataset: Dataset, *, run_key: str) -> RunSummary:
    """Gives every staged row its fate. Raises Held or Refused where the batch as a whole must not load."""
    with recorded(dataset, run_key):
        run = _run(dataset, run_key)
        if _goes_on(run, "extracted", "validated", "held", "failed", "locked"):
            _validate(dataset, run)
        return _summary(run.id)


def load(dataset: Dataset, *, run_key: str, preview: bool = False) -> RunSummary:
    """Loads what validation let through, in one transaction; ``preview`` only counts what it would do.

    Raises:
        Held: it would change too much. Locked: another run is loading.
    """
    with recorded(dataset, run_key):
        run = _run(dataset, run_key)
        if _goes_on(run, "validated", "locked", "failed"):
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
        run = import_log.find_run(connection, dataset, run_key)
        if run is None:
            run_id = import_log.open_run(
                connection, dataset, partition=partition, run_key=run_key, night=_night(dataset, partition)
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
        drop_view(connection, dataset, run_id)
        drop_staging(connection, dataset, run_id)
    send_waiting()
    return _summary(run_id)


def close(dataset: Dataset, *, run_key: str, preview: bool = False) -> None:
    """Clears what a run by hand leaves in staging; a ``preview`` leaves the state ``checked``.

    A run that a person broke off is over, and no more noticed than a preview: it must keep nothing waiting.
    """
    with engine().begin() as connection:
        run = import_log.find_run(connection, dataset, run_key)
        if run is not None:
            drop_view(connection, dataset, run.id)
            drop_staging(connection, dataset, run.id)
            if preview and run.state == "validated":
                import_log.update_run(connection, run.id, state="checked")
            elif run.state not in import_log.FINAL:
                reason = "It was broken off before its end."
                import_log.update_run(connection, run.id, state="failed", reason=reason, preview=True)


def _extract(
    dataset: Dataset, partition: str, run_key: str, file: Path | None, layout: Layout | None, *, preview: bool
) -> RunSummary:
    config = settings()
    night = _night(dataset, partition)
    # Committed first, so that what is wrong from here on has a row to be recorded in.
    with engine().begin() as connection:
        run_id = import_log.open_run(
            connection, dataset, partition=partition, run_key=run_key, night=night, preview=preview
        )
    with engine().begin() as connection:
        prepare_alone(connection)
        sync_calendar(connection)
        seed_crosswalk(connection, config.crosswalks_folder)
        ensure_target(connection, dataset)
        for left in import_log.left_in_staging(connection, dataset):
            drop_staging(connection, dataset, left)
    if file is None:
        _check_parents(dataset, partition)
        try:
            arrival = find_delivery(dataset.extract, config.drop_folder, partition=partition)
        except NotArrived:
            if dataset.partition == "night":
                raise
            return _nothing_new(dataset, run_id, partition)
        wait_until_stable(arrival, config.stable_seconds)
    else:
        arrival = Arrival(path=file, modified=file.stat().st_mtime)
    chosen = layout or with_fields(dataset.layout, config.layouts_folder / dataset.name)
    if layout is None:
        chosen = choose_layout(chosen, layouts_of(dataset.name, config.layouts_folder), partition=partition)
    landed = land(arrival.path, config.landed_folder, member=dataset.extract.member)
    with engine().begin() as connection:
        delivery_id = import_log.record_delivery(connection, dataset, arrival, landed)
        versions = _versions(connection, dataset, chosen)
        import_log.update_run(connection, run_id, delivery_id=delivery_id, layout=asdict(chosen), versions=versions)
        earlier = import_log.run_of_delivery(connection, delivery_id)
        if earlier is not None:
            last = import_log.last_loaded(connection, dataset, partition, earlier.scope)
            if last is not None and last.delivery_id == delivery_id and last.versions == versions:
                return _carry_forward(connection, dataset, run_id, last)
        if landed.size and not landed.final_newline and import_log.always_ends_with_newline(connection, dataset):
            message = f"{arrival.path.name} ends inside a line, unlike every earlier delivery; transfer it again."
            raise Refused(message, rule_id="file.truncated")
    plan = check_shape(landed, dataset, chosen, arrival)
    with engine().begin() as connection:
        rows = stage(connection, landed, dataset, chosen, plan, run_id)
        _check_rows(rows, arrival)
        check_scope(connection, dataset, run_id, partition=partition, by_hand=file is not None)
        scope = staged_scope(connection, dataset, run_id)
        last = import_log.last_loaded(connection, dataset, partition, scope)
        if file is None and last is not None:
            _check_age(connection, arrival, delivery_id, last)
        late = (_FUTURE,) if arrival.modified > time.time() + CLOCK_TOLERANCE else ()
        # Read again because another night, or a changed rule, may judge it otherwise.
        stale = (_STALE,) if last is not None and last.delivery_id == delivery_id and last.night < night else ()
        for warning in (*plan.warnings, *late, *stale):
            import_log.record_file_issue(connection, dataset, run_id, warning, "extract")
        import_log.update_run(
            connection,
            run_id,
            state="extracted",
            read=rows,
            plan={"width": plan.width, "places": plan.places},
            scope=scope,
        )
        return import_log.summary(connection, run_id)


def _nothing_new(dataset: Dataset, run_id: int, partition: str) -> RunSummary:
    """An administration stays loaded when its file has been cleared away; one that never came has not arrived.

    Raises:
        NotArrived: there has been no delivery of it.
    """
    with engine().begin() as connection:
        last = import_log.last_loaded(connection, dataset, partition, None)
        if last is None:
            raise NotArrived(f"No file for {partition} is in the drop folder yet.")
        return _carry_forward(connection, dataset, run_id, last)


def _check_age(connection: Connection, arrival: Arrival, delivery_id: int, last: Row[Any]) -> None:
    """An old file must not undo a newer one, even where it was touched or sent again."""
    if delivery_id == last.delivery_id:
        return
    name, by_hand = arrival.path.name, "If it is meant, import it by hand with `district import`."
    # A clock that runs ahead would make every later file look old.
    if arrival.modified < min(last.modified_at, last.landed_at).timestamp():
        raise Held(f"{name} is older than {last.file_name}, which is loaded. {by_hand}", rule_id="file.older")
    if import_log.run_of_delivery(connection, delivery_id) is not None:
        message = f"{name} is, to the byte, a delivery that a newer one has replaced since. {by_hand}"
        raise Held(message, rule_id="file.resent")


def _check_rows(rows: int, arrival: Arrival) -> None:
    if rows == 0:
        raise Held(f"{arrival.path.name} holds no rows. Nothing was changed.", rule_id="file.header_only")
    if arrival.rows is not None and arrival.rows != rows:
        message = f"{arrival.path.name} holds {rows:,} rows, its manifest says {arrival.rows:,}; transfer it again."
        raise Refused(message, rule_id="file.control_count")


def _check_parents(dataset: Dataset, partition: str) -> None:
    """A night's import waits for its parents of the same night, and says so when one of them did not load."""
    if dataset.partition != "night":
        return
    with engine().connect() as connection:
        for parent in dataset.parents:
            run = import_log.parent_run(connection, parent.dataset, partition)
            if run is not None and run.state not in ("loaded", "unchanged"):
                message = f"{parent.dataset} of {partition} was {run.state}, and {dataset.name} depends on it. "
                raise Blocked(message + f"Mend {parent.dataset} first, then clear this run.", rule_id="run.blocked")


def _carry_forward(connection: Connection, dataset: Dataset, run_id: int, last: Row[Any]) -> RunSummary:
    """An unchanged file tells the same story as when it was loaded."""
    counts = {name: last._mapping[name] for name in ("read", "rejected", "superseded")}
    standing = last.inserted + last.updated + last.unchanged
    import_log.record_file_issue(connection, dataset, run_id, _STALE, "extract")
    import_log.copy_issues(connection, last.id, run_id)
    import_log.update_run(
        connection, run_id, state="unchanged", unchanged=standing, warnings=last.warnings + 1, **counts
    )
    return import_log.summary(connection, run_id)


def _validate(dataset: Dataset, run: Row[Any]) -> None:
    suite = read_suite(dataset, settings().expectations_folder)
    _restage_if_lost(dataset, run)
    with engine().connect() as connection:
        parameters = _parameters(connection, dataset, run)
    validate_batch(engine(), dataset, suite, parameters, run)
    with engine().begin() as connection:
        import_log.update_run(connection, run.id, state="validated")


def _load(dataset: Dataset, run: Row[Any], *, preview: bool) -> None:
    landed = _landed_path(run)
    with engine().connect() as connection, connection.begin() as transaction:
        connection.execute(text("SET LOCAL lock_timeout = '30s'"))
        lock(connection, dataset, run.partition)
        if _run(dataset, run.run_key, connection).state == "loaded":
            return
        last = import_log.last_loaded(connection, dataset, run.partition, run.scope)
        if last is not None and last.loaded_at > run.started_at and not preview:
            _give_way(connection, dataset, run, last)
            return
        loader = Loader(connection, dataset, _layout(run), run)
        changes = loader.changes()
        if not preview:
            _judge(dataset, run, changes, last)
            loader.apply(changes, landed)
        counts = {name: getattr(changes, name) for name in ("inserted", "updated", "unchanged", "withdrawn")}
        if preview:
            transaction.rollback()
        else:
            import_log.update_run(connection, run.id, state="loaded", loaded_at=func.clock_timestamp(), **counts)
    if preview:
        with engine().begin() as connection:
            import_log.update_run(connection, run.id, **counts)
        _judge(dataset, run, changes, last)


def _give_way(connection: Connection, dataset: Dataset, run: Row[Any], last: Row[Any]) -> None:
    """Another run has loaded since this one began: what this one found out by then no longer holds.

    Raises:
        Held: the other run loaded another file, or judged this one by other rules.
    """
    if (last.delivery_id, last.versions) != (run.delivery_id, run.versions):
        message = f"Another run has loaded {last.file_name} since this one began; clear `extract` to look again."
        raise Held(message, rule_id="run.overtaken")
    for step in ("extract", "validate"):
        import_log.forget_issues(connection, run.id, step)
    _carry_forward(connection, dataset, run.id, last)


def _judge(dataset: Dataset, run: Row[Any], changes: Changes, last: Row[Any] | None) -> None:
    judge_changes(dataset, changes, read=run.read, last_read=last.read if last is not None else 0)


def _goes_on(run: Row[Any], *states: State) -> bool:
    """Whether a step has work to do: in one of these states, but not where the rows are loaded already.

    Raises:
        ImportStopped: an earlier step stopped the run; says again why.
    """
    if run.state in ("loaded", "unchanged"):
        return False
    if run.state in states and run.plan is not None:
        return True
    kinds: dict[str, type[ImportStopped]] = {k.state: k for k in (Refused, Held, Blocked, Locked, NotArrived)}
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
        landed_path = _landed_path(run)
    landed = land(landed_path, settings().landed_folder)
    with engine().begin() as connection:
        drop_view(connection, dataset, run.id)
        lines, _ = count_lines(landed, _layout(run), run.plan["width"], f"The landed copy {landed.sha256[:12]}")
        stage(connection, landed, dataset, _layout(run), Plan(**run.plan, lines=lines), run.id)
    return True


def _versions(connection: Connection, dataset: Dataset, layout: Layout) -> str:
    """A digest of what a file is judged by, the date apart: while it and the file stay, so does the outcome."""
    parents = []
    for parent in dataset.parents:
        # A run that was cleared loads again under its old id.
        query = select(func.max(import_run.c.loaded_at)).where(
            import_run.c.dataset == parent.dataset, import_run.c.state == "loaded"
        )
        parents.append(connection.execute(query).scalar())
    parts = [
        repr(dataset),
        json.dumps(asdict(layout), sort_keys=True),
        suite_version(dataset, settings().expectations_folder),
        crosswalk_version(connection, dataset),
        repr(parents),
        # Rules may ask whether a day instructs, and when the school year begins.
        repr(settings().district.school_years),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _parameters(connection: Connection, dataset: Dataset, run: Row[Any]) -> dict[str, Any]:
    """What a suite may refer to as ``{"$PARAMETER": name}``."""
    last = import_log.last_loaded(connection, dataset, run.partition, run.scope)
    rows = last.read if last is not None else 0
    year = settings().district.school_year_of(run.night)
    first, end = (year.first_day, year.last_day) if year else (run.night, run.night)
    days = {
        "night": run.night,
        "night_plus_90": run.night + datetime.timedelta(days=90),
        "school_year_first_day": first,
        "school_year_last_day": end,
    }
    stamps = {name: f"{day.isoformat()}T00:00:00" for name, day in days.items()}
    return {**stamps, "min_rows": rows // 2 or 1}


def _night(dataset: Dataset, partition: str) -> datetime.date:
    """The night that a run belongs to: its partition key where that is a date, else today's."""
    if dataset.partition == "night":
        try:
            return datetime.date.fromisoformat(partition)
        except ValueError:
            pass
    return settings().district.today()


def _layout(run: Row[Any]) -> Layout:
    from pydantic import TypeAdapter

    return TypeAdapter(Layout).validate_python(run.layout)


def _landed_path(run: Row[Any]) -> Path:
    with engine().connect() as connection:
        sha256 = connection.execute(select(delivery.c.sha256).where(delivery.c.id == run.delivery_id)).scalar_one()
    path: Path = settings().landed_folder / sha256
    if not path.exists():
        raise ImportStopped(f"The landed copy {sha256[:12]} is gone; clear `extract` to land the file again.")
    return path


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


def send_digest(night: str) -> int:
    """Tells of the night's runs in one mail; runs that finish later are told of in an addition. Returns mails sent."""
    from district.notify.mail import queue_digest, send_waiting

    with engine().begin() as connection:
        queue_digest(connection, datetime.date.fromisoformat(night))
    return send_waiting()


def note(dataset: Dataset, run_key: str) -> str:
    """The run in a few lines of Markdown, for Airflow's UI."""
    with engine().connect() as connection:
        run = import_log.find_run(connection, dataset, run_key)
        if run is None:
            return "No import run yet."
        issues = import_log.rules_of(connection, run.id)
    counts = " · ".join(f"{name} {run._mapping[name]:,}" for name in import_log.COUNTS if name != "superseded")
    parts = [f"**{run.state.upper()}** {run.partition}: {counts.replace('read', 'processed', 1)}", run.reason]
    lines = [f"- **{each.word}**, {each.rows:,} {each.noun}: {each.title}. {each.fix}" for each in issues[:NOTED]]
    more = len(issues) - NOTED
    parts.append("\n".join(lines + [f"- and {more} more: `district status {dataset.name}`"] * (more > 0)))
    return "\n\n".join(part for part in parts if part)
