"""Undo: the rows that a load changed are again what they were before it, to the last column."""

from __future__ import annotations

import dataclasses
import datetime
import os
import re
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, event, example, given, settings
from hypothesis import strategies as st

from commanding import run as district
from databases import TEMPLATE, copied_database
from district import pipeline
from district.database import engine, ensure_target
from district.dataset import Files, Parent
from district.demo.postgres import Server
from district.import_log import BY_HAND
from district.load.undo import NotUndone, Undone, undo
from district.notify.mail import queue_digest
from district.review.holds import waiting
from district.run import Held, ImportStopped, NotAllowed
from importing import (
    CHILDREN,
    FTE_RULE,
    Outcome,
    Place,
    canaries_of,
    child,
    children,
    csv_bytes,
    decide,
    with_gate,
    working_in,
)

# It mends its history with every file, so that no year is closed to it.
OPEN = dataclasses.replace(with_gate(CHILDREN, floor=1_000_000), history=True)
WHY = {"person": "Ada Rowe", "role": "data_person", "reason": "The file was of another district"}
Key = tuple[Any, ...]
Snapshot = dict[Key, tuple[Any, ...]]


def take_back(number: int, **how: Any) -> Undone:
    return undo(OPEN, number, **{**WHY, **how})


def run_id(place: Place, outcome: Outcome) -> int:
    (run,) = place.rows("select max(id) as id from import_log.import_run where run_key = :key", key=outcome.run_key)
    return int(run["id"])


def snapshot(place: Place) -> Snapshot:
    """Every row of the table with all its columns, by key."""
    rows = place.rows("select * from district.children")
    return {tuple(row[name] for name in OPEN.key): tuple(row.values()) for row in rows}


