"""Releases: what was held and let through loads once, whatever is killed, cleared or held in its turn."""

from __future__ import annotations

import multiprocessing
import os
import signal
from typing import Any

import pytest

from district import pipeline
from district.database import engine
from district.dataset import Dataset
from district.import_log import find_run, open_run
from district.review.holds import expire, waiting
from district.run import ImportStopped, Locked
from district.settings import settings
from holding import KEY, OTHER_HALF, TAMPERED, TOO_FEW, clubs_of, half_missing, of_school, released, say, states
from importing import CHILDREN, CLUB_RULE, CLUBS, FTE_RULE, Outcome, Place, child, children, csv_bytes, decide

# A night on which the next school year's extracts are rehearsed.
REHEARSED = "2027-06-10"


def test_an_approval_outlives_the_load_of_a_parent(loaded: Place) -> None:
    loaded.write_suite([CLUB_RULE], CLUBS)
    assert clubs_of(loaded, list(range(1, 41)), age=9000, night="2026-11-18").state == "loaded"
    held = clubs_of(loaded, [n for n in range(1, 41) if n % 2 or n > 20], run_key="clubs-2", night="2026-11-20")
    assert held.rule_id == "gate.withdrawn"
    decide(CLUBS, "clubs-2", choice="approve", person="Pat", role="data_person", reason="The club has closed.")
    assert loaded.night(csv_bytes(children(41)), age=60, night="2026-11-20").state == "loaded"
    assert pipeline.release(CLUBS, run_key="clubs-2").withdrawn == 10


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
        assert expire(connection) == []
    runs = "select state, finished_at is null as is_open from import_log.import_run where kind = 'release'"
    assert loaded.rows(runs) == [{"state": "started", "is_open": True}]
    loaded.execute(TAMPERED["expired"])
    with engine().begin() as connection:
        assert expire(connection) == [about.id]
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


def rehearsed(place: Place, dataset: Dataset, rows: list[dict[str, str]]) -> Outcome:
    """Next year's rows of a data set, as they go through a rehearsal."""
    (place.folder / "drop" / "next_year").mkdir(exist_ok=True)
    coming = [row | {"school_year": "2028"} for row in rows]
    names = [column.name for column in dataset.columns]
    content = "".join(",".join(line) + "\n" for line in [names, *([row[name] for name in names] for row in coming)])
    place.drop(content.encode(), f"next_year/{dataset.name}_1.csv")
    return place.run(dataset, night=REHEARSED, run_key=f"rehearsal-{dataset.name}", kind="rehearsal")


def test_the_release_of_a_rehearsal_is_judged_as_the_rehearsal_was(loaded: Place) -> None:
    """Neither by what the night's own import holds, nor by what came about this date a year ago."""
    with (loaded.folder / "district.yaml").open("a", encoding="utf-8") as file:
        file.write("  - {end_year: 2028, first_day: 2027-08-11, last_day: 2028-05-24}\n")
    settings.cache_clear()
    loaded.write_suite([CLUB_RULE], CLUBS)
    loaded.night(csv_bytes(children(80)), age=9000, night="2026-11-20")
    assert clubs_of(loaded, list(range(1, 81)), age=9000).state == "loaded"
    loaded.execute("update import_log.import_run set night = '2026-06-10' where dataset = 'clubs'")
    half = [row for row in children(80) if row["school_id"] == "0100" or int(row["student_id"]) > 7000040]
    tonight = loaded.night(csv_bytes(half), night=REHEARSED)
    assert (tonight.state, tonight.rule_id) == ("loaded", "gate.withdrawn")
    assert rehearsed(loaded, CHILDREN, children(20)).state == "loaded"
    loaded.write_suite([CLUB_RULE, TOO_FEW], CLUBS)
    held = rehearsed(loaded, CLUBS, children(20))
    assert (held.state, held.rule_id) == ("held", "children.rows")
    assert "A person decides: see `district holds`." in held.message
    decide(CLUBS, held.run_key, choice="approve", person="Pat", role="data_person", reason="They are few.")
    release = pipeline.release(CLUBS, run_key=held.run_key)
    assert (release.state, release.inserted, release.reason) == ("loaded", 20, "")


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


def release_in_process(environment: dict[str, str]) -> None:
    os.environ.update(environment)
    settings.cache_clear()
    pipeline.release(CHILDREN, run_key=KEY)


def test_75_a_release_that_is_killed_loads_once_when_it_is_tried_again(loaded: Place) -> None:
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["district.pipeline", "pandas", "pyarrow.csv", "test_releases"])
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
