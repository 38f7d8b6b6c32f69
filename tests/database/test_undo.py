"""Undo: the rows that a load changed are again what they were before it, to the last column."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, event, example, given, settings
from hypothesis import strategies as st

from databases import TEMPLATE, copied_database
from district.database import engine, ensure_target
from district.demo.postgres import Server
from district.import_log import BY_HAND
from district.load.undo import NotUndone, Undone, undo
from importing import CHILDREN, Outcome, Place, canaries_of, child, children, csv_bytes, with_gate, working_in

OPEN = with_gate(CHILDREN, floor=1_000_000)
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
        assert (outcome.rule_id == "delivery.undone") == taken_back, outcome
        if outcome.state == "held":
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
        event("refused" if refused else "rest undone" if touched else "undone")
        if refused:
            with pytest.raises(NotUndone) as refusal:
                take_back(load.id, keep_later=keep_later)
            assert snapshot(self.place) == now
            if load.id not in self.undone and touched:
                self.check_refusal(str(refusal.value), len(changed), touched)
            return
        done = take_back(load.id, keep_later=keep_later)
        expected = {key: row for key, row in now.items() if key not in own}
        expected |= {key: load.before[key] for key in own if key in load.before}
        assert snapshot(self.place) == expected
        removed = len(own - set(load.before))
        assert (done.set_back, done.removed, done.left) == (len(own) - removed, removed, len(touched))
        self.undone.add(load.id)
        self.last[load.content] = "undone"
        with pytest.raises(NotUndone, match="is undone already"):
            take_back(load.id, keep_later=keep_later)

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
NIGHT = st.tuples(YEARS, st.booleans(), st.lists(st.tuples(st.sampled_from(EDITS), st.integers(0, 10_000)), max_size=5))
UNDO = st.tuples(st.sampled_from([0, 0, 1, 2, 3]), st.booleans())
STEPS = st.lists(st.one_of(NIGHT, UNDO), min_size=2, max_size=8)
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


@example(EVERY_EDIT)
@given(STEPS)
@settings(
    max_examples=int(os.environ.get("UNDO_HISTORIES", "12")),
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
        # And on it goes: a first night after whatever was undone, and one that is compared with it.
        for _ in range(2):
            history.edit(2027, [("new", 0)])
            history.night(2027, by_hand=False)
            history.check_quarantine()
    shutil.rmtree(folder)
