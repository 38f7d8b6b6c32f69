"""The ``district`` command: the same steps as the DAGs, by hand, without Airflow."""

from __future__ import annotations

import datetime
import functools
import uuid
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from district.catalog import UnknownDataset, find_dataset
from district.dataset import Dataset, DatasetError
from district.layout import LayoutError, read_layout
from district.partitions import UnknownPartition, check_partition
from district.run import ImportStopped, NotAllowed, RunSummary
from district.settings import DATA_PERSON, SettingsError, settings

_SLIPS = (SettingsError, DatasetError, LayoutError, UnknownDataset, UnknownPartition)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_FILE = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="The extract to read.")]
_DATASET = Annotated[str, typer.Argument(help="The data set's name, such as enrollment.")]
_LAYOUT = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="A layout file (YAML) in place of the data set's own.")
]
_PERSON = Annotated[str, typer.Option(help="Who decides: a name among `people` in the district's settings file.")]
_RUN = Annotated[int, typer.Argument(help="The run's number, as `district holds` tells it.")]
_PARTITION = Annotated[str, typer.Option(help="Night (YYYY-MM-DD; today's if left out), or administration.")]


_NIGHT = Annotated[
    datetime.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="As of this night; today's if left out.")
]


class Choice(StrEnum):
    """What a person may decide about what a run holds."""

    approve = "approve"
    reject = "reject"
    without = "without"


class Confirming(StrEnum):
    """What a second person may say about a semester change."""

    approve = "approve"
    reject = "reject"


def _plain_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a person can mend is said in a sentence and exit status 1, never as a traceback."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except (
            ImportStopped,
            NotAllowed,
            SettingsError,
            DatasetError,
            LayoutError,
            UnknownDataset,
            UnknownPartition,
        ) as error:
            typer.secho(str(error), fg="red", err=True)
            raise typer.Exit(1) from None
        except _database_errors() as error:
            from district.database import clean_error

            typer.secho(f"The database cannot be used ({clean_error(error)}).", fg="red", err=True)
            typer.echo(
                "Check DISTRICT_DATABASE_URL and that the server runs; `district migrate` makes the tables.", err=True
            )
            raise typer.Exit(1) from None

    return wrapped


def _database_errors() -> type[Exception]:
    from sqlalchemy.exc import SQLAlchemyError

    return SQLAlchemyError


def _say_version(wanted: bool) -> None:
    from importlib.metadata import version

    if wanted:
        typer.echo(f"district-imports {version('district-imports')}")
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """A district's nightly imports, by hand."""


@app.command("import")
@_plain_errors
def import_file(
    dataset: _DATASET,
    file: _FILE,
    layout: _LAYOUT = None,
    partition: _PARTITION = "",
    although_aside: Annotated[
        bool, typer.Option("--although-aside", help="On a night on which the calendar has no such import, too.")
    ] = False,
) -> None:
    """Import one file: extract, validate and load it, and show what came of it."""
    _run_steps(dataset, file, layout, partition, preview=False, although_aside=although_aside)


@app.command()
@_plain_errors
def check(dataset: _DATASET, file: _FILE, layout: _LAYOUT = None, partition: _PARTITION = "") -> None:
    """Do everything but the load: show the issues, and what the load would change."""
    _run_steps(dataset, file, layout, partition, preview=True)


@app.command()
@_plain_errors
def holds() -> None:
    """Show what waits for a person's decision: the reasons, and what would change in each school."""
    from district.report import print_waiting

    print_waiting()


@app.command()
@_plain_errors
def decide(
    dataset: _DATASET,
    run: _RUN,
    choice: Annotated[Choice, typer.Argument(help="What is to become of it.")],
    shown: Annotated[str, typer.Option(help="The mark of what you have looked at, as `district holds` tells it.")],
    person: _PERSON,
    reason: Annotated[str, typer.Option(help="Why; it is kept with the name. Name no student.")],
) -> None:
    """Decide about what a run holds; `district release` then loads what is approved."""
    from district.review.decisions import decide as record

    known = find_dataset(dataset, settings().dags_folder)
    role = settings().district.role_of(person, known.owner)
    record(known, run, shown=shown, choice=choice.value, person=person, role=role, reason=reason)
    then = "Nothing more is loaded." if choice is Choice.reject else f"Now run `district release {dataset} {run}`."
    typer.echo(f"{person} ({role}): {choice.value}. {then}")


@app.command()
@_plain_errors
def release(dataset: _DATASET, run: _RUN) -> None:
    """Load what a run held and a person has approved since, and show what came of it."""
    from district import pipeline
    from district.report import print_run
    from district.review.decisions import run_key_of

    known = find_dataset(dataset, settings().dags_folder)
    run_key = run_key_of(known, run)
    summary = pipeline.release(known, run_key=run_key)
    print_run(known, f"{run_key}/release")
    _say_held(summary)


