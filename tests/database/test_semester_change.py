"""A semester change: judged more strictly, loaded once new warnings are known and a second person has confirmed it."""

from __future__ import annotations

import dataclasses
import datetime
import json
from typing import Any

import pytest

from calendars import write_calendar
from district import pipeline
from district.database import engine
from district.dataset import Files, Parent
from district.import_log import find_run, judged_as, open_run
from district.review.acknowledgements import acknowledge, new_warnings
from district.review.decisions import decide
from district.review.holds import waiting
from district.run import Held, ImportStopped, NotAllowed, RunSummary
from district.semester_change.confirmation import confirm
from district.semester_change.question import pending
from district.settings import settings
from importing import CHILDREN, FTE_RULE, Place, child, children, csv_bytes, working_in

BEFORE, FIRST, SECOND = "2026-11-18", "2026-11-19", "2026-11-20"
YEAR = {
    "end_year": 2027,
    "first_day": "2026-08-12",
    "last_day": "2027-05-26",
    "terms": [
        {"code": "S1", "begin": "2026-08-12", "end": "2026-11-19"},
        {"code": "S2", "begin": "2026-11-20", "end": "2027-05-26"},
    ],
}
WARNS = {**FTE_RULE, "severity": "warning", "meta": {**FTE_RULE["meta"], "rule_id": "children.fte_zero"}}
WARNS["kwargs"] = {"unexpected_rows_query": "select row_no from {batch} where fte = 0"}
# Told of the school's own terms; names each child that enters a school after its old term.
TERM = {**WARNS, "meta": {**WARNS["meta"], "rule_id": "children.in_change"}}
TERM["kwargs"] = {
    "unexpected_rows_query": "select row_no from {batch} join {change} c using (school_id) "
    "where c.old_term = 'S1' and fte = 0.5"
}
ANN, BEN = {"person": "ann", "role": "data_person"}, {"person": "ben", "role": "technology_lead"}


@pytest.fixture
def change(loaded: Place) -> Place:
    """The district on the nights around its second term, after a nightly import without any warning."""
    write_calendar(loaded, YEAR)
    loaded.write_suite([FTE_RULE, WARNS])
    write_strict(loaded, [TERM])
    return loaded


def write_strict(place: Place, expectations: list[Any], **promoted: str) -> None:
    """What comes on top of the suite at semester change."""
    folder = place.folder / "expectations" / "semester_change"
    folder.mkdir(exist_ok=True)
    told = {"name": "children", "expectations": expectations, "meta": {"promoted": promoted}}
    (folder / "children.json").write_text(json.dumps(told), encoding="utf-8")


def rows(*fte: str) -> bytes:
    """The forty children, the first of them with these values."""
    return csv_bytes([child(n, **({"fte": fte[n - 1]} if n <= len(fte) else {})) for n in range(1, 41)])


def judge(place: Place, content: bytes, night: str = FIRST, key: str = "") -> str:
    """Extract and validate as the first tasks of a semester change do; returns the run's key."""
    key = key or f"change-{night}"
    place.drop(content, age=3600)
    place.keys.append((CHILDREN, key))
    pipeline.extract(CHILDREN, partition=night, run_key=key, kind="semester_change")
    pipeline.validate(CHILDREN, run_key=key)
    return key


def new(key: str) -> dict[str, int]:
    """The warnings of a run that are to be acknowledged, with their rows."""
    with engine().connect() as connection:
        run = find_run(connection, CHILDREN, key)
        assert run is not None
        return {each.rule_id: each.rows for each in new_warnings(connection, CHILDREN, run)}


def know(rule_id: str, *, ceiling: int = 2, days: int = 30, **who: str) -> None:
    until = settings().district.today() + days * datetime.timedelta(days=1)
    about: Any = {**ANN, "reason": "Known to the registrar.", **who}
    acknowledge(CHILDREN, rule_id, expires_on=until, ceiling=ceiling, **about)


def answer(key: str, choice: Any = "approve", **who: str) -> None:
    """Confirms what is shown at this moment, or what ``shown`` names."""
    about: Any = {**BEN, "reason": "Compared with the SIS, school by school.", "shown": shown(key), **who}
    with engine().connect() as connection:
        run = find_run(connection, CHILDREN, key)
    assert run is not None
    confirm(CHILDREN, run.id, choice=choice, **about)


def shown(key: str) -> str:
    """What people are shown of a run, as its question names it; nothing where nobody is asked."""
    asked = pending(CHILDREN, key)
    return asked.shown if asked else ""


