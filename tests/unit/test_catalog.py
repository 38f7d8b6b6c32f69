"""The catalog: the DAG files say which data sets there are."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from district.catalog import UnknownDataset, find_dataset, read_datasets
from district.dataset import DatasetError

PROJECT = Path(__file__).resolve().parents[2]
DAG = """
from district import Column, Dataset, Files
from district_airflow import import_dag

CLUBS = Dataset(
    name="{name}", extract=Files("clubs_*.csv"), key=("student_id",), scope=("student_id",),
    columns=(Column("student_id", personal=True),),
)
dag = import_dag(CLUBS, schedule="0 2 * * *", doc_md=__doc__)
"""


def test_the_project_s_own() -> None:
    assert {"attendance", "enrollment", "state_assessments", "transcripts"} <= set(read_datasets(PROJECT / "dags"))


def test_a_file_is_all_it_takes(tmp_path: Path) -> None:
    (tmp_path / "clubs.py").write_text(DAG.format(name="clubs"), encoding="utf-8")
    before = sys.modules.get("district_airflow")
    assert find_dataset("clubs", tmp_path).key == ("student_id",)
    assert sys.modules.get("district_airflow") is before


def test_an_unknown_name_hints_at_a_near_one() -> None:
    with pytest.raises(UnknownDataset, match=r"There is no data set enrolment; .* Is enrollment meant\?"):
        find_dataset("enrolment", PROJECT / "dags")


def test_the_command_that_shows_why_is_said(tmp_path: Path) -> None:
    (tmp_path / "clubs.py").write_text("1 / 0", encoding="utf-8")
    with pytest.raises(DatasetError) as slip:
        read_datasets(tmp_path)
    (command,) = re.findall("`([^`]+)`", str(slip.value))
    shown = subprocess.run(command.split(), cwd=PROJECT, capture_output=True, text=True, check=False)
    assert "ZeroDivisionError" in shown.stderr


@pytest.mark.parametrize("content", ["import nothing_of_that_name", "raise SystemExit(3)", "def :", "1 / 0"])
def test_a_broken_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "clubs.py").write_text(content, encoding="utf-8")
    with pytest.raises(DatasetError, match=r"clubs\.py cannot be read"):
        read_datasets(tmp_path)


def test_a_slip_in_a_declaration_is_said(tmp_path: Path) -> None:
    (tmp_path / "clubs.py").write_text(DAG.format(name="Clubs!"), encoding="utf-8")
    with pytest.raises(DatasetError, match="Data set Clubs!: its name must be lower case"):
        read_datasets(tmp_path)


def test_one_name_in_two_files_is_said(tmp_path: Path) -> None:
    for name in ("a", "b"):
        content = DAG.format(name="clubs").replace("clubs_", f"{name}_")
        (tmp_path / f"{name}.py").write_text(content, encoding="utf-8")
    with pytest.raises(DatasetError, match=r"clubs is declared in b\.py and in another file"):
        read_datasets(tmp_path)


def test_a_broken_file_stops_no_other_data_set(tmp_path: Path) -> None:
    (tmp_path / "clubs.py").write_text(DAG.format(name="clubs"), encoding="utf-8")
    (tmp_path / "broken.py").write_text("1 / 0", encoding="utf-8")
    assert find_dataset("clubs", tmp_path).name == "clubs"
