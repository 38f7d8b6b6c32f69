"""One DAG file and one suite make a fifth data set: it is imported, logged and told of, and nothing else is edited."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from samples import all_datasets, bad_sample, good_samples, import_sample
from sqlalchemy import select

from district import pipeline
from district.database import engine
from district.notify.mail import queue_digest
from district.settings import settings
from district.tables import import_issue, import_run, mail
from parsing import PROJECT, parse

FIFTH = Path(__file__).parent / "fifth"


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the folders that a district edits, with the fifth data set's two files dropped in."""
    for folder in ("dags", "expectations", "include/layouts", "include/crosswalks", "include/sample"):
        shutil.copytree(PROJECT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
        name = f"DISTRICT_{Path(folder).name.upper()}_FOLDER"
        if folder != "include/sample":
            monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.setenv("DISTRICT_LANDED_FOLDER", str(tmp_path / "landed"))
    shutil.copy(FIFTH / "programs.py", tmp_path / "dags")
    shutil.copy(FIFTH / "programs.json", tmp_path / "expectations")
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def test_it_is_small(capsys: pytest.CaptureFixture[str]) -> None:
    lines = {name: len((FIFTH / name).read_text().splitlines()) for name in ("programs.py", "programs.json")}
    with capsys.disabled():
        sys.stdout.write(
            f"\nA fifth data set: {lines['programs.py']} lines of DAG file, {lines['programs.json']} of suite\n"
        )
    assert lines["programs.py"] <= 35
    assert lines["programs.json"] <= 35


def test_airflow_reads_it_and_makes_it_wait_for_its_parent(copy: Path) -> None:
    parsed = parse(copy / "dags" / "programs.py", copy)
    assert parsed.errors == {}
    assert sorted(parsed.ids) == ["programs", "programs_semester_change"]
    dag, change = sorted(parsed.dags, key=lambda each: each["dag_id"])
    assert set(dag["tasks"]) == {"extract", "validate", "load", "notify", "review", "release"}
    assert set(change["tasks"]) - set(dag["tasks"]) == {"acknowledge", "confirm"}
    assert [each["label"] for each in dag["serialized"]["dag"]["dag_dependencies"] if each["target"] == "programs"] == [
        "enrollment"
    ]


def test_it_is_imported_logged_and_told_of(district_database: str, copy: Path) -> None:
    settings.cache_clear()
    shutil.copy(FIFTH / "programs.2026-05-20.bad.csv", copy / "programs_20260520.csv")
    datasets = all_datasets()
    parent = good_samples(datasets["enrollment"])[0]
    import_sample(parent, "night")
    programs = datasets["programs"]
    run = pipeline.extract(programs, partition=parent.partition, run_key="night", file=copy / "programs_20260520.csv")
    pipeline.validate(programs, run_key="night")
    run = pipeline.load(programs, run_key="night")
    assert (run.state, run.read, run.inserted, run.rejected) == ("loaded", 3, 1, 2)
    with engine().begin() as connection:
        logged = connection.execute(select(import_run).where(import_run.c.dataset == "programs")).one()
        issues = set(connection.execute(select(import_issue.c.rule_id)).scalars())
        assert queue_digest(connection, logged.night) == 2
        digest = connection.execute(select(mail.c.body_text)).scalar_one()
    assert issues == {"programs.end_before_begin", "programs.parent.enrollment"}
    assert "programs" in digest
    assert "Program ends before it begins" in digest


def test_it_is_asked_for_its_samples(copy: Path) -> None:
    programs = all_datasets()["programs"]
    wanted = "Data set programs lacks include/sample/programs.<night as YYYY-MM-DD>"
    with pytest.raises(AssertionError, match=re.escape(f"{wanted}.csv: a few synthetic rows")):
        good_samples(programs)
    with pytest.raises(AssertionError, match=re.escape(f"{wanted}.bad.csv: for each rule of its suite a row")):
        bad_sample(programs)


def test_standard_tests_cover_it(copy: Path) -> None:
    for sample in FIFTH.glob("programs.*.*"):
        shutil.copy(sample, copy / "include" / "sample")
    standard = str(Path(__file__).parent / "test_datasets.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", standard, "-q", "-k", "programs", "-p", "no:cacheprovider", "-W", "ignore"],
        cwd=PROJECT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(r"^1\d passed", done.stdout, re.MULTILINE)
