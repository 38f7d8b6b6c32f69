"""The import log: one row per run and per issue, and what earlier runs left behind."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    column,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert

from district.calendar.record import recorded_calendar
from district.calendar.standing import current_years
from district.database import engine
from district.dataset import Dataset
from district.extract.landing import Arrival, Landed
from district.layout import Layout
from district.review.tables import hold, school_change
from district.run import ImportStopped, RunSummary, State
from district.settings import settings
from district.tables import STAGING, delivery, import_issue, import_run

COUNTS = ("read", "rejected", "superseded", "held", "warnings", "inserted", "updated", "unchanged", "withdrawn")
FINAL: tuple[State, ...] = (
    "checked",
    "loaded",
    "unchanged",
    "held",
    "refused",
    "blocked",
    "aside",
    "locked",
    "failed",
    "missing",
    "undone",
    "restored",
)
# States that say that whatever went wrong before is over.
_MENDED: tuple[State, ...] = ("extracted", "validated", "loaded", "unchanged")
# Final states that no task tries again by itself.
_SETTLED: tuple[State, ...] = (
    "checked",
    "loaded",
    "unchanged",
    "held",
    "refused",
    "blocked",
    "aside",
    "missing",
    "undone",
)
# States in which a run stays: what comes under its key again is another run.
DONE: tuple[State, ...] = ("loaded", "unchanged", "undone")
SCHOOL_YEAR = "school_year"
# How the run keys of imports by hand begin; a scheduler's own keys name how the run came about.
BY_HAND = "cli-"
# A run that has not ended by then was killed.
LONGEST_RUN = datetime.timedelta(days=1)


def open_run(
    connection: Connection,
    dataset: Dataset,
    *,
    partition: str,
    run_key: str,
    night: datetime.date,
    unnoticed: bool = False,
    **about: Any,
) -> int:
    """The id of the run to extract for: a new one, or the one that an earlier try of the same task left unloaded.

    Of an ``unnoticed`` run no other run, digest or mail takes notice. What it is ``about`` are further columns of it.
    """
    latest = find_run(connection, dataset, run_key)
    if latest is not None and latest.state not in DONE:
        for told in (import_issue, hold, school_change):
            connection.execute(delete(told).where(told.c.import_run_id == latest.id))
        fresh: dict[str, Any] = {
            "state": "started",
            "unnoticed": unnoticed,
            "reason": "",
            "rule_id": "",
            "partition": partition,
            "night": night,
            "kind": "import",
            "about_id": None,
            "plan": None,
            "scope": None,
            "since_id": None,
            "seconds": {},
            "finished_at": None,
        }
        fresh |= {"started_at": func.clock_timestamp(), **dict.fromkeys(COUNTS, 0), **about}
        update_run(connection, latest.id, **fresh)
        return int(latest.id)
    values = {
        "dataset": dataset.name,
        "run_key": run_key,
        "partition": partition,
        "night": night,
        "owner": dataset.owner,
        "state": "started",
        "unnoticed": unnoticed,
        **about,
    }
    return int(connection.execute(insert(import_run).values(values).returning(import_run.c.id)).scalar_one())


def find_run(connection: Connection, dataset: Dataset, run_key: str, *, locked: bool = False) -> Row[Any] | None:
    """The newest run of a data set under a run key.

    Where it is ``locked``, as it is once whoever changes it now is done, and until the transaction ends.
    """
    query = select(import_run).where(import_run.c.dataset == dataset.name, import_run.c.run_key == run_key)
    query = query.order_by(import_run.c.id.desc()).limit(1)
    return connection.execute(query.with_for_update(key_share=True) if locked else query).first()


def update_run(connection: Connection, run_id: int, **values: Any) -> None:
    """Sets columns of a run; a final state also says when it was reached, and is told of in the next digest."""
    if values.get("state") in FINAL:
        values |= {"finished_at": func.clock_timestamp(), "digest_id": None}
    if values.get("state") in _MENDED:
        values = {"reason": "", "rule_id": ""} | values
    connection.execute(update(import_run).where(import_run.c.id == run_id).values(**values))


@contextmanager
def timed(dataset: Dataset, run_key: str, step: str) -> Iterator[None]:
    """Notes in the run's row how long a step took, if it came to its end."""
    begin = time.perf_counter()
    yield
    took = {step: round(time.perf_counter() - begin, 3)}
    with engine().begin() as connection:
        run = find_run(connection, dataset, run_key)
        if run is not None:
            seconds = import_run.c.seconds.op("||")(literal(took, JSONB))
            connection.execute(update(import_run).where(import_run.c.id == run.id).values(seconds=seconds))


def summary(connection: Connection, run_id: int) -> RunSummary:
    """The run as a task hands it on."""
    row = connection.execute(select(import_run).where(import_run.c.id == run_id)).one()._mapping
    counts = {name: row[name] for name in COUNTS}
    texts = {name: row[name] for name in ("dataset", "partition", "state", "reason")}
    return RunSummary(id=run_id, **texts, **counts)