@app.command()
@_plain_errors
def acknowledge(
    dataset: _DATASET,
    rule: Annotated[str, typer.Argument(help="The warning's rule, as `district status` tells it.")],
    person: _PERSON,
    reason: Annotated[str, typer.Option(help="Why these rows may load as they are. Name no student.")],
    until: Annotated[datetime.datetime, typer.Option(formats=["%Y-%m-%d"], help="The last night on which it counts.")],
    ceiling: Annotated[int, typer.Option(help="Up to so many rows: those that you have looked at, or some more.")],
) -> None:
    """Say that a warning is known, until a day and up to a number of rows; a semester change asks for it."""
    from district.review.acknowledgements import acknowledge as record

    known = find_dataset(dataset, settings().dags_folder)
    role = settings().district.role_of(person, known.owner)
    about: dict[str, Any] = {"person": person, "role": role, "reason": reason}
    record(known, rule, expires_on=until.date(), ceiling=ceiling, **about)
    typer.echo(f"{person} ({role}): {rule} is known until {until.date()}, for up to {ceiling:,} rows.")


@app.command()
@_plain_errors
def confirm(
    dataset: _DATASET,
    run: _RUN,
    choice: Annotated[Confirming, typer.Argument(help="Whether it may load.")],
    person: _PERSON,
    reason: Annotated[str, typer.Option(help="What you have compared it with, or why not. Name no student.")],
    shown: Annotated[str, typer.Option(help="The mark of what you have looked at; without it, you are shown.")] = "",
) -> None:
    """Confirm a semester change as the second person; clear its task `confirm` in Airflow, and it loads."""
    from district.review.decisions import run_key_of
    from district.semester_change.confirmation import confirm as record
    from district.semester_change.confirmation import confirming_role
    from district.semester_change.question import change_as_markdown, pending

    known = find_dataset(dataset, settings().dags_folder)
    waiting = pending(known, run_key_of(known, run))
    if waiting is not None and not shown:
        typer.echo(f"{change_as_markdown(waiting)}\n\nTo answer this, add `--shown {waiting.shown}`.")
        raise typer.Exit(1)
    role = confirming_role(person, known)
    record(known, run, choice=choice.value, shown=shown, person=person, role=role, reason=reason)
    typer.echo(f"{person} ({role}): {choice.value}.")


@app.command()
@_plain_errors
def status(
    dataset: Annotated[str, typer.Argument(help="One data set, with all its errors and warnings; else all.")] = "",
    nights: Annotated[int, typer.Option(help="How many nights back, for each data set.", min=1)] = 1,
) -> None:
    """Show the newest run of each data set, or one data set's with every error and warning."""
    from district.report import print_status

    print_status(nights, dataset)


@app.command()
@_plain_errors
def undo(
    run: Annotated[int, typer.Argument(help="The number of the run, as `district status` gives it.")],
    person: _PERSON,
    reason: Annotated[str, typer.Option(help="Why; it stands in the digest, so name no child.")],
    keep_later: Annotated[
        bool, typer.Option("--keep-later", help="Leave the rows that later loads touched, and undo the others.")
    ] = False,
) -> None:
    """Undo a load: the rows that it changed become what they were before it."""
    from district.load.undo import dataset_of
    from district.load.undo import undo as take_back

    known = find_dataset(dataset_of(run), settings().dags_folder)
    role = settings().district.role_of(person, known.owner)
    typer.echo(take_back(known, run, person=person, role=role, reason=reason, keep_later=keep_later).told)


@app.command()
@_plain_errors
def resend() -> None:
    """Send the mails that wait, and again those that the mail server refused in the last two weeks."""
    from district.notify.mail import send_again
    from district.report import print_refused

    sent = send_again()
    refused = print_refused()
    typer.echo(f"Mails sent: {sent}." if sent or refused else "No mail waits to be sent.")
    if refused:
        raise typer.Exit(1)


@app.command()
@_plain_errors
def calendar(
    date: Annotated[
        datetime.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The date; today's if left out.")
    ] = None,
) -> None:
    """Show where each school stands on a date: its year, term, next semester change, and what holds that night."""
    from district.calendar.show import print_calendar

    recorded = None
    if settings().database_url.get_secret_value():
        from district.calendar.record import recorded_calendar
        from district.database import engine

        with engine().connect() as connection:
            recorded = recorded_calendar(connection)
    print_calendar(date.date() if date else None, calendar=recorded)


@app.command()
@_plain_errors
def rehearse(night: _NIGHT = None) -> None:
    """Import next year's extracts from the drop folder's next_year/ beside the current year, and show the readiness."""
    from district.report import print_run
    from district.rollover.rehearsal import rehearsal_key
    from district.rollover.rehearsal import rehearse as import_next_year
    from district.rollover.show import print_readiness
    from district.rollover.telling import tell_readiness

    chosen = night.date() if night else settings().district.today()
    run_key = f"cli-{uuid.uuid4()}"
    for run in import_next_year(chosen, run_key=run_key):
        print_run(find_dataset(run.dataset, settings().dags_folder), rehearsal_key(run_key))
    print_readiness(tell_readiness(chosen))