def stopped(key: str) -> str:
    """The verdict with which a load stops; the table must not have changed."""
    with pytest.raises(Held) as held:
        pipeline.load(CHILDREN, run_key=key)
    return held.value.rule_id


def test_new_warnings_stop_it_and_two_people_let_it_through(change: Place) -> None:
    before = change.table_hash()
    key = judge(change, rows("0", "0", "0.5"))
    assert new(key) == {"children.fte_zero": 2, "children.in_change": 1}
    assert stopped(key) == "semester_change.warnings"
    know("children.fte_zero")
    assert new(key) == {"children.in_change": 1}
    know("children.in_change")
    assert stopped(key) == "semester_change.confirmation"
    assert change.table_hash() == before
    with pytest.raises(NotAllowed, match="Ann has acknowledged a warning of this run; a second person"):
        answer(key, person=" Ann")
    answer(key)
    assert pipeline.load(CHILDREN, run_key=key).state == "loaded"
    assert change.table_hash() != before
    used = change.rows("select used_by, person, reason, sha256 from import_log.decision")[0]
    assert used["used_by"]
    assert (used["person"], used["reason"]) == ("ben", "Compared with the SIS, school by school.")


def test_the_next_night_knows_what_was_acknowledged_up_to_its_ceiling(change: Place) -> None:
    key = judge(change, rows("0", "0"))
    know("children.fte_zero", ceiling=3)
    answer(key)
    pipeline.load(CHILDREN, run_key=key)
    assert new(judge(change, rows("0", "0", "0"), SECOND)) == {}
    assert new(judge(change, rows("0", "0", "0", "0"), SECOND, "more")) == {"children.fte_zero": 4}
    know("children.fte_zero", ceiling=4, days=0)
    change.execute("update import_log.acknowledgement set expires_on = date '2026-11-19' where ceiling = 4")
    assert new(judge(change, rows("0", "0", "0"), SECOND, "late")) == {"children.fte_zero": 3}


def test_a_warning_that_the_last_load_had_is_known(change: Place) -> None:
    assert change.night(rows("0"), night=BEFORE, age=5000).state == "loaded"
    key = judge(change, rows("0", "0.5"))
    assert new(key) == {"children.in_change": 1}


@pytest.mark.parametrize(("before", "now", "is_new"), [(1, 6, False), (1, 7, True), (30, 36, False), (30, 37, True)])
def test_a_warning_that_the_last_load_had_is_new_again_when_it_grows(
    change: Place, before: int, now: int, is_new: bool
) -> None:
    assert change.night(rows(*["0"] * before), night=BEFORE, age=5000).state == "loaded"
    key = judge(change, rows(*["0"] * now))
    assert new(key) == ({"children.fte_zero": now} if is_new else {})


def test_without_a_new_warning_the_confirmation_is_still_asked(change: Place) -> None:
    key = judge(change, csv_bytes(children(41)))
    assert new(key) == {}
    assert stopped(key) == "semester_change.confirmation"
    answer(key, **ANN)
    assert pipeline.load(CHILDREN, run_key=key).inserted == 1


@pytest.mark.parametrize(
    "forged",
    [
        "update import_log.decision set sha256 = 'another'",
        "update import_log.decision set shown = 'another'",
        "update import_log.decision set expires_at = now() - interval '1 second'",
        "update import_log.decision set person = ' '",
        "update import_log.decision set reason = ''",
        "update import_log.decision set role = 'assessment_lead'",
        "update import_log.decision set dataset = 'attendance'",
        "update import_log.decision set kind = 'review'",
        "update import_log.decision set choice = 'reject'",
        "update import_log.decision set used_by = import_run_id",
        "update import_log.decision set person = 'ANN'",
        "delete from import_log.decision",
    ],
)
def test_a_load_believes_the_record_alone(change: Place, forged: str) -> None:
    key = judge(change, rows("0"))
    know("children.fte_zero")
    answer(key)
    before = change.table_hash()
    change.execute(forged)
    assert stopped(key) == "semester_change.confirmation"
    assert change.table_hash() == before


def test_a_withdrawn_acknowledgement_stops_a_confirmed_load(change: Place) -> None:
    key = judge(change, rows("0"))
    know("children.fte_zero")
    answer(key)
    change.execute("update import_log.acknowledgement set ceiling = 0")
    assert stopped(key) == "semester_change.warnings"


