"""Running it: what became of the nights, mails, migrations, the synthetic district and the demo."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated

import typer

from district.commands.app import app, check_name, plain_errors


@app.command()
@plain_errors
def status(
    dataset: Annotated[
        str, typer.Argument(callback=check_name, help="One data set, with all its errors and warnings; else all.")
    ] = "",
    nights: Annotated[int, typer.Option(help="How many nights back, for each data set.", min=1)] = 1,
) -> None:
    """Show the newest run of each data set, or one data set's with every error and warning."""
    from district.report import print_status

    print_status(nights, dataset)


@app.command()
@plain_errors
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
@plain_errors
def migrate() -> None:
    """Bring the import log's tables to the newest revision; safe to repeat."""
    from district.database import migrate as run_migrations

    run_migrations()
    typer.echo("The import log is at the newest revision.")


@app.command()
@plain_errors
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
@plain_errors
def demo(
    exit_after: Annotated[
        bool, typer.Option("--exit", help="Stop after the table instead of leaving the UI up.")
    ] = False,
    size: Annotated[str, typer.Option(help="small, medium, large or a number of students.")] = "small",
) -> None:
    """Run two nights of a synthetic district through a real Airflow and PostgreSQL."""
    from district.demo.runner import run_demo

    raise typer.Exit(run_demo(exit_after=exit_after, size=int(size) if size.isdigit() else size))
