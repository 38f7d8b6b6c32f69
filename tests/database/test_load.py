"""The load against a model: whatever the nights bring, the table is what a careful person would make of them."""

from __future__ import annotations

import dataclasses
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from district import pipeline
from district.run import Refused
from importing import CHILDREN, Outcome, Place, canaries_of, child, children, csv_bytes

# The gate is another test's matter; here anything may happen in a night.
OPEN = dataclasses.replace(CHILDREN, gate=dataclasses.replace(CHILDREN.gate, floor=10_000))
NUMBERS = st.integers(min_value=1, max_value=6)
# What a night holds of a child: as it is, changed, or in one of the ways in which a line can be bad.
KINDS = st.sampled_from(["same", "other", "third", "twice", "conflict", "bad_fte", "bad_code", "bad_year", "short"])
NIGHTS = st.lists(st.dictionaries(NUMBERS, KINDS, max_size=6), min_size=1, max_size=5)


@dataclass
class Model:
    """What should stand, by child; and what the last night should have counted."""

    standing: dict[int, str] = field(default_factory=dict)
    withdrawn: dict[int, str] = field(default_factory=dict)

    def night(self, sent: dict[int, str]) -> Counter[str]:
        counts: Counter[str] = Counter()
        seen = set(sent)
        for number, kind in sent.items():
            lines = 2 if kind in ("twice", "conflict") else 1
            counts["read"] += lines
            if kind in ("conflict", "bad_fte", "bad_code", "bad_year", "short"):
                counts["rejected"] += lines
                continue
            counts["superseded"] += lines - 1
            name = _name(number, kind)
            if number in self.standing:
                counts["unchanged" if self.standing[number] == name else "updated"] += 1
            else:
                counts["updated" if number in self.withdrawn else "inserted"] += 1
            self.withdrawn.pop(number, None)
            self.standing[number] = name
        for number in set(self.standing) - seen:
            self.withdrawn[number] = self.standing.pop(number)
            counts["withdrawn"] += 1
        return counts


def _name(number: int, kind: str) -> str:
    return {"other": f"Quexaroother{number}", "third": f"Quexarothird{number}"}.get(kind, f"Quexaro{number:03d}")


def _file(sent: dict[int, str]) -> tuple[bytes, list[str]]:
    """The night's file, and the lines of it that are to be rejected."""
    lines: list[str] = []
    bad: list[str] = []
    for number, kind in sent.items():
        row = child(number, last_name=_name(number, kind))
        changes = {"bad_fte": {"fte": "much"}, "bad_code": {"grade_level_code": "Z9"}, "bad_year": {"school_year": "x"}}
        line = ",".join({**row, **changes.get(kind, {})}.values())
        new = [line[:-2] if kind == "short" else line]
        if kind == "twice":
            new *= 2
        if kind == "conflict":
            new.append(",".join({**row, "last_name": "Quexarotwin"}.values()))
        lines += new
        bad += new if kind in ("conflict", "bad_fte", "bad_code", "bad_year", "short") else []
    header = csv_bytes([]).decode().strip()
    return "".join(line + "\n" for line in [header, *lines]).encode(), bad


# They keep the year in the file's scope, and short lines in the minority.
ANCHORS = dict.fromkeys(range(900, 908), "same")


def test_each_step_s_time_is_logged(place: Place) -> None:
    outcome = place.night(csv_bytes(children()))
    (run,) = place.rows("select seconds from import_log.import_run where run_key = :key", key=outcome.run_key)
    assert sorted(run["seconds"]) == ["extract", "load", "validate"]
    assert all(0 < seconds < 60 for seconds in run["seconds"].values())


def test_the_table_equals_the_model_after_any_nights(place: Place) -> None:
    @settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
    @given(NIGHTS)
    def check(nights: list[dict[int, str]]) -> None:
        _start_afresh(place)
        model = Model()
        for night, sent in enumerate(nights):
            file, bad = _file(sent | ANCHORS)
            outcome = place.night(file + b"\n" * night, dataset=OPEN, age=9000 - night)
            # Blank lines at the end: two nights may be alike, and the same bytes would not be read again.
            assert outcome.state == "loaded", outcome
            expected = model.night(sent | ANCHORS)
            _same_counts(outcome, expected)
            assert {int(k[0][2:]): r["last_name"] for k, r in place.standing().items()} == model.standing
            assert sorted(row["raw"] for row in place.quarantined()) == sorted(bad)
            _history_is_complete(place, outcome, expected)
        planted = {child(number)["student_id"] for number in range(1, 7)} | {"Quexaro"}
        assert place.leaks(planted) == []

    check()


def _start_afresh(place: Place) -> None:
    place.keys.clear()
    place.messages.clear()
    place.execute("drop table if exists district.children")
    place.execute("truncate import_log.import_run, import_log.delivery, import_log.mail cascade")


def _same_counts(outcome: Outcome, expected: Counter[str]) -> None:
    assert outcome.summary is not None
    run = outcome.summary
    names = ("read", "rejected", "superseded", "inserted", "updated", "unchanged", "withdrawn")
    assert {name: getattr(run, name) for name in names} == {name: expected[name] for name in names}
    assert run.read == run.loaded + run.rejected + run.superseded + run.held


def _history_is_complete(place: Place, outcome: Outcome, expected: Counter[str]) -> None:
    """Before-images: one for each row that was changed or withdrawn, holding what stood until then."""
    assert outcome.summary is not None
    kept = place.rows(
        "select action, before from import_log.row_history where import_run_id = :id", id=outcome.summary.id
    )
    assert (
        Counter(row["action"] for row in kept)
        == Counter({"update": expected["updated"], "withdraw": expected["withdrawn"]}) - Counter()
    )
    for row in kept:
        assert row["before"]["import_run_id"] < outcome.summary.id