def test_a_rejected_confirmation_keeps_the_rows_and_the_run_is_over(change: Place) -> None:
    key = judge(change, csv_bytes(children(41)))
    before, mark = change.table_hash(), shown(key)
    answer(key, "reject", reason="The office still works on S2.")
    assert stopped(key) == "semester_change.rejected"
    with pytest.raises(NotAllowed, match="Nothing of children waits for a confirmation"):
        answer(key, shown=mark)
    assert change.table_hash() == before


def test_a_rejection_takes_back_an_earlier_confirmation(change: Place) -> None:
    content = csv_bytes(children(41))
    key = judge(change, content)
    answer(key)
    answer(key, "reject", person="cat", role="data_person", reason="Sections of 0100 are wrong.")
    judge(change, content, key=key)
    assert shown(key), "the same file is asked about again"
    assert stopped(key) == "semester_change.confirmation"
    answer(key, person="cat", role="data_person", reason="They are right after all.")
    assert pipeline.load(CHILDREN, run_key=key).state == "loaded"


def test_a_confirmation_counts_after_a_clear_where_nothing_else_would_load(change: Place) -> None:
    content = csv_bytes(children(41))
    key = judge(change, content)
    answer(key)
    judge(change, content, key=key)
    asked = pending(CHILDREN, key)
    assert asked is not None
    assert asked.confirmed_by == "ben"
    assert pipeline.load(CHILDREN, run_key=key).state == "loaded"


def test_a_confirmation_is_void_once_the_same_file_is_judged_otherwise(change: Place) -> None:
    content = rows("0", "0")
    key = judge(change, content)
    know("children.fte_zero")
    answer(key)
    write_strict(change, [TERM], **{"children.fte_zero": "reject"})
    judge(change, content, key=key)
    asked = pending(CHILDREN, key)
    assert asked is not None
    assert asked.confirmed_by == ""
    assert stopped(key) == "semester_change.confirmation"


def test_a_confirmation_is_for_what_was_shown(change: Place) -> None:
    key = judge(change, csv_bytes(children(41)))
    before = shown(key)
    judge(change, csv_bytes(children(42)), key=key)
    for choice in ("approve", "reject"):
        with pytest.raises(NotAllowed, match=r"children: what was shown of run . has changed"):
            answer(key, choice, shown=before)


def test_a_confirmed_load_does_what_was_confirmed_or_nothing(change: Place) -> None:
    key = judge(change, rows("0.8"))
    answer(key)
    change.execute("update district.children set fte = 0.8 where student_id = '7000001'")
    before = change.table_hash()
    assert stopped(key) == "semester_change.changed"
    assert change.table_hash() == before
    with pytest.raises(Held, match="clear `validate` to have it looked at again"):
        pipeline.load(CHILDREN, run_key=key)
    pipeline.validate(CHILDREN, run_key=key)
    answer(key)
    assert pipeline.load(CHILDREN, run_key=key).state == "loaded"


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({"role": "assessment_lead"}, "may not confirm children: that needs the role data_person or technology_lead"),
        ({"person": ""}, "Give the name"),
        ({"reason": " "}, "Give a reason"),
    ],
)
def test_who_may_confirm(change: Place, what: dict[str, str], said: str) -> None:
    key = judge(change, csv_bytes(children(41)))
    with pytest.raises(NotAllowed, match=said):
        answer(key, **what)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({"role": "technology_lead"}, "may not acknowledge warnings of children"),
        ({"reason": ""}, "Give a reason for children.fte_zero"),
        ({"days": -1}, "give a day from today, within a year"),
        ({"days": 400}, "give a day from today, within a year"),
        ({"ceiling": -1}, "The ceiling is a number of rows"),
        ({"ceiling": 10**20}, "The ceiling is a number of rows"),
        ({"reason": "\u200b\x00"}, "Give a reason for children.fte_zero"),
        ({"reason": "x" * 100_000}, "has 100,000 characters; 500 are allowed"),
        ({"person": "\u00a0"}, "Give the name"),
        ({"person": "a\udcffb"}, "no text"),
    ],
)
def test_who_may_acknowledge_and_until_when(change: Place, what: dict[str, Any], said: str) -> None:
    judge(change, rows("0"))
    with pytest.raises(NotAllowed, match=said):
        know("children.fte_zero", **what)
    with pytest.raises(NotAllowed, match="No run of children had the warning"):
        know("children.fte_one")


