"""Declarations: a slip names the data set and says what to do."""

from __future__ import annotations

import dataclasses

import pytest

from district.dataset import Column, DatasetError
from district.settings import PROJECT
from importing import CHILDREN


def test_the_calendar_s_table_is_no_data_set_s() -> None:
    with pytest.raises(DatasetError, match="Data set calendar_date: its table's name is taken"):
        dataclasses.replace(CHILDREN, name="calendar_date")


def test_a_dag_s_name_that_imports_nothing_is_no_data_set_s() -> None:
    files = (PROJECT / "dags").glob("*.py")
    others = [file.stem for file in files if "Dataset(" not in file.read_text(encoding="utf-8")]
    assert "undo_import" in others
    for name in [*others, "children_semester_change"]:
        with pytest.raises(DatasetError, match=f"Data set {name}: its name is taken by another DAG"):
            dataclasses.replace(CHILDREN, name=name)


def test_a_column_of_codes_is_told_its_name() -> None:
    columns = (*CHILDREN.columns, Column("program", code_set="program"))
    with pytest.raises(DatasetError, match="column program has a code set, so name it program_code"):
        dataclasses.replace(CHILDREN, columns=columns)


def test_more_columns_than_a_table_takes_are_said() -> None:
    columns = (*CHILDREN.columns, *(Column(f"c{number}") for number in range(1_600)))
    with pytest.raises(DatasetError, match=r"1,608 columns with their descriptors, and a table takes 1,590; declare"):
        dataclasses.replace(CHILDREN, columns=columns)


def test_a_school_year_is_in_the_scope_or_its_rows_may_always_change() -> None:
    """What a delivery speaks for is known by its scope: else a change of a closed year would load unseen."""
    for key in (("student_id", "school_id"), ("student_id", "school_id", "school_year")):
        own = {"key": key, "scope": ("school_id",)}
        with pytest.raises(DatasetError, match=r"put school_year in its scope and key, .*; or say history=True"):
            dataclasses.replace(CHILDREN, **own)
        assert dataclasses.replace(CHILDREN, **own, history=True).scope == ("school_id",)
