"""A semester change through the real scheduler: who steps aside, who is asked, and what comes back by the calendar."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from changing import CHANGING, NIGHTLY, PERSON, REASON, SECOND, Changed, bring_semester_change
from live import Live, live_district

pytestmark = [pytest.mark.story, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def term_live() -> Iterator[Live]:
    """A district of its own, over before the others begin: its nights are later than theirs."""
    # Longer than a task's process takes to end: Airflow takes its end for that of the next look, and waits for a retry.
    with live_district(poll_seconds="20") as running:
        yield running


@pytest.fixture(scope="module")
def changed(term_live: Live, tmp_path_factory: pytest.TempPathFactory) -> Changed:
    return bring_semester_change(term_live, tmp_path_factory.mktemp("term"))


def test_the_nightly_imports_step_aside_and_say_so(changed: Changed) -> None:
    assert {name: run["state"] for name, run in changed.aside.items()} == dict.fromkeys(NIGHTLY, "success")
    for name, run in changed.aside.items():
        assert run["note"].startswith(f"**ASIDE** {changed.inside}")
        assert f"{name}_semester_change imports {name} this night." in run["note"]
        assert f"The nightly import comes back on {changed.after}." in run["note"]


def test_what_depends_on_it_waits_inside_its_run(changed: Changed) -> None:
    assert changed.waiting["extract"] == "up_for_reschedule"
    assert set(changed.waiting.values()) <= {"up_for_reschedule", None}


def test_nothing_loads_while_people_are_asked(changed: Changed) -> None:
    assert changed.rows_while_asked == changed.rows_before


def test_each_new_warning_is_asked_about(changed: Changed) -> None:
    for name in CHANGING:
        asked = changed.asked[name]
        rules = [rule for rule in asked["params"] if "." in rule]
        assert rules
        assert all(f"`{rule}`" in asked["body"] for rule in rules)
        assert [each["id"] for each in asked["assigned_users"]] == [PERSON]


def test_a_second_person_confirms(term_live: Live, changed: Changed) -> None:
    assert "403" in changed.refused
    for name in CHANGING:
        assert [each["id"] for each in changed.confirmed[name]["assigned_users"]] == [SECOND]
        assert "| school |" in changed.confirmed[name]["body"]
    made = term_live.rows("select person, role, reason, kind, used_by from import_log.decision order by id")
    assert [(row["person"], row["role"], row["reason"], row["kind"]) for row in made] == [
        (SECOND, "technology_lead", REASON, "confirmation")
    ] * len(CHANGING)
    assert all(row["used_by"] for row in made)


def test_it_loads(changed: Changed) -> None:
    assert {name: run["state"] for name, run in changed.runs.items()} == dict.fromkeys(CHANGING, "success")
    assert all(run["note"].startswith(f"**LOADED** {changed.inside}") for run in changed.runs.values())


def test_the_nightly_import_comes_back_by_the_calendar(changed: Changed) -> None:
    assert changed.back["state"] == "success"
    assert changed.back["note"].startswith(f"**LOADED** {changed.after}")


def test_people_were_told_where_to_answer(term_live: Live, changed: Changed) -> None:
    subjects = [str(mail["Subject"]) for mail in term_live.mails()]
    assert any(s.startswith(f"enrollment of {changed.inside}: ") and "to be acknowledged" in s for s in subjects)
    assert f"enrollment of {changed.inside}: it is to be confirmed by a second person" in subjects
    assert not [s for s in subjects if "aside" in s]


def test_the_ui_shows_the_next_run_of_each_semester_change(term_live: Live) -> None:
    for name in NIGHTLY:
        dag = term_live.ask("GET", f"dags/{name}_semester_change")
        assert dag["timetable_summary"].endswith("at semester change")
        assert dag["next_dagrun_run_after"]
