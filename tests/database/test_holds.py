"""Holds: a school that trips waits for a person, the others load, and only a decision lets its rows in."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event, select
from test_hazards_values import CLUB_RULE, CLUBS, clubs

from calendars import write_calendar
from district import pipeline
from district.database import engine
from district.dataset import Dataset
from district.import_log import find_run, open_run
from district.load.counting import usual_counts
from district.load.undo import NotUndone, undo
from district.review import decisions
from district.review.holds import expire, waiting
from district.review.judgement import PARENT_HELD
from district.review.preview import as_markdown
from district.review.tables import UNLISTED, WHOLE
from district.run import Held, ImportStopped, Locked, NotAllowed
from district.settings import _read_district, settings
from district.tables import import_run
from importing import CHILDREN, FTE_RULE, Outcome, Place, canaries_of, child, children, csv_bytes, decide, with_gate

# The second of the two schools of the first night has lost half of its rows; the first has a new child.
HALF = [row for row in children(41) if row["school_id"] == "0100" or int(row["student_id"]) > 7000020]
# The other way round.
OTHER_HALF = [row for row in children(41) if row["school_id"] == "0101" or int(row["student_id"]) > 7000020]
# A rule of the suite that holds the delivery as a whole.
TOO_FEW = {
    "type": "expect_table_row_count_to_be_between",
    "kwargs": {"min_value": 100},
    "meta": FTE_RULE["meta"] | {"rule_id": "children.rows", "title": "Too few rows", "on_fail": "hold"},
}
KEY = "night-2"


def half_missing(place: Place, *, run_key: str = KEY, **how: Any) -> Outcome:
    return place.night(csv_bytes(HALF), run_key=run_key, **{"night": "2026-11-20", **how})


def say(run_key: str = KEY, **how: Any) -> None:
    said = {"choice": "approve", "person": "Pat", "role": "data_person", "reason": "The school was split."} | how
    decide(CHILDREN, run_key, **said)


def of_school(place: Place, school: str) -> set[str]:
    return {row["student_id"] for row in place.standing().values() if row["school_id"] == school}


def states(place: Place) -> list[str]:
    return [row["state"] for row in place.rows("select state from import_log.hold order by id")]


def released(run_key: str = KEY) -> str:
    """What a release comes to: its state, or the rule by which it is refused."""
    try:
        return pipeline.release(CHILDREN, run_key=run_key).state
    except Held as held:
        return held.rule_id


def test_64_a_school_that_loses_half_is_held_and_the_other_loads(loaded: Place) -> None:
    outcome = half_missing(loaded)
    assert outcome.summary is not None
    assert (outcome.state, outcome.rule_id) == ("loaded", "gate.withdrawn")
    assert (outcome.summary.inserted, outcome.summary.withdrawn) == (1, 0)
    assert "School 0101: 10 of 20 rows (50.0%) would be withdrawn" in outcome.message
    assert (len(of_school(loaded, "0100")), len(of_school(loaded, "0101"))) == (21, 20)
    review = waiting(CHILDREN, KEY)
    assert review is not None
    assert (review.held, review.choices) == ({"0101"}, ("approve", "reject"))
    shown = as_markdown(review)
    assert "| 0101 | 20 | 0 | 0 | 10 | 10 | 0 | held |" in shown
    assert [value for value in canaries_of(HALF) if value in shown] == []
    assert loaded.leaks(canaries_of(HALF)) == []


def test_the_rows_of_a_held_school_count_as_held_and_are_not_quarantined(loaded: Place) -> None:
    rows = [row | ({"birth_date": "2014-01-01"} if row["school_id"] == "0101" else {}) for row in children(42)]
    outcome = loaded.night(csv_bytes(rows), run_key=KEY)
    assert outcome.summary is not None
    told = dataclasses.asdict(outcome.summary)
    counts = {name: told[name] for name in ("read", "inserted", "updated", "unchanged", "held", "withdrawn")}
    assert counts == {"read": 42, "inserted": 1, "updated": 0, "unchanged": 20, "held": 21, "withdrawn": 0}
    assert loaded.quarantined() == []
    say()
    again = pipeline.release(CHILDREN, run_key=KEY)
    assert (again.inserted, again.updated, again.unchanged, again.held) == (1, 20, 21, 0)


def test_an_approval_loads_the_school_once_and_the_gate_is_armed_again(loaded: Place) -> None:
    half_missing(loaded)
    say()
    assert waiting(CHILDREN, KEY) is None
    first = pipeline.release(CHILDREN, run_key=KEY)
    assert (first.state, first.withdrawn, first.held, first.reason) == ("loaded", 10, 0, "")
    assert len(of_school(loaded, "0101")) == 10
    before = loaded.table_hash()
    assert pipeline.release(CHILDREN, run_key=KEY) == first
    assert loaded.table_hash() == before
    # Another file that lacks the other school's half is not covered by it.
    rest = [row for row in HALF if row["school_id"] == "0101" or int(row["student_id"]) > 7000020]
    outcome = loaded.night(csv_bytes(rest), age=60, night="2026-11-21")
    assert "School 0100: " in outcome.message
    assert len(of_school(loaded, "0100")) == 21


def test_the_same_file_again_is_held_again_until_it_is_approved(loaded: Place) -> None:
    half_missing(loaded)
    again = half_missing(loaded, run_key="night-3", night="2026-11-21")
    assert (again.state, again.rule_id) == ("loaded", "gate.withdrawn")
    assert states(loaded) == ["superseded", "open"]
    say("night-3", choice="reject")
    third = half_missing(loaded, run_key="night-4", night="2026-11-22")
    assert (third.rule_id, states(loaded)) == ("gate.withdrawn", ["superseded", "rejected", "open"])
    say("night-4")
    # Approved and not released yet: the next night's run of the same bytes may rely on it as well.
    fourth = half_missing(loaded, run_key="night-5", night="2026-11-23")
    assert (fourth.state, fourth.rule_id, len(of_school(loaded, "0101"))) == ("loaded", "", 10)
    assert half_missing(loaded, run_key="night-6", night="2026-11-24").state == "unchanged"
    assert released("night-4") == "run.overtaken"


JUDGED_OTHERWISE: dict[str, Callable[[Place], Any]] = {
    "suite": lambda place: place.write_suite([FTE_RULE | {"severity": "warning"}]),
    "crosswalk": lambda place: place.execute("delete from import_log.crosswalk where local_code = '2'"),
}


@pytest.mark.parametrize("what", JUDGED_OTHERWISE)
def test_an_approval_ends_when_what_the_rows_are_judged_by_changes(loaded: Place, what: str) -> None:
    half_missing(loaded)
    say()
    (loaded.folder / "crosswalks" / "grade.csv").unlink()
    JUDGED_OTHERWISE[what](loaded)
    release = pipeline.release(CHILDREN, run_key=KEY)
    assert (release.withdrawn, len(of_school(loaded, "0101"))) == (0, 20)
    assert waiting(CHILDREN, f"{KEY}/release") is not None
    again = half_missing(loaded, run_key="night-3", night="2026-11-21")
    assert (again.rule_id, len(of_school(loaded, "0101"))) == ("gate.withdrawn", 20)
    say("night-3")
    assert (released("night-3"), len(of_school(loaded, "0101"))) == ("loaded", 10)


def test_an_approval_ends_when_the_file_is_read_by_another_layout(loaded: Place) -> None:
    half_missing(loaded)
    say()
    other = dataclasses.replace(CHILDREN.layout, null_tokens=("",))
    again = half_missing(loaded, run_key="night-3", night="2026-11-21", layout=other)
    assert (again.rule_id, len(of_school(loaded, "0101"))) == ("gate.withdrawn", 20)


def test_an_approval_outlives_the_load_of_a_parent(loaded: Place) -> None:
    loaded.write_suite([CLUB_RULE], CLUBS)
    assert clubs_of(loaded, list(range(1, 41)), age=9000, night="2026-11-18").state == "loaded"
    held = clubs_of(loaded, [n for n in range(1, 41) if n % 2 or n > 20], run_key="clubs-2", night="2026-11-20")
    assert held.rule_id == "gate.withdrawn"
    decide(CLUBS, "clubs-2", choice="approve", person="Pat", role="data_person", reason="The club has closed.")
    assert loaded.night(csv_bytes(children(41)), age=60, night="2026-11-20").state == "loaded"
    assert pipeline.release(CLUBS, run_key="clubs-2").withdrawn == 10


def test_a_night_after_a_held_one_is_still_compared_line_by_line(place: Place) -> None:
    rows = [child(n, school_id=f"{100 + n % 10:04d}") for n in range(400)]
    assert place.night(csv_bytes(rows), age=90_000, night="2026-11-17").state == "loaded"
    for n, row in enumerate(rows[:320]):
        row.update({"birth_date": "2014-01-01"} if n % 10 == 3 else {})
    assert place.night(csv_bytes(rows), age=80_000, night="2026-11-18").rule_id == "gate.updated"
    rows[5]["birth_date"] = "2014-01-01"
    outcome = place.night(csv_bytes(rows), run_key=KEY)
    assert outcome.summary is not None
    told = dataclasses.asdict(outcome.summary)
    counts = {name: told[name] for name in ("read", "updated", "unchanged", "held")}
    assert (outcome.rule_id, counts) == ("gate.updated", {"read": 400, "updated": 1, "unchanged": 367, "held": 32})
    assert place.rows("select since_id from import_log.import_run where run_key = :key", key=KEY) != [
        {"since_id": None}
    ]
    say()
    assert pipeline.release(CHILDREN, run_key=KEY).updated == 32


LISTED = 'schools: [{school_id: "0100"}, {school_id: "0101"}]\n'


@pytest.mark.parametrize("listed", [True, False])
def test_a_name_that_slid_into_the_school_s_column_is_told_nowhere(loaded: Place, listed: bool) -> None:
    facts = loaded.folder / "district.yaml"
    facts.write_text(facts.read_text(encoding="utf-8").replace("" if listed else LISTED, ""), encoding="utf-8")
    _read_district.cache_clear()
    # A name in most, a student's number in some.
    slid = [row | {"school_id": row["last_name"], "last_name": row["school_id"]} for row in children(30, first=100)]
    slid += [row | {"school_id": row["student_id"]} for row in children(9, first=200)]
    new = [child(n, school_id="0102") for n in range(300, 330)]
    lax = with_gate(CHILDREN, floor=1000)
    assert loaded.night(csv_bytes([*children(), *slid, *new]), run_key="slid", age=6000, dataset=lax).rule_id == ""
    touched = [row | {"birth_date": "2013-02-01"} for row in (*slid, *new[:20])]
    outcome = loaded.night(csv_bytes([*HALF, *touched, *new[20:]]), run_key=KEY, age=60, night="2026-11-20")
    assert outcome.rule_id == "gate.withdrawn"
    review = waiting(CHILDREN, KEY)
    assert review is not None
    schools = loaded.rows("select school_id from import_log.school_change")
    assert {row["school_id"] for row in schools} == {UNLISTED, "0100", "0101", "0102"}
    with pytest.raises(NotUndone, match="other schools") as refusal:
        undo(CHILDREN, 2, person="Ada", role="data_person", reason="Slid")
    told = loaded.said() + as_markdown(review) + str(refusal.value)
    assert [value for value in canaries_of(slid) - {"0100", "0101"} if value in told] == []


@pytest.mark.parametrize("then", ["listed", "approved", "taken back"])
def test_a_school_that_comes_under_a_number_that_is_not_listed_does_not_stand_twice(loaded: Place, then: str) -> None:
    renumbered = [row | ({"school_id": "0191"} if row["school_id"] == "0101" else {}) for row in children()]
    outcome = loaded.night(csv_bytes(renumbered), run_key=KEY, night="2026-11-20")
    assert (outcome.state, outcome.summary and outcome.summary.held) == ("loaded", 20)
    review = waiting(CHILDREN, KEY)
    assert review is not None
    assert (review.held, {reason.rule_id for reason in review.reasons}) == (
        {"0101", UNLISTED},
        {"gate.withdrawn", "gate.unlisted"},
    )
    assert {key[1] for key in loaded.standing()} == {"0100", "0101"}
    if then == "approved":
        say()
        assert (released(), {key[1] for key in loaded.standing()}) == ("loaded", {"0100", "0191"})
    elif then == "listed":
        facts = loaded.folder / "district.yaml"
        facts.write_text(facts.read_text(encoding="utf-8").replace('"0101"}', '"0191"}'), encoding="utf-8")
        _read_district.cache_clear()
        again = loaded.night(csv_bytes(renumbered), run_key="n3", night="2026-11-21", age=60)
        assert (again.rule_id, len(of_school(loaded, "0191"))) == ("gate.withdrawn", 20)
    else:
        assert loaded.night(csv_bytes(children(41)), night="2026-11-21", age=60).rule_id == ""
        assert {key[1] for key in loaded.standing()} == {"0100", "0101"}


TAMPERED = {
    "no record": "delete from import_log.hold; delete from import_log.decision",
    "another file": "update import_log.decision set sha256 = repeat('0', 64)",
    "another data set": "update import_log.decision set dataset = 'parents'",
    "expired": "update import_log.decision set expires_at = now() - interval '1 second'",
    "a role that may not": "update import_log.decision set role = 'technology_lead'",
    "nobody": "update import_log.decision set person = ' '",
    "no reason": "update import_log.decision set reason = E' \\n'",
    "rejected": "update import_log.decision set choice = 'reject'",
    "another kind": "update import_log.decision set kind = 'undo'",
    "used by another run": "update import_log.decision set used_by = 1",
    "of rows that were judged otherwise": "update import_log.decision set rules = ''",
    "a school in place of schools": "update import_log.decision set schools = '\"0101\"'",
    "a number in place of schools": "update import_log.decision set schools = '5'",
    "schools within schools": "update import_log.decision set schools = '[[\"0101\"]]'",
    "nothing in place of schools": "update import_log.decision set schools = 'null'",
    "about another hold": "update import_log.hold set decision_id = null",
}


@pytest.mark.parametrize("what", TAMPERED)
def test_what_is_no_decision_on_this_delivery_releases_nothing(loaded: Place, what: str) -> None:
    half_missing(loaded)
    say()
    before = loaded.table_hash()
    loaded.execute(TAMPERED[what])
    assert released() == "run.not_approved"
    assert loaded.table_hash() == before


def test_a_decision_that_runs_out_while_it_is_staged_releases_nothing(
    loaded: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    half_missing(loaded)
    say()
    before = loaded.table_hash()
    validate = pipeline._validate

    def slowly(*args: Any) -> None:
        validate(*args)
        loaded.execute(TAMPERED["expired"])

    monkeypatch.setattr(pipeline, "_validate", slowly)
    assert released() == "run.not_approved"
    assert loaded.table_hash() == before
    assert loaded.rows("select state, kind from import_log.import_run order by id desc limit 1") == [
        {"state": "held", "kind": "release"}
    ]


REFUSED = [
    ({"role": "technology_lead"}, "needs the role data_person"),
    ({"role": ""}, "needs the role"),
    ({"person": " "}, "Give the name"),
    ({"person": "\u200b"}, "Give the name"),
    ({"person": "a\udcffb"}, "no text"),
    ({"reason": ""}, "Give a reason"),
    ({"reason": " \n\t"}, "Give a reason"),
    ({"reason": "\u200b\x00\x1b"}, "Give a reason"),
    ({"reason": "A split\udcff."}, "no text"),
    ({"reason": "x" * 100_000}, "has 100,000 characters; 500 are allowed"),
    ({"choice": "without"}, "nothing to leave out"),
    ({"run_key": "night-9"}, "children has no run 0"),
]


@pytest.mark.parametrize(("how", "words"), REFUSED)
def test_a_decision_that_does_not_count_is_not_recorded(loaded: Place, how: dict[str, Any], words: str) -> None:
    half_missing(loaded)
    with pytest.raises(NotAllowed, match=words):
        say(**how)
    assert loaded.rows("select id from import_log.decision") == []
    assert waiting(CHILDREN, KEY) is not None


def test_a_decision_is_about_what_was_shown_and_nothing_else(loaded: Place) -> None:
    half_missing(loaded)
    seen = waiting(CHILDREN, KEY)
    assert seen is not None
    said: dict[str, Any] = {"choice": "approve", "person": "Pat", "role": "data_person", "reason": "A split."}
    # The task is cleared, and finds another file, of which the other school is held.
    assert loaded.night(csv_bytes(OTHER_HALF), run_key=KEY, night="2026-11-20", age=60).rule_id == "gate.withdrawn"
    with pytest.raises(NotAllowed, match="newer delivery"):
        decisions.decide(CHILDREN, seen.run_id, shown=seen.shown, **said)
    now = waiting(CHILDREN, KEY)
    assert now is not None
    with pytest.raises(NotAllowed, match="what was shown of run 3 has changed"):
        decisions.decide(CHILDREN, now.run_id, shown=seen.shown, **said)
    with pytest.raises(NotAllowed, match="run 3 has come in the place of run 2"):
        decisions.run_key_of(CHILDREN, seen.run_id)
    assert loaded.rows("select id from import_log.decision") == []
    decisions.decide(CHILDREN, now.run_id, shown=now.shown, **said)
    assert (released(), len(of_school(loaded, "0100"))) == ("loaded", 11)


def test_a_run_that_is_judged_again_has_another_mark_where_something_else_is_held(loaded: Place) -> None:
    """The same run and the same bytes: only the gate is another."""
    loaded.write_suite([FTE_RULE, TOO_FEW])
    loaded.night(csv_bytes(children(41)), run_key=KEY)
    first = waiting(CHILDREN, KEY)
    loaded.run(run_key=KEY)
    again = waiting(CHILDREN, KEY)
    loaded.run(run_key=KEY, dataset=with_gate(CHILDREN, grown=1))
    stricter = waiting(CHILDREN, KEY)
    assert first is not None
    assert again is not None
    assert stricter is not None
    assert first.run_id == again.run_id == stricter.run_id
    assert first.shown == again.shown != stricter.shown


def test_nobody_decides_twice_or_too_late(loaded: Place) -> None:
    half_missing(loaded)
    say(choice="reject")
    with pytest.raises(NotAllowed, match=r"Pat has decided already \(reject\)"):
        say()
    assert released() == "run.not_approved"
    half_missing(loaded, run_key="night-3", night="2026-11-21")
    loaded.execute("update import_log.hold set expires_at = now() - interval '1 second' where state = 'open'")
    assert waiting(CHILDREN, "night-3") is None
    with pytest.raises(NotAllowed, match="too late"):
        say("night-3")
    with engine().begin() as connection:
        assert (expire(connection), expire(connection)) == (1, 0)
    assert states(loaded) == ["rejected", "expired"]
    (mail,) = loaded.rows("select subject, body_text from import_log.mail")
    assert mail["subject"] == "children of 2026-11-21: nobody decided, what was held stays out"
    assert "The table keeps the rows that it has" in mail["body_text"]
    with pytest.raises(NotAllowed, match="too late"):
        say("night-3")


def test_a_newer_delivery_takes_the_place_of_one_that_is_held(loaded: Place) -> None:
    half_missing(loaded)
    say()
    newer = loaded.night(csv_bytes(children(42)), age=60, night="2026-11-21", run_key="night-3")
    assert (newer.state, newer.rule_id) == ("loaded", "")
    assert states(loaded) == ["superseded"]
    before = loaded.table_hash()
    assert released() == "run.overtaken"
    assert loaded.table_hash() == before
    with pytest.raises(NotAllowed, match="a newer delivery has come"):
        say()


@pytest.mark.parametrize("preview", [False, True])
def test_the_last_loaded_file_sent_again_takes_the_place_of_one_that_is_held_as_a_whole(
    loaded: Place, preview: bool
) -> None:
    few = csv_bytes(children(20))
    assert loaded.night(few, age=8000, night="2026-11-19", run_key=KEY).state == "held"
    say()
    sent = loaded.drop(csv_bytes(children()), age=60)
    by_hand = {"file": sent, "preview": True} if preview else {}
    assert loaded.run(night="2026-11-20", **by_hand).state == "unchanged"
    assert set(states(loaded)) == ({"approved"} if preview else {"superseded"})
    assert released() == ("loaded" if preview else "run.overtaken")
    assert len(loaded.standing()) == (20 if preview else 40)


def test_a_decision_that_races_a_newer_delivery_releases_nothing(loaded: Place) -> None:
    """It is made, and not committed yet, while the newer delivery loads; only the lock tells that one of it."""
    half_missing(loaded, age=9000)
    made, commit = threading.Event(), threading.Event()

    def slowly(_: object) -> None:
        if threading.current_thread().name == "decider":
            made.set()
            assert commit.wait(60)

    event.listen(engine(), "commit", slowly)
    decider = threading.Thread(target=say, name="decider")
    decider.start()
    assert made.wait(60)
    newer = threading.Thread(target=loaded.night, args=(csv_bytes(children(42)),), kwargs={"night": "2026-11-21"})
    newer.start()
    waits = "select count(*) as n from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    while newer.is_alive() and loaded.rows(waits) == [{"n": 0}]:
        newer.join(0.05)
    commit.set()
    decider.join()
    newer.join()
    event.remove(engine(), "commit", slowly)
    assert len(loaded.standing()) == 42
    assert (states(loaded), len(loaded.rows("select id from import_log.decision"))) == (["superseded"], 1)
    assert released() == "run.overtaken"
    # Nor where the hold had been missed.
    loaded.execute("update import_log.hold set state = 'approved'")
    before = loaded.table_hash()
    assert released() == "run.overtaken"
    assert loaded.table_hash() == before


def test_a_school_s_own_stricter_gate_judges_what_is_overwritten_alone(loaded: Place) -> None:
    """Where the first day of only one school lies in a stricter window, and half of its rows get a value for none."""
    year = {"end_year": 2027, "first_day": "2026-08-12", "last_day": "2027-05-26"}
    own = {"schools": ["0101"], "first_day": "2026-11-19", "last_day": "2027-05-26"}
    window = {"name": "strict", "around": "first_day", "days_after": 3, "gates": {"children": {"updated": 0.1}}}
    write_calendar(loaded, year | {"schools": [own]}, calendar={"strictness": [window]})
    blank = [row | ({"fte": ""} if int(row["student_id"]) % 4 == 2 else {}) for row in children()]
    lax = with_gate(CHILDREN, updated=1)
    assert loaded.night(csv_bytes(blank), dataset=lax, age=9000, run_key=KEY).rule_id == "gate.updated"
    say()
    assert pipeline.release(lax, run_key=KEY).state == "loaded"
    filled = [*(row | {"fte": "1"} for row in blank), child(101)]
    outcome = loaded.night(csv_bytes(filled), night="2026-11-20")
    assert outcome.summary is not None
    assert (outcome.rule_id, outcome.summary.updated, outcome.summary.held) == ("", 10, 0)


def test_without_loads_all_but_the_schools_that_tripped(place: Place) -> None:
    """Small schools trip the district together; a large one trips by itself."""
    rows = [child(n, school_id=f"{200 + n // 15:04d}") for n in range(300)]
    large = [child(n, school_id="0100") for n in range(1000, 1100)]
    assert place.night(csv_bytes([*rows, *large]), age=90_000).state == "loaded"
    sent = [row for n, row in enumerate(rows) if n % 15 > 3] + large[:50]
    outcome = place.night(csv_bytes([*sent, child(2000, school_id="0200")]), run_key=KEY)
    assert (outcome.state, outcome.rule_id) == ("held", "gate.withdrawn")
    assert outcome.summary is not None
    assert (outcome.summary.read, outcome.summary.unchanged, outcome.summary.held) == (271, 270, 1)
    review = waiting(CHILDREN, KEY)
    assert review is not None
    assert (review.held, review.choices) == ({WHOLE, "0100"}, ("approve", "without", "reject"))
    say(choice="without")
    again = pipeline.release(CHILDREN, run_key=KEY)
    assert (again.state, again.inserted, again.withdrawn) == ("loaded", 1, 80)
    assert len(of_school(place, "0100")) == 100
    assert states(place) == ["approved", "rejected", "rejected"]
    assert waiting(CHILDREN, f"{KEY}/release") is None


def test_a_rule_of_the_suite_that_holds_can_be_approved(loaded: Place) -> None:
    loaded.write_suite([FTE_RULE, TOO_FEW])
    before = loaded.table_hash()
    outcome = loaded.night(csv_bytes(children(41)), run_key=KEY)
    assert (outcome.state, outcome.rule_id) == ("held", "children.rows")
    assert "Too few rows. " in outcome.message
    assert loaded.table_hash() == before
    say()
    assert (released(), len(loaded.standing())) == ("loaded", 41)


def test_a_school_that_was_left_out_stays_out_even_where_it_would_trip_no_longer(loaded: Place) -> None:
    loaded.write_suite([FTE_RULE, TOO_FEW])
    rows = [row | ({"grade_level_code": "9"} if row["school_id"] == "0101" else {}) for row in children(42)]
    assert loaded.night(csv_bytes(rows), run_key=KEY).state == "held"
    say(choice="without")
    loaded.execute(
        "insert into import_log.crosswalk (code_set, source_system, school_year_from, school_year_to, local_code, "
        "standard_code, decided_by) values ('grade', 'sis', 0, 9999, '9', 'Ninth', 'Ann')"
    )
    # The rows are judged otherwise by now: the word on the delivery is asked for again, the one on the school stands.
    assert released() == "held"
    say(f"{KEY}/release")
    again = pipeline.release(CHILDREN, run_key=f"{KEY}/release")
    assert (again.state, again.inserted, again.held) == ("loaded", 1, 21)
    assert "School 0101: it was left out by a person's decision." in again.reason
    assert "A person decides" not in again.reason
    assert {row["grade_level_code"] for row in loaded.standing().values()} == {"K"}


def test_a_release_that_is_held_in_its_turn_waits_for_a_decision_of_its_own(loaded: Place) -> None:
    half_missing(loaded)
    say()
    loaded.write_suite([FTE_RULE, TOO_FEW])
    assert released() == "held"
    release_key = f"{KEY}/release"
    asked = waiting(CHILDREN, release_key)
    assert asked is not None
    assert [reason.rule_id for reason in asked.reasons] == ["children.rows", "gate.withdrawn"]
    (mail,) = loaded.rows("select body_text from import_log.mail")
    assert "Too few rows" in mail["body_text"]
    assert "required_actions" not in mail["body_text"]
    # The first approval is about what was judged by another suite.
    assert states(loaded) == ["approved", "open", "open"]
    say(release_key)
    assert (released(release_key), len(of_school(loaded, "0101"))) == ("loaded", 10)
    assert loaded.rows("select used_by is null as unused from import_log.decision order by id") == [
        {"unused": True},
        {"unused": False},
    ]


def test_a_release_that_was_killed_for_good_is_over_with_its_approval(loaded: Place) -> None:
    half_missing(loaded)
    say()
    with engine().begin() as connection:
        about = find_run(connection, CHILDREN, KEY)
        assert about is not None
        given: dict[str, Any] = {"partition": about.partition, "night": about.night, "kind": "release"}
        open_run(connection, CHILDREN, run_key=f"{KEY}/release", about_id=about.id, **given)
        assert expire(connection) == 0
    runs = "select state, finished_at is null as is_open from import_log.import_run where kind = 'release'"
    assert loaded.rows(runs) == [{"state": "started", "is_open": True}]
    loaded.execute(TAMPERED["expired"])
    with engine().begin() as connection:
        assert expire(connection) == 1
    assert loaded.rows(runs) == [{"state": "failed", "is_open": False}]


def test_a_release_s_key_that_is_used_again_is_about_the_newer_run(loaded: Place) -> None:
    half_missing(loaded)
    say()
    (landed,) = loaded.rows("select sha256 from import_log.delivery order by id desc limit 1")
    copy = loaded.folder / "landed" / landed["sha256"]
    copy.rename(copy.with_suffix(".away"))
    with pytest.raises(ImportStopped):
        released()
    loaded.night(csv_bytes(OTHER_HALF), run_key=KEY, night="2026-11-20", age=60)
    say()
    assert (released(), len(of_school(loaded, "0100"))) == ("loaded", 11)
    (told,) = loaded.rows("select about_id from import_log.import_run where kind = 'release'")
    (newest,) = loaded.rows("select max(id) as id from import_log.import_run where kind = 'import'")
    assert told["about_id"] == newest["id"]


def test_each_time_that_nobody_decides_is_told_by_mail(loaded: Place) -> None:
    loaded.write_suite([FTE_RULE, TOO_FEW])
    for count in (41, 42):
        assert loaded.night(csv_bytes(children(count)), run_key=KEY, age=7200 - count).state == "held"
        loaded.execute("update import_log.hold set expires_at = now() - interval '1 second' where state = 'open'")
        with engine().begin() as connection:
            assert expire(connection) == 1
    assert len({row["key"] for row in loaded.rows("select key from import_log.mail")}) == 2
    assert len({row["import_run_id"] for row in loaded.rows("select import_run_id from import_log.hold")}) == 1


@pytest.mark.parametrize("gate", ["", "load", "hold"])
def test_71_a_first_load_waits_for_its_baseline_where_that_is_asked_for(
    place: Place, monkeypatch: pytest.MonkeyPatch, gate: Any
) -> None:
    monkeypatch.setenv("DISTRICT_FIRST_LOAD", "hold" if not gate else {"load": "hold", "hold": "load"}[gate])
    settings.cache_clear()
    dataset = dataclasses.replace(CHILDREN, gate=dataclasses.replace(CHILDREN.gate, first=gate))
    outcome = place.night(csv_bytes(children()), dataset=dataset, run_key=KEY)
    if gate == "load":
        assert outcome.state == "loaded"
        return
    assert (outcome.state, outcome.rule_id) == ("held", "gate.first")
    assert place.standing() == {}
    say()
    assert pipeline.release(dataset, run_key=KEY).inserted == 40


def test_a_first_load_may_hold_a_school_too(place: Place) -> None:
    rows = [row | ({"fte": "much"} if n % 6 == 1 else {}) for n, row in enumerate(children())]
    outcome = place.night(csv_bytes(rows), run_key=KEY)
    assert outcome.summary is not None
    assert (outcome.state, outcome.rule_id) == ("loaded", "gate.rejected")
    assert (outcome.summary.inserted, outcome.summary.held, outcome.summary.rejected) == (20, 13, 7)
    say()
    assert (released(), len(place.standing())) == ("loaded", 33)


def test_new_unknown_codes_hold_a_school_and_known_ones_do_not(loaded: Place) -> None:
    many = [*children(), *(child(n, school_id="0100") for n in range(100, 140))]
    assert loaded.night(csv_bytes(many), age=5000).state == "loaded"
    typo = [row | ({"grade_level_code": "KK"} if n in range(40, 45) else {}) for n, row in enumerate(many)]
    held = loaded.night(csv_bytes(typo), age=4000, run_key=KEY, night="2026-11-20")
    assert (held.state, held.rule_id) == ("loaded", "gate.codes")
    assert "School 0100: 5 of 60 rows (8.3%) hold a code that is new and unknown" in held.message
    # It is as new on the next night as long as nobody has let it through, and no longer new afterwards.
    again = loaded.night(csv_bytes([*typo, child(300, school_id="0101")]), age=3000, run_key="n3", night="2026-11-21")
    assert again.rule_id == "gate.codes"
    say("n3")
    assert released("n3") == "loaded"
    later = loaded.night(csv_bytes([*typo, child(301, school_id="0101")]), age=2000, night="2026-11-22")
    assert (later.state, later.rule_id) == ("loaded", "")


def test_a_slow_slide_is_seen_by_the_nights_before(loaded: Place) -> None:
    """Never more than a tenth in one night, and still a third of the school in the end.

    The settings do not name the school, so that its first night is nobody's.
    """
    numbers = list(range(100, 300))
    rows = [*children(), *(child(n, school_id="0200") for n in numbers)]
    assert loaded.night(csv_bytes(rows), age=9100, dataset=with_gate(CHILDREN, floor=1000)).rule_id == ""
    for night in range(1, 8):
        rows = [*children(), *(child(n, school_id="0200") for n in numbers)]
        outcome = loaded.night(csv_bytes(rows), age=9000 - night, night=f"2026-11-{19 + night}", run_key=f"n{night}")
        if outcome.rule_id:
            break
        numbers = numbers[: len(numbers) * 91 // 100]
    assert (outcome.state, outcome.rule_id, night) == ("loaded", "gate.count", 6)
    # A person's word makes a new beginning.
    say("n6")
    assert released("n6") == "loaded"
    rows = [*children(), *(child(n, school_id="0200") for n in numbers[1:])]
    assert loaded.night(csv_bytes(rows), age=60, night="2026-11-29").rule_id == ""


def usual(place: Place) -> dict[str, int]:
    """What usually comes, as of the newest run."""
    with engine().connect() as connection:
        (newest,) = place.rows("select max(id) as id from import_log.import_run where state = 'loaded'")
        run = connection.execute(select(import_run).where(import_run.c.id == newest["id"])).one()
        return usual_counts(connection, CHILDREN, run)


@pytest.mark.parametrize("by_the_next_night", [False, True])
def test_a_new_beginning_is_that_of_the_schools_that_were_let_through(loaded: Place, by_the_next_night: bool) -> None:
    for day in range(3):
        loaded.night(csv_bytes(children(42 + 2 * day)), night=f"2026-11-{19 + day}", age=80_000 - day)
    half_missing(loaded, night="2026-11-22")
    assert usual(loaded) == {"0100": 21, "0101": 21}
    say()
    if by_the_next_night:
        assert half_missing(loaded, run_key="next", night="2026-11-23").rule_id == ""
    else:
        assert released() == "loaded"
    loaded.night(csv_bytes([*HALF, child(101)]), night="2026-11-24", age=60)
    assert usual(loaded) == {"0100": 21}


def test_a_release_and_the_night_whose_rows_it_loads_count_once(loaded: Place) -> None:
    half_missing(loaded)
    say()
    assert released() == "loaded"
    loaded.night(csv_bytes([*HALF, child(101)]), night="2026-11-24", age=60)
    # The first night, the held one, and this one, which is not compared with itself.
    assert usual(loaded) == {}


def clubs_of(place: Place, numbers: list[int], *, age: float = 7200, **how: Any) -> Outcome:
    place.drop(clubs(*numbers), "clubs_1.csv", age=age)
    return place.run(CLUBS, **how)


def test_a_held_parent_blocks_its_children_of_that_school_only(loaded: Place) -> None:
    loaded.write_suite([CLUB_RULE], CLUBS)
    night = "2026-11-20"
    assert clubs_of(loaded, list(range(1, 21)), age=9000, night="2026-11-18").state == "loaded"
    half_missing(loaded)
    outcome = clubs_of(loaded, list(range(1, 41)), night=night, run_key="clubs-2")
    assert outcome.summary is not None
    assert (outcome.state, outcome.rule_id) == ("loaded", PARENT_HELD)
    assert (outcome.summary.inserted, outcome.summary.held) == (10, 10)
    assert {key[1] for key in loaded.standing(CLUBS) if int(key[0]) > 7000020} == {"0100"}
    assert waiting(CLUBS, "clubs-2") is None
    say()
    assert released() == "loaded"
    assert clubs_of(loaded, list(range(1, 41)), night=night).rule_id != PARENT_HELD


def test_an_approval_is_not_used_up_by_a_load_that_leaves_its_school_out(loaded: Place) -> None:
    """The child's approval outlasts the parent's hold, and lets the school in once the parent has it."""
    loaded.write_suite([CLUB_RULE], CLUBS)
    half, night = [*range(1, 81, 2), *range(2, 41, 2)], "2026-11-20"
    assert loaded.night(csv_bytes(children(80)), age=9000, night=night).rule_id == ""
    assert clubs_of(loaded, list(range(1, 81)), age=9000, night=night).rule_id == ""
    assert clubs_of(loaded, half, night=night, run_key="clubs").rule_id == "gate.withdrawn"
    decide(CLUBS, "clubs", choice="approve", person="Pat", role="data_person", reason="It is so.")
    loaded.night(csv_bytes([child(number) for number in half]), run_key="again", night=night)
    early = pipeline.release(CLUBS, run_key="clubs")
    assert (early.withdrawn, "it is judged again" in early.reason) == (0, True)
    assert loaded.rows("select used_by from import_log.decision") == [{"used_by": None}]
    say("again")
    assert released("again") == "loaded"
    late = pipeline.release(CLUBS, run_key="clubs")
    assert (late.state, late.withdrawn, late.reason) == ("loaded", 20, "")
    assert late.id != early.id


def test_a_parent_that_is_held_as_a_whole_still_blocks(loaded: Place) -> None:
    loaded.write_suite([CLUB_RULE], CLUBS)
    loaded.night(csv_bytes(children(20)))
    assert clubs_of(loaded, [1, 2]).state == "blocked"


def release_in_process(environment: dict[str, str]) -> None:
    os.environ.update(environment)
    settings.cache_clear()
    pipeline.release(CHILDREN, run_key=KEY)


def test_75_a_release_that_is_killed_loads_once_when_it_is_tried_again(loaded: Place) -> None:
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["district.pipeline", "pandas", "pyarrow.csv", "test_holds"])
    half_missing(loaded)
    say()
    before, killed = of_school(loaded, "0101"), 0
    for tenths in (1, 3, 5, 7, 9, 12):
        process = forks.Process(target=release_in_process, args=(loaded.environment,))
        process.start()
        process.join(tenths / 10)
        if process.is_alive():
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            killed += 1
        process.join()
        assert len(of_school(loaded, "0101")) in (10, len(before))
    assert killed
    assert (released(), released()) == ("loaded", "loaded")
    assert len(of_school(loaded, "0101")) == 10
    told = loaded.rows(
        "select count(*) as n, sum(withdrawn)::int as gone from import_log.import_run where kind = 'release' "
        "and state = 'loaded'"
    )
    assert told == [{"n": 1, "gone": 10}]
    assert loaded.rows("select count(*) as n from import_log.row_history") == [{"n": 10}]


def test_of_two_releases_at_once_the_second_finds_it_locked(loaded: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    half_missing(loaded)
    say()
    validate, second = pipeline._validate, []

    def meanwhile(*args: Any) -> None:
        with pytest.raises(Locked, match="children is locked by database session") as locked:
            pipeline.release(CHILDREN, run_key=KEY)
        second.append(locked.value)
        validate(*args)

    monkeypatch.setattr(pipeline, "_validate", meanwhile)
    assert (released(), len(second)) == ("loaded", 1)
    assert len(of_school(loaded, "0101")) == 10


def test_a_release_that_breaks_off_in_the_middle_of_the_load_keeps_its_approval(
    loaded: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    half_missing(loaded)
    say()
    before = loaded.table_hash()

    def broken(*_: Any) -> None:
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr("district.load.loader.quarantine", broken)
        with pytest.raises(Exception, match="children"):
            pipeline.release(CHILDREN, run_key=KEY)
    assert loaded.table_hash() == before
    assert loaded.rows("select schools, used_by from import_log.decision") == [{"schools": ["0101"], "used_by": None}]
    assert released() == "loaded"


SWEEP = (0, 5, 9, 10, 11, 25, 50, 74, 75, 76, 90, 99, 100)


def previewed(place: Place, rows: list[dict[str, str]], dataset: Dataset = CHILDREN) -> frozenset[str]:
    """The schools that a load of these rows would hold; nothing is loaded."""
    path = place.drop(csv_bytes(rows))
    key = f"check-{len(place.keys)}"
    place.keys.append((dataset, key))
    pipeline.extract(dataset, partition="2026-11-20", run_key=key, file=path, preview=True)
    pipeline.validate(dataset, run_key=key)
    pipeline.load(dataset, run_key=key, preview=True)
    pipeline.close(dataset, run_key=key, preview=True)
    query = (
        "select school_id from import_log.school_change c join import_log.import_run r on r.id = c.import_run_id "
        "where r.run_key = :key and c.held"
    )
    return frozenset(row["school_id"] for row in place.rows(query, key=key))


CHANGES: dict[str, Callable[[list[dict[str, str]], int], list[dict[str, str]]]] = {
    "deleted": lambda rows, count: rows[count:],
    "updated": lambda rows, count: [
        row | ({"birth_date": "2014-01-01"} if n < count else {}) for n, row in enumerate(rows)
    ],
}


@pytest.mark.parametrize(("what", "limit"), [("deleted", 10), ("updated", 75)])
def test_the_gate_swept_through_the_database(place: Place, what: str, limit: int) -> None:
    """One school of a hundred rows, and forty schools of ten, which only the district can be judged by."""
    one = [child(n, school_id="0100") for n in range(100)]
    others = [child(n, school_id=f"{200 + n % 40:04d}") for n in range(1000, 1400)]
    assert place.night(csv_bytes([*one, *others]), age=90_000).state == "loaded"
    before = place.table_hash()
    every = {row["school_id"] for row in (*one, *others)}
    for percent in SWEEP:
        held = previewed(place, [*CHANGES[what](one, percent), *others])
        assert held == ({"0100"} if percent > limit else set()), (what, percent)
        held = previewed(place, [*one, *CHANGES[what](others, 4 * percent)])
        wanted = every if 4 * percent * 100 > limit * 500 else set()
        # At last each of the forty is wholly missing, and the one that is left has lost nothing.
        assert held == (every - {"0100"} if (what, percent) == ("deleted", 100) else wanted), (what, percent)
    assert place.table_hash() == before
