"""What each step imports: only validate pays for Great Expectations, and only where a rule needs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from importing import FTE_RULE, Place, children, csv_bytes, working_in

TESTS = Path(__file__).parents[1]
HEAVY = {"great_expectations", "pandas", "scipy"}
# Arrow imports pandas by itself as soon as it makes an array of Python values.
STAGING = {"pandas"}
_STEP = """
import sys
from district import pipeline
from district.report import note
from importing import CHILDREN, NIGHT
step, run_key = sys.argv[1:]
if step == "extract":
    ended = pipeline.extract(CHILDREN, partition=NIGHT, run_key=run_key)
elif step == "notify":
    ended = pipeline.finish(CHILDREN, partition=NIGHT, run_key=run_key)
    note(CHILDREN, run_key)
else:
    ended = getattr(pipeline, step)(CHILDREN, run_key=run_key)
print(ended.state, *sys.modules)
"""
BETWEEN = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "fte", "min_value": 0, "max_value": 1},
    "meta": {"rule_id": "children.fte_range", "title": "FTE is no share", "fix": "Correct it.", "owner": "data_person"},
}


def step(place: Place, name: str, run_key: str) -> tuple[str, set[str]]:
    """A step in a process of its own, as a task has one: the run's state afterwards, and what was imported."""
    environment = os.environ | place.environment | {"PYTHONPATH": str(TESTS)}
    command = [sys.executable, "-c", _STEP, name, run_key]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    state, *modules = done.stdout.splitlines()[-1].split()
    return state, set(modules)


@pytest.mark.parametrize(("rule", "needed"), [([], set()), ([BETWEEN], HEAVY)], ids=["sql rules", "a row rule"])
def test_only_rules_that_need_it_import_great_expectations(place: Place, rule: list[object], needed: set[str]) -> None:
    place.write_suite([FTE_RULE, *rule])
    place.drop(csv_bytes(children()))
    found = {name: step(place, name, "night") for name in ("extract", "validate", "load", "notify")}
    assert {name: state for name, (state, _) in found.items()} == {
        "extract": "extracted", "validate": "validated", "load": "loaded", "notify": "loaded"
    }  # fmt: skip
    imported = {name: modules & HEAVY for name, (_, modules) in found.items()}
    assert imported == {"extract": STAGING, "validate": needed, "load": set(), "notify": set()}


def test_an_unchanged_file_needs_none_of_it(loaded: Place) -> None:
    loaded.write_suite([BETWEEN])
    with working_in(loaded):
        assert loaded.night(csv_bytes(children())).state == "loaded"
    loaded.drop(csv_bytes(children()))
    for name in ("extract", "validate", "load", "notify"):
        state, modules = step(loaded, name, "again")
        assert state == "unchanged"
        assert not modules & HEAVY, name
