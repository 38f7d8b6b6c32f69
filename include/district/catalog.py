"""The catalog: which data sets there are, read from the DAG files; nothing else lists them."""

from __future__ import annotations

import difflib
import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from district.dataset import Dataset, DatasetError
from district.settings import PROJECT


class UnknownDataset(ValueError):
    """No DAG file declares a data set of that name."""


def read_datasets(folder: Path) -> dict[str, Dataset]:
    """Every data set that a file of the folder declares, by name.

    Raises:
        DatasetError: a file is broken; names the file.
    """
    found: dict[str, Dataset] = {}
    for path in sorted(folder.glob("*.py")):
        for dataset in _declared(path):
            if dataset.name in found and found[dataset.name] != dataset:
                message = f"Data set {dataset.name} is declared in {path.name} and in another file; rename one."
                raise DatasetError(message)
            found[dataset.name] = dataset
    return found


def importable_datasets(folder: Path) -> dict[str, Dataset]:
    """Every data set that stands in the file of its name, as Airflow has it; a slip in a file stops that one alone."""
    found: dict[str, Dataset] = {}
    for path in sorted(folder.glob("*.py")):
        with suppress(DatasetError):
            found |= {dataset.name: dataset for dataset in _declared(path) if dataset.name == path.stem}
    return found


def find_dataset(name: str, folder: Path) -> Dataset:
    """The data set of that name; UnknownDataset lists what there is.

    It stands in the file of its name, so that a slip in another file stops only that one.
    """
    own = folder / f"{name}.py"
    if name.isidentifier() and own.is_file():
        for dataset in _declared(own):
            if dataset.name == name:
                return dataset
    datasets = read_datasets(folder)
    if name not in datasets:
        near = difflib.get_close_matches(name, datasets, n=1)
        hint = f" Is {near[0]} meant?" if near else ""
        raise UnknownDataset(f"There is no data set {name}; there are {', '.join(datasets) or 'none'}.{hint}")
    return datasets[name]


def _declared(path: Path) -> list[Dataset]:
    try:
        with _without_airflow():
            content = runpy.run_path(str(path))
    except DatasetError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a broken file is named, whatever is wrong in it
        command = f"{_from_project(Path(sys.executable))} {_from_project(path)}"
        raise DatasetError(
            f"{path.name} cannot be read ({type(error).__name__}); in the project's folder, `{command}` shows why."
        ) from None
    return [value for value in content.values() if isinstance(value, Dataset)]


def _from_project(path: Path) -> Path:
    return path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path


@contextmanager
def _without_airflow() -> Iterator[None]:
    """Lets a DAG file run with nothing behind ``district_airflow``: a Dataset needs no Airflow, which takes seconds."""

    class Nothing(ModuleType):
        def __getattr__(self, name: str) -> Any:
            return lambda *_, **__: None

    name = "district_airflow"
    real = sys.modules.get(name)
    sys.modules[name] = Nothing(name)
    try:
        yield
    finally:
        if real is None:
            del sys.modules[name]
        else:
            sys.modules[name] = real
