"""A night's expected and real runs, and the table that sets one beside the other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from rich import box
from rich.table import Table

COUNTS = ("read", "rejected", "warnings", "inserted", "updated", "unchanged", "withdrawn")
HEADINGS = {"read": "processed"}
STATE_STYLES = {"loaded": "green", "unchanged": "green", "held": "yellow", "blocked": "yellow"}


@dataclass(frozen=True, kw_only=True)
class NightRun:
    """One data set's import of a night, as the table shows it."""

    dataset: str
    partition: str
    state: str
    read: int = 0
    rejected: int = 0
    warnings: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    withdrawn: int = 0


@dataclass(frozen=True, kw_only=True)
class Night:
    """What a night brings: its date, the folder with its extracts, and the run each data set should make of it."""

    night: str
    folder: Path
    expected: tuple[NightRun, ...]


def read_nights(district: Path) -> list[Night]:
    """The nights of a generated district: ``expected.json`` and ``night_1/``, ``night_2/``, ..."""
    content = json.loads((district / "expected.json").read_text(encoding="utf-8"))
    return [
        Night(
            night=night,
            folder=district / f"night_{number}",
            expected=tuple(
                NightRun(
                    dataset=dataset,
                    partition=run["partition"],
                    state=run["table"]["state"],
                    **{name: run["table"][HEADINGS.get(name, name)] for name in COUNTS},
                )
                for dataset, run in runs.items()
            ),
        )
        for number, (night, runs) in enumerate(content["nights"].items(), start=1)
    ]


def read_runs(database_url: str, run_keys: Mapping[str, str]) -> list[NightRun]:
    """What the import log says of runs, given as data set and run key; a data set without a run is left out."""
    from sqlalchemy import NullPool, create_engine, text

    names = ", ".join(field.name for field in fields(NightRun))
    engine = create_engine(database_url, poolclass=NullPool)
    query = text(f"select {names} from import_log.import_run where dataset = :dataset and run_key = :key order by id")
    with engine.connect() as connection:
        rows = [
            connection.execute(query, {"dataset": dataset, "key": key}).mappings().all()
            for dataset, key in run_keys.items()
        ]
    return [NightRun(**found[-1]) for found in rows if found]


def differences(expected: Sequence[NightRun], real: Sequence[NightRun]) -> list[str]:
    """Each cell in which the real table is not the expected one; empty when it is."""
    found = {run.dataset: run for run in real}
    wrong = []
    for wanted in expected:
        run = found.pop(wanted.dataset, None)
        if run is None:
            wrong.append(f"{wanted.dataset}: there is no run in the import log")
            continue
        for name in ("state", *COUNTS):
            if getattr(run, name) != getattr(wanted, name):
                heading = HEADINGS.get(name, name)
                wrong.append(f"{run.dataset}: {heading} is {getattr(run, name)}, expected {getattr(wanted, name)}")
    return wrong + [f"{name}: not expected this night" for name in found]


def night_table(night: str, runs: Sequence[NightRun]) -> Table:
    """The table that people look at."""
    others = [f"{run.dataset}: {run.partition}" for run in runs if run.partition != night]
    table = Table(title=f"Night of {night}", caption="; ".join(others), box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.title_justify = table.caption_justify = "left"
    table.title_style = "bold"
    table.add_column("data set", no_wrap=True)
    for name in COUNTS:
        table.add_column(HEADINGS.get(name, name), justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for run in runs:
        style = STATE_STYLES.get(run.state, "red")
        table.add_row(run.dataset, *(f"{getattr(run, each):,}" for each in COUNTS), f"[{style}]{run.state}[/]")
    return table