@app.command()
@_plain_errors
def readiness(
    year: Annotated[int, typer.Option(help="The school year, by the year it ends in; else the rehearsed one.")] = 0,
    night: _NIGHT = None,
) -> None:
    """Show how ready each school is for the next school year, and what is missing."""
    from district.database import engine
    from district.rollover.readiness import assess
    from district.rollover.rehearsal import rehearsed_year
    from district.rollover.show import print_readiness

    chosen = night.date() if night else settings().district.today()
    with engine().connect() as connection:
        found = assess(connection, year or rehearsed_year(connection, chosen).end_year, chosen)
    print_readiness(found)


@app.command()
@_plain_errors
def turn_year(
    year: Annotated[int, typer.Argument(help="The school year that begins, by the year it ends in.")],
    person: Annotated[str, typer.Option(help="Who decides: a name among `people` in the district's settings file.")],
    reason: Annotated[str, typer.Option(help="Who said that it begins, and what is still missing. Name no student.")],
    night: _NIGHT = None,
    although_not_ready: Annotated[
        bool, typer.Option("--although-not-ready", help="Turn it below the readiness that is asked for.")
    ] = False,
) -> None:
    """Make a rehearsed school year the current one, from its first day on; no row is changed."""
    from district.rollover.turning import turn_year as turn

    role = settings().district.role_of(person, DATA_PERSON)
    chosen = night.date() if night else settings().district.today()
    found = turn(year, night=chosen, person=person, role=role, reason=reason, although_not_ready=although_not_ready)
    typer.echo(f"{person} ({role}): school year {year} begins on {chosen}, {found.score:.0%} ready.")


@app.command()
@_plain_errors
def migrate() -> None:
    """Bring the import log's tables to the newest revision; safe to repeat."""
    from district.database import migrate as run_migrations

    run_migrations()
    typer.echo("The import log is at the newest revision.")


@app.command()
@_plain_errors
def generate(
    folder: Annotated[Path, typer.Argument(file_okay=False, help="Where to write the synthetic district.")],
    size: Annotated[str, typer.Option(help="small, medium, large, very_large or a number of students.")] = "small",
    seed: Annotated[int, typer.Option(help="The same seed writes the same bytes.")] = 1,
    nights: Annotated[int, typer.Option(min=1, help="How many nights of extracts.")] = 2,
    first_night: Annotated[
        datetime.datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="An instructional day; a quarter into the year if left out."),
    ] = None,
    mishap: Annotated[
        list[str] | None,
        typer.Option(help="What goes wrong in a school on one night, as night:kind:school; may be repeated."),
    ] = None,
    rollover: Annotated[
        float | None, typer.Option(help="Instead: the year's end and the next year's extracts, so far ready (0 to 1).")
    ] = None,
) -> None:
    """Write a synthetic district's extracts, its truth, and expected.json."""
    from district.synthetic import Mishap, generate_rollover
    from district.synthetic import generate as write_district

    chosen: str | int = int(size) if size.isdigit() else size
    try:
        if rollover is not None:
            generate_rollover(folder, size=chosen, seed=seed, readiness=rollover)
            typer.echo(f"Wrote a year's end and the next year ({size}, seed {seed}) to {folder}.")
            return
        write_district(
            folder,
            size=chosen,
            seed=seed,
            nights=nights,
            first_night=first_night.date() if first_night else None,
            mishaps=tuple(Mishap.read(text) for text in mishap or ()),
        )
    except ValueError as error:
        typer.secho(str(error), fg="red", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"Wrote {nights} nights of a synthetic district ({size}, seed {seed}) to {folder}.")


@app.command()
@_plain_errors
def demo(
    exit_after: Annotated[
        bool, typer.Option("--exit", help="Stop after the table instead of leaving the UI up.")
    ] = False,
    size: Annotated[str, typer.Option(help="small, medium, large or a number of students.")] = "small",
) -> None:
    """Run two nights of a synthetic district through a real Airflow and PostgreSQL."""
    from district.demo.runner import run_demo

    raise typer.Exit(run_demo(exit_after=exit_after, size=int(size) if size.isdigit() else size))


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
    _say_held(run, preview=preview)


def _check_aside(dataset: Dataset, partition: str) -> None:
    """By hand nobody is asked at a semester change, and a blackout has a reason: who loads all the same must say so."""
    from district.extract.arriving import night_of
    from district.run import Aside
    from district.semester_change.nights import check_calendar

    try:
        steps_aside = dataset.partition == "night"
        check_calendar(dataset, night_of(dataset, partition), kind="import", steps_aside=steps_aside)
    except Aside as aside:
        typer.secho(f"Aside: {aside}", fg="red", err=True)
        typer.echo("Nothing was imported. To load this file without those steps, add --although-aside.", err=True)
        raise typer.Exit(1) from None


def _say_held(run: RunSummary, *, preview: bool = False) -> None:
    if run.reason:
        typer.secho(f"{'Would be held' if preview else 'Held'}: {run.reason}", fg="red", err=True)
        raise typer.Exit(1)


def main() -> None:
    """The console script."""
    app(prog_name="district")


if __name__ == "__main__":
    main()
