"""Arriving: tonight's delivery found, landed, checked and staged, or the reason why it is not."""

from __future__ import annotations

import datetime
import hashlib
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, exists, func, select

from district import import_log, issues
from district.calendar.named import check_named
from district.calendar.record import recorded_calendar
from district.codes import crosswalk_version, seed_crosswalk
from district.database import engine, ensure_target, prepare_alone, sync_calendar
from district.dataset import Dataset
from district.extract.changed import stage_delivery
from district.extract.headers import absent_columns
from district.extract.landing import Arrival, find_delivery, land, sha256_of, wait_until_stable
from district.extract.lines import one_line_each
from district.extract.plan import FileWarning
from district.extract.scope import check_scope, may_come
from district.extract.shape import check_shape
from district.extract.staging import drop_staging
from district.layout import Layout, choose_layout, layouts_of, with_fields
from district.review.holds import held_schools, supersede
from district.review.tables import hold
from district.run import Aside, Blocked, Held, NotArrived, Refused, RunKind, RunSummary
from district.semester_change.nights import change_facts, check_calendar
from district.settings import settings
from district.tables import delivery, import_run
from district.validate.parameters import bounding_days, judged_years
from district.validate.suite import suite_text

NEXT_YEAR = "next_year"
"""The sub-folder of the drop folder in which the next school year's extracts arrive."""
WAITS = "run.waits_for_parent"
"""The verdict of a run that has not arrived because a parent's semester change has not loaded."""
# Seconds by which a sender's clock may run ahead.
CLOCK_TOLERANCE = 3600
STALE = FileWarning(
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


def arrive(
    dataset: Dataset,
    partition: str,
    run_key: str,
    file: Path | None,
    layout: Layout | None,
    *,
    preview: bool,
    kind: RunKind,
    steps_aside: bool,
) -> RunSummary:
    config = settings()
    night = night_of(dataset, partition)
    # Committed first, so that what is wrong from here on has a row to be recorded in.
    with engine().begin() as connection:
        run_id = import_log.open_run(
            connection,
            dataset,
            partition=partition,
            run_key=run_key,
            night=night,
            # The night's digest, the data sets that wait and later nights go by the night's own runs.
            unnoticed=preview or kind == "rehearsal",
            kind=kind,
        )
    check_named(dataset)
    with engine().begin() as connection:
        prepare_alone(connection)
        sync_calendar(connection)
        seed_crosswalk(connection, config.crosswalks_folder)
        ensure_target(connection, dataset)
        for left in import_log.left_in_staging(connection, dataset):
            drop_staging(connection, dataset, left)
    if file is None:
        check_calendar(dataset, night, kind=kind, steps_aside=steps_aside)
        if kind != "rehearsal":
            _check_night(dataset, night)
            _check_parents(dataset, partition, kind)
        folder = config.drop_folder / NEXT_YEAR if kind == "rehearsal" else config.drop_folder
        try:
            arrival = find_delivery(dataset.extract, folder, partition=partition)
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
    judged = kind if file is None else None
    with engine().begin() as connection:
        rules, versions = versions_of(connection, dataset, chosen, night, kind=kind)
        import_log.update_run(connection, run_id, layout=asdict(chosen), rules=rules, versions=versions)
        delivery_id = _known_delivery(connection, dataset, arrival)
        # A file that was loaded before costs its checksum.
        last = _last_of_delivery(connection, dataset, partition, delivery_id, judged) if delivery_id else None
        if last is not None and last.versions == versions:
            import_log.update_run(connection, run_id, delivery_id=delivery_id)
            return _sent_again(connection, dataset, run_id, last, preview=preview)
    landed = land(arrival.path, config.landed_folder, member=dataset.extract.member)
    with engine().begin() as connection:
        delivery_id = import_log.record_delivery(connection, dataset, arrival, landed)
        import_log.update_run(connection, run_id, delivery_id=delivery_id)
        last = _last_of_delivery(connection, dataset, partition, delivery_id, judged)
        if last is not None and last.versions == versions:
            return _sent_again(connection, dataset, run_id, last, preview=preview)
        if landed.size and not landed.final_newline and import_log.always_ends_with_newline(connection, dataset):
            message = f"{arrival.path.name} ends inside a line, unlike every earlier delivery; transfer it again."
            raise Refused(message, rule_id="file.truncated")
    plan = check_shape(landed, dataset, chosen, arrival)
    with engine().begin() as connection:
        run = connection.execute(select(import_run).where(import_run.c.id == run_id)).one()
        staged = stage_delivery(connection, landed, chosen, plan, dataset, run, whole=file is not None)
        _check_rows(staged.rows, arrival)
        calendar = recorded_calendar(connection)
        check_scope(dataset, staged.census, calendar, partition=partition, kind=kind, by_hand=file is not None)
        scope = [[str(value) for value in values] for values in staged.census.scopes(dataset)]
        last = import_log.last_loaded(connection, dataset, partition, scope)
        by_hand = file is not None
        old = _old_file(connection, arrival, delivery_id, last, by_hand=by_hand) if last is not None else ()
        late = (_FUTURE,) if arrival.modified > time.time() + CLOCK_TOLERANCE else ()
        # Read again because another night, or a changed rule, may judge it otherwise. An administration has one file.
        nightly = dataset.partition == "night"
        same = nightly and last is not None and last.delivery_id == delivery_id and last.night < night
        stale = (STALE,) if same else ()
        for warning in (*absent_columns(plan, last), *plan.warnings, *old, *late, *stale):
            issues.record_file_issue(connection, dataset, run_id, warning, "extract")
        import_log.update_run(
            connection,
            run_id,
            state="extracted",
            read=staged.rows,
            plan=plan.as_dict(lines_are_rows=one_line_each(landed, chosen, plan)),
            scope=scope,
            since_id=staged.since,
        )
        return import_log.summary(connection, run_id)


def _known_delivery(connection: Connection, dataset: Dataset, arrival: Arrival) -> int | None:
    """The delivery that this file is to the byte, if it was landed before; asked only where one has its size."""
    sizes = select(delivery.c.id, delivery.c.sha256).where(
        delivery.c.dataset == dataset.name, delivery.c.size == arrival.path.stat().st_size
    )
    known = {row.sha256: int(row.id) for row in connection.execute(sizes)}
    if not known or dataset.extract.member:
        return None
    sha256 = sha256_of(arrival.path)
    landed = settings().landed_folder / sha256
    return known.get(sha256) if landed.exists() and landed.stat().st_size == arrival.path.stat().st_size else None


def _last_of_delivery(
    connection: Connection, dataset: Dataset, partition: str, delivery_id: int, kind: RunKind | None
) -> Row[Any] | None:
    """The run that loaded all of a delivery, where no other has loaded the same rows since.

    What it held is judged anew, whatever was decided about it; and so is a file of a year that is not a run's of this
    ``kind`` this night (None: of any), such as a rehearsed one that comes as the night's own before its year begins.
    """
    earlier = import_log.run_of_delivery(connection, delivery_id)
    last = import_log.last_loaded(connection, dataset, partition, earlier.scope) if earlier is not None else None
    if last is None or last.delivery_id != delivery_id or held_schools(connection, last.id):
        return None
    years = import_log.years_sent(dataset, last)
    if kind is None or dataset.partition != "night" or not years:
        return last
    comes = may_come(dataset, recorded_calendar(connection), years, night_of(dataset, partition), kind)
    return last if comes else None


def _nothing_new(dataset: Dataset, run_id: int, partition: str) -> RunSummary:
    """An administration stays loaded when its file has been cleared away; one that never came has not arrived.

    Raises:
        NotArrived: there has been no delivery of it.
    """
    with engine().begin() as connection:
        last = import_log.last_loaded(connection, dataset, partition, None)
        if last is None:
            raise NotArrived(f"No file for {partition} is in the drop folder yet.")
        return carry_forward(connection, dataset, run_id, last)


def _old_file(
    connection: Connection, arrival: Arrival, delivery_id: int, last: Row[Any], *, by_hand: bool
) -> tuple[FileWarning, ...]:
    """An old file must not undo a newer one, even where it was touched or sent again; by hand it may, with a warning.

    Raises:
        Held: it came by itself.
    """
    if delivery_id == last.delivery_id:
        return ()
    # A clock that runs ahead would make every later file look old.
    if arrival.modified < min(last.modified_at, last.landed_at).timestamp():
        rule_id, what = "file.older", f"is older than {last.file_name}, which is loaded"
    elif import_log.run_of_delivery(connection, delivery_id) is not None:
        rule_id, what = "file.resent", "is, to the byte, a delivery that a newer one has replaced since"
    else:
        return ()
    if not by_hand:
        message = f"{arrival.path.name} {what}. If it is meant, import it by hand with `district import`."
        raise Held(message, rule_id=rule_id)
    title = "An older file was given by hand" if rule_id == "file.older" else "An earlier delivery was given by hand"
    fix = f"Nothing, if it is meant; otherwise import {last.file_name} again."
    return (FileWarning(rule_id=rule_id, cause=arrival.path.name, title=title, fix=fix),)


def _check_rows(rows: int, arrival: Arrival) -> None:
    if rows == 0:
        raise Held(f"{arrival.path.name} holds no rows. Nothing was changed.", rule_id="file.header_only")
    if arrival.rows is not None and arrival.rows != rows:
        message = f"{arrival.path.name} holds {rows:,} rows, its manifest says {arrival.rows:,}; transfer it again."
        raise Refused(message, rule_id="file.control_count")


def _check_night(dataset: Dataset, night: datetime.date) -> None:
    """The drop folder holds the newest night's file: an older night's run must not tell that file's story as its own.

    A data set whose files are named by their night finds the right one.
    """
    if dataset.partition != "night" or "{partition}" in dataset.extract.pattern:
        return
    with engine().connect() as connection:
        newest = import_log.newest_night(connection, dataset)
    if newest is not None and night < newest:
        message = f"The night of {newest} has loaded, and the drop folder holds its file, not the one of {night}. "
        raise Held(message + f"Clear `extract` of the run of {newest} instead.", rule_id="run.older_night")


def _check_parents(dataset: Dataset, partition: str, kind: RunKind) -> None:
    """A night's import waits for its parents of the same night, and says so when one of them did not load.

    A nightly import begins once its parents are done. A semester change begins by the calendar and waits here, since
    its parents load when people have looked at them; a parent without one loads in its nightly import.

    Raises:
        NotArrived: a parent's semester change goes on, or a person decides about all of it.
        Blocked: it did not load. Aside: the calendar has none tonight.
    """
    if dataset.partition != "night":
        return
    with engine().connect() as connection:
        for parent in dataset.parents:
            strict = kind == "semester_change"
            run = import_log.parent_run(connection, parent.dataset, partition, kind if strict else "")
            if strict and run is None:
                run = import_log.without_semester_change(connection, parent.dataset, partition)
            if strict and (run is None or run.state not in import_log.FINAL or _may_be_released(connection, run)):
                raise NotArrived(
                    f"{parent.dataset} of {partition} has not loaded yet; it waits for people.", rule_id=WAITS
                )
            if run is not None and run.state == "aside":
                message = f"{parent.dataset} stepped aside, and {dataset.name} depends on it. {run.reason}"
                if run.rule_id == "run.semester_change":
                    message += f" {dataset.name} has no semester change of its own: give its DAG file one."
                raise Aside(message)
            if run is not None and run.state not in ("loaded", "unchanged"):
                message = f"{parent.dataset} of {partition} was {run.state}, and {dataset.name} depends on it. "
                raise Blocked(message + f"Mend {parent.dataset} first, then clear this run.", rule_id="run.blocked")


def _sent_again(connection: Connection, dataset: Dataset, run_id: int, last: Row[Any], *, preview: bool) -> RunSummary:
    """The rows that stand have come once more: what was held in between has been taken back with them."""
    if not preview:
        supersede(connection, dataset, run_id, last)
    return carry_forward(connection, dataset, run_id, last)


def _may_be_released(connection: Connection, run: Row[Any]) -> bool:
    """Whether all of a run is held, and a person may let it through yet, or has."""
    undecided = exists().where(hold.c.import_run_id == run.id, hold.c.state.in_(("open", "approved")))
    return run.state == "held" and bool(connection.execute(select(undecided)).scalar())


def carry_forward(connection: Connection, dataset: Dataset, run_id: int, last: Row[Any]) -> RunSummary:
    """An unchanged file tells the same story as when it was loaded."""
    counts = {name: last._mapping[name] for name in ("read", "rejected", "superseded", "held")}
    standing = last.inserted + last.updated + last.unchanged
    issues.record_file_issue(connection, dataset, run_id, STALE, "extract")
    issues.copy_issues(connection, last.id, run_id)
    import_log.update_run(
        connection, run_id, state="unchanged", unchanged=standing, warnings=last.warnings + 1, **counts
    )
    return import_log.summary(connection, run_id)


def versions_of(
    connection: Connection, dataset: Dataset, layout: Layout, night: datetime.date, *, kind: str
) -> tuple[str, str]:
    """Two digests: of what each row is judged by tonight, and of what a file is judged by on any night.

    While the first stays, a row whose line and parents stay is worth the same; while the second stays, a file is.
    """
    strict = kind == "semester_change"
    suite = suite_text(dataset, settings().expectations_folder, strict=strict)
    years = judged_years(recorded_calendar(connection), night, kind)
    rules = [
        repr(dataset),
        json.dumps(asdict(layout), sort_keys=True),
        suite,
        crosswalk_version(connection, dataset),
        # Rules may ask whether a day instructs, and when the school year begins.
        repr(settings().district.school_years),
        # After an undo neither these rows nor their parents stand as the last load left or saw them.
        repr(import_log.newest_undo(connection, (dataset.name, *(parent.dataset for parent in dataset.parents)))),
        *(repr(change_facts(settings().district, night)) for _ in range(strict)),
    ]
    parents = []
    for parent in dataset.parents:
        # A run that was cleared loads again under its old id.
        query = select(func.max(import_run.c.loaded_at)).where(
            import_run.c.dataset == parent.dataset, import_run.c.state == "loaded"
        )
        parents.append(repr(connection.execute(query).scalar()))
    return _digest([*rules, repr(bounding_days(suite, night, years))]), _digest([*rules, *parents])


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def night_of(dataset: Dataset, partition: str) -> datetime.date:
    """The night that a run belongs to: its partition key where that is a date, else today's."""
    if dataset.partition == "night":
        try:
            return datetime.date.fromisoformat(partition)
        except ValueError:
            pass
    return settings().district.today()