def test_a_promoted_warning_rejects_its_rows(change: Place) -> None:
    write_strict(change, [TERM], **{"children.fte_zero": "reject"})
    key = judge(change, rows("0", "0"))
    assert new(key) == {}
    answer(key)
    assert pipeline.load(CHILDREN, run_key=key).rejected == 2


@pytest.mark.parametrize(
    ("promoted", "said"),
    [
        ({"children.fte_zer": "reject"}, "which children.json does not have. Is children.fte_zero meant"),
        ({"children.fte_zero": "hold"}, "on_fail hold does not fit"),
    ],
)
def test_a_slip_in_what_comes_on_top_stops_the_import(change: Place, promoted: dict[str, str], said: str) -> None:
    write_strict(change, [], **promoted)
    with pytest.raises(Held, match=said):
        judge(change, rows())


def test_vanished_rows_of_a_school_are_a_warning(change: Place) -> None:
    # Two of a school's twenty: less than the gate would hold, more than a semester change lets pass unseen.
    gone = {2, 4}
    key = judge(change, csv_bytes([child(n) for n in range(1, 41) if n not in gone]))
    assert new(key) == {"children.semester.vanished": 2}
    told = change.rows("select cause, title from import_log.import_issue where rule_id = 'children.semester.vanished'")
    assert [row["cause"] for row in told] == ["0101"]


def test_the_nightly_import_steps_aside_and_comes_back_by_the_calendar(change: Place) -> None:
    states = []
    for night in ("2026-11-17", "2026-11-18", FIRST, SECOND, "2026-11-25", "2026-11-26"):
        outcome = change.night(csv_bytes(children(42)), night=night, steps_aside=True, age=3000)
        states.append((outcome.state, outcome.rule_id))
        if outcome.state == "aside":
            assert "children_semester_change imports children this night" in outcome.message
            assert "comes back on 2026-11-26" in outcome.message
    assert states == [("held", "run.older_night"), *[("aside", "run.semester_change")] * 4, ("loaded", "")]


def test_a_data_set_without_semester_changes_does_not_step_aside(change: Place) -> None:
    assert change.night(csv_bytes(children(41)), night=FIRST).state == "loaded"


def test_a_blackout_keeps_both_out_and_says_until_when(change: Place) -> None:
    import yaml

    path = change.folder / "district.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["calendar"] = {"blackouts": [{"begin": FIRST, "end": SECOND, "reason": "The SIS moves"}]}
    path.write_text(json.dumps(content, default=str), encoding="utf-8")
    from district.settings import _read_district

    _read_district.cache_clear()
    for kind in ("import", "semester_change"):
        outcome = change.night(csv_bytes(children(42)), night=FIRST, kind=kind)
        assert (outcome.state, outcome.rule_id) == ("aside", "run.blackout")
        assert outcome.message == "The calendar has no imports from 2026-11-19 to 2026-11-20: The SIS moves."


def test_a_file_that_the_night_has_loaded_is_judged_again_by_the_stricter_suite(change: Place) -> None:
    content = rows("0.5")
    assert change.night(content, night=BEFORE, age=5000).state == "loaded"
    key = judge(change, content)
    assert new(key) == {"children.in_change": 1, "file.unchanged": 1}
    know("children.in_change")
    know("file.unchanged")
    answer(key)
    assert pipeline.load(CHILDREN, run_key=key).state == "loaded"
    change.drop(content, age=3600)
    again = pipeline.extract(CHILDREN, partition="2026-11-23", run_key="again", kind="semester_change")
    change.keys.append((CHILDREN, "again"))
    assert again.state == "extracted", "the new term has begun by then, which a rule may ask"


def test_a_run_by_hand_is_nobody_s_semester_change(change: Place) -> None:
    path = change.drop(csv_bytes(children(41)))
    assert change.run(night=FIRST, file=path, steps_aside=True).state == "loaded"


def test_no_value_of_a_row_is_told(change: Place) -> None:
    key = judge(change, rows("0", "0.5"))
    with pytest.raises(ImportStopped) as told:
        pipeline.load(CHILDREN, run_key=key)
    change.messages.append(str(told.value))
    with working_in(change):
        assert all("Quexaro" not in message for message in change.messages)


TEACHERS = dataclasses.replace(
    CHILDREN,
    name="teachers",
    extract=Files("teachers_*.csv"),
    parents=(Parent("children", on=("student_id", "school_id", "school_year")),),
)


