"""What people decide: about what is held, at a semester change, and to undo a load."""

from __future__ import annotations

import datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from district.catalog import find_dataset
from district.commands.app import DATASET, PERSON, RUN, app, check_name, plain_errors, say_held
from district.settings import roles_for, settings


class Choice(StrEnum):
    """What a person may decide about what a run holds."""

    approve = "approve"
    reject = "reject"
    without = "without"


class Confirming(StrEnum):
    """What a second person may say about a semester change."""

    approve = "approve"
    reject = "reject"


@app.command()
@plain_errors
def holds() -> None:
    """Show what waits for a person's decision: the reasons, and what would change in each school."""
    from district.report import print_waiting

    print_waiting()


@app.command()
@plain_errors
def decide(
    dataset: DATASET,
    run: RUN,
    choice: Annotated[Choice, typer.Argument(help="What is to become of it.")],
    shown: Annotated[str, typer.Option(help="The mark of what you have looked at, as `district holds` tells it.")],
    person: PERSON,
    reason: Annotated[str, typer.Option(help="Why; it is kept with the name. Name no student.")],
) -> None:
    """Decide about what a run holds; `district release` then loads what is approved."""
    from district.review.decisions import decide as record

    known = find_dataset(dataset, settings().dags_folder)
    role = settings().district.role_of(person, roles_for(known.owner))
    record(known, run, shown=shown, choice=choice.value, person=person, role=role, reason=reason)
    then = "Nothing more is loaded." if choice is Choice.reject else f"Now run `district release {dataset} {run}`."
    typer.echo(f"{person} ({role}): {choice.value}. {then}")


@app.command()
@plain_errors
def release(dataset: DATASET, run: RUN) -> None:
    """Load what a run held and a person has approved since, and show what came of it."""
    from district import pipeline
    from district.report import print_run
    from district.review.decisions import run_key_of
    from district.run import release_key

    known = find_dataset(dataset, settings().dags_folder)
    run_key = run_key_of(known, run)
    summary = pipeline.release(known, run_key=run_key)
    print_run(known, release_key(run_key))
    say_held(summary)


@app.command()
@plain_errors
def acknowledge(
    dataset: DATASET,
    rule: Annotated[
        str, typer.Argument(callback=check_name, help="The warning's rule, as `district status` tells it.")
    ],
    person: PERSON,
    reason: Annotated[str, typer.Option(help="Why these rows may load as they are. Name no student.")],
    until: Annotated[datetime.datetime, typer.Option(formats=["%Y-%m-%d"], help="The last night on which it counts.")],
    ceiling: Annotated[int, typer.Option(help="Up to so many rows: those that you have looked at, or some more.")],
) -> None:
    """Say that a warning is known, until a day and up to a number of rows; a semester change asks for it."""
    from district.review.acknowledgements import acknowledge as record

    known = find_dataset(dataset, settings().dags_folder)
    role = settings().district.role_of(person, roles_for(known.owner))
    about: dict[str, Any] = {"person": person, "role": role, "reason": reason}
    record(known, rule, expires_on=until.date(), ceiling=ceiling, **about)
    typer.echo(f"{person} ({role}): {rule} is known until {until.date()}, for up to {ceiling:,} rows.")


@app.command()
@plain_errors
def confirm(
    dataset: DATASET,
    run: RUN,
    choice: Annotated[Confirming, typer.Argument(help="Whether it may load.")],
    person: PERSON,
    reason: Annotated[str, typer.Option(help="What you have compared it with, or why not. Name no student.")],
    shown: Annotated[str, typer.Option(help="The mark of what you have looked at; without it, you are shown.")] = "",
) -> None:
    """Confirm a semester change as the second person; clear its task `confirm` in Airflow, and it loads."""
    from district.review.decisions import run_key_of
    from district.run import NotAllowed
    from district.semester_change.confirmation import confirm as record
    from district.semester_change.confirmation import confirming_role
    from district.semester_change.question import change_as_markdown, pending

    known = find_dataset(dataset, settings().dags_folder)
    waiting = pending(known, run_key_of(known, run))
    if waiting is None:
        raise NotAllowed(f"Nothing of {dataset} waits for a confirmation in run {run}.")
    if not shown:
        typer.echo(f"{change_as_markdown(waiting)}\n\nTo answer this, add `--shown {waiting.shown}`.")
        raise typer.Exit(1)
    role = confirming_role(person, known)
    record(known, run, choice=choice.value, shown=shown, person=person, role=role, reason=reason)
    typer.echo(f"{person} ({role}): {choice.value}.")


@app.command()
@plain_errors
def undo(
    run: Annotated[int, typer.Argument(help="The number of the run, as `district status` gives it.")],
    person: PERSON,
    reason: Annotated[str, typer.Option(help="Why; it stands in the digest, so name no child.")],
    keep_later: Annotated[
        bool, typer.Option("--keep-later", help="Leave the rows that later loads touched, and undo the others.")
    ] = False,
) -> None:
    """Undo a load: the rows that it changed become what they were before it."""
    from district.load.undo import dataset_of
    from district.load.undo import undo as take_back

    known = find_dataset(dataset_of(run), settings().dags_folder)
    role = settings().district.role_of(person, roles_for(known.owner))
    typer.echo(take_back(known, run, person=person, role=role, reason=reason, keep_later=keep_later).told)
