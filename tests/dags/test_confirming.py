"""The people of a semester change, as their tasks ask them: each new warning, then a second person, then the load."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from airflow.providers.standard.operators import hitl
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskAwaitingInput

from calendars import write_calendar
from district.dataset import DatasetError
from district.demo.postgres import Server
from district.settings import _read_district
from district_airflow import tasks
from district_airflow.asking import AnswerRefused, AskingOperator
from district_airflow.confirming import AcknowledgeOperator, ConfirmOperator
from district_airflow.semester_change import semester_change_dag
from importing import CHILDREN, FTE_RULE, Place, child, csv_bytes, working_in

NIGHT, KEY = "2026-11-20", "scheduled__2026-11-20"
YEAR = {
    "end_year": 2027,
    "first_day": "2026-08-12",
    "last_day": "2027-05-26",
    "terms": [
        {"code": "S1", "begin": "2026-08-12", "end": "2026-11-19"},
        {"code": "S2", "begin": "2026-11-20", "end": "2027-05-26"},
    ],
}
ANN, BEN, EVE = "ann", "ben", "eve"
TIMEOUT = {"error": "timeout", "error_type": "timeout"}


def warning(name: str, fte: str) -> dict[str, Any]:
    """A rule that warns of each child with this FTE."""
    query = {"unexpected_rows_query": f"select row_no from {{batch}} where fte = {fte}"}
    meta = {**FTE_RULE["meta"], "rule_id": f"children.{name}", "title": f"FTE is {fte}"}
    return {**FTE_RULE, "severity": "warning", "kwargs": query, "meta": meta}


@pytest.fixture
def place(migrated: Server, database_url: str, tmp_path: Path) -> Any:
    """A district before a semester change, with two who may acknowledge and a third who may confirm."""
    with working_in(Place(folder=tmp_path, url=database_url, server_log=migrated.running.log)) as place:
        path = place.folder / "district.yaml"
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        content["roles"]["technology_lead"] = ["lead@district.invalid"]
        content["people"] = {ANN: ["data_person"], BEN: ["technology_lead"], EVE: ["assessment_lead"]}
        path.write_text(json.dumps(content, default=str), encoding="utf-8")
        write_calendar(place, YEAR)
        assert place.night(csv_bytes([child(n) for n in range(1, 41)]), night="2026-11-17").state == "loaded"
        place.write_suite([warning("zero", "0"), warning("half", "0.5")])
        yield place
    _read_district.cache_clear()


class Airflow:
    """What Airflow gives to the tasks of one run, and what it is told."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.note: dict[str, str] = {}
        self.store: dict[str, str] = {}
        states = {KEY: {}}
        ti = SimpleNamespace(
            id="1", xcom_push=self.note.__setitem__, get_task_states=lambda **_: states, try_number=1, max_tries=0
        )
        run = SimpleNamespace(dag_id="children_semester_change", run_id=KEY, partition_key=NIGHT, run_type="scheduled")
        store = SimpleNamespace(get=self.store.get, set=self.store.__setitem__, delete=self.store.__delitem__)
        self.context: Any = {"ti": ti, "task_instance": ti, "run_id": KEY, "dag_run": run, "task_state_store": store}

    def judge(self, place: Place, *fte: str) -> None:
        """The run's first two tasks, on children of whom the first have these values."""
        rows = [child(n, **({"fte": fte[n - 1]} if n <= len(fte) else {})) for n in range(1, 42)]
        place.drop(csv_bytes(rows), age=3600)
        place.keys.append((CHILDREN, KEY))
        tasks.extract(CHILDREN, "semester_change")
        tasks.validate(CHILDREN)

    def ask(self, operator: AskingOperator) -> dict[str, Any]:
        """A task begins; what it asks."""
        with pytest.raises(TaskAwaitingInput) as waits:
            operator.execute(self.context)
        return {**self.asked[-1], "timeout": waits.value.timeout}

    def answer(self, operator: AskingOperator, person: str, option: str, **fields: Any) -> Any:
        """Somebody answers, in a process that knows nothing of what was asked."""
        event = {
            "chosen_options": [option],
            "params_input": fields,
            "responded_at": datetime.datetime.now(datetime.UTC),
            "responded_by_user": {"id": person, "name": person},
        }
        return operator.execute_complete(self.context, event)


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Airflow:
    airflow = Airflow()
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **asked: airflow.asked.append(asked))
    monkeypatch.setattr(tasks, "get_current_context", lambda: airflow.context)
    return airflow