def test_a_load_again_with_the_same_key_does_nothing(loaded: Place) -> None:
    first = loaded.night(csv_bytes(children(41)), run_key="night-2")
    before = loaded.table_hash()
    again = pipeline.load(CHILDREN, run_key="night-2")
    assert again == first.summary
    assert pipeline.validate(CHILDREN, run_key="night-2") == first.summary
    assert loaded.table_hash() == before


def test_extract_again_after_a_load_is_unchanged(loaded: Place) -> None:
    loaded.night(csv_bytes(children(41)), run_key="night-2")
    assert loaded.run(run_key="night-2").state == "unchanged"
    states = loaded.rows("select state from import_log.import_run where run_key = 'night-2' order by id")
    assert [row["state"] for row in states] == ["loaded", "unchanged"]


def test_a_line_of_commas_keeps_nobody(loaded: Place) -> None:
    outcome = loaded.night(csv_bytes(children(38)) + b",,,,,,\n")
    assert outcome.summary is not None
    assert (outcome.summary.withdrawn, outcome.summary.rejected) == (2, 1)


def test_a_child_whose_line_was_cut_off_after_the_id_stays(loaded: Place) -> None:
    outcome = loaded.night(csv_bytes(children(38)) + b"7000040\n")
    assert outcome.summary is not None
    assert (outcome.summary.withdrawn, outcome.summary.rejected) == (1, 1)
    assert ("7000040", "0101", 2027) in loaded.standing()


def test_a_new_column_widens_the_table_and_a_changed_type_is_said(loaded: Place) -> None:
    from district.dataset import Column

    wider = dataclasses.replace(CHILDREN, columns=(*CHILDREN.columns, Column("track")))
    rows = csv_bytes(children(41)).decode().splitlines()
    content = "".join(f"{line},{'track' if n == 0 else 'T'}\n" for n, line in enumerate(rows)).encode()
    assert loaded.night(content, dataset=wider).state == "loaded"
    assert {row["track"] for row in loaded.standing(wider).values()} == {"T"}
    # A column that is new to the table overwrites nothing, so that the gate lets every row change.
    columns = [Column("fte", "integer") if column.name == "fte" else column for column in CHILDREN.columns]
    outcome = loaded.night(csv_bytes(children(42)), dataset=dataclasses.replace(CHILDREN, columns=tuple(columns)))
    assert outcome.state == "failed"
    assert "column fte is declared BIGINT and stored otherwise" in outcome.message


def test_a_stopped_run_says_again_why_and_loads_nothing(loaded: Place) -> None:
    """Whoever clears a later task of a stopped run gets the same answer, not a green task."""
    before = loaded.table_hash()
    refused = loaded.night(b"", run_key="refused")
    for step in (pipeline.validate, pipeline.load):
        with pytest.raises(Refused) as stopped:
            step(CHILDREN, run_key="refused")
        assert str(stopped.value) == refused.message
    assert loaded.table_hash() == before


def test_a_load_that_waits_for_a_person_is_no_failure_and_may_be_repeated(loaded: Place) -> None:
    before = loaded.table_hash()
    held = loaded.night(csv_bytes(children(20)), run_key="held")
    assert held.state == "held"
    for _ in range(2):
        assert pipeline.load(CHILDREN, run_key="held") == held.summary
    assert loaded.table_hash() == before


def test_a_preview_changes_nothing_and_counts(loaded: Place) -> None:
    before = loaded.table_hash()
    key = f"check-{uuid.uuid4()}"
    path = loaded.drop(csv_bytes([*children(39), child(77)]))
    pipeline.extract(CHILDREN, partition="2026-11-19", run_key=key, file=path)
    pipeline.validate(CHILDREN, run_key=key)
    summary = pipeline.load(CHILDREN, run_key=key, preview=True)
    pipeline.close(CHILDREN, run_key=key, preview=True)
    assert (summary.inserted, summary.withdrawn, summary.unchanged) == (1, 1, 39)
    assert loaded.table_hash() == before
    assert loaded.rows("select state from import_log.import_run where run_key = :key", key=key) == [
        {"state": "checked"}
    ]
    assert loaded.rows("select tablename from pg_tables where schemaname = 'staging'") == []


def test_quarantine_belongs_to_the_last_load(loaded: Place) -> None:
    bad = [row | ({"fte": "much"} if n == 0 else {}) for n, row in enumerate(children(41))]
    loaded.night(csv_bytes(bad))
    assert [row["reasons"] for row in loaded.quarantined()] == [[{"rule_id": "children.fte.type", "column": "fte"}]]
    loaded.night(csv_bytes(children(41)), age=60)
    assert loaded.quarantined() == []
    assert loaded.leaks(canaries_of(children(41))) == []


def test_two_data_sets_may_start_on_a_fresh_database_at_once(place: Place) -> None:
    """Their first steps write the same calendar and crosswalk."""
    from concurrent.futures import ThreadPoolExecutor

    others = [dataclasses.replace(CHILDREN, name=f"children_{n}") for n in range(4)]
    for other in others:
        place.write_suite(_rules_for(other.name), other)
    place.drop(csv_bytes(children()))
    with ThreadPoolExecutor(len(others)) as pool:
        outcomes = list(pool.map(lambda each: place.run(each), others))
    assert [outcome.state for outcome in outcomes] == ["loaded"] * 4, outcomes


def _rules_for(name: str) -> list[dict[str, Any]]:
    from importing import FTE_RULE

    return [FTE_RULE | {"meta": FTE_RULE["meta"] | {"rule_id": f"{name}.fte_over_one"}}]
