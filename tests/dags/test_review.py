"""The person's task on a real held night: who is asked what, which answers count, and what loads without a record."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.standard.operators import hitl
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskAwaitingInput

from district.demo.postgres import Server
from district.run import RunSummary
from district_airflow import tasks
from district_airflow.asking import AnswerRefused
from district_airflow.review import ReviewOperator, expire_holds
from importing import CHILDREN, FTE_RULE, NIGHT, Place, children, csv_bytes, working_in

KEY = "scheduled__2026-11-19"
PERSON, OTHER = "rita.moss", "abe.lund"
ROWS = children(80)
# Half of a school of forty is missing.
CUT = [row for number, row in enumerate(ROWS) if row["school_id"] == "0100" or number % 4 == 1]
TOO_FEW = {
    "type": "expect_table_row_count_to_be_between",
    "kwargs": {"min_value": 100},
    "meta": FTE_RULE["meta"] | {"rule_id": "children.rows", "title": "Too few rows", "on_fail": "hold"},
}


@pytest.fixture
def place(migrated: Server, database_url: str, tmp_path: Path) -> Iterator[Place]:
    """A district after a night of eighty children of two schools."""
    with working_in(Place(folder=tmp_path, url=database_url, server_log=migrated.running.log)) as place:
        assert place.night(csv_bytes(ROWS), age=86_400, night="2026-11-18").state == "loaded"
        yield place


@pytest.fixture
def held(place: Place) -> Place:
    """The night after it, when one school's rows are cut in half."""
    place.night(csv_bytes(CUT), run_key=KEY)
    assert standing(place) == {"0100": 40, "0101": 40}
    return place


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Airflow:
    """What Airflow gives to a task, and what it is told."""
    airflow = Airflow()
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **asked: airflow.asked.append(asked))
    monkeypatch.setattr(tasks, "get_current_context", lambda: airflow.context)
    return airflow


class Airflow:
    """One run of the data set's DAG."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.xcom: dict[str, str] = {}
        self.events: list[SimpleNamespace] = []
        self.store: dict[str, str] = {}
        ti = SimpleNamespace(id="1", xcom_push=self.xcom.__setitem__)
        run = SimpleNamespace(dag_id=CHILDREN.name, run_id=KEY, partition_key=NIGHT, run_type="scheduled")
        store = SimpleNamespace(get=self.store.get, set=self.store.__setitem__, delete=self.store.__delitem__)
        self.context: Any = {"ti": ti, "task_instance": ti, "run_id": KEY, "dag_run": run, "task_state_store": store}
        self.context["outlet_events"] = self

    def __getitem__(self, asset: object) -> SimpleNamespace:
        self.events.append(SimpleNamespace(asset=asset, extra={}))
        return self.events[-1]

    def ask(self) -> dict[str, Any]:
        """The review begins; what it asks."""
        with pytest.raises(TaskAwaitingInput) as waits:
            operator().execute(self.context)
        return {**self.asked[-1], "timeout": waits.value.timeout}

    def answer(self, choice: str, person: str = PERSON, reason: str = "Two classes moved to the annex.") -> Any:
        """Somebody answers; what the task returns."""
        event = {
            "chosen_options": [choice],
            "params_input": {"reason": reason} if reason else {},
            "responded_at": datetime.datetime.now(datetime.UTC),
            "responded_by_user": {"id": "7", "name": person},
        }
        return operator().execute_complete(self.context, event)

    def time_out(self) -> Any:
        """Airflow's own timer ends the wait."""
        return operator().execute_complete(self.context, {"error": "timeout", "error_type": "timeout"})


def operator() -> ReviewOperator:
    """The task, made anew as in each process."""
    return ReviewOperator(task_id="review", dataset=CHILDREN)


def standing(place: Place) -> dict[str, int]:
    """Rows that stand, by school."""
    rows = place.rows("select school_id, count(*) as n from district.children where withdrawn_at is null group by 1")
    return {row["school_id"]: row["n"] for row in rows}


def decisions(place: Place) -> list[tuple[str, str, str]]:
    """The record."""
    rows = place.rows("select choice, person, reason from import_log.decision order by id")
    return [(row["choice"], row["person"], row["reason"]) for row in rows]


