"""The calendar and the turn of the school year."""

from __future__ import annotations

import datetime
import uuid
from typing import Annotated

import typer

from district.catalog import find_dataset
from district.commands.app import NIGHT, PERSON, app, plain_errors
from district.settings import DATA_PERSON, settings


@app.command()
@plain_errors
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
@plain_errors
def rehearse(night: NIGHT = None) -> None:
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
@plain_errors
def readiness(
    year: Annotated[int, typer.Option(help="The school year, by the year it ends in; else the rehearsed one.")] = 0,
    night: NIGHT = None,
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
@plain_errors
def turn_year(
    year: Annotated[int, typer.Argument(help="The school year that begins, by the year it ends in.")],
    person: PERSON,
    reason: Annotated[str, typer.Option(help="Who said that it begins, and what is still missing. Name no student.")],
    night: NIGHT = None,
    although_not_ready: Annotated[
        bool, typer.Option("--although-not-ready", help="Turn it below the readiness that is asked for.")
    ] = False,
) -> None:
    """Make a rehearsed school year the current one, from its first day on; no row is changed."""
    from district.rollover.turning import turn_year as turn

    role = settings().district.role_of(person, [DATA_PERSON])
    chosen = night.date() if night else settings().district.today()
    found = turn(year, night=chosen, person=person, role=role, reason=reason, although_not_ready=although_not_ready)
    typer.echo(f"{person} ({role}): school year {year} begins on {chosen}, {found.score:.0%} ready.")
