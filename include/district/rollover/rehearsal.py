"""Rehearsal: the next school year's extracts go through the same steps as the night's, beside them."""

from __future__ import annotations

import datetime
from graphlib import TopologicalSorter

from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from district import pipeline
from district.calendar.model import SchoolYear
from district.calendar.record import recorded_calendar
from district.calendar.standing import rehearsal_day, years_with
from district.catalog import importable_datasets
from district.database import engine, prepare_alone, sync_calendar
from district.dataset import Dataset
from district.extract.arriving import NEXT_YEAR
from district.extract.landing import find_delivery
from district.import_log import find_run, summary
from district.run import Aside, ImportStopped, NotArrived, Refused, RunSummary
from district.settings import settings
from district.tables import year_turn


def rehearse(night: datetime.date, *, run_key: str) -> list[RunSummary]:
    """Imports the next year's extracts that have arrived, parents first; what stops one does not stop the others.

    From the first one that loads, the year waits for a person to turn it. Safe to repeat.

    Raises:
        Aside: the calendar rehearses no year on that night.
        Refused: a file was refused. ImportStopped: an import failed, and may be tried again.
    """
    with engine().connect() as connection:
        year = rehearsed_year(connection, night)
    runs = [_rehearse_one(dataset, night, rehearsal_key(run_key)) for dataset in arrived(night)]
    if any(run.state in ("loaded", "unchanged") for run in runs):
        with engine().begin() as connection:
            prepare_alone(connection)
            row = {"school_year": year.end_year, "rehearsed_since": night}
            connection.execute(insert(year_turn).values(row).on_conflict_do_nothing())
            sync_calendar(connection)
    failed = [run for run in runs if run.state in ("failed", "locked")]
    if failed:
        raise ImportStopped(" ".join(run.reason for run in failed))
    refused = [run for run in runs if run.state == "refused"]
    if refused:
        raise Refused(" ".join(f"{run.dataset}: {run.reason}" for run in refused))
    return runs


def rehearsal_key(run_key: str) -> str:
    """The key of the imports that a rehearsal begins: no night's own run has it."""
    return f"{run_key}/rehearsal"


def rehearsed_year(connection: Connection, night: datetime.date) -> SchoolYear:
    """The school year that is *next* on a night, as the district has it.

    Raises:
        Aside: none is; says when the next rehearsal begins.
    """
    calendar = recorded_calendar(connection)
    coming = years_with(calendar, night, "next")
    if coming:
        return coming[0]
    later = [rehearsal_day(calendar, year) for year in years_with(calendar, night, "planned")]
    when = f"It begins on {min(later)}." if later else "The calendar has no later year: add it to the settings file."
    raise Aside(f"No school year is rehearsed on {night}. {when}", rule_id="run.no_rehearsal")


def arrived(night: datetime.date) -> list[Dataset]:
    """The nightly data sets of which an extract lies in ``next_year/``, parents before their children."""
    datasets = importable_datasets(settings().dags_folder)
    parents = {name: [parent.dataset for parent in dataset.parents] for name, dataset in datasets.items()}
    found = []
    for name in TopologicalSorter(parents).static_order():
        try:
            if name in datasets and datasets[name].partition == "night":
                find_delivery(datasets[name].extract, settings().drop_folder / NEXT_YEAR, partition=str(night))
                found.append(datasets[name])
        except NotArrived:
            continue
    return found


def _rehearse_one(dataset: Dataset, night: datetime.date, run_key: str) -> RunSummary:
    try:
        run = pipeline.extract(dataset, partition=str(night), run_key=run_key, kind="rehearsal")
        if run.state != "unchanged":
            pipeline.validate(dataset, run_key=run_key)
            pipeline.load(dataset, run_key=run_key)
    except ImportStopped:
        pass  # the run's row says why
    finally:
        pipeline.close(dataset, run_key=run_key)
    with engine().connect() as connection:
        row = find_run(connection, dataset, run_key)
        if row is None:
            raise ImportStopped(f"The rehearsal of {dataset.name} could not begin: the database cannot be used.")
        return summary(connection, row.id)