def open_lines(place: Place) -> Counter[tuple[int, int]]:
    """The rows that wait in quarantine, by run and line."""
    rows = place.rows("select import_run_id, source_line from import_log.quarantined_row where state = 'open'")
    return Counter((row["import_run_id"], row["source_line"]) for row in rows)


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a load did, as the table before and after it tells."""

    id: int
    content: bytes
    year: int
    before: Snapshot
    after: Snapshot
    bad_lines: tuple[int, ...]

    def changed(self) -> set[Key]:
        return {key for key, row in self.after.items() if self.before.get(key) != row}

    def touched(self, now: Snapshot) -> set[Key]:
        """The rows that it changed and that are not as it left them."""
        return {key for key in self.changed() if now.get(key) != self.after[key]}


EDITS = ("new", "changed", "gone", "returns", "bad", "mended")


@dataclass
class History:
    """A district's nights and undos, and what plain Python makes of them."""

    place: Place
    sent: dict[int, dict[int, dict[str, str]]]
    """The rows of each school year's next file, by number."""
    left: dict[int, dict[int, dict[str, str]]]
    """Rows that the file held earlier."""
    loads: list[Load] = field(default_factory=list)
    undone: set[int] = field(default_factory=set)
    last: dict[bytes, str] = field(default_factory=dict)
    """Whether a file was loaded or undone last."""
    nights: int = 0

    def edit(self, year: int, edits: list[tuple[str, int]]) -> None:
        rows, left = self.sent[year], self.left[year]
        for name, at in edits:
            number = sorted(rows)[at % len(rows)] if rows else 0
            if name == "new":
                fresh = max([*rows, *left, 0]) + 1
                rows[fresh] = child(fresh, school_year=str(year))
            elif name == "returns" and left:
                back = sorted(left)[at % len(left)]
                rows[back] = left.pop(back)
            elif len(rows) > 1:
                if name == "gone":
                    left[number] = rows.pop(number)
                elif name == "changed":
                    rows[number]["birth_date"] = f"2014-{at % 12 + 1:02d}-{at % 28 + 1:02d}"
                elif name == "bad":
                    rows[number]["fte"] = "much"
                elif name == "mended":
                    rows[number]["fte"] = "1"

    def night(self, year: int, *, by_hand: bool) -> None:
        """Sends the year's file, and holds what comes of it against the file."""
        self.nights += 1
        rows = list(self.sent[year].values())
        content, before = csv_bytes(rows), snapshot(self.place)
        path = self.place.drop(content, age=86_400.0 - 600 * self.nights)
        how: dict[str, Any] = {"file": path, "run_key": f"{BY_HAND}{self.nights}"} if by_hand else {}
        outcome = self.place.run(OPEN, night=f"2026-11-{self.nights:02d}", **how)
        after = snapshot(self.place)
        taken_back = self.last.get(content) == "undone" and not by_hand
        if taken_back:
            assert outcome.state == "held", outcome
        if outcome.state == "held":
            assert taken_back or outcome.rule_id != "delivery.undone"
            assert outcome.rule_id in ("delivery.undone", "file.resent", "gate.rejected"), outcome
            assert after == before
            return
        assert outcome.state in ("loaded", "unchanged"), outcome
        self.check_as_sent(year, after)
        if outcome.state == "unchanged":
            assert after == before
            return
        bad = tuple(line for line, row in enumerate(rows, start=2) if row["fte"] == "much")
        load = Load(
            id=run_id(self.place, outcome), content=content, year=year, before=before, after=after, bad_lines=bad
        )
        self.loads.append(load)
        self.last[content] = "loaded"

    def check_as_sent(self, year: int, now: Snapshot) -> None:
        """What stands is what a fresh load of the file would make stand, but for rows that were bad this time."""
        standing = {key: row for key, row in self.place.standing(OPEN).items() if key[2] == year}
        rows = {(row["student_id"], row["school_id"], year): row for row in self.sent[year].values()}
        good = {key: row for key, row in rows.items() if row["fte"] != "much"}
        assert set(good) <= set(standing) <= set(rows)
        assert {key: str(standing[key]["birth_date"]) for key in good} == {
            key: row["birth_date"] for key, row in good.items()
        }

    def undo(self, back: int, *, keep_later: bool) -> None:
        """Undoes one of the loads, counted from the newest, or is refused, and rightly so."""
        if not self.loads:
            return
        load = self.loads[-1 - back % len(self.loads)]
        now = snapshot(self.place)
        changed, touched = load.changed(), load.touched(now)
        own = changed - touched
        refused = load.id in self.undone or not own or (touched and not keep_later)
        why = "undone already" if load.id in self.undone else "touched later" if own else "none left"
        event(f"refused: {why}" if refused else "the rest undone" if touched else "undone")
        if refused:
            with pytest.raises(NotUndone) as refusal:
                take_back(load.id, keep_later=keep_later)
            assert snapshot(self.place) == now
            if load.id not in self.undone and touched:
                self.check_refusal(str(refusal.value), len(changed), touched)
            return
        done = take_back(load.id, keep_later=keep_later)
        expected = {key: row for key, row in now.items() if key not in own}
        before = {key: row for key in own if (row := self.before(load, key)) is not None}
        assert snapshot(self.place) == expected | before
        event("through an undone load", len([key for key in before if before[key] != load.before[key]]))
        removed = len(own) - len(before)
        assert (done.set_back, done.removed, done.left) == (len(own) - removed, removed, len(touched))
        self.undone.add(load.id)
        # What loaded after it, on top of it, may bring its rows again.
        later = self.loads[self.loads.index(load) :]
        self.last |= {each.content: "undone" for each in later if each.year == load.year}
        with pytest.raises(NotUndone, match="is undone already"):
            take_back(load.id, keep_later=keep_later)

    def before(self, load: Load, key: Key) -> tuple[Any, ...] | None:
        """A row as it was before a load, and before those that are undone already."""
        row = load.before.get(key)
        if row is None:
            return None
        made_by = next(each for each in self.loads if each.after.get(key) == row)
        return self.before(made_by, key) if made_by.id in self.undone else row

    def check_refusal(self, said: str, changed: int, touched: set[Key]) -> None:
        """It lists how many rows later loads touched, by school."""
        counts = re.search(rf"touched ([\d,]+) of the {changed} rows? .*; by school: ([^.]+)\.", said)
        assert counts, said
        assert int(counts[1]) == len(touched)
        listed = dict(each.rsplit(" ", 1) for each in counts[2].split(", "))
        assert {school: int(count) for school, count in listed.items()} == Counter(key[1] for key in touched)

    def check_quarantine(self) -> None:
        """A row waits until a later load, one that is not undone, speaks for its year."""
        standing = [load for load in self.loads if load.id not in self.undone]
        newest = {load.year: load for load in standing}
        lines = ((load.id, line) for load in newest.values() for line in load.bad_lines)
        assert open_lines(self.place) == Counter(lines)


