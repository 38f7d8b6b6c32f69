"""What one run is to another: another scope's, a check, one broken off, one that loads late, one that failed before."""

from __future__ import annotations

import dataclasses
import datetime
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import func

from district import pipeline
from district.database import engine
from district.dataset import Column, Dataset, Files, Parent
from district.import_log import find_run, update_run
from district.load.lock import lock
from district.notify.mail import queue_digest
from district.run import ImportStopped, Locked
from district.semester_change.confirmation import give_up
from district.settings import _read_district, settings
from district.trouble import recorded
from importing import CHILDREN, FTE_RULE, NIGHT, Outcome, Place, child, children, csv_bytes

TESTS = Dataset(
    name="children",
    extract=Files("children_{partition}*.csv"),
    partition="administration",
    key=("administration", "student_id"),
    scope=("administration",),
    columns=(Column("administration"), Column("student_id", personal=True), Column("fte", "decimal")),
)
MARKS = Dataset(
    name="marks",
    extract=Files("marks_*.csv"),
    key=("student_id", "school_year"),
    scope=("school_year",),
    columns=(Column("student_id", personal=True), Column("school_year", "integer"), Column("fte", "decimal")),
    parents=(Parent("children", on=("student_id",)),),
)
LAST_YEAR = [child(number, school_year="2026") for number in range(1, 23)]


def by_hand(place: Place, content: bytes) -> Path:
    path = place.folder / "by_hand.csv"
    path.write_bytes(content)
    return path


def results(administration: str = "2026_spring", end: str = "") -> bytes:
    rows = "".join(f"{administration},70{number:05d},1\n" for number in range(40))
    return f"administration,student_id,fte\n{rows}{end}".encode()


def marks(place: Place) -> Outcome:
    place.write_suite([FTE_RULE | {"meta": FTE_RULE["meta"] | {"rule_id": "marks.fte_over_one"}}], MARKS)
    lines = "".join(f"70{number:05d},2027,1\n" for number in range(1, 41))
    place.drop(f"student_id,school_year,fte\n{lines}".encode(), "marks_1.csv")
    return place.run(MARKS)


def check(place: Place, content: bytes) -> None:
    path = by_hand(place, content)
    try:
        pipeline.extract(CHILDREN, partition=NIGHT, run_key="check", file=path, preview=True)
        pipeline.validate(CHILDREN, run_key="check")
        pipeline.load(CHILDREN, run_key="check", preview=True)
    except ImportStopped:
        pass
    pipeline.close(CHILDREN, run_key="check", preview=True)


def test_a_year_by_hand_leaves_the_night_s_year_alone(loaded: Place) -> None:
    rows = [row | ({"fte": "half"} if n == 1 else {}) for n, row in enumerate(children(40))]
    assert loaded.night(csv_bytes(rows), age=7200).state == "loaded"
    every_year = dataclasses.replace(CHILDREN, history=True)
    assert loaded.run(every_year, file=by_hand(loaded, csv_bytes(LAST_YEAR))).state == "loaded"
    assert len(loaded.quarantined()) == 1
    assert loaded.run(night="2026-11-20").state == "unchanged"
    grown = loaded.night(csv_bytes(children(70)), age=3600, night="2026-11-20")
    assert grown.state == "loaded", grown.message


def test_another_administration_by_hand_is_refused(place: Place) -> None:
    outcome = place.run(TESTS, night="2026_spring", file=by_hand(place, results("2025_spring")))
    assert (outcome.state, outcome.rule_id) == ("refused", "file.partition")


def test_a_line_of_totals_is_of_no_administration(place: Place) -> None:
    place.drop(results(end="TOTAL 40\n"), "children_2026_spring.csv")
    outcome = place.run(TESTS, night="2026_spring")
    assert outcome.state == "loaded", outcome.message
    assert place.issues(outcome) == {"children.row.fields": 1}


