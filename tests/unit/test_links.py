"""Links into Airflow's UI: a run's id is quoted, as Airflow's own links quote it."""

from __future__ import annotations

import pytest

from district.links import question_url, run_url
from district.settings import settings


def test_links_lead_to_the_run_and_to_its_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTRICT_UI_URL", "https://imports.example")
    settings.cache_clear()
    run = "https://imports.example/dags/enrollment/runs/manual__2026-11-19T02%3A00%3A00%2B00%3A00"
    assert run_url("enrollment", "manual__2026-11-19T02:00:00+00:00") == run
    assert question_url("enrollment", "manual__2026-11-19T02:00:00+00:00") == f"{run}/tasks/review/required_actions"
    monkeypatch.undo()
    settings.cache_clear()