YEARS = st.sampled_from([2027, 2027, 2027, 2026])
NIGHT = st.tuples(
    YEARS, st.booleans(), st.lists(st.tuples(st.sampled_from(EDITS), st.integers(0, 10_000)), min_size=1, max_size=5)
)
UNDO = st.tuples(st.sampled_from([0, 0, 1, 1, 2, 3]), st.booleans())
STEPS = st.builds(
    lambda nights, steps: [*nights, *steps],
    st.lists(NIGHT, min_size=1, max_size=3),
    st.lists(st.one_of(UNDO, NIGHT), min_size=2, max_size=6),
)
# Each kind of edit, then the newest load, an older one, and the rest of one undone.
EVERY_EDIT: list[Any] = [
    (2027, False, [(name, 5 * number) for number, name in enumerate(EDITS)]),
    (2027, False, [("changed", 0), ("returns", 0), ("new", 0)]),
    (1, False),
    (0, False),
    (2027, False, []),
    (2027, True, []),
    (2026, True, [("changed", 1), ("bad", 2)]),
    (2026, True, [("changed", 1), ("changed", 3)]),
    (1, True),
]
# A row is changed by three loads and another inserted and changed, and they are undone from the middle outwards.
FROM_THE_MIDDLE: list[Any] = [
    (2027, False, [("changed", 1), ("new", 0), ("changed", 3)]),
    (2027, False, [("changed", 15), ("changed", 8), ("gone", 3), ("changed", 5)]),
    (2027, False, [("changed", 28), ("changed", 2), ("returns", 0)]),
    (2, True),
    (1, True),
    (0, False),
    (2027, False, []),
]


