"""Undo: the rows that a load changed are again what they were before it, to the last column."""

from __future__ import annotations

import re

import pytest

from commanding import run as district
from district.load.undo import NotUndone, Undone, undo
from importing import CHILDREN, Outcome, Place, canaries_of, child, children, csv_bytes

WHY = {"person": "Ada Rowe", "role": "data_person", "reason": "The file was of another district"}


def run_id(place: Place, outcome: Outcome) -> int:
    (run,) = place.rows("select max(id) as id from import_log.import_run where run_key = :key", key=outcome.run_key)
    return int(run["id"])


def state(place: Place, number: int) -> str:
    (run,) = place.rows("select state from import_log.import_run where id = :id", id=number)
    return str(run["state"])


def take_back(number: int, **how: object) -> Undone:
    return undo(CHILDREN, number, **{**WHY, **how})


def test_92_undo_of_the_last_load_leaves_the_table_as_it_was(loaded: Place) -> None:
    before = loaded.table_hash()
    rows = [*(row | {"fte": "0.5"} for row in children(10)), *children(28, first=11), child(77), child(78)]
    second = loaded.night(csv_bytes(rows))
    number = run_id(loaded, second)
    assert loaded.table_hash() != before
    done = take_back(number)
    assert loaded.table_hash() == before
    assert (done.set_back, done.removed, done.left) == (12, 2, 0)
    assert state(loaded, number) == "undone"
    assert state(loaded, done.id) == "restored"
    assert loaded.leaks(canaries_of(children(78))) == []
