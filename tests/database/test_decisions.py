"""Decisions: a person's word on one delivery as it was shown; nothing else lets its rows in."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event

from district import pipeline
from district.database import engine
from district.notify.mail import remind
from district.report import note
from district.review import decisions
from district.review.holds import waiting
from district.review.tables import WHOLE
from district.run import NotAllowed
from holding import HALF, KEY, OTHER_HALF, TAMPERED, TOO_FEW, half_missing, of_school, released, say, states
from importing import CHILDREN, FTE_RULE, Place, child, children, csv_bytes, with_gate


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
        assert (remind(connection), remind(connection)) == (1, 0)
    assert states(loaded) == ["rejected", "expired"]
    (mail,) = loaded.rows("select subject, body_text from import_log.mail")
    assert mail["subject"] == "children of 2026-11-21: nobody decided, what was held stays out"
    assert "Nobody decided in time. What was held stays out" in mail["body_text"]
    with pytest.raises(NotAllowed, match="too late"):
        say("night-3")


def test_an_approval_that_is_not_released_in_time_is_told_as_one(loaded: Place) -> None:
    half_missing(loaded)
    say()
    loaded.execute(TAMPERED["expired"])
    with engine().begin() as connection:
        assert remind(connection) == 1
    assert (states(loaded), released()) == (["expired"], "run.not_approved")
    told = "Approved by Pat (data_person): The school was split. It was not released in time"
    (mail,) = loaded.rows("select subject, body_text from import_log.mail where key like 'reminder%'")
    assert mail["subject"] == "children of 2026-11-20: approved and not released, what was held stays out"
    assert told in " ".join(mail["body_text"].split())
    assert "obody" not in mail["body_text"]
    assert told in note(CHILDREN, KEY)


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


def test_an_approval_lets_through_what_held_it_and_no_reason_that_came_since(place: Place) -> None:
    old = [row | {"school_year": "2026"} for row in children(40, first=101)]
    both = [*children(), *old]
    assert place.night(csv_bytes(both), night="2026-09-01", age=90_000).state == "loaded"
    place.write_suite([FTE_RULE, TOO_FEW])
    both[45]["grade_level_code"] = "1"
    assert place.night(csv_bytes(both), night="2026-10-10", run_key=KEY, age=80_000).rule_id == "children.rows"
    say()
    # The day after, last year is closed, and the same bytes come once more.
    again = place.night(csv_bytes(both), night="2026-10-12", run_key="night-3", age=80_000)
    assert (again.state, again.rule_id) == ("held", "year.closed")
    assert {row["grade_level_code"] for row in place.standing().values()} == {"K"}
    say("night-3")
    assert released("night-3") == "loaded"


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
