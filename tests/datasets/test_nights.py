"""The real import of a synthetic district's nights and past administrations says what the generator foretold."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from district.catalog import read_datasets
from district.database import engine
from district.dataset import Dataset
from district.pipeline import extract, finish, load, validate
from district.run import RunSummary
from district.settings import settings
from district.synthetic import generate

COUNTS = ("rejected", "superseded", "warnings", "inserted", "updated", "unchanged", "withdrawn", "state")


@pytest.fixture
def drop(district_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty drop folder, beside an empty database."""
    folder = tmp_path / "drop"
    folder.mkdir()
    monkeypatch.setenv("DISTRICT_DROP_FOLDER", str(folder))
    monkeypatch.setenv("DISTRICT_LANDED_FOLDER", str(tmp_path / "landed"))
    monkeypatch.setenv("DISTRICT_STABLE_SECONDS", "0")
    monkeypatch.setenv("DISTRICT_FIRST_LOAD", "load")
    settings.cache_clear()
    return folder


def imported(dataset: Dataset, partition: str, run_key: str) -> RunSummary:
    extract(dataset, partition=partition, run_key=run_key)
    validate(dataset, run_key=run_key)
    load(dataset, run_key=run_key)
    return finish(dataset, partition=partition, run_key=run_key)


def found(summary: RunSummary) -> dict[str, Any]:
    """The run table and the issues, as expected.json writes them."""
    query = text(
        "select rule_id, severity, sum(rows) from import_log.import_issue where import_run_id = :run group by 1, 2"
    )
    with engine().connect() as connection:
        issues = {
            rule: (severity, int(rows)) for rule, severity, rows in connection.execute(query, {"run": summary.id})
        }
    table = {name: getattr(summary, name) for name in COUNTS}
    return {"table": {"processed": summary.read, **table}, "issues": issues}


def quarantined(summary: RunSummary) -> set[int]:
    query = text("select source_line from import_log.quarantined_row where import_run_id = :run")
    with engine().connect() as connection:
        return set(connection.execute(query, {"run": summary.id}).scalars())


@pytest.mark.parametrize(("seed", "nights"), [(1, 2), (2, 4)])
def test_the_import_finds_what_was_hidden(drop: Path, tmp_path: Path, seed: int, nights: int) -> None:
    district = tmp_path / "district"
    generate(district, size="small", seed=seed, nights=nights)
    expected = json.loads((district / "expected.json").read_text())
    datasets = read_datasets(settings().dags_folder)
    deliveries = [
        (key, f"night_{number}", dataset, run)
        for number, (key, runs) in enumerate(expected["nights"].items(), start=1)
        for dataset, run in runs.items()
    ]
    deliveries += [
        (key, "past", "state_assessments", runs["state_assessments"]) for key, runs in expected["past"].items()
    ]
    for key, folder, name, run in deliveries:
        for older in drop.iterdir():
            older.unlink()
        shutil.copy(district / folder / run["file"], drop)
        summary = imported(datasets[name], run["partition"], f"{key}-{name}")
        issues = {rule: (issue["severity"], issue["count"]) for rule, issue in run["issues"].items()}
        table = {count: run["table"][count] for count in ("processed", *COUNTS)}
        assert found(summary) == {"table": table, "issues": issues}, (key, name)
        hidden = {
            line
            for each in expected["defects"]
            if (each["night"], each["dataset"], each["verdict"]) == (key, name, "REJECT")
            for line in (each["line"], each.get("second_line", each["line"]))
        }
        assert hidden <= quarantined(summary), (key, name)