def acknowledge() -> AcknowledgeOperator:
    return AcknowledgeOperator(task_id="acknowledge", dataset=CHILDREN)


def confirm() -> ConfirmOperator:
    return ConfirmOperator(task_id="confirm", dataset=CHILDREN)


def state(place: Place) -> tuple[str, str]:
    run = place.rows("select state, rule_id from import_log.import_run order by id desc limit 1")[0]
    return run["state"], run["rule_id"]


def test_two_people_and_each_new_warning(place: Place, airflow: Airflow) -> None:
    airflow.judge(place, "0", "0", "0.5")
    asked = airflow.ask(acknowledge())
    assert asked["subject"] == "children 2026-11-20: 2 new warnings are to be acknowledged"
    assert "FTE is 0**: 2 rows (`children.zero`). The last load did not have it." in asked["body"]
    assert set(asked["params"]) == {"children.zero", "children.half", "until", "growth"}
    assert asked["params"]["children.zero"]["schema"]["title"] == "FTE is 0 (2 rows)"
    until = asked["params"]["until"]["value"]
    with pytest.raises(AnswerRefused, match="ann: 1 acknowledged, 1 still without a reason"):
        airflow.answer(acknowledge(), ANN, "Acknowledge", **{"children.zero": "Home school."}, until=until, growth=50)
    again = airflow.ask(acknowledge())
    assert set(again["params"]) == {"children.half", "until", "growth"}
    airflow.answer(acknowledge(), ANN, "Acknowledge", **{"children.half": "Half days."}, until=until, growth=0)
    with pytest.raises(AirflowSkipException, match="No warning is new"):
        acknowledge().execute(airflow.context)
    known = place.rows("select rule_id, ceiling, person, reason from import_log.acknowledgement order by id")
    assert [(row["rule_id"], row["ceiling"], row["reason"]) for row in known] == [
        ("children.zero", 3, "Home school."),
        ("children.half", 1, "Half days."),
    ]
    question = airflow.ask(confirm())
    assert "May confirm: ben." in question["body"]
    assert "| 0100 | 20 | 1 |" in question["body"]
    with pytest.raises(AnswerRefused, match="ann has acknowledged a warning of this run"):
        airflow.answer(confirm(), ANN, "Confirm", reason="Looks right.")
    assert airflow.ask(confirm())["body"].startswith("**The last answer was refused.** ann: ann has acknowledged")
    with pytest.raises(AnswerRefused, match="that needs the role data_person or technology_lead"):
        airflow.answer(confirm(), EVE, "Confirm", reason="Looks right.")
    with pytest.raises(AnswerRefused, match="Give a reason"):
        airflow.answer(confirm(), BEN, "Confirm", reason="")
    assert airflow.answer(confirm(), BEN, "Confirm", reason="Compared with the SIS.") == {"person": BEN}
    assert confirm().execute(airflow.context) == {"person": BEN}, "cleared after the answer"
    assert tasks.load(CHILDREN)["state"] == "loaded"
    mails = place.rows("select subject, roles from import_log.mail where key like 'question/%' order by id")
    assert [mail["subject"] for mail in mails] == [
        "children of 2026-11-20: 2 new warnings are to be acknowledged",
        "children of 2026-11-20: it is to be confirmed by a second person",
    ]
    assert mails[1]["roles"] == ["data_person", "technology_lead"]


