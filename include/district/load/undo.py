"""Undo: the rows that a load changed become what they were before it, in one transaction.

A row that a later load touched is not its own any more: nothing is undone then, or only the other rows.
See ``docs/decisions/2026-11-22-undo-by-before-images.md``.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from district import import_log
from district.counted import counted
from district.database import clean_error, engine
from district.dataset import Dataset
from district.load.aftermath import forget_load
from district.load.before_images import ChangedRows
from district.load.lock import lock
from district.review import words
from district.review.decisions import record
from district.review.tables import decision
from district.run import Held, ImportStopped, NotAllowed
from district.settings import roles_for, settings
from district.tables import delivery, import_run


class NotUndone(Held):
    """Nothing was undone, and why."""


@dataclass(frozen=True, kw_only=True)
class Undone:
    """What an undo did: counts of rows."""

    id: int
    """The undo's own run."""
    about_id: int
    dataset: str
    partition: str
    set_back: int
    """Rows that the load had updated or withdrawn."""
    removed: int
    """Rows that the load had inserted, or an undone one before it."""
    left: int
    """Rows that later loads touched, and that stay as these left them."""

    @property
    def told(self) -> str:
        """In a sentence."""
        counts = _counts(self.set_back, self.removed, self.left)
        return f"Run {self.about_id} of {self.dataset} ({self.partition}) is undone: {counts}."


def dataset_of(run_id: int) -> str:
    """The name of the data set that a run is of.

    Raises:
        NotUndone: there is no such run.
    """
    with engine().connect() as connection:
        return str(_run(connection, run_id).dataset)


def undo(
    dataset: Dataset,
    run_id: int,
    *,
    person: str,
    role: str,
    reason: str,
    keep_later: bool = False,
    run_key: str = "",
) -> Undone:
    """Undoes a load; with ``keep_later`` all of it but the rows that later loads touched.

    A ``run_key`` names the undo: asked for again under the same key, it says what it did.

    Raises:
        NotUndone: the role may not decide, the name or reason does not do, the run loaded nothing, is undone already,
            or later loads touched its rows; nothing has changed.
        Locked: another run of the data set is loading. ImportStopped: the database failed; nothing has changed.
    """
    roles = roles_for(dataset.owner)
    if role not in roles:
        may = ", ".join(settings().district.deciders(roles)) or "nobody yet: name people in the settings file"
        who = person or "Whoever started this"
        raise NotUndone(f"{who} may not decide about {dataset.name}. Those who may: {may}.")
    try:
        person = words.name(person)
        reason = words.reason(reason, "Give a reason: what is wrong with this load?")
    except NotAllowed as slip:
        raise NotUndone(f"{slip} Nothing was undone.") from None
    run_key = run_key or f"{import_log.BY_HAND}undo-{uuid.uuid4()}"
    with _plainly(), engine().begin() as connection:
        connection.execute(text("SET LOCAL lock_timeout = '30s'"))
        lock(connection, dataset, _run(connection, run_id).partition)
        earlier = import_log.find_run(connection, dataset, run_key)
        if earlier is not None:
            return _summary(earlier)
        run = _run(connection, run_id)
        _check_state(connection, run)
        rows = ChangedRows(connection, dataset, run)
        _check_rows(run, rows, keep_later=keep_later)
        undo_id = _open(connection, run, run_key, rows, person=person, reason=reason)
        rows.set_back(undo_id)
        told = f"Undone by {person} (run {undo_id}): {reason}"
        connection.execute(update(import_run).where(import_run.c.id == run.id).values(state="undone", reason=told))
        forget_load(connection, dataset, run, undo_id)
        made = record(connection, run, kind="undo", choice="approve", person=person, role=role, reason=reason)
        connection.execute(update(decision).where(decision.c.id == made).values(used_by=undo_id))
        return _summary(_run(connection, undo_id))


@contextmanager
def _plainly() -> Iterator[None]:
    """A database's own words may quote a row: only the kind of what failed goes on."""
    try:
        yield
    except SQLAlchemyError as error:
        message = f"The database failed with {clean_error(error)}. Nothing was undone."
        raise ImportStopped(message) from None


