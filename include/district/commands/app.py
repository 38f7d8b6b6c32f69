"""The command's frame: what its parts share, and how errors are told."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from district.catalog import UnknownDataset
from district.dataset import DatasetError
from district.layout import LayoutError
from district.partitions import UnknownPartition
from district.run import ImportStopped, NotAllowed, RunSummary
from district.settings import SettingsError

_SLIPS = (ImportStopped, NotAllowed, SettingsError, DatasetError, LayoutError, UnknownDataset, UnknownPartition)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
LONGEST_NAME = 200
"""Characters of the name of a data set or of a rule."""


def check_name(name: str) -> str:
    """The name of a data set or a rule as it was typed, whether or not there is one of that name.

    Raises:
        BadParameter: it is too long for a file's name, or holds bytes that no table can compare.
    """
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise typer.BadParameter(f"a name has at most {LONGEST_NAME} characters, all of them printable.")
    return name


FILE = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="The extract to read.")]
DATASET = Annotated[str, typer.Argument(callback=check_name, help="The data set's name, such as enrollment.")]
LAYOUT = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="A layout file (YAML) in place of the data set's own.")
]
PERSON = Annotated[str, typer.Option(help="Who decides: a name among `people` in the district's settings file.")]
RUN = Annotated[int, typer.Argument(help="The run's number, as `district holds` tells it.")]
PARTITION = Annotated[str, typer.Option(help="Night (YYYY-MM-DD; today's if left out), or administration.")]
NIGHT = Annotated[
    datetime.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="As of this night; today's if left out.")
]


def plain_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a person can mend is said in a sentence and exit status 1, never as a traceback."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except _SLIPS as error:
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


def say_held(run: RunSummary, *, preview: bool = False) -> None:
    """Says why a run that came to its end did not load everything, with exit status 1."""
    if run.reason:
        typer.secho(f"{'Would be held' if preview else 'Held'}: {run.reason}", fg="red", err=True)
        raise typer.Exit(1)
