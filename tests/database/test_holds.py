"""Holds: a school that trips waits for a person, the others load, and only a decision lets its rows in."""

from __future__ import annotations

from typing import Any

import pytest

from district import pipeline
from district.review.decisions import decide
from district.review.holds import waiting
from district.review.preview import as_markdown
from district.run import Held
from importing import CHILDREN, Outcome, Place, children, csv_bytes

# The second of the two schools of the first night has lost half of its rows; the first has a new child.
HALF = [row for row in children(41) if row["school_id"] == "0100" or int(row["student_id"]) > 7000020]


def half_missing(place: Place, *, run_key: str = "night-2", **how: Any) -> Outcome:
    return place.night(csv_bytes(HALF), run_key=run_key, night="2026-11-20", **how)


def approve(run_key: str = "night-2", **how: Any) -> None:
    said = {"choice": "approve", "person": "Pat", "role": "data_person", "reason": "The school was split."} | how
    decide(CHILDREN, run_key, **said)


def of_school(place: Place, school: str) -> set[str]:
    return {row["student_id"] for row in place.standing().values() if row["school_id"] == school}


def test_a_school_that_loses_half_is_held_and_the_other_loads(loaded: Place) -> None:
    outcome = half_missing(loaded)
    assert outcome.summary is not None
    assert (outcome.state, outcome.rule_id) == ("loaded", "gate.withdrawn")
    assert (outcome.summary.inserted, outcome.summary.withdrawn) == (1, 0)
    assert "School 0101: 10 of 20 rows (50.0%) would be withdrawn" in outcome.message
    assert (len(of_school(loaded, "0100")), len(of_school(loaded, "0101"))) == (21, 20)
    review = waiting(CHILDREN, "night-2")
    assert review is not None
    assert (review.held, review.choices) == ({"0101"}, ("approve", "reject"))
    assert "| 0101 | 20 | 0 | 0 | 10 | 10 | 0 | held |" in as_markdown(review)


def test_an_approval_loads_the_school_once(loaded: Place) -> None:
    half_missing(loaded)
    approve()
    assert waiting(CHILDREN, "night-2") is None
    released = pipeline.release(CHILDREN, run_key="night-2")
    assert (released.state, released.withdrawn, released.held) == ("loaded", 10, 0)
    assert len(of_school(loaded, "0101")) == 10
    before = loaded.table_hash()
    assert pipeline.release(CHILDREN, run_key="night-2") == released
    assert loaded.table_hash() == before


def test_nothing_is_released_without_a_decision(loaded: Place) -> None:
    half_missing(loaded)
    before = loaded.table_hash()
    with pytest.raises(Held) as forged:
        pipeline.release(CHILDREN, run_key="night-2")
    assert forged.value.rule_id == "release.not_approved"
    assert loaded.table_hash() == before