def child_begins(place: Place, key: str, night: str = FIRST, kind: Any = "semester_change") -> str:
    """The first task of a data set below the children: its state, or the verdict with which it does not begin."""
    place.write_suite([], TEACHERS)
    place.drop(csv_bytes(children()), f"teachers_{key}.csv", age=3000)
    place.keys.append((TEACHERS, key))
    try:
        return pipeline.extract(TEACHERS, partition=night, run_key=key, kind=kind).state
    except ImportStopped as stopped:
        return stopped.rule_id


def confirmed_half(place: Place) -> str:
    """A confirmed semester change that loses half of school 0101, which the gate holds; returns its key."""
    half = [row for row in children() if row["school_id"] == "0100" or int(row["student_id"]) > 7000020]
    key = judge(place, csv_bytes(half))
    for rule_id, count in new(key).items():
        know(rule_id, ceiling=count)
    answer(key)
    pipeline.load(CHILDREN, run_key=key)
    return key


def release(key: str) -> RunSummary:
    review = waiting(CHILDREN, key)
    assert review is not None
    decide(
        CHILDREN,
        review.run_id,
        shown=review.shown,
        choice="approve",
        person="ann",
        role="data_person",
        reason="The annex closed.",
    )
    return pipeline.release(CHILDREN, run_key=key)


def test_below_a_data_set_without_semester_changes_it_begins_once_the_nightly_import_has_loaded(change: Place) -> None:
    path = change.drop(csv_bytes(children(41)), age=4000)
    assert change.run(night=FIRST, file=path, run_key="cli-by-hand").state == "loaded"
    assert child_begins(change, "waits") == "run.waits_for_parent", "by hand it might as well have one"
    assert change.night(csv_bytes(children(42)), night=FIRST, age=3000).state == "loaded"
    assert child_begins(change, "waits") == "extracted"


def test_what_depends_on_it_begins_before_and_after_a_release(change: Place) -> None:
    assert child_begins(change, "early") == "run.waits_for_parent"
    key = confirmed_half(change)
    assert child_begins(change, "before") == "extracted"
    assert release(key).state == "loaded"
    assert child_begins(change, "after") == "extracted"


def test_what_depends_on_it_waits_while_a_person_decides_about_all_of_it(change: Place) -> None:
    few = {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 100}, "severity": "critical"}
    few["meta"] = {**FTE_RULE["meta"], "rule_id": "children.few", "on_fail": "hold"}
    write_strict(change, [TERM, few])
    key = judge(change, rows("0.8"))
    answer(key)
    assert pipeline.load(CHILDREN, run_key=key).state == "held"
    assert child_begins(change, "waits") == "run.waits_for_parent"
    assert release(key).state == "loaded"
    assert child_begins(change, "waits") == "extracted"


def test_what_depends_on_it_is_blocked_once_nobody_decides_any_more(change: Place) -> None:
    key = judge(change, csv_bytes(children(41)))
    answer(key, "reject")
    assert child_begins(change, "blocked") == "run.blocked"


def test_a_nightly_run_that_steps_aside_hides_no_semester_change(change: Place) -> None:
    key = judge(change, csv_bytes(children(41)))
    answer(key)
    assert change.night(csv_bytes(children(41)), night=FIRST, steps_aside=True, age=3000).state == "aside"
    assert child_begins(change, "waits") == "run.waits_for_parent"
    assert pipeline.load(CHILDREN, run_key=key).state == "loaded"
    assert child_begins(change, "waits") == "extracted"


def test_without_a_semester_change_of_its_own_it_steps_aside_with_its_parent_and_says_so(change: Place) -> None:
    assert change.night(csv_bytes(children(41)), night=FIRST, steps_aside=True, age=3000).state == "aside"
    assert child_begins(change, "nightly", kind="import") == ""
    (run,) = change.rows("select state, reason from import_log.import_run where dataset = 'teachers'")
    assert run["state"] == "aside"
    assert "teachers has no semester change of its own: give its DAG file one." in run["reason"]


def test_the_release_of_a_release_is_judged_as_its_first_run(change: Place) -> None:
    key = judge(change, csv_bytes(children(41)))
    with engine().begin() as connection:
        first = find_run(connection, CHILDREN, key)
        assert first is not None
        about = first.id
        for _ in range(2):
            key += "/release"
            night = datetime.date.fromisoformat(FIRST)
            named: Any = {"partition": FIRST, "run_key": key, "night": night, "kind": "release", "about_id": about}
            about = open_run(connection, CHILDREN, **named)
        run = find_run(connection, CHILDREN, key)
        assert run is not None
        assert judged_as(connection, run) == "semester_change"