@example(EVERY_EDIT)
@example(FROM_THE_MIDDLE)
@given(STEPS)
@settings(
    max_examples=int(os.environ.get("UNDO_HISTORIES", "3")),
    deadline=None,
    # To shrink a history takes longer than to read it.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_92_93_any_history_is_undone_to_the_row_or_refused_to_the_row(
    migrated: Server, tmp_path_factory: pytest.TempPathFactory, steps: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("history")
    with (
        copied_database(migrated, TEMPLATE) as url,
        working_in(Place(folder=folder, url=url, server_log=migrated.running.log)) as place,
    ):
        with engine().begin() as connection:
            ensure_target(connection, OPEN)
        sent = {year: {n: child(n, school_year=str(year)) for n in range(1, 9)} for year in (2026, 2027)}
        history = History(place=place, sent=sent, left={2026: {}, 2027: {}})
        history.night(2027, by_hand=False)
        for step in steps:
            if len(step) == 2:
                history.undo(step[0], keep_later=step[1])
            else:
                year, by_hand, edits = step
                history.edit(year, edits)
                # The file of a closed year comes by hand.
                history.night(year, by_hand=by_hand or year == 2026)
            history.check_quarantine()
        # The file that came last comes again, and on it goes.
        for edits in ([], [("new", 0)]):
            history.edit(2027, edits)
            history.night(2027, by_hand=False)
            history.check_quarantine()
    shutil.rmtree(folder)


def second_night(place: Place) -> int:
    """Ten rows changed, two gone, two new and one bad; the number of the run."""
    rows = [*(row | {"fte": "0.50"} for row in children(10)), *children(28, first=11), child(77), child(78)]
    outcome = place.night(csv_bytes([*rows, child(79, fte="much")]), age=3600)
    assert outcome.state == "loaded", outcome.message
    return run_id(place, outcome)


def test_92_undo_of_the_last_load_leaves_the_table_as_it_was(loaded: Place) -> None:
    before = loaded.table_hash()
    number = second_night(loaded)
    assert loaded.table_hash() != before
    done = take_back(number)
    assert loaded.table_hash() == before
    assert (done.set_back, done.removed, done.left) == (12, 2, 0)
    assert done.told == "Run 2 of children (2026-11-19) is undone: 12 rows set back, 2 rows removed."
    runs = loaded.rows("select id, kind, state, about_id, reason from import_log.import_run order by id")
    told = "Undoes run 2 (children_1.csv): 12 rows set back, 2 rows removed. By Ada Rowe: " + WHY["reason"]
    assert [tuple(run.values()) for run in runs[1:]] == [
        (2, "import", "undone", None, f"Undone by Ada Rowe (run 3): {WHY['reason']}"),
        (3, "undo", "restored", 2, told),
    ]
    (decided,) = loaded.rows(
        "select kind, import_run_id, used_by, person, role, reason, sha256 = (select sha256 from import_log.delivery "
        "where id = 2) as same_file from import_log.decision"
    )
    assert tuple(decided.values()) == ("undo", 2, 3, *WHY.values(), True)
    assert loaded.leaks(canaries_of(children(80))) == []


def test_what_stood_before_the_undo_is_kept(loaded: Place) -> None:
    number = second_night(loaded)
    changed = {key: row for key, row in snapshot(loaded).items() if number in row}
    take_back(number)
    kept = loaded.rows("select action, before from import_log.row_history where import_run_id = 3")
    assert Counter(row["action"] for row in kept) == {"set back": 12, "remove": 2}
    assert {tuple(row["before"][name] for name in OPEN.key) for row in kept} == set(changed)


def test_a_first_load_is_undone_to_an_empty_table(loaded: Place) -> None:
    assert take_back(1).removed == 40
    assert snapshot(loaded) == {}
    assert loaded.night(csv_bytes(children(41)), age=60).state == "loaded"
    assert len(loaded.standing()) == 41


def test_columns_that_came_or_went_since_are_part_of_the_row(loaded: Place) -> None:
    loaded.execute("alter table district.children add column once_declared text")
    loaded.execute("update district.children set once_declared = 'kept'")
    before = loaded.table_hash()
    number = second_night(loaded)
    loaded.execute("alter table district.children add column later text")
    take_back(number)
    loaded.execute("alter table district.children drop column later")
    assert loaded.table_hash() == before


def test_93_rows_that_a_later_load_touched_are_refused_by_school_or_left(loaded: Place) -> None:
    number = second_night(loaded)
    rows = [*(row | {"fte": "0.25"} for row in children(3)), *(row | {"fte": "0.50"} for row in children(7, first=4))]
    assert loaded.night(csv_bytes([*rows, *children(28, first=11), child(77)]), age=60, night="2026-11-20").summary
    before = snapshot(loaded)
    with pytest.raises(NotUndone) as refusal:
        take_back(number)
    assert str(refusal.value) == (
        "Later loads touched 4 of the 14 rows that run 2 of children changed; by school: 0101 2, 0100 2. "
        "Nothing was undone. Undo the later runs first, the newest before the others. "
        "Or undo the other 10 rows alone, with --keep-later."
    ).replace("0101 2, 0100 2", "0100 2, 0101 2")
    assert snapshot(loaded) == before
    done = take_back(number, keep_later=True)
    assert (done.set_back, done.removed, done.left) == (9, 1, 4)
    assert done.told.endswith("9 rows set back, 1 row removed; 4 rows that later loads touched stay as they are.")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (99, "There is no run 99; `district status DATASET` gives each run's number."),
        (2, "is unchanged: it loaded nothing. Its file was loaded by run 1."),
        (3, "is held: it loaded nothing, so there is nothing to undo."),
        (4, "is refused: it loaded nothing, so there is nothing to undo."),
        (5, "changed no row, so there is nothing to undo."),
    ],
)
def test_a_run_that_loaded_nothing_cannot_be_undone(loaded: Place, number: int, words: str) -> None:
    came_to = [
        loaded.night(content, age=age, night=f"2026-11-{19 + n}")
        for n, (content, age) in enumerate(
            [
                (csv_bytes(children()), 7200),
                (csv_bytes(children(20)), 6000),
                (b"", 5000),
                (csv_bytes(children()[::-1]), 9),
            ]
        )
    ]
    assert [outcome.state for outcome in came_to] == ["unchanged", "held", "refused", "loaded"]
    before = loaded.table_hash()
    with pytest.raises(NotUndone, match=re.escape(words)):
        take_back(number)
    assert loaded.table_hash() == before
    assert loaded.rows("select 1 from import_log.import_run where kind = 'undo'") == []


def test_an_undo_is_not_undone_but_its_delivery_is_imported_by_hand(loaded: Place) -> None:
    number = second_night(loaded)
    after = loaded.standing()
    done = take_back(number)
    with pytest.raises(NotUndone, match=r"an undo is not undone.* import children_1.csv again with `district import"):
        take_back(done.id)
    outcome = loaded.run(file=loaded.folder / "drop" / "children_1.csv", run_key=f"{BY_HAND}again")
    assert outcome.state == "loaded", outcome.message
    assert loaded.standing() == after


