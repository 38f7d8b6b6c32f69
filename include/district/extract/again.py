"""Staging again: a delivery that was held, read once more from its landed copy as a run of its own."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, select

from district import import_log
from district.carried import reread
from district.codes import seed_crosswalk
from district.database import engine, ensure_target, prepare_alone, sync_calendar
from district.dataset import Dataset
from district.extract.arriving import versions_of
from district.extract.changed import stage_delivery
from district.review.decisions import check_approved, is_approved
from district.review.outcome import release_of
from district.settings import settings
from district.tables import import_run


def stage_again(dataset: Dataset, held: Row[Any], run_key: str) -> int:
    """Stages all of a held run's delivery, by the same layout; returns the id of the run that releases it.

    Where that run has loaded already, and no decision is left to rely on, nothing is done.

    Raises:
        Held: no decision lets the delivery through, or a newer one has come in its place.
        ImportStopped: the landed copy is gone.
    """
    with engine().begin() as connection:
        run = release_of(connection, held)
        if run is not None and run.state in import_log.DONE and not is_approved(connection, dataset, held):
            return int(run.id)
        check_approved(connection, dataset, held)
        run_id = import_log.open_run(
            connection,
            dataset,
            partition=held.partition,
            run_key=run_key,
            night=held.night,
            unnoticed=held.unnoticed,
            kind="release",
            about_id=held.id,
        )
    with engine().begin() as connection:
        prepare_alone(connection)
        sync_calendar(connection)
        seed_crosswalk(connection, settings().crosswalks_folder)
        ensure_target(connection, dataset)
        kind = import_log.judged_as(connection, held)
        rules, versions = versions_of(connection, dataset, import_log.layout_of(held), held.night, kind=kind)
        same = {name: held._mapping[name] for name in ("delivery_id", "layout", "plan", "scope")}
        import_log.update_run(connection, run_id, rules=rules, versions=versions, **same)
    with engine().begin() as connection:
        run = connection.execute(select(import_run).where(import_run.c.id == run_id)).one()
        staged = stage_delivery(connection, *reread(connection, run), dataset, run, whole=True)
        import_log.update_run(connection, run_id, state="extracted", read=staged.rows)
    return run_id
