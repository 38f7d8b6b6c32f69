"""Two schools are held: the others load, the digest goes out, and only the right person's word lets the rest in."""

from __future__ import annotations

import pytest
from held import MISHAPS, OTHER, PERSON, REASON, HeldNight
from live import Live
from nights import CHILDREN, District

TYPO, CUT = (mishap.school_id for mishap in MISHAPS)
pytestmark = pytest.mark.timeout(1800)


def test_two_schools_are_held_and_the_others_load(live: Live, held_night: HeldNight) -> None:
    assert held_night.asked["subject"] == f"enrollment {held_night.night}: 2 schools held"
    before, held = held_night.standing_before, held_night.standing_while_held
    assert (held[TYPO], held[CUT]) == (before[TYPO], before[CUT])
    (run,) = live.rows("select * from import_log.import_run where run_key = :key", key=held_night.run_id)
    assert run["state"] == "loaded"
    assert run["read"] == sum(
        run[name] for name in ("inserted", "updated", "unchanged", "rejected", "superseded", "held")
    )


def test_one_required_action_shows_the_preview(district: District, held_night: HeldNight) -> None:
    body = held_night.asked["body"]
    assert f"| {TYPO} |" in body
    assert f"| {CUT} |" in body
    assert [each["id"] for each in held_night.asked["assigned_users"]] == [PERSON]
    assert not [value for value in district.ids if value in body]


def test_the_night_goes_on_meanwhile(held_night: HeldNight) -> None:
    assert {name: run["state"] for name, run in held_night.told.runs.items()} == dict.fromkeys(CHILDREN, "success")
    digest = held_night.mails[-1]
    assert str(digest["Subject"]).startswith(f"Imports of {held_night.night}")
    assert "held" in Live.text(digest)


def test_the_owner_is_told_at_once_and_where_to_answer(live: Live, held_night: HeldNight) -> None:
    told = [mail for mail in held_night.mails if str(mail["Subject"]).startswith(f"enrollment of {held_night.night}")]
    assert [str(mail["Subject"]).endswith("loaded, and 2 schools are held") for mail in told] == [True]
    assert f"Decide here: {live.airflow.ui_url}/dags/enrollment/runs/" in Live.text(told[0])


def test_nobody_else_may_answer(held_night: HeldNight) -> None:
    assert "Airflow answered 403" in held_night.refused
    assert f"User={OTHER}" in held_night.refused


def test_an_answer_without_a_reason_is_asked_for_again(held_night: HeldNight) -> None:
    assert held_night.asked_again["body"].startswith(f"**The last answer was refused.** {PERSON}: Give a reason")
    assert held_night.asked_again["response_received"] is False


def test_a_killed_scheduler_and_triggerer_lose_nothing_and_one_load_follows(live: Live, held_night: HeldNight) -> None:
    assert held_night.run["state"] == "success"
    states = live.states("enrollment", held_night.run_id)
    assert states == dict.fromkeys(("extract", "validate", "load", "notify", "review", "release"), "success")
    runs = live.rows(
        "select id, kind, state from import_log.import_run where dataset = 'enrollment' and night = :night order by id",
        night=held_night.night,
    )
    assert [(run["kind"], run["state"]) for run in runs] == [("import", "loaded"), ("release", "loaded")]
    (made,) = live.rows("select * from import_log.decision")
    assert (made["person"], made["reason"], made["used_by"]) == (PERSON, REASON, runs[1]["id"])
    assert held_night.standing_after[CUT] < 0.6 * held_night.standing_before[CUT]


def test_the_note_says_who_let_it_in_and_why(held_night: HeldNight) -> None:
    assert f"Approved by {PERSON} (data_person): {REASON}" in held_night.run["note"]


def test_those_that_wait_run_again(held_night: HeldNight) -> None:
    assert {run["run_type"] for run in held_night.followers.values()} == {"asset_triggered"}
    assert {run["partition_key"] for run in held_night.followers.values()} == {held_night.night}