def test_an_undo_that_the_table_refuses_quotes_no_row(loaded: Place) -> None:
    number = second_night(loaded)
    loaded.execute("alter table district.children add column checked_by text not null default 'x'")
    before = loaded.table_hash()
    with pytest.raises(ImportStopped) as refusal:
        take_back(number)
    assert str(refusal.value) == "The database failed with NotNullViolation (SQLSTATE 23502). Nothing was undone."
    assert refusal.value.__suppress_context__
    assert loaded.table_hash() == before


@pytest.mark.parametrize("lacking", ["person", "reason"])
def test_an_undo_needs_a_name_and_a_reason(loaded: Place, lacking: str) -> None:
    number = second_night(loaded)
    before = loaded.table_hash()
    with pytest.raises(NotUndone, match=r"^Give .* Nothing was undone\.$"):
        take_back(number, **{lacking: "\u200b"})
    assert loaded.table_hash() == before


def test_a_table_that_was_changed_by_hand_is_not_made_worse(loaded: Place) -> None:
    number = second_night(loaded)
    loaded.execute("delete from district.children where student_id = :id", id=child(77)["student_id"])
    before = loaded.table_hash()
    with pytest.raises(NotUndone, match=r"changed 14 rows, and the table and its history account for 13: .* by hand"):
        take_back(number)
    assert loaded.table_hash() == before


def test_the_next_night_holds_the_undone_file_and_loads_another(loaded: Place) -> None:
    take_back(second_night(loaded))
    before = loaded.table_hash()
    for night in (20, 21):
        again = loaded.run(night=f"2026-11-{night}")
        assert (again.state, again.rule_id) == ("held", "delivery.undone")
        assert (
            "The file is, to the byte, a delivery that was taken back (Undoes run 2 (children_1.csv)" in again.message
        )
        assert f"By Ada Rowe: {WHY['reason']}" in again.message
        assert loaded.table_hash() == before
    assert loaded.night(csv_bytes(children(41)), age=60, night="2026-11-22").state == "loaded"
    assert len(loaded.standing()) == 41


def test_a_file_that_loaded_on_top_of_the_undone_one_does_not_bring_its_rows_again(loaded: Place) -> None:
    bad = [*(row | {"birth_date": "2001-01-01"} for row in children(5)), *children(35, first=6)]
    later = csv_bytes([*bad, child(41)])
    assert loaded.night(csv_bytes(bad), age=7000).state == "loaded"
    assert loaded.night(later, age=6000, night="2026-11-20").state == "loaded"
    take_back(2)
    before = loaded.table_hash()
    for night in (21, 22):
        again = loaded.run(night=f"2026-11-{night}")
        assert (again.state, again.rule_id) == ("held", "delivery.undone")
        assert "had loaded on top of a delivery that was taken back since" in again.message
        assert "(Undoes run 2 (children_1.csv)" in again.message
        assert loaded.table_hash() == before
    decide(CHILDREN, again.run_key, choice="approve", person="Ada", role="data_person", reason="Corrected meanwhile")
    assert pipeline.release(CHILDREN, run_key=again.run_key).updated == 5
    assert loaded.run(night="2026-11-23").state == "unchanged"


def test_a_file_older_than_the_undone_load_loads_as_always(loaded: Place) -> None:
    before = loaded.standing()
    first = (loaded.folder / "drop" / "children_1.csv").read_bytes()
    take_back(second_night(loaded))
    assert loaded.night(first, age=60, night="2026-11-20").state == "loaded"
    assert loaded.standing() == before


def test_the_undone_file_loads_once_a_person_approves_it(loaded: Place) -> None:
    number = second_night(loaded)
    after = loaded.standing()
    take_back(number)
    again = loaded.run(night="2026-11-20")
    assert again.rule_id == "delivery.undone"
    decide(CHILDREN, again.run_key, choice="approve", person="Ada", role="data_person", reason="It was right after all")
    released = pipeline.release(CHILDREN, run_key=again.run_key)
    assert released.state == "loaded"
    assert loaded.standing() == after
    take_back(released.id)
    assert loaded.run(night="2026-11-21").rule_id == "delivery.undone"
    assert pipeline.release(CHILDREN, run_key=again.run_key).state == "undone"
    assert loaded.standing() != after


