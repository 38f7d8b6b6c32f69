"""Holds: a school that trips waits for a person, and the others load."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from calendars import write_calendar
from district import pipeline
from district.database import engine
from district.dataset import Dataset
from district.load.counting import usual_counts
from district.load.undo import NotUndone, undo
from district.notify.mail import remind
from district.review.holds import waiting
from district.review.judgement import PARENT_HELD
from district.review.preview import as_markdown
from district.review.tables import UNLISTED
from district.settings import _read_district, settings
from district.tables import import_run
from holding import HALF, KEY, TOO_FEW, clubs_of, half_missing, of_school, released, say, states
from importing import (
    CHILDREN,
    CLUB_RULE,
    CLUBS,
    FTE_RULE,
    Outcome,
    Place,
    canaries_of,
    child,
    children,
    csv_bytes,
    with_gate,
)

LAST_YEAR = [row | {"school_year": "2026"} for row in children(30)]
OPEN_YEARS = dataclasses.replace(CHILDREN, history=True)


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


def test_each_time_that_nobody_decides_is_told_by_mail(loaded: Place) -> None:
    loaded.write_suite([FTE_RULE, TOO_FEW])
    for count in (41, 42):
        assert loaded.night(csv_bytes(children(count)), run_key=KEY, age=7200 - count).state == "held"
        loaded.execute("update import_log.hold set expires_at = now() - interval '1 second' where state = 'open'")
        with engine().begin() as connection:
            assert remind(connection) == 1
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
    loaded.night(csv_bytes([*HALF, child(102)]), night="2026-11-25", age=50)
    assert usual(loaded) == {"0100": 21}
    release_of_the_release = (
        "kind = 'release', about_id = (select id from import_log.import_run where kind = 'release')"
    )
    loaded.execute(f"update import_log.import_run set {release_of_the_release} where partition = '2026-11-24'")
    assert usual(loaded) == {}


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


def test_another_year_of_the_parent_by_hand_lets_no_held_school_of_the_night_through(loaded: Place) -> None:
    loaded.write_suite([CLUB_RULE], CLUBS)
    numbers = list(range(1, 41))
    assert clubs_of(loaded, numbers[:20], age=9000, night="2026-11-18").state == "loaded"
    assert half_missing(loaded).rule_id == "gate.withdrawn"
    assert by_hand(loaded, LAST_YEAR).state == "loaded"
    outcome = clubs_of(loaded, numbers, night="2026-11-20")
    assert outcome.summary is not None
    assert (outcome.rule_id, outcome.summary.held) == (PARENT_HELD, 10)
    # The same year by hand is what the night goes by from then on.
    assert by_hand(loaded, children(42)).rule_id == ""
    assert clubs_of(loaded, [*numbers, 41], age=60, night="2026-11-20").rule_id == ""


def by_hand(place: Place, rows: list[dict[str, str]], dataset: Dataset = OPEN_YEARS) -> Outcome:
    file = place.drop(csv_bytes(rows), "by_hand.csv", age=3600)
    return place.run(dataset, file=file, night="2026-11-20", run_key=f"cli-{len(place.keys)}")


def test_a_parent_that_is_held_as_a_whole_still_blocks(loaded: Place) -> None:
    loaded.write_suite([CLUB_RULE], CLUBS)
    loaded.night(csv_bytes(children(20)), night="2026-11-20")
    assert clubs_of(loaded, [1, 2], night="2026-11-20").state == "blocked"
    # A correction of last year says nothing of the night; a file of this year does.
    assert by_hand(loaded, LAST_YEAR).state == "loaded"
    assert clubs_of(loaded, [1, 2], night="2026-11-20").state == "blocked"
    assert by_hand(loaded, children(40)).state == "loaded"
    assert clubs_of(loaded, [1, 2], night="2026-11-20").state == "loaded"


def test_a_rejected_row_of_a_year_does_not_speak_for_it(loaded: Place) -> None:
    loaded.write_suite([CLUB_RULE], CLUBS)
    assert clubs_of(loaded, list(range(1, 21)), age=9000, night="2026-11-18").state == "loaded"
    half_missing(loaded)
    assert by_hand(loaded, [*LAST_YEAR[:10], child(900, fte="2")]).state == "loaded"
    assert states(loaded) == ["open"]
    assert clubs_of(loaded, list(range(1, 41)), night="2026-11-20").rule_id == PARENT_HELD
    # Nor is a night's file compared with how many rows came of last year.
    sent = [*children(60), child(901, school_year="2026", fte="2")]
    assert loaded.night(csv_bytes(sent), night="2026-11-21", age=60).rule_id == ""


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