def test_an_administration_s_file_is_the_same_on_the_day_after_as_well(place: Place) -> None:
    place.drop(results(), "children_2026_spring.csv")
    assert place.run(TESTS, night="2026_spring").state == "loaded"
    place.execute("update import_log.import_run set night = night - 1")
    place.write_suite([FTE_RULE | {"severity": "warning"}])
    again = place.run(TESTS, night="2026_spring")
    assert (again.state, place.issues(again)) == ("loaded", {})


def test_an_older_night_that_is_cleared_leaves_the_newer_one_s_file_alone(loaded: Place) -> None:
    older = loaded.night(csv_bytes(children(41)), age=7200)
    loaded.night(csv_bytes(children(42)), age=3600, night="2026-11-20")
    loaded.drop(csv_bytes(children(43)), age=60)
    before = loaded.table_hash()
    cleared = loaded.run(run_key=older.run_key)
    assert (cleared.state, cleared.rule_id) == ("held", "run.older_night")
    assert "Clear `extract` of the run of 2026-11-20 instead." in cleared.message
    assert loaded.table_hash() == before
    told = loaded.rows(
        "select read, state from import_log.import_run where run_key = :key order by id", key=older.run_key
    )
    assert told == [{"read": 41, "state": "loaded"}, {"read": 0, "state": "held"}]
    assert loaded.run(night="2026-11-20").state == "loaded"


def test_a_newer_night_by_hand_holds_up_no_night(loaded: Place) -> None:
    path = by_hand(loaded, csv_bytes(children(41)))
    assert loaded.run(file=path, night="2026-12-24", run_key="cli-1").state == "loaded"
    assert loaded.night(csv_bytes(children(42)), age=0).state == "loaded"


def test_a_file_named_by_its_night_is_read_on_any_night(loaded: Place) -> None:
    dated = dataclasses.replace(CHILDREN, extract=Files("children_{partition}.csv"))
    for number, night in enumerate(("2026-11-20", NIGHT)):
        loaded.drop(csv_bytes(children(41 + number)), f"children_{night}.csv", age=3600 - number)
        assert loaded.run(dated, night=night).state == "loaded"


@pytest.mark.parametrize("content", [csv_bytes(children(42)), b"nothing\n1\n"], ids=["good", "bad"])
def test_a_check_blocks_nobody_and_is_in_no_digest(loaded: Place, content: bytes) -> None:
    assert loaded.night(csv_bytes(children(41))).state == "loaded"
    check(loaded, content)
    outcome = marks(loaded)
    assert outcome.state == "loaded", outcome.message
    with engine().begin() as connection:
        assert queue_digest(connection, datetime.date.fromisoformat(NIGHT)) == 3


def test_a_night_that_loaded_stays_so_for_its_children(loaded: Place) -> None:
    loaded.night(csv_bytes(children(41)))
    assert loaded.run(file=by_hand(loaded, b"")).state == "refused"
    assert marks(loaded).state == "loaded"


def test_a_run_broken_off_is_over_and_leaves_nothing_in_staging(loaded: Place) -> None:
    path = by_hand(loaded, csv_bytes(children(41)))
    pipeline.extract(CHILDREN, partition=NIGHT, run_key="closed", file=path)
    pipeline.close(CHILDREN, run_key="closed")
    assert loaded.rows("select state from import_log.import_run where run_key = 'closed'") == [{"state": "failed"}]
    pipeline.extract(CHILDREN, partition=NIGHT, run_key="killed", file=path)
    loaded.execute("update import_log.import_run set started_at = now() - interval '2 days' where run_key = 'killed'")
    assert marks(loaded).state == "loaded"
    loaded.night(csv_bytes(children(42)))
    assert loaded.rows("select 1 from pg_tables where schemaname = 'staging'") == []


def test_a_parent_that_loads_late_under_an_old_run_counts(loaded: Place) -> None:
    loaded.write_suite([])
    held = loaded.night(csv_bytes(children(41)), age=7200)
    loaded.write_suite([FTE_RULE])
    loaded.night(csv_bytes(children(42)), age=3600)
    assert marks(loaded).state == "loaded"
    loaded.drop(csv_bytes(children(43)), age=60)
    assert loaded.run(run_key=held.run_key).state == "loaded"
    assert loaded.run(MARKS).state == "loaded"