def test_what_waited_about_the_undone_run_waits_no_longer(loaded: Place) -> None:
    before = loaded.table_hash()
    half = [row for n, row in enumerate(children(40)) if row["school_id"] == "0100" or n % 4 == 1]
    partly = loaded.night(csv_bytes([*half, child(77)]), age=3600, dataset=with_gate(CHILDREN, floor=10))
    assert partly.state == "loaded"
    assert waiting(CHILDREN, partly.run_key) is not None
    take_back(run_id(loaded, partly))
    assert loaded.table_hash() == before
    assert waiting(CHILDREN, partly.run_key) is None
    with pytest.raises(NotAllowed):
        decide(CHILDREN, partly.run_key, choice="approve", person="Ada", role="data_person", reason="Too late")


def test_what_was_approved_of_the_undone_run_is_not_released_any_more(loaded: Place) -> None:
    half = [row for n, row in enumerate(children(40)) if row["school_id"] == "0100" or n % 4 == 1]
    partly = loaded.night(csv_bytes([*half, child(77)]), age=3600, dataset=with_gate(CHILDREN, floor=10))
    decide(CHILDREN, partly.run_key, choice="approve", person="Ada", role="data_person", reason="They have moved")
    take_back(run_id(loaded, partly))
    before = loaded.table_hash()
    assert loaded.rows("select distinct state from import_log.hold") == [{"state": "superseded"}]
    with pytest.raises(Held, match=r"children: this load is undone, and what it held with it\. Nothing was loaded"):
        pipeline.release(CHILDREN, run_key=partly.run_key)
    assert loaded.table_hash() == before


def test_a_cleared_task_of_the_undone_run_leaves_it_undone(loaded: Place) -> None:
    number = second_night(loaded)
    (run,) = loaded.rows("select run_key, partition from import_log.import_run where id = :id", id=number)
    take_back(number)
    before = loaded.table_hash()
    for step in (pipeline.validate, pipeline.load):
        assert step(CHILDREN, run_key=run["run_key"]).state == "undone"
    assert pipeline.finish(CHILDREN, partition=run["partition"], run_key=run["run_key"]).state == "undone"
    assert loaded.rows("select 1 from import_log.mail") == []
    assert loaded.run(run_key=run["run_key"]).rule_id == "delivery.undone"
    assert loaded.table_hash() == before
    states = loaded.rows("select state from import_log.import_run order by id")
    assert [row["state"] for row in states] == ["loaded", "undone", "restored", "held"]


def test_children_of_an_undone_parent_wait_and_are_judged_again(loaded: Place) -> None:
    on = Parent("children", on=OPEN.key)
    visits = dataclasses.replace(OPEN, name="visits", extract=Files("visits_*.csv"), parents=(on,))
    loaded.write_suite([FTE_RULE | {"meta": FTE_RULE["meta"] | {"rule_id": "visits.fte_over_one"}}], visits)
    number = second_night(loaded)
    rows = [*children(38), child(77), child(78)]
    loaded.drop(csv_bytes(rows), "visits_1.csv", age=3600)
    assert loaded.run(visits).state == "loaded"
    take_back(number)
    outcome = loaded.run(visits)
    assert (outcome.state, outcome.rule_id) == ("blocked", "run.blocked")
    assert "children of 2026-11-19 was undone" in outcome.message
    # The next night their parents are gone, though no line of theirs has changed.
    assert loaded.night(csv_bytes(children(41)), age=60, night="2026-11-20").state == "loaded"
    loaded.drop(csv_bytes([*rows, child(39)]), "visits_1.csv", age=60)
    orphans = loaded.run(visits, night="2026-11-20")
    assert orphans.state == "loaded", orphans.message
    assert set(loaded.issues(orphans).values()) == {2}


def test_the_digest_and_the_status_tell_who_undid_it_and_why(loaded: Place) -> None:
    number = second_night(loaded)
    take_back(number)
    with engine().begin() as connection:
        assert queue_digest(connection, datetime.date(2026, 11, 19)) == 3
    (mail,) = loaded.rows("select subject, body_text from import_log.mail")
    assert mail["subject"] == "Imports of 2026-11-19: 1 loaded, 1 undone"
    assert "Undone by a person: children. The import is loaded." in mail["body_text"]
    assert f"By Ada Rowe: {WHY['reason']}" in mail["body_text"]
    said = " ".join(district("status").output.split())
    assert "restored" in said
    assert f"By Ada Rowe: {WHY['reason']}" in said


