"""The data sets that the calendar names: each must be one, and no window may turn its gate off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from district.calendar.model import MOST_SCALE, CalendarRules, Shares
from district.catalog import UnknownDataset, find_dataset
from district.dataset import Dataset, DatasetError, Gate
from district.settings import SettingsError, settings


def check_named(importing: Dataset | None = None) -> None:
    """Looks at every data set that the settings file's blackouts and strictness windows name.

    It takes the DAG files to know them, so that reading the settings cannot do it; ``importing`` needs no other file.

    Raises:
        SettingsError: there is no data set of that name, or a share is looser than its gate may become.
        DatasetError: the name is unknown, and may stand in a DAG file that is broken.
    """
    config = settings()
    for place, name, shares in _named(config.district.calendar):
        try:
            dataset = importing if importing and importing.name == name else _find(name, config.dags_folder)
        except UnknownDataset as slip:
            raise SettingsError(f"{config.file}: {place}: {slip}") from None
        if dataset and shares:
            _check_shares(f"{config.file}: {place}.{name}", shares, dataset.gate)


def _named(rules: CalendarRules) -> Iterator[tuple[str, str, Shares | None]]:
    for number, blackout in enumerate(rules.blackouts):
        for name in blackout.datasets:
            yield f"calendar.blackouts.{number}.datasets", name, None
    for number, window in enumerate(rules.strictness):
        for name, shares in window.gates.items():
            yield f"calendar.strictness.{number}.gates", name, shares


def _find(name: str, folder: Path) -> Dataset | None:
    """The data set; None where its own file is broken, which stops that data set alone."""
    try:
        return find_dataset(name, folder)
    except DatasetError:
        if (folder / f"{name}.py").is_file():
            return None
        raise


def _check_shares(place: str, shares: Shares, gate: Gate) -> None:
    for name, share in shares.model_dump(exclude_none=True).items():
        most = round(MOST_SCALE * getattr(gate, name), 6)
        if share > most:
            raise SettingsError(
                f"{place}.{name}: {share:g} is more than {most:g}, {MOST_SCALE:g} times what the data set's own gate "
                "says. To change a gate for good, change it in the data set's DAG file."
            )
