"""A school year's turn, live: rehearsed at 60 %, then ready, asked about on the first day, and turned by an answer."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from changing import settle, wait_for_question
from live import FACTS, Live, drop, live_district

from district.demo.airflow_api import ApiFailed
from district.synthetic import generate_rollover

pytestmark = [pytest.mark.story, pytest.mark.timeout(1800)]
DAG, PERSON, OTHER = "school_year_rollover", "data.person", "assessment.lead"
REASON = "The SIS has rolled over; all schools confirmed."


@dataclass(kw_only=True)
class Turned:
    """What the nights brought."""

    year: int = 0
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    states: dict[str, dict[str, str]] = field(default_factory=dict)
    """Of the rollover's runs, by what the night was."""
    hashes: dict[str, str] = field(default_factory=dict)
    """Of the rows of the year that ends."""
    asked: dict[str, Any] = field(default_factory=dict)
    refused: str = ""
    record: list[Any] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> Turned:
    """The last night of a year, its closing, and the first day of the next."""
    half, whole = tmp_path_factory.mktemp("half"), tmp_path_factory.mktemp("whole")
    generate_rollover(half, readiness=0.6)
    told = Turned(year=generate_rollover(whole)["school_year"])
    last, closing, _ = json.loads((whole / "expected.json").read_text())["nights"]
    with live_district() as live:
        _import(live, whole / "night_1", last)
        told.hashes["before"] = _hash(live, told)
        _rehearse(live, half, last, told, "half")
        _import(live, whole / "night_2", closing)
        told.hashes["closed"] = _hash(live, told)
        _rehearse(live, whole, closing, told, "whole")
        _turn(live, whole, told)
        told.record = live.rows("select turned_on::text, person, role, reason, choice from import_log.year_turn "
                                "join import_log.decision d on d.id = decision_id")  # fmt: skip
        told.mails = [str(mail["Subject"]) for mail in live.mails()]
    return told


def _import(live: Live, folder: Path, night: str) -> None:
    for older in live.place.drop.glob("enrollment_*"):
        older.unlink()
    drop(next(folder.glob("enrollment_*")), live)
    assert live.ended("enrollment", live.trigger("enrollment", night))["state"] == "success"


def _rehearse(live: Live, folder: Path, night: str, told: Turned, name: str) -> None:
    """Sends the next year's extract with its calendar, and lets the rollover run."""
    content = yaml.safe_load(FACTS.read_text(encoding="utf-8"))
    for key, values in yaml.safe_load(next(folder.glob("next_year/*.yaml")).read_text(encoding="utf-8")).items():
        content[key] += values
    live.facts.write_text(yaml.safe_dump(content), encoding="utf-8")
    (live.place.drop / "next_year").mkdir(exist_ok=True)
    sent = next(folder.glob("next_year/enrollment_*"))
    (live.place.drop / "next_year" / sent.name).write_bytes(sent.read_bytes())
    run_id = live.trigger(DAG, night)
    told.runs[name] = live.ended(DAG, run_id)
    told.states[name] = live.states(DAG, run_id)
    told.hashes[name] = _hash(live, told)


def _turn(live: Live, folder: Path, told: Turned) -> None:
    (years,) = yaml.safe_load(next(folder.glob("next_year/*.yaml")).read_text(encoding="utf-8"))["school_years"]
    assert isinstance(years["first_day"], datetime.date)
    run_id = live.trigger(DAG, str(years["first_day"]))
    told.asked = wait_for_question(live, DAG, run_id, "turn")
    try:
        live.airflow.api(OTHER).answer(DAG, run_id, "turn", "Turn the year", reason=REASON)
    except ApiFailed as refused:
        told.refused = str(refused)
    settle(live, DAG, run_id, "turn", PERSON, "Turn the year", {"reason": REASON})
    told.runs["turn"] = live.ended(DAG, run_id)
    told.states["turn"] = live.states(DAG, run_id)
    told.hashes["turned"] = _hash(live, told)


def _hash(live: Live, told: Turned) -> str:
    return live.table_hash("enrollment", "school_year < :year", year=told.year)


def test_rehearsals_tell_how_ready_the_year_is(turned: Turned) -> None:
    for name, ready in (("half", "60% ready"), ("whole", "100% ready")):
        assert ready in turned.runs[name]["note"]
        assert turned.states[name] == {"rehearse": "success", "readiness": "success", "turn": "skipped"}
        assert [mail for mail in turned.mails if mail == f"School year {turned.year}: {ready}"]


def test_no_row_of_the_year_that_ends_is_touched(turned: Turned) -> None:
    assert turned.hashes["half"] == turned.hashes["before"]
    assert turned.hashes["closed"] == turned.hashes["whole"] == turned.hashes["turned"]


def test_a_person_turns_it_on_the_first_day(turned: Turned) -> None:
    assert turned.asked["options"] == ["Turn the year", "Not yet"]
    assert f"School year {turned.year}" in turned.asked["subject"]
    assert "403" in turned.refused
    assert turned.states["turn"]["turn"] == "success"
    assert "has begun" in turned.runs["turn"]["note"]
    (row,) = turned.record
    assert (row["person"], row["role"], row["reason"], row["choice"]) == (PERSON, "data_person", REASON, "approve")
