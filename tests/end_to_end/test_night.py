"""A night on a running Airflow: all four data sets load, each shows how, and the children of a parent follow it."""

from __future__ import annotations

import re

import pytest
from live import Live, differing
from nights import CHILDREN, District, Told

pytestmark = pytest.mark.timeout(1800)
DATASETS = ("enrollment", *CHILDREN, "state_assessments")


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_data_set_loads_as_expected(district: District, first_night: Told, dataset: str) -> None:
    assert first_night.runs[dataset]["state"] == "success"
    assert differing(district.table(1, dataset), first_night.logged[dataset]) == {}


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_step_is_green_and_nobody_is_asked(live: Live, first_night: Told, dataset: str) -> None:
    states = live.states(dataset, first_night.runs[dataset]["dag_run_id"])
    steps = dict.fromkeys(("extract", "validate", "load", "notify"), "success")
    assert states == steps | dict.fromkeys(("review", "release"), "skipped")


@pytest.mark.parametrize("dataset", CHILDREN)
def test_those_that_wait_get_the_night_from_their_parent(district: District, first_night: Told, dataset: str) -> None:
    run = first_night.runs[dataset]
    assert run["run_type"] == "asset_triggered"
    assert run["partition_key"] == district.nights[0]
    assert run["start_date"] > first_night.runs["enrollment"]["start_date"]


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_run_s_note_says_what_came_of_it(first_night: Told, dataset: str) -> None:
    note, logged = first_night.runs[dataset]["note"], first_night.logged[dataset]
    first, *issues = note.split("\n\n")
    assert re.sub(r" \(run \d+\)", "", first) == (
        f"**LOADED** {logged.partition}: processed {logged.read:,} · rejected {logged.rejected:,} · held 0 · warnings "
        f"{logged.warnings:,} · inserted {logged.inserted:,} · updated 0 · unchanged 0 · withdrawn 0"
    )
    assert len(issues) == 1
    assert issues[0].count("\n- ") == 5
    assert issues[0].startswith("- **error**, ")