def speaks_for(dataset: Dataset, partition: str, scope: list[list[str]] | None) -> ColumnElement[bool]:
    """Whether a run is about some of the same rows: of the same partition, or with a scope value in common."""
    if dataset.partition != "night":
        return and_(import_run.c.dataset == dataset.name, import_run.c.partition == partition)
    if not scope:
        return import_run.c.dataset == dataset.name
    held = func.jsonb_array_elements(import_run.c.scope).table_valued(column("value", JSONB))
    values = [literal(value, JSONB) for value in scope]
    shared = exists(select(literal(1)).select_from(held).where(held.c.value.in_(values)))
    return and_(import_run.c.dataset == dataset.name, shared)


def last_loaded(
    connection: Connection, dataset: Dataset, partition: str, scope: list[list[str]] | None
) -> Row[Any] | None:
    """The newest run whose rows stand in the table, of those that speak for the same rows."""
    sent = (delivery.c.sha256, delivery.c.file_name, delivery.c.modified_at, delivery.c.landed_at)
    query = select(import_run, *sent).join(delivery)
    query = query.where(speaks_for(dataset, partition, scope), import_run.c.state == "loaded")
    return connection.execute(query.order_by(import_run.c.loaded_at.desc()).limit(1)).first()


def newest_night(connection: Connection, dataset: Dataset) -> datetime.date | None:
    """The newest night whose extract has loaded; imports by hand may be of any night's file, and do not count."""
    loaded = import_run.c.state.in_(("loaded", "unchanged"))
    query = select(func.max(import_run.c.night)).where(import_run.c.dataset == dataset.name, loaded)
    query = query.where(~import_run.c.unnoticed, ~import_run.c.run_key.startswith(BY_HAND))
    night: datetime.date | None = connection.execute(query).scalar_one()
    return night


def run_of_delivery(connection: Connection, delivery_id: int) -> Row[Any] | None:
    """The newest run that loaded a delivery; None where its rows have never stood in the table."""
    runs = select(import_run).where(import_run.c.delivery_id == delivery_id, import_run.c.state == "loaded")
    return connection.execute(runs.order_by(import_run.c.loaded_at.desc()).limit(1)).first()


def undo_of_delivery(connection: Connection, dataset: Dataset, run: Row[Any]) -> Row[Any] | None:
    """The undo since the last load of a run's delivery that took back that load, or else an earlier one under it.

    What loaded on top of a load that was taken back may bring its rows again.
    """
    undo, undone = import_run.alias("undo"), import_run.alias("undone")
    loads = select(func.max(import_run.c.loaded_at)).where(
        import_run.c.delivery_id == run.delivery_id, import_run.c.state.in_(("loaded", "undone"))
    )
    last_load = loads.scalar_subquery()
    same = select(import_run.c.id).where(speaks_for(dataset, run.partition, run.scope))
    query = select(undo).join(undone, undone.c.id == undo.c.about_id)
    query = query.where(
        undo.c.id.in_(same), undo.c.state == "restored", undo.c.loaded_at > last_load, undone.c.loaded_at <= last_load
    )
    of_itself = undo.c.delivery_id == run.delivery_id
    return connection.execute(query.order_by(of_itself.desc(), undo.c.loaded_at.desc()).limit(1)).first()


def newest_undo(connection: Connection, datasets: Iterable[str]) -> int | None:
    """The newest undo of any of these data sets."""
    undone = (import_run.c.state == "restored", import_run.c.dataset.in_(list(datasets)))
    newest: int | None = connection.execute(select(func.max(import_run.c.id)).where(*undone)).scalar_one()
    return newest


def parent_run(connection: Connection, parent: str, partition: str, kind: str = "") -> Row[Any] | None:
    """The run of a parent data set that tells how the same night went: one that loaded, else the newest.

    Where a ``kind`` is given, of the runs that are judged as such. Unnoticed runs say nothing of the night, and neither
    does one that was killed long ago, nor a correction of another year by hand.
    """
    alive = or_(import_run.c.state.in_(FINAL), import_run.c.started_at > func.now() - LONGEST_RUN)
    query = select(import_run).where(import_run.c.dataset == parent, import_run.c.partition == partition)
    loaded = import_run.c.state.in_(("loaded", "unchanged"))
    query = query.where(~import_run.c.unnoticed, import_run.c.kind != "undo", alive).order_by(
        loaded.desc(), import_run.c.id.desc()
    )
    runs = [run for run in connection.execute(query) if not _of_other_years(connection, run)]
    return next((run for run in runs if not kind or judged_as(connection, run) == kind), None)


def _of_other_years(connection: Connection, run: Row[Any]) -> bool:
    """Whether a file that was imported by hand, or its release, holds other school years alone than the night's."""
    if not run.run_key.startswith(BY_HAND):
        return False
    calendar = recorded_calendar(connection)
    known, current = (
        {str(year.end_year) for year in years} for years in (calendar.school_years, current_years(calendar, run.night))
    )
    sent = {value for values in run.scope or () for value in values} & known
    return bool(sent) and sent.isdisjoint(current)