def test_an_answer_in_airflow_alone_loads_nothing(place: Place, airflow: Airflow) -> None:
    airflow.judge(place, "0")
    before = place.table_hash()
    with pytest.raises(AirflowFailException, match="1 new warning is not acknowledged"):
        tasks.load(CHILDREN)
    assert place.table_hash() == before


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"children.zero": "Known.", "until": "soon"}, "Give the day as 2027-01-31"),
        ({"children.zero": "Known.", "until": "2001-01-01"}, "give a day from today"),
        ({"until": "2001-01-01"}, "0 acknowledged, 1 still without a reason"),
    ],
)
def test_an_acknowledgement_that_does_not_count_is_asked_for_again(
    place: Place, airflow: Airflow, fields: dict[str, str], said: str
) -> None:
    airflow.judge(place, "0")
    airflow.ask(acknowledge())
    with pytest.raises(AnswerRefused, match=said):
        airflow.answer(acknowledge(), ANN, "Acknowledge", **fields)
    assert place.rows("select * from import_log.acknowledgement") == []


def test_somebody_without_the_role_acknowledges_nothing(place: Place, airflow: Airflow) -> None:
    airflow.judge(place, "0")
    airflow.ask(acknowledge())
    with pytest.raises(AnswerRefused, match="ben may not acknowledge"):
        airflow.answer(acknowledge(), BEN, "Acknowledge", **{"children.zero": "Known."}, until="2099-01-01")


def test_an_answer_is_about_what_was_asked(place: Place, airflow: Airflow) -> None:
    """The extract is cleared and comes with other rows while the question stands."""
    airflow.judge(place, "0")
    until = airflow.ask(acknowledge())["params"]["until"]["value"]
    airflow.judge(place, "0", "0", "0")
    known = {"children.zero": "Home school.", "until": until, "growth": 0}
    with pytest.raises(AnswerRefused, match="ann: children: what was shown has changed"):
        airflow.answer(acknowledge(), ANN, "Acknowledge", **known)
    assert place.rows("select * from import_log.acknowledgement") == []
    airflow.ask(acknowledge())
    airflow.answer(acknowledge(), ANN, "Acknowledge", **known)
    airflow.ask(confirm())
    airflow.judge(place, "0", "0")
    with pytest.raises(AnswerRefused, match=r"ben: children: what was shown of run . has changed"):
        airflow.answer(confirm(), BEN, "Confirm", reason="Compared with the SIS.")
    assert place.rows("select * from import_log.decision") == []


def test_nobody_answers_in_time(place: Place, airflow: Airflow) -> None:
    airflow.judge(place, "0")
    before = place.table_hash()
    with pytest.raises(AirflowFailException, match="Nobody acknowledged"):
        acknowledge().execute_complete(airflow.context, TIMEOUT)
    assert state(place) == ("held", "semester_change.warnings")
    assert place.table_hash() == before


def test_a_rejection_is_over(place: Place, airflow: Airflow) -> None:
    airflow.judge(place)
    before = place.table_hash()
    airflow.ask(confirm())
    with pytest.raises(AirflowSkipException, match="ben did not confirm"):
        airflow.answer(confirm(), BEN, "Reject", reason="The office still works on it.")
    assert state(place) == ("held", "semester_change.rejected")
    with pytest.raises(AirflowSkipException, match="Nothing is to be confirmed"):
        confirm().execute(airflow.context)
    assert place.table_hash() == before


def test_the_nightly_run_says_that_it_stepped_aside(
    place: Place, airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "with_semester_change", {CHILDREN.name})
    place.drop(csv_bytes([child(1)]), age=3600)
    with pytest.raises(AirflowSkipException, match="children_semester_change imports children this night"):
        tasks.extract(CHILDREN)
    assert tasks.notify(CHILDREN, tells=False)["state"] == "aside"
    assert airflow.note["note"].startswith("**ASIDE** 2026-11-20")
    assert "The nightly import comes back on 2026-11-26." in airflow.note["note"]
    assert place.rows("select * from import_log.mail") == []


def test_what_no_semester_changes_has_no_such_dag() -> None:
    from district.catalog import find_dataset
    from parsing import DAGS

    with pytest.raises(DatasetError, match="it is imported by administration, which no semester changes"):
        semester_change_dag(find_dataset("state_assessments", DAGS))