def test_a_new_holiday_has_the_file_judged_again(loaded: Place) -> None:
    loaded.night(csv_bytes(children(41)))
    assert loaded.run().state == "unchanged"
    path = loaded.folder / "district.yaml"
    calendar = path.read_text(encoding="utf-8").replace("2027-05-26}", "2027-05-26, holidays: [2026-11-18]}")
    path.write_text(calendar, encoding="utf-8")
    _read_district.cache_clear()
    assert loaded.run().state == "loaded"


def test_a_reason_is_gone_when_the_run_has_loaded(loaded: Place) -> None:
    loaded.drop(csv_bytes(children(41)))
    pipeline.extract(CHILDREN, partition=NIGHT, run_key="late")
    pipeline.validate(CHILDREN, run_key="late")
    with engine().begin() as other:
        lock(other, CHILDREN, "")
        with pytest.raises(Locked):
            pipeline.load(CHILDREN, run_key="late")
    assert pipeline.load(CHILDREN, run_key="late").reason == ""


def test_a_broken_crosswalk_is_recorded(loaded: Place) -> None:
    (loaded.folder / "crosswalks" / "race.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    outcome = loaded.night(csv_bytes(children(41)))
    (run,) = loaded.rows("select state, reason from import_log.import_run where run_key = :key", key=outcome.run_key)
    assert run["state"] == "failed"
    assert "Crosswalk race.csv must have the header" in run["reason"]


def test_an_awaited_administration_is_in_no_digest(place: Place) -> None:
    path = place.folder / "district.yaml"
    end = settings().district.today() + datetime.timedelta(days=1)
    days = f"test_begin: {end}, test_end: {end}, results_begin: {end}, results_end: {end}"
    sitting = f"administrations: [{{key: 2026_spring, assessment: x, school_year: 2026, {days}}}]\n"
    path.write_text(path.read_text(encoding="utf-8") + sitting, encoding="utf-8")
    _read_district.cache_clear()
    assert place.run(TESTS, night="2026_spring").state == "missing"
    with engine().begin() as connection:
        assert queue_digest(connection, settings().district.today()) == 0


def recorded_stop() -> None:
    with suppress(ImportStopped), recorded(CHILDREN, "late"):
        raise Locked("Another run is loading.")


@pytest.mark.parametrize(
    "meanwhile",
    [
        recorded_stop,
        lambda: pipeline.finish(CHILDREN, partition=NIGHT, run_key="late", failed_task="load"),
        lambda: give_up(CHILDREN, "late", "Nobody has confirmed.", "semester_change.confirmation"),
    ],
    ids=["a step that stops", "finish", "people who did not answer"],
)
def test_a_load_that_was_given_up_and_commits_stays_loaded(loaded: Place, meanwhile: Callable[[], object]) -> None:
    loaded.drop(csv_bytes(children(41)), age=60)
    pipeline.extract(CHILDREN, partition=NIGHT, run_key="late")
    pipeline.validate(CHILDREN, run_key="late")
    waits = "select count(*) as n from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    with engine().begin() as connection:
        run = find_run(connection, CHILDREN, "late")
        assert run is not None
        update_run(connection, run.id, state="loaded", unchanged=run.read, loaded_at=func.clock_timestamp())
        other = threading.Thread(target=meanwhile)
        other.start()
        while other.is_alive() and loaded.rows(waits) == [{"n": 0}]:
            other.join(0.05)
    other.join()
    told = loaded.rows("select state, rule_id from import_log.import_run where run_key = 'late'")
    assert told == [{"state": "loaded", "rule_id": ""}]


def test_each_failure_under_one_key_is_mailed(loaded: Place) -> None:
    for content, age in ((b"x,y\n1,2\n", 3600), (b"", 1800)):
        path = loaded.drop(content, age=age)
        os.utime(path, (time.time() - age,) * 2)
        loaded.run(run_key="again")
        with pytest.raises(ImportStopped, match="the mail waits"):
            pipeline.finish(CHILDREN, partition=NIGHT, run_key="again")
    assert len(loaded.rows("select key from import_log.mail")) == 2
