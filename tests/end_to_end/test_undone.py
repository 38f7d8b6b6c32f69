"""An undo from Airflow's UI: refused to a person without the role, done by one with it. The last thing that happens."""

from __future__ import annotations

from typing import Any

import pytest
from live import Live
from nights import Told

pytestmark = pytest.mark.timeout(1800)
PERSON, OTHER = "data.person", "assessment.lead"
REASON = "The vendor sent another file."


def undo_as(live: Live, person: str, number: int) -> dict[str, Any]:
    """What came of it when a person asked Airflow to undo a run."""
    body = {"logical_date": None, "conf": {"run": number, "reason": REASON}}
    run = live.airflow.api(person)._signed("POST", "/api/v2/dags/undo_import/dagRuns", body)
    return live.ended("undo_import", run["dag_run_id"])


def test_only_who_may_decide_undoes_a_load(live: Live, first_night: Told) -> None:
    newest = "select id from import_log.import_run where dataset = 'enrollment' and state = 'loaded'"
    (run,) = live.rows(f"{newest} order by loaded_at desc limit 1")
    before = live.table_hash("enrollment")
    refused = undo_as(live, OTHER, run["id"])
    assert refused["state"] == "failed"
    assert refused["note"] == (f"**NOT UNDONE**: {OTHER} may not decide about enrollment. Those who may: {PERSON}.")
    assert live.table_hash("enrollment") == before
    done = undo_as(live, PERSON, run["id"])
    assert done["state"] == "success"
    assert done["note"].startswith(f"**UNDONE**: Run {run['id']} of enrollment ")
    left = live.rows("select count(*) as rows from district.enrollment where import_run_id = :id", id=run["id"])
    assert left[0]["rows"] == 0
    (made,) = live.rows("select person, role, reason from import_log.decision where kind = 'undo'")
    assert tuple(made.values()) == (PERSON, "data_person", REASON)
