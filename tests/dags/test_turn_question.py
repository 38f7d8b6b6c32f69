"""The rollover's DAG and its question, on a real rehearsed year: when it asks, whom, and what turns the year."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.standard.operators import hitl
from airflow.sdk.exceptions import AirflowSkipException, TaskAwaitingInput

from district.demo.postgres import Server
from district.synthetic import generate_rollover
from district_airflow.asking import AnswerRefused
from district_airflow.rollover import NOT_YET, TURN, TURN_ALL_THE_SAME, TurnOperator
from parsing import DAGS, parse
from turning import ONE_DAY, Turn, extract_of, imported, turning

PERSON, OTHER = "data.person", "assessment.lead"


class Airflow:
    """What Airflow gives to the task on a night, and what it is told."""

    def __init__(self, night: datetime.date) -> None:
        self.asked: list[dict[str, Any]] = []
        self.xcom: dict[str, str] = {}
        self.store: dict[str, str] = {}
        ti = SimpleNamespace(id="1", xcom_push=self.xcom.__setitem__)
        store = SimpleNamespace(get=self.store.get, set=self.store.__setitem__, delete=self.store.__delitem__)
        run = SimpleNamespace(run_id="tonight", partition_key=str(night))
        self.context: Any = {"ti": ti, "task_instance": ti, "run_id": "tonight", "dag_run": run}
        self.context["task_state_store"] = store

    def ask(self) -> dict[str, Any]:
        """The task begins; what it asks."""
        with pytest.raises(TaskAwaitingInput):
            TurnOperator(task_id="turn").execute(self.context)
        return self.asked[-1]

    def answer(self, option: str, *, person: str = PERSON, reason: str = "The board says so.") -> Any:
        """Somebody answers; what the task returns."""
        event = {
            "chosen_options": [option],
            "params_input": {"reason": reason},
            "responded_at": datetime.datetime.now(datetime.UTC),
            "responded_by_user": {"id": "7", "name": person},
        }
        operator = TurnOperator(task_id="turn")
        operator.options = self.asked[-1]["options"]
        return operator.execute_complete(self.context, event)


@pytest.fixture
def turn(migrated: Server, database_url: str, tmp_path: Path) -> Iterator[Turn]:
    """A next year that has been rehearsed at 60 %."""
    with turning(tmp_path / "half", tmp_path / "half", tmp_path, database_url) as turn:
        generate_rollover(tmp_path / "half", readiness=0.6)
        turn.send(extract_of(turn.half / "night_1"))
        assert imported(turn.nights[0], "last night").state == "loaded"
        turn.rehearse(turn.half, turn.nights[0])
        yield turn


def on(night: datetime.date, patch: pytest.MonkeyPatch) -> Airflow:
    airflow = Airflow(night)
    patch.setattr(hitl, "upsert_hitl_detail", lambda **asked: airflow.asked.append(asked))
    return airflow


def test_it_rehearses_tells_and_asks(tmp_path: Path) -> None:
    parsed = parse(DAGS / "school_year_rollover.py", tmp_path)
    (dag,) = parsed.dags
    assert {name: task["after"] for name, task in dag["tasks"].items()} == {
        "rehearse": [],
        "readiness": ["rehearse"],
        "turn": ["readiness"],
    }
    # The night's imports neither wait for it nor are told of it.
    assert not [task for task in dag["tasks"].values() if task["outlets"]]


def test_the_year_turns_by_an_answer_with_a_reason(turn: Turn, monkeypatch: pytest.MonkeyPatch) -> None:
    early = on(turn.first_day - ONE_DAY, monkeypatch)
    with pytest.raises(AirflowSkipException, match="No school year"):
        TurnOperator(task_id="turn").execute(early.context)

    airflow = on(turn.first_day, monkeypatch)
    asked = airflow.ask()
    assert asked["options"] == [TURN_ALL_THE_SAME, NOT_YET]
    assert ("% ready: turn it?" in asked["subject"], f"May decide: {PERSON}." in asked["body"]) == (True, True)
    assert "| 0105 |" in asked["body"]
    with pytest.raises(AirflowSkipException, match="not yet"):
        airflow.answer(NOT_YET)
    for person, reason, why in ((PERSON, " ", "Give a reason"), (OTHER, "Now.", "needs the role")):
        with pytest.raises(AnswerRefused, match=why):
            airflow.answer(TURN_ALL_THE_SAME, person=person, reason=reason)
        assert "The last answer was refused" in airflow.ask()["body"]
    assert turn.status(turn.year, turn.first_day) == "next"
    assert airflow.answer(TURN_ALL_THE_SAME) == {"school_year": turn.year, "person": PERSON}
    assert turn.status(turn.year, turn.first_day) == "current"
    assert "has begun" in airflow.xcom["note"]
    with pytest.raises(AirflowSkipException):
        TurnOperator(task_id="turn").execute(airflow.context)


def test_a_plain_turn_of_a_year_that_is_not_ready_is_refused(turn: Turn, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a forged answer: the option was never offered."""
    airflow = on(turn.first_day, monkeypatch)
    airflow.ask()
    airflow.asked[-1]["options"] = [TURN]
    with pytest.raises(AnswerRefused, match="are asked for"):
        airflow.answer(TURN)
    assert turn.status(turn.year, turn.first_day) == "next"
