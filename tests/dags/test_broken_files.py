"""One broken file in dags/ is an import error of its own and takes no other DAG down: Airflow's real processor."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from parsing import DAGS, ENVIRONMENT, parse

GOOD = ("enrollment", "attendance")
DATASET = """
from district import Column, Dataset, Files, Parent
from district_airflow import import_dag
dag = import_dag(Dataset(name="{name}", extract=Files("x.csv"), key=("a", "b"), scope=("b",), {more}
    columns=(Column("a"), Column("b"))), schedule={schedule})
"""
BROKEN = {
    "bad_import": "import airflow, no_such_module\ndag = None",
    "bad_syntax": "from district_airflow import import_dag\ndag = (",
    "exits": "import sys, airflow\nsys.exit(3)\ndag = None",
    "exits_hard": "import os, airflow\nos._exit(3)\ndag = None",
    "hangs": "import time, airflow\ntime.sleep(600)\ndag = None",
    "enrollment_copy": DATASET.format(name="enrollment", schedule='"0 2 * * *"', more=""),
    "bad_owner": DATASET.format(name="bad_owner", schedule='"0 2 * * *"', more='owner="nobody",'),
    "bad_cron": DATASET.format(name="bad_cron", schedule='"every night"', more=""),
    "misspelt": DATASET.format(name="misspelt", schedule=None, more='parents=(Parent("enrolment", on=("a",)),),'),
    "orphaned": DATASET.format(name="orphaned", schedule=None, more='parents=(Parent("buses", on=("a",)),),'),
    "unscheduled": DATASET.format(name="unscheduled", schedule=None, more=""),
}
SAID = {
    "bad_import": "No module named 'no_such_module'",
    "enrollment_copy": "Data set enrollment: it is declared in enrollment_copy.py",
    "bad_owner": "Data set bad_owner: its owner nobody is no role of the settings file; use one of data_person",
    "bad_cron": 'Data set bad_cron: its schedule "every night" is no cron expression',
    "misspelt": "its parent enrolment has no file enrolment.py beside it; is enrollment meant?",
    "orphaned": "its parent buses has no file buses.py beside it; declare it there first.",
    "unscheduled": "Data set unscheduled: it waits for no parent, so give import_dag a schedule",
}
SILENT = {"exits_hard"}  # Airflow says nothing; test_dag_files.py is what notices


@dataclass(frozen=True)
class Found:
    """What Airflow's database holds after one pass over a folder."""

    dags: set[str]
    errors: dict[str, str]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Two good files among the broken ones, parsed once by `airflow dag-processor`."""
    home = tmp_path_factory.mktemp("airflow")
    dags = home / "dags"
    dags.mkdir()
    for name in GOOD:
        shutil.copy(DAGS / f"{name}.py", dags)
    for name, content in BROKEN.items():
        (dags / f"{name}.py").write_text(content, encoding="utf-8")
    environment = (
        os.environ
        | ENVIRONMENT
        | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "5",
            "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "2",
        }
    )
    for command in (["db", "migrate"], ["dag-processor", "--num-runs", "1"]):
        subprocess.run(
            [sys.executable, "-m", "airflow", *command], env=environment, check=True, capture_output=True, timeout=240
        )
    with sqlite3.connect(home / "airflow.db") as database:
        ids = {row[0] for row in database.execute("select dag_id from serialized_dag")}
        errors = {
            Path(name).stem: text for name, text in database.execute("select filename, stacktrace from import_error")
        }
    return Found(ids, {Path(name).stem: text for name, text in errors.items()})


def test_good_ones_live(found: Found) -> None:
    changing = {f"{name}_semester_change" for name in GOOD}
    assert found.dags == set(GOOD) | changing


def test_broken_ones_are_import_errors(found: Found) -> None:
    assert set(found.errors) == set(BROKEN) - SILENT


@pytest.mark.parametrize("name", SAID)
def test_error_names_the_slip(found: Found, name: str) -> None:
    assert SAID[name] in found.errors[name]


def test_a_process_that_ended_is_noticed_by_the_rules_for_dag_files(tmp_path: Path) -> None:
    file = tmp_path / "exits_hard.py"
    file.write_text(BROKEN["exits_hard"], encoding="utf-8")
    with pytest.raises(AssertionError, match=r"exits_hard.py ended the process that parsed it \(3\)"):
        parse(file, tmp_path)


def test_settings_file_that_is_missing_is_named(tmp_path: Path) -> None:
    parsed = parse(DAGS / "enrollment.py", tmp_path, DISTRICT_FILE=str(tmp_path / "none.yaml"))
    assert parsed.ids == []
    assert "set DISTRICT_FILE to the district's settings file" in "".join(parsed.errors.values())