def test_where_nothing_is_held_nobody_is_asked(place: Place, airflow: Airflow) -> None:
    place.night(csv_bytes(ROWS[:-1]), run_key=KEY)
    with pytest.raises(AirflowSkipException, match="Nothing waits"):
        operator().execute(airflow.context)


def test_it_asks_with_counts_and_without_a_value(held: Place, airflow: Airflow) -> None:
    asked = airflow.ask()
    assert asked["subject"] == f"children {NIGHT}: 1 school held"
    assert asked["options"] == ["Approve", "Reject"]
    assert asked["params"]["reason"]["value"] == ""
    assert "| 0101 |" in asked["body"]
    assert f"/dags/children/runs/{KEY}" in asked["body"]
    assert f"May decide: {PERSON}." in asked["body"]
    assert not [row for row in ROWS if row["student_id"] in asked["body"] or row["last_name"] in asked["body"]]
    assert datetime.timedelta(hours=23) < asked["timeout"] <= datetime.timedelta(hours=24)


@pytest.mark.parametrize(
    ("manager", "people"),
    [
        ("district_airflow.people.PeopleFabAuthManager", [PERSON]),
        ("airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager", []),
    ],
)
def test_only_those_with_the_role_are_assigned_where_airflow_knows_names(
    manager: str, people: list[str], held: Place, airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__AUTH_MANAGER", manager)
    assert [each["id"] for each in airflow.ask()["assigned_users"]] == people


def test_an_approval_is_recorded_loads_and_tells_those_who_wait(held: Place, airflow: Airflow) -> None:
    airflow.ask()
    assert airflow.answer("Approve") == {"choice": "approve", "person": PERSON}
    assert decisions(held) == [("approve", PERSON, "Two classes moved to the annex.")]
    assert standing(held) == {"0100": 40, "0101": 40}
    released = tasks.release(CHILDREN)
    assert (released["state"], released["withdrawn"]) == ("loaded", 20)
    assert standing(held) == {"0100": 40, "0101": 20}
    assert [event.extra for event in airflow.events] == [{"state": "loaded", "run": released["id"]}]
    note = airflow.xcom["note"]
    assert f"Approved by {PERSON} (data_person): Two classes moved to the annex." in note
    assert re.search(rf"Then released: \*\*LOADED\*\* {NIGHT} \(run \d+\): processed 60 · ", note)


def test_a_released_run_is_released_once_however_often_it_is_cleared(held: Place, airflow: Airflow) -> None:
    airflow.ask()
    airflow.answer("Approve")
    tasks.release(CHILDREN)
    before = held.table_hash()
    assert operator().execute(airflow.context) == {"choice": "approve", "person": PERSON}
    tasks.release(CHILDREN)
    assert held.table_hash() == before
    runs = held.rows("select kind from import_log.import_run where run_key like :key order by id", key=f"{KEY}%")
    assert [run["kind"] for run in runs] == ["import", "release"]


@pytest.mark.parametrize(
    ("person", "reason", "why"), [(OTHER, "It is fine.", "role"), ("admin", "I may.", "role"), (PERSON, "  ", "reason")]
)
def test_an_answer_that_does_not_count_is_refused_and_the_question_comes_back(
    person: str, reason: str, why: str, held: Place, airflow: Airflow
) -> None:
    airflow.ask()
    with pytest.raises(AnswerRefused, match=why):
        airflow.answer("Approve", person, reason)
    assert decisions(held) == []
    assert airflow.ask()["body"].startswith(f"**The last answer was refused.** {person}: ")
    airflow.answer("Approve")
    assert [made[1] for made in decisions(held)] == [PERSON]
    # Another question of the same task: its answers have not been refused.
    held.write_suite([FTE_RULE, TOO_FEW])
    with pytest.raises(AirflowFailException, match="The release is held"):
        tasks.release(CHILDREN)
    assert "refused" not in airflow.ask()["body"]


def test_a_rejection_skips_the_release_and_says_who_and_why(held: Place, airflow: Airflow) -> None:
    before = held.table_hash()
    airflow.ask()
    airflow.answer("Reject", reason="The SIS export broke off")
    with pytest.raises(AirflowSkipException, match=f"Rejected by {PERSON}"):
        tasks.release(CHILDREN)
    assert held.table_hash() == before
    assert f"Rejected by {PERSON} (data_person): The SIS export broke off." in airflow.xcom["note"]
    assert airflow.events == []


def test_without_an_answer_in_time_the_rows_stay_and_the_run_is_red(held: Place, airflow: Airflow) -> None:
    before = held.table_hash()
    airflow.ask()
    held.execute("update import_log.hold set expires_at = now() - interval '1 minute'")
    with pytest.raises(AirflowFailException, match="Nobody decided in time"):
        airflow.time_out()
    assert held.rows("select distinct state from import_log.hold") == [{"state": "expired"}]
    assert held.table_hash() == before
    assert "Nobody decided in time" in airflow.xcom["note"]
    assert len(held.rows("select 1 from import_log.mail where key like 'reminder%'")) == 1
    with pytest.raises(AirflowFailException, match="Nobody decided in time"):
        operator().execute(airflow.context)


def test_an_approval_that_was_not_released_in_time_is_told_as_one(held: Place, airflow: Airflow) -> None:
    airflow.ask()
    airflow.answer("Approve")
    held.execute("update import_log.decision set expires_at = now() - interval '1 minute'")
    expire_holds()
    for task in (lambda: operator().execute(airflow.context), lambda: tasks.release(CHILDREN)):
        with pytest.raises(AirflowFailException, match=f"Approved by {PERSON}.*It was not released in time"):
            task()


def test_airflow_s_clock_may_be_ahead(held: Place, airflow: Airflow) -> None:
    airflow.ask()
    with pytest.raises(TaskAwaitingInput):
        airflow.time_out()


@pytest.mark.parametrize("forged", ["marked as success", "answered in Airflow's tables"])
def test_nothing_loads_without_the_record(forged: str, held: Place, airflow: Airflow) -> None:
    """Whatever Airflow says of `review`: cleared, marked as success, answered by somebody who wrote to its tables."""
    before = held.table_hash()
    airflow.ask()
    if forged == "answered in Airflow's tables":
        with pytest.raises(AnswerRefused):
            airflow.answer("Approve", "somebody")
    with pytest.raises(AirflowFailException, match="Nobody has let this through"):
        tasks.release(CHILDREN)
    assert held.table_hash() == before
    assert airflow.events == []


def test_an_approval_is_of_one_delivery(held: Place, airflow: Airflow) -> None:
    """Somebody approves, and then the task `extract` is cleared, and finds another file."""
    airflow.ask()
    airflow.answer("Approve")
    fewer = [row for row in CUT if row["school_id"] == "0101"][1:]
    held.night(csv_bytes([row for row in CUT if row["school_id"] == "0100"] + fewer), run_key=KEY)
    with pytest.raises(AirflowFailException):
        tasks.release(CHILDREN)
    assert standing(held) == {"0100": 40, "0101": 40}
    assert airflow.ask()["subject"] == f"children {NIGHT}: 1 school held"


def test_a_run_that_is_cleared_with_another_file_is_asked_about_and_released_again(
    held: Place, airflow: Airflow
) -> None:
    airflow.ask()
    airflow.answer("Approve")
    tasks.release(CHILDREN)
    fewer = [row for row in CUT if row["school_id"] == "0101"][:8]
    held.night(csv_bytes([row for row in CUT if row["school_id"] == "0100"] + fewer), run_key=KEY)
    assert "held" in airflow.ask()["subject"]
    airflow.answer("Approve")
    assert tasks.release(CHILDREN)["withdrawn"] == 12
    assert standing(held) == {"0100": 40, "0101": 8}


def test_an_answer_is_about_what_was_asked(held: Place, airflow: Airflow) -> None:
    """While somebody reads, the task `extract` is cleared, and finds another file."""
    airflow.ask()
    fewer = [row for row in CUT if row["school_id"] == "0101"][1:]
    held.night(csv_bytes([row for row in CUT if row["school_id"] == "0100"] + fewer), run_key=KEY)
    with pytest.raises(AnswerRefused, match="newer delivery"):
        airflow.answer("Approve")
    assert decisions(held) == []
    assert "| 0101 | 40 | 0 | 0 | 19 | 21 | 0 | held |" in airflow.ask()["body"]
    airflow.answer("Approve")
    assert tasks.release(CHILDREN)["withdrawn"] == 21


def test_a_newer_delivery_takes_the_place_of_what_is_held(held: Place, airflow: Airflow) -> None:
    airflow.ask()
    assert held.night(csv_bytes(ROWS[:-1]), night="2026-11-20").state == "loaded"
    with pytest.raises(AnswerRefused, match="newer"):
        airflow.answer("Approve")
    with pytest.raises(AirflowSkipException, match="A newer delivery"):
        operator().execute(airflow.context)
    assert "A newer delivery has come" in airflow.xcom["note"]


def test_the_next_night_s_gate_is_armed_again(held: Place, airflow: Airflow) -> None:
    airflow.ask()
    airflow.answer("Approve")
    tasks.release(CHILDREN)
    fewer = [row for row in CUT if row["school_id"] == "0101"][:10]
    held.night(
        csv_bytes([row for row in CUT if row["school_id"] == "0100"] + fewer), night="2026-11-20", run_key="next"
    )
    airflow.context["run_id"] = "next"
    assert "held" in airflow.ask()["subject"]
    assert standing(held) == {"0100": 40, "0101": 20}


def test_a_release_that_is_held_in_its_turn_is_red_and_tells_nobody_else(held: Place, airflow: Airflow) -> None:
    airflow.ask()
    airflow.answer("Approve")
    held.write_suite([FTE_RULE, TOO_FEW])
    with pytest.raises(AirflowFailException, match=r"The release is held: Too few rows.*clear `review` and answer it"):
        tasks.release(CHILDREN)
    assert airflow.events == []
    assert "Then released: **HELD**" in airflow.xcom["note"]
    assert "Too few rows" in airflow.ask()["body"]
    airflow.answer("Approve", reason="Ninety children have left.")
    assert (tasks.release(CHILDREN)["state"], standing(held)) == ("loaded", {"0100": 40, "0101": 20})
    assert re.search("Ninety children have left.*Then released: [*]{2}LOADED", airflow.xcom["note"], re.DOTALL)


def test_a_night_that_was_cleared_asks_about_its_own_rows_and_not_about_an_earlier_release(
    held: Place, airflow: Airflow
) -> None:
    airflow.ask()
    airflow.answer("Approve")
    held.write_suite([FTE_RULE, TOO_FEW])
    with pytest.raises(AirflowFailException, match="The release is held"):
        tasks.release(CHILDREN)
    held.write_suite([FTE_RULE])
    held.night(csv_bytes(CUT[:-2]), run_key=KEY)
    assert "Too few rows" not in airflow.ask()["body"]


@pytest.mark.parametrize("then", ["held", "rejected", "loaded"])
def test_a_run_that_was_held_as_a_whole_and_finds_another_file_is_asked_about_and_not_its_earlier_release(
    then: str, place: Place, airflow: Airflow
) -> None:
    place.write_suite([FTE_RULE, TOO_FEW])
    assert place.night(csv_bytes(CUT), run_key=KEY).state == "held"
    airflow.ask()
    airflow.answer("Approve")
    place.write_suite([{**FTE_RULE, "severity": "warning"}, TOO_FEW])
    with pytest.raises(AirflowFailException, match="The release is held"):
        tasks.release(CHILDREN)
    if then != "held":
        airflow.ask()
        airflow.answer("Reject" if then == "rejected" else "Approve")
    if then == "loaded":
        assert tasks.release(CHILDREN)["state"] == "loaded"
    # The file was wrong: the task `extract` is cleared, and the run finds another.
    assert place.night(csv_bytes(CUT[:50]), run_key=KEY).state == "held"
    (run,) = place.rows("select id from import_log.import_run where run_key = :key", key=KEY)
    assert f"run {run['id']};" in airflow.ask()["body"]
    airflow.answer("Reject", reason="Nor this one.")
    assert "Then released" not in airflow.xcom["note"]
    with pytest.raises(AirflowSkipException, match="Nor this one"):
        tasks.release(CHILDREN)


def test_the_summary_of_a_release_is_counts(held: Place, airflow: Airflow) -> None:
    airflow.ask()
    airflow.answer("Approve")
    assert tasks.release(CHILDREN).keys() == RunSummary(id=1, dataset="", partition="", state="loaded").as_dict().keys()
