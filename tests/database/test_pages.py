"""The SQL that the pages hold runs as it stands there, and shows what they say."""

from __future__ import annotations

import re

import pytest

from district import pipeline
from district.settings import PROJECT
from importing import CHILDREN, NIGHT, Place, children, csv_bytes

PAGE = PROJECT / "docs" / "how-to" / "fix-an-error.md"
ISSUES, QUARANTINE = re.findall(r"^```sql\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def checked(loaded: Place) -> Place:
    """One bad row was loaded around, then a file with another fault was only checked."""
    bad = [*children(40), children(41)[-1] | {"fte": "half"}]
    assert loaded.night(csv_bytes(bad)).state == "loaded"
    path = loaded.drop(csv_bytes([*children(40), children(41)[-1] | {"birth_date": "soon"}]), "checked.csv")
    pipeline.extract(CHILDREN, partition=NIGHT, run_key="check-1", file=path, preview=True)
    pipeline.validate(CHILDREN, run_key="check-1")
    pipeline.close(CHILDREN, run_key="check-1", preview=True)
    return loaded


def test_the_issues_are_those_of_the_newest_run_that_was_no_check(checked: Place) -> None:
    shown = checked.rows(ISSUES)
    assert [(row["dataset"], row["rows"], row["title"]) for row in shown] == [("children", 1, "fte is not a number")]


def test_the_quarantine_shows_the_rejected_row(checked: Place) -> None:
    assert [row["source_line"] for row in checked.rows(QUARANTINE.replace("'enrollment'", "'children'"))] == [42]