def parent_loads(connection: Connection, parent: str, run: Row[Any]) -> list[Row[Any]]:
    """The loads of a parent data set's same night that speak for a run's rows: of each scope value the newest.

    Where none has a scope value in common, such as where the parent's scope is of other columns, the newest of all.
    """
    loaded = (import_run.c.dataset == parent, import_run.c.partition == run.partition, import_run.c.state == "loaded")
    query = select(import_run).where(*loaded, ~import_run.c.unnoticed).order_by(import_run.c.loaded_at.desc())
    loads = list(connection.execute(query))
    wanted, found = {tuple(values) for values in run.scope}, []
    for load in loads:
        spoken = {tuple(values) for values in load.scope}
        if wanted & spoken:
            found.append(load)
            wanted -= spoken
    return found or loads[:1]


def judged_as(connection: Connection, run: Row[Any]) -> str:
    """The kind that a run is judged as: its own, or that of the run whose held rows it releases."""
    while run.about_id is not None:
        run = connection.execute(select(import_run).where(import_run.c.id == run.about_id)).one()
    return str(run.kind)


def without_semester_change(connection: Connection, dataset: str, partition: str) -> Row[Any] | None:
    """The nightly import that loads a data set, or steps aside for another reason, in its semester change's nights.

    By hand a data set loads on these nights whether or not it has semester changes.
    """
    query = select(import_run).where(
        import_run.c.dataset == dataset,
        import_run.c.partition == partition,
        import_run.c.kind.in_(("import", "release")),
        import_run.c.rule_id != "run.semester_change",
        ~import_run.c.run_key.startswith(BY_HAND),
        ~import_run.c.unnoticed,
        import_run.c.state.in_(("loaded", "unchanged", "aside")),
    )
    return connection.execute(query.order_by(import_run.c.id.desc()).limit(1)).first()


def years_sent(dataset: Dataset, run: Row[Any]) -> frozenset[int]:
    """The school years that a run's delivery speaks for; none where its scope is something else."""
    if SCHOOL_YEAR not in dataset.scope or not run.scope:
        return frozenset()
    return frozenset(int(values[dataset.scope.index(SCHOOL_YEAR)]) for values in run.scope)


def left_in_staging(connection: Connection, dataset: Dataset) -> list[int]:
    """Runs that are over, or were killed long ago, and whose rows are still in staging."""
    name = func.concat(f"{STAGING}.{dataset.name}_", import_run.c.id)
    over = or_(import_run.c.state.in_(_SETTLED), import_run.c.started_at < func.now() - LONGEST_RUN)
    query = select(import_run.c.id).where(import_run.c.dataset == dataset.name, over)
    return list(connection.execute(query.where(func.to_regclass(name).is_not(None))).scalars())


def record_delivery(connection: Connection, dataset: Dataset, arrival: Arrival, landed: Landed) -> int:
    """The id of the delivery, by its sha256; the same bytes sent again are the same delivery."""
    known = select(delivery.c.id).where(delivery.c.dataset == dataset.name, delivery.c.sha256 == landed.sha256)
    values = {
        "dataset": dataset.name,
        "sha256": landed.sha256,
        "file_name": arrival.path.name,
        "size": landed.size,
        "final_newline": landed.final_newline,
        "modified_at": datetime.datetime.fromtimestamp(arrival.modified, datetime.UTC),
    }
    # Two runs may land the same bytes at once.
    connection.execute(upsert(delivery).values(values).on_conflict_do_nothing(index_elements=["dataset", "sha256"]))
    return int(connection.execute(known).scalar_one())


def landed_path(connection: Connection, run: Row[Any]) -> Path:
    """The copy of the run's delivery.

    Raises:
        ImportStopped: it is gone.
    """
    sha256 = connection.execute(select(delivery.c.sha256).where(delivery.c.id == run.delivery_id)).scalar_one()
    path: Path = settings().landed_folder / sha256
    if not path.exists():
        raise ImportStopped(f"The landed copy {sha256[:12]} is gone; clear `extract` to land the file again.")
    return path


def layout_of(run: Row[Any]) -> Layout:
    """The layout that the run's delivery is read by."""
    from pydantic import TypeAdapter

    return TypeAdapter(Layout).validate_python(run.layout)


def always_ends_with_newline(connection: Connection, dataset: Dataset) -> bool:
    """Whether the sender ended each of its last three loaded deliveries with a line break (and there were three)."""
    query = select(delivery.c.final_newline).join(import_run).where(import_run.c.state == "loaded")
    query = query.where(import_run.c.dataset == dataset.name).order_by(import_run.c.loaded_at.desc()).limit(3)
    ends = list(connection.execute(query).scalars())
    return len(ends) == 3 and all(ends)
