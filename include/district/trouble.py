"""Trouble: why a step stopped goes to the run's row, and nothing that could hold a value of a row goes any further."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from district import import_log
from district.catalog import UnknownDataset
from district.database import clean_error, engine
from district.dataset import Dataset, DatasetError
from district.layout import LayoutError
from district.run import ImportStopped
from district.settings import SettingsError

SLIPS = (DatasetError, LayoutError, SettingsError, UnknownDataset)
"""About what people have declared, and written for them."""


@contextmanager
def recorded(dataset: Dataset, run_key: str) -> Iterator[None]:
    """Lets only ImportStopped out, once the run's row says the same.

    Raises:
        ImportStopped: whatever else was raised, in words for people.
    """
    try:
        yield
    except ImportStopped as stopped:
        _record(dataset, run_key, stopped)
        raise
    except SLIPS as slip:
        failure = ImportStopped(str(slip))
    except Exception as error:  # noqa: BLE001 - any exception may quote a row; only its kind goes on
        failure = ImportStopped(f"{dataset.name}: {_explained(error)}")
    else:
        return
    _record(dataset, run_key, failure)
    raise failure from None


def _explained(error: Exception) -> str:
    if isinstance(error, SQLAlchemyError):
        return f"the database failed with {clean_error(error)}. Nothing was half loaded; clear the task to try again."
    if isinstance(error, OSError) and error.errno:
        what = f"a file or folder cannot be used ({os.strerror(error.errno)}). Nothing was half loaded; "
        return what + "look at the space and rights of the drop and landed folders, then clear the task."
    return f"{place_of(error)}. Nothing was half loaded; please report this fault."


def place_of(error: BaseException) -> str:
    """An exception's kind and the line of ours where it arose, never its text: that may quote a row."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/district" in frame.filename]
    last = frames[-1] if frames else None
    return clean_error(error) + (f" in {Path(last.filename).name}, line {last.lineno}" if last else " in a library")


def _record(dataset: Dataset, run_key: str, stopped: ImportStopped) -> None:
    try:
        with engine().begin() as connection:
            run = import_log.find_run(connection, dataset, run_key, locked=True)
            if run is not None and run.state not in ("loaded", "undone"):
                reason = {"state": stopped.state, "reason": str(stopped), "rule_id": stopped.rule_id}
                import_log.update_run(connection, run.id, **reason)
    except (SQLAlchemyError, SettingsError):
        # The database is what failed: Airflow's retry, or `finish`, records it once it is back.
        return