def _run(connection: Connection, run_id: int) -> Row[Any]:
    sent = (delivery.c.sha256, delivery.c.file_name)
    query = select(import_run, *sent).outerjoin(delivery, delivery.c.id == import_run.c.delivery_id)
    run = connection.execute(query.where(import_run.c.id == run_id)).first()
    if run is None:
        raise NotUndone(f"There is no run {run_id}; `district status DATASET` gives each run's number.")
    return run


def _check_state(connection: Connection, run: Row[Any]) -> None:
    which = f"Run {run.id} of {run.dataset} ({run.partition})"
    if run.kind == "undo":
        again = f"import {run.file_name} again with `district import {run.dataset}`"
        raise NotUndone(f"{which} is an undo itself, and an undo is not undone. To have its rows back, {again}.")
    if run.state == "undone":
        raise NotUndone(f"{which} is undone already. {run.reason}")
    if run.state == "unchanged":
        loaded = import_log.run_of_delivery(connection, run.delivery_id)
        hint = f" Its file was loaded by run {loaded.id}." if loaded is not None else ""
        raise NotUndone(f"{which} is unchanged: it loaded nothing.{hint}")
    if run.state != "loaded":
        raise NotUndone(f"{which} is {run.state}: it loaded nothing, so there is nothing to undo.")


def _check_rows(run: Row[Any], rows: ChangedRows, *, keep_later: bool) -> None:
    which = f"Run {run.id} of {run.dataset} ({run.partition})"
    changed = run.inserted + run.updated + run.withdrawn
    if changed == 0:
        raise NotUndone(f"{which} changed no row, so there is nothing to undo.")
    if rows.own + rows.touched != changed:
        raise NotUndone(
            f"{which} changed {counted(changed, 'row')}, and the table and its history account for "
            f"{rows.own + rows.touched:,}: it was changed by hand. Nothing was undone; import a file of {run.dataset} "
            "by hand to mend it."
        )
    if rows.own and (keep_later or not rows.touched):
        return
    by_school = ", ".join(f"{school or 'other schools'} {count:,}" for school, count in rows.by_school().items())
    schools = f"; by school: {by_school}" if by_school else ""
    then = f" Or undo the other {counted(rows.own, 'row')} alone, with --keep-later." if rows.own else ""
    raise NotUndone(
        f"Later loads touched {rows.touched:,} of the {counted(changed, 'row')} that run {run.id} of {run.dataset} "
        f"changed{schools}. Nothing was undone. Undo the later runs first, the newest before the others.{then}"
    )


def _open(connection: Connection, run: Row[Any], run_key: str, rows: ChangedRows, *, person: str, reason: str) -> int:
    """The undo's own run. It loads nothing: no other code takes its state for a load's."""
    now = func.clock_timestamp()
    counts = _counts(rows.own - rows.removed, rows.removed, rows.touched)
    same = ("dataset", "partition", "night", "owner", "delivery_id", "scope")
    values = {
        **{name: run._mapping[name] for name in same},
        "run_key": run_key,
        "kind": "undo",
        "about_id": run.id,
        "state": "restored",
        "reason": f"Undoes run {run.id} ({run.file_name}): {counts}. By {person}: {reason}",
        "updated": rows.own - rows.removed,
        "withdrawn": rows.removed,
        "unchanged": rows.touched,
        "finished_at": now,
        "loaded_at": now,
    }
    return int(connection.execute(insert(import_run).values(values).returning(import_run.c.id)).scalar_one())


def _summary(run: Row[Any]) -> Undone:
    counts = {"set_back": run.updated, "removed": run.withdrawn, "left": run.unchanged}
    return Undone(id=run.id, about_id=run.about_id, dataset=run.dataset, partition=run.partition, **counts)


def _counts(set_back: int, removed: int, left: int) -> str:
    stay = f"; {counted(left, 'row')} that later loads touched stay as they are" if left else ""
    return f"{counted(set_back, 'row')} set back, {counted(removed, 'row')} removed{stay}"
