"""The real import of a synthetic district's nights and past administrations says what the generator foretold."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import text

from district.catalog import read_datasets
from district.database import engine
from district.dataset import Dataset
from district.pipeline import extract, finish, load, validate
from district.run import RunSummary
from district.settings import settings
from district.synthetic import Mishap, generate, generate_rollover
from district.synthetic.fate import SCHOOL_COUNTS
from mailing import mail_server, subjects

COUNTS = ("rejected", "superseded", "warnings", "inserted", "updated", "unchanged", "withdrawn", "held", "state")


@pytest.fixture
def drop(district_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty drop folder, beside an empty database."""
    folder = tmp_path / "drop"
    folder.mkdir()
    monkeypatch.setenv("DISTRICT_DROP_FOLDER", str(folder))
    monkeypatch.setenv("DISTRICT_LANDED_FOLDER", str(tmp_path / "landed"))
    monkeypatch.setenv("DISTRICT_STABLE_SECONDS", "0")
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


def by_school(summary: RunSummary) -> dict[str, dict[str, Any]]:
    """What the import log says of each school, as expected.json writes it."""
    query = text("select * from import_log.school_change where import_run_id = :run")
    with engine().connect() as connection:
        rows = connection.execute(query, {"run": summary.id}).mappings()
        return {row["school_id"]: {name: row[name] for name in (*SCHOOL_COUNTS, "held")} for row in rows}


def quarantined(summary: RunSummary) -> set[int]:
    query = text("select source_line from import_log.quarantined_row where import_run_id = :run")
    with engine().connect() as connection:
        return set(connection.execute(query, {"run": summary.id}).scalars())


@pytest.mark.parametrize(("seed", "nights"), [(1, 2), (2, 4)])
def test_the_import_finds_what_was_hidden(drop: Path, tmp_path: Path, seed: int, nights: int) -> None:
    generate(tmp_path / "district", size="small", seed=seed, nights=nights)
    import_as_foretold(tmp_path / "district", drop)


def test_the_nights_of_a_change_of_term_import_as_foretold(drop: Path, tmp_path: Path) -> None:
    year = max(settings().district.school_years, key=lambda each: each.end_year)
    generate(tmp_path / "district", seed=3, nights=3, first_night=year.terms[0].end)
    import_as_foretold(tmp_path / "district", drop)


def test_schools_with_a_mishap_are_held_for_a_night(drop: Path, tmp_path: Path) -> None:
    mishaps = tuple(Mishap.read(text) for text in ("2:lunch_code_typo:0103", "2:half_missing:0101"))
    generate(tmp_path / "district", nights=3, mishaps=mishaps)
    with mail_server(tmp_path / "mail") as mail:
        import_as_foretold(tmp_path / "district", drop)
    # The data sets that wait for enrollment hold the same schools, and ask nobody.
    assert subjects(mail) == ["enrollment of 2026-10-19: loaded, and 2 schools are held"]


def test_the_end_of_a_year_imports_as_foretold(drop: Path, tmp_path: Path) -> None:
    generate_rollover(tmp_path / "district", seed=4)
    import_as_foretold(tmp_path / "district", drop)


def test_the_next_year_imports_whole_once_its_calendar_is_there(
    drop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new kindergartners' missing state ids are all that there is to say of it."""
    expected = generate_rollover(tmp_path / "district")
    folder = tmp_path / "district" / "next_year"
    content = yaml.safe_load(settings().file.read_text())
    for name, added in yaml.safe_load(next(folder.glob("*.yaml")).read_text()).items():
        content[name] += added
    (tmp_path / "district.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.setenv("DISTRICT_FILE", str(tmp_path / "district.yaml"))
    settings.cache_clear()
    shutil.copy(next(folder.glob("enrollment_*.csv")), drop)
    first_day = str(content["school_years"][-1]["first_day"])
    summary = imported(read_datasets(settings().dags_folder)["enrollment"], first_day, "next year")
    without = sum(school["without_state_id"] for school in expected["schools"].values())
    assert found(summary)["issues"] == {"enrollment.state_id_missing": ("warning", without)}
    assert (summary.inserted, summary.rejected) == (summary.read, 0)


def import_as_foretold(district: Path, drop: Path) -> None:
    """Imports the nights and the past administrations; each run must be as expected.json says."""
    expected = json.loads((district / "expected.json").read_text())
    datasets = read_datasets(settings().dags_folder)
    both = {**expected["nights"], **expected["past"]}
    for key, name, run in [(key, name, run) for key, runs in both.items() for name, run in runs.items()]:
        for older in drop.iterdir():
            older.unlink()
        shutil.copy(district / run["folder"] / run["file"], drop)
        summary = imported(datasets[name], run["partition"], f"{key}-{name}")
        issues = {rule: (issue["severity"], issue["count"]) for rule, issue in run["issues"].items()}
        assert found(summary) == {"table": run["table"], "issues": issues}, (key, name)
        if "schools" in run:
            assert by_school(summary) == run["schools"], (key, name)
        hidden = {
            line
            for each in expected["defects"]
            if (each["night"], each["dataset"], each["verdict"]) == (key, name, "REJECT")
            for line in (each["line"], each.get("second_line", each["line"]))
        }
        assert hidden <= quarantined(summary), (key, name)
