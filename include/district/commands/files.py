"""A file by hand: imported, or only checked."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Annotated

import typer

from district.catalog import find_dataset
from district.commands.app import DATASET, FILE, LAYOUT, PARTITION, app, plain_errors, say_held
from district.dataset import Dataset
from district.layout import read_layout
from district.partitions import check_partition
from district.run import ImportStopped, RunSummary
from district.settings import settings


@app.command("import")
@plain_errors
def import_file(
    dataset: DATASET,
    file: FILE,
    layout: LAYOUT = None,
    partition: PARTITION = "",
    although_aside: Annotated[
        bool, typer.Option("--although-aside", help="On a night on which the calendar has no such import, too.")
    ] = False,
) -> None:
    """Import one file: extract, validate and load it, and show what came of it."""
    _run_steps(dataset, file, layout, partition, preview=False, although_aside=although_aside)


@app.command()
@plain_errors
def check(dataset: DATASET, file: FILE, layout: LAYOUT = None, partition: PARTITION = "") -> None:
    """Do everything but the load: show the issues, and what the load would change."""
    _run_steps(dataset, file, layout, partition, preview=True)


def _run_steps(
    name: str, file: Path, layout_file: Path | None, partition: str, *, preview: bool, although_aside: bool = False
) -> None:
    from district import pipeline
    from district.import_log import BY_HAND
    from district.report import print_run, told

    dataset: Dataset = find_dataset(name, settings().dags_folder)
    layout = read_layout(layout_file) if layout_file else None
    if dataset.partition != "night" and not partition:
        what = f"{name} is imported by {dataset.partition}: add --partition with the {dataset.partition} of the file"
        known = ", ".join(each.key for each in settings().district.administrations)
        typer.secho(f"{what}{f', one of {known}' if known else ''}.", fg="red", err=True)
        raise typer.Exit(1)
    run_key = f"{'check-' if preview else BY_HAND}{uuid.uuid4()}"
    chosen = check_partition(dataset, partition or str(settings().district.today()))
    if not preview and not although_aside:
        _check_aside(dataset, chosen)
    stopped: ImportStopped | None = None
    try:
        run: RunSummary = pipeline.extract(
            dataset, partition=chosen, run_key=run_key, file=file, layout=layout, preview=preview
        )
        if run.state != "unchanged":
            pipeline.validate(dataset, run_key=run_key)
            run = pipeline.load(dataset, run_key=run_key, preview=preview)
    except ImportStopped as error:
        stopped = error
    finally:
        # Also when a person presses Ctrl-C.
        pipeline.close(dataset, run_key=run_key, preview=preview)
    print_run(dataset, run_key)
    if stopped is not None:
        typer.secho(f"{stopped.state.capitalize()}: {told(str(stopped), stopped.rule_id)}", fg="red", err=True)
        raise typer.Exit(1)
    say_held(run, preview=preview)


def _check_aside(dataset: Dataset, partition: str) -> None:
    """By hand nobody is asked at a semester change, and a blackout has a reason: who loads all the same must say so."""
    from district.extract.arriving import night_of
    from district.run import Aside
    from district.semester_change.nights import check_calendar

    try:
        steps_aside = dataset.partition == "night"
        check_calendar(dataset, night_of(dataset, partition), kind="import", steps_aside=steps_aside)
    except Aside as aside:
        told = str(aside)
        if aside.rule_id == "run.semester_change":
            # Whether there is such a DAG, only Airflow knows.
            told = f"It is semester change: where its DAG file has one, {dataset.name}_semester_change imports it."
        typer.secho(f"Aside: {told}", fg="red", err=True)
        typer.echo("Nothing was imported. To load this file without those steps, add --although-aside.", err=True)
        raise typer.Exit(1) from None