def test_the_command_undoes_and_says_so(loaded: Place) -> None:
    before = loaded.table_hash()
    dag = f"import sys\nsys.path.insert(0, {str(Path(__file__).parents[1])!r})\nfrom importing import CHILDREN\n"
    (loaded.folder / "dags" / "children.py").write_text(dag, encoding="utf-8")
    (loaded.folder / "dags" / "undo_import.py").write_text(
        "from district_airflow import undo_dag\ndag = undo_dag()\n", encoding="utf-8"
    )
    number = str(second_night(loaded))
    missing = district("undo", number, "--reason", "Wrong file")
    assert missing.exit_code == 2
    assert "--person" in missing.output
    for person in ("Ada Rowe", "abe.lund"):
        other = district("undo", number, "--person", person, "--reason", "Wrong file")
        assert other.exit_code == 1
        assert f"{person} may not decide about children. Those who may: rita.moss." in " ".join(other.output.split())
    why = ("--person", "rita.moss", "--reason", "Wrong file")
    done = district("undo", number, *why)
    assert done.exit_code == 0, done.output
    assert done.output == "Run 2 of children (2026-11-19) is undone: 12 rows set back, 2 rows removed.\n"
    assert loaded.table_hash() == before
    again = district("undo", number, *why)
    assert again.exit_code == 1
    assert "Run 2 of children (2026-11-19) is undone already. Undone by rita.moss (run 3): Wrong file" in again.output
    assert district("undo", "77", *why).exit_code == 1


def test_an_undo_in_airflow_is_done_by_its_name_and_once(loaded: Place) -> None:
    from district_airflow.undo import undo_as

    dag = f"import sys\nsys.path.insert(0, {str(Path(__file__).parents[1])!r})\nfrom importing import CHILDREN\n"
    (loaded.folder / "dags" / "children.py").write_text(dag, encoding="utf-8")
    before = loaded.table_hash()
    params = {"run": second_night(loaded), "reason": "Wrong file", "keep_later": False}
    for person in ("abe.lund", "nobody", ""):
        with pytest.raises(NotUndone, match=r"may not decide about children\. Those who may: rita\.moss\."):
            undo_as(person, params, "manual-1")
    done = undo_as("rita.moss", params, "manual-1")
    assert loaded.table_hash() == before
    # A try that was killed after the commit.
    assert undo_as("rita.moss", params, "manual-1") == done
    with pytest.raises(NotUndone, match="undone already"):
        undo_as("rita.moss", params, "manual-2")
    (decided,) = loaded.rows("select person, role from import_log.decision")
    assert decided == {"person": "rita.moss", "role": "data_person"}


def test_a_refusal_speaks_of_schools_only_where_the_data_set_knows_them(place: Place) -> None:
    columns = tuple(column for column in OPEN.columns if column.name != "school_id")
    pupils = dataclasses.replace(OPEN, key=("student_id", "school_year"), columns=columns)
    first = place.night(csv_bytes(children(5)), dataset=pupils)
    assert first.state == "loaded", first.message
    place.night(csv_bytes(row | {"fte": "0.5"} for row in children(2)), dataset=pupils, age=60, night="2026-11-20")
    with pytest.raises(
        NotUndone, match=r"^Later loads touched 5 of the 5 rows that run 1 of children changed\. Nothing"
    ):
        undo(pupils, run_id(place, first), **WHY)


def test_a_run_under_way_does_not_load_what_it_compared_with_an_undone_load(loaded: Place) -> None:
    before = loaded.table_hash()
    number = second_night(loaded)
    rows = [*(row | {"fte": "0.50"} for row in children(10)), *children(28, first=11), child(77), child(78)]
    loaded.drop(csv_bytes([*rows, child(79)]), age=60)
    pipeline.extract(CHILDREN, partition="2026-11-20", run_key="under way")
    pipeline.validate(CHILDREN, run_key="under way")
    (run,) = loaded.rows("select since_id from import_log.import_run where run_key = 'under way'")
    assert run["since_id"] == number
    take_back(number)
    with pytest.raises(Held) as held:
        pipeline.load(CHILDREN, run_key="under way")
    assert held.value.rule_id == "run.overtaken"
    assert loaded.table_hash() == before
    assert loaded.run(night="2026-11-20", run_key="under way").state == "loaded"
    assert len(loaded.standing()) == 41
