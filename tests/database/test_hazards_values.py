"""Values, volume and meaning: what one bad value, or many, do to a night."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from district.dataset import Column
from importing import (
    CHILDREN,
    CLUB_RULE,
    CLUBS,
    FTE_RULE,
    Place,
    canaries_of,
    child,
    children,
    clubs,
    csv_bytes,
    with_gate,
)

MORE = children(41)
# Children may be called so, whatever a library takes for nothing.
NAMES = ("Null", "NA", "None", "True", "N/A", "NULL", "nan")


def changed(number: int, **values: str) -> list[dict[str, str]]:
    """The children, one of them with other values."""
    rows = [dict(row) for row in MORE]
    rows[number - 1] |= values
    return rows


@dataclass(frozen=True, kw_only=True)
class Case:
    """A value of child 2, and what the table holds of that child after the night; None: what it held before."""

    id: str
    values: Mapping[str, str]
    stands: Mapping[str, Any] | None = None
    issues: Mapping[str, int] = field(default_factory=dict)

    @property
    def rejected(self) -> bool:
        return self.stands is None


def rejects(id: str, rule: str, **values: str) -> Case:  # noqa: A002
    return Case(id=id, values=values, issues={f"children.{rule}": 1})


def keeps(id: str, column: str, sent: str, stands: object, *rules: str) -> Case:  # noqa: A002
    return Case(id=id, values={column: sent}, stands={column: stands}, issues={f"children.{rule}": 1 for rule in rules})


CASES = [
    rejects("50-two-digit-year", "birth_date.type", birth_date="03/15/15"),
    rejects("50-excel-serial", "birth_date.type", birth_date="42078"),
    rejects("50-other-format", "birth_date.type", birth_date="03/15/2015"),
    rejects("50-one-digit", "birth_date.type", birth_date="2015-3-15"),
    rejects("50-timestamp", "birth_date.type", birth_date="2015-03-15 00:00:00"),
    rejects("51-30-february", "birth_date.type", birth_date="2015-02-30"),
    rejects("51-29-february", "birth_date.type", birth_date="2015-02-29"),
    rejects("51-first-century", "birth_date.type", birth_date="0015-03-15"),
    rejects("51-month-13", "birth_date.type", birth_date="2015-13-01"),
    *(keeps(f"52-surname-{name}", "last_name", name, name) for name in NAMES),
    keeps("52-empty", "last_name", "", None),
    keeps("52-null-token", "fte", "NULL", None),
    keeps("53-zero-width", "last_name", "Quexaro\u200b", "Quexaro", "last_name.invisible"),
    keeps("53-zero-width-in-id", "student_id", "70\u200b00002", "7000002", "student_id.invisible"),
    keeps("53-no-break-space-in-id", "student_id", "\u00a07000002\u00a0", "7000002", "student_id.invisible"),
    keeps("53-padded-id", "student_id", "  7000002\t", "7000002"),
    rejects("54-unknown-code", "grade_level_code.code", grade_level_code="Z9"),
    rejects("54-lower-case-code", "grade_level_code.code", grade_level_code="k"),
    rejects("54-no-code", "grade_level_code.required", grade_level_code="N/A"),
    rejects("58-thousands", "fte.type", fte="1 234"),
    rejects("58-comma", "fte.type", fte="0;5"),
    rejects("58-infinite", "fte.type", fte="inf"),
    rejects("58-nan", "fte.type", fte="NaN"),
    rejects("58-hex", "fte.type", fte="0x1"),
    rejects("58-exponent", "fte.type", fte="1e3"),
    rejects("58-over-its-band", "fte_over_one", fte="1.5"),
    rejects("58-too-many-digits", "fte.type", fte="9" * 40),
    rejects("58-year-no-number", "school_year.type", school_year="2O27"),
    rejects("58-year-too-long", "school_year.type", school_year="2" * 30),
    keeps("58-plus", "school_year", "+2027", 2027),
    keeps("60-formula", "last_name", "=1+2", "=1+2"),
    keeps("60-at", "last_name", "@SUM(A1)", "@SUM(A1)"),
    keeps("61-sql", "last_name", "x'; drop table district.children; --", "x'; drop table district.children; --"),
    keeps("61-jinja", "last_name", "{{ 7 * 7 }}{% raw %}", "{{ 7 * 7 }}{% raw %}"),
    keeps("61-backslash", "last_name", "\\.", "\\."),
    keeps("61-percent", "last_name", "%s%(name)s:name", "%s%(name)s:name"),
    keeps("62-emoji", "last_name", "Quexaro \U0001f98a", "Quexaro \U0001f98a"),
    keeps("62-right-to-left", "last_name", "\u05db\u05d4\u05df", "\u05db\u05d4\u05df"),
    keeps("62-decomposed", "last_name", "Quexaro Mun\u0303oz", "Quexaro Mu\u00f1oz"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_value_meets_its_verdict(loaded: Place, case: Case) -> None:
    before = loaded.standing()
    rows = changed(2, **case.values)
    outcome = loaded.night(csv_bytes(rows))
    assert outcome.state == "loaded", outcome
    assert outcome.summary is not None
    assert loaded.issues(outcome) == dict(case.issues)
    assert outcome.summary.rejected == int(case.rejected)
    key = ("7000002", "0101", 2027)
    expected = dict(before[key]) if case.stands is None else {**before[key], **case.stands}
    # The rest of the table changed by the one new child, and by nothing else.
    assert loaded.standing() == before | {key: expected} | {
        ("7000041", "0100", 2027): loaded.standing()["7000041", "0100", 2027]
    }
    assert [row["source_line"] for row in loaded.quarantined()] == ([3] if case.rejected else [])
    # Short ones occur by themselves, such as the code that an issue names.
    planted = {value for value in case.values.values() if len(value) > 6}
    assert loaded.leaks(canaries_of(rows) - {*NAMES} | planted) == []


def test_52_a_personal_column_that_is_no_name_keeps_no_null_token(place: Place) -> None:
    columns = (*CHILDREN.columns, Column("language", personal=True))
    dataset = dataclasses.replace(CHILDREN, columns=columns)
    sent = [row | {"language": value} for row, value in zip(children(3), ("NULL", "N/A", "Null"), strict=True)]
    names = tuple(sent[0])
    file = "".join(",".join(line) + "\n" for line in (names, *(row.values() for row in sent)))
    assert place.night(file.encode(), dataset=dataset).state == "loaded"
    # The layout names NULL and N/A, and no other spelling.
    assert [row["language"] for row in place.standing(dataset).values()] == [None, None, "Null"]


def test_47_lost_leading_zeros_are_rejected_by_the_id_s_pattern(place: Place) -> None:
    pattern = dataclasses.replace(CHILDREN.layout, patterns={"student_id": "[0-9]{7}"})
    strict = dataclasses.replace(CHILDREN, layout=pattern)
    rows = [child(n, student_id=f"00{n:05d}") for n in range(1, 41)]
    assert place.night(csv_bytes(rows), dataset=strict, age=90_000).state == "loaded"
    before = place.table_hash()
    lost = [row | {"student_id": row["student_id"].lstrip("0")} for row in rows]
    outcome = place.night(csv_bytes(lost), dataset=strict)
    assert (outcome.state, outcome.rule_id) == ("held", "gate.rejected")
    assert place.table_hash() == before
    one = place.night(csv_bytes([lost[0], *rows[1:]]), dataset=strict, age=60)
    assert place.issues(one) == {"children.student_id.type": 1}


@pytest.mark.parametrize("written", ["7.00E+06", "7.00e+06", "7E+06", "7.000001E6"])
def test_48_ids_in_scientific_notation_refuse_the_file(loaded: Place, written: str) -> None:
    before = loaded.table_hash()
    outcome = loaded.night(csv_bytes(changed(9, student_id=written)))
    assert (outcome.state, outcome.rule_id) == ("refused", "file.scientific_ids")
    assert "student_id is in scientific notation from line 10 on" in outcome.message
    assert loaded.table_hash() == before
    assert loaded.leaks(canaries_of(MORE) | {written}) == []


TRACK_RULE = FTE_RULE | {"kwargs": {"unexpected_rows_query": "select row_no from {batch} where track = 'none'"}}


def test_48_an_id_outside_the_key_counts_too_but_a_course_may_be_called_2e1(place: Place) -> None:
    columns = (*CHILDREN.columns[:3], Column("state_student_id", personal=True), Column("track"))
    dataset = dataclasses.replace(CHILDREN, columns=columns, layout=dataclasses.replace(CHILDREN.layout, columns={}))
    place.write_suite([TRACK_RULE])
    head = "student_id,school_id,school_year,state_student_id,track\n"
    outcome = place.night((head + "2E1,0100,2027,99,2.0E+01\n").encode(), dataset=dataset)
    assert outcome.state == "loaded"
    outcome = place.night((head + "1,0100,2027,1.23E+09,x\n").encode(), dataset=dataset)
    assert outcome.rule_id == "file.scientific_ids"


def test_49_long_ids_are_kept_to_the_byte(place: Place) -> None:
    ids = {"9007199254740993", "9007199254740992", "00000000000000000000000000000001"}
    rows = [child(n, student_id=value) for n, value in enumerate(sorted(ids), start=1)]
    assert place.night(csv_bytes(rows)).state == "loaded"
    assert {key[0] for key in place.standing()} == ids


def test_54_an_unknown_code_is_told_once_with_its_rows(loaded: Place) -> None:
    rows = [row | ({"grade_level_code": "Z9"} if n in (3, 8, 20) else {}) for n, row in enumerate(MORE, start=1)]
    rows[30]["grade_level_code"] = "Z8"
    outcome = loaded.night(csv_bytes(rows))
    told = loaded.rows(
        "select cause, rows, first_line from import_log.import_issue join import_log.import_run r "
        "on r.id = import_run_id where run_key = :key order by rows desc", key=outcome.run_key,
    )  # fmt: skip
    assert told == [{"cause": "Z9", "rows": 3, "first_line": 4}, {"cause": "Z8", "rows": 1, "first_line": 32}]
    assert len(loaded.standing()) == 41


def test_54_names_that_slipped_into_a_code_s_column_are_not_told(loaded: Place) -> None:
    rows = [row | {"grade_level_code": row["last_name"], "last_name": "K"} for row in MORE]
    outcome = loaded.night(csv_bytes(rows))
    assert (outcome.state, outcome.rule_id) == ("held", "gate.codes")
    assert loaded.issues(outcome) == {"children.grade_level_code.code": 41}
    assert loaded.leaks(canaries_of(MORE)) == []


def test_55_the_same_row_twice_counts_once(loaded: Place) -> None:
    outcome = loaded.night(csv_bytes([*MORE, MORE[4], MORE[4]]))
    assert outcome.summary is not None
    assert (outcome.summary.superseded, outcome.summary.rejected, outcome.summary.warnings) == (2, 0, 2)
    assert loaded.issues(outcome) == {"children.key.duplicate": 2}
    assert len(loaded.standing()) == 41
    assert loaded.leaks(canaries_of(MORE)) == []


def test_55_two_rows_of_one_child_that_differ_are_both_rejected(loaded: Place) -> None:
    before = loaded.standing()
    outcome = loaded.night(csv_bytes([*MORE, MORE[4] | {"last_name": "Quexarotwin"}]))
    assert outcome.summary is not None
    assert (outcome.summary.superseded, outcome.summary.rejected) == (0, 2)
    assert loaded.issues(outcome) == {"children.key.conflict": 2}
    assert loaded.standing()["7000005", "0100", 2027] == before["7000005", "0100", 2027]
    assert [row["source_line"] for row in loaded.quarantined()] == [6, 43]
    assert loaded.leaks(canaries_of(MORE) | {"Quexarotwin"}) == []


def test_62_an_id_is_the_same_in_either_unicode_form(place: Place) -> None:
    assert place.night(csv_bytes([child(1, student_id="N\u0303-1")]), age=90_000).state == "loaded"
    outcome = place.night(csv_bytes([child(1, student_id="\u00d1-1")]))
    assert outcome.summary is not None
    assert (outcome.summary.unchanged, outcome.summary.inserted, outcome.summary.withdrawn) == (1, 0, 0)


@pytest.mark.parametrize(
    # The last children that are sent belong to the two schools in turn, twenty to each.
    ("gone", "state", "left"),
    [(4, "loaded", 36), (5, "loaded", 38), (6, "held", 40), (20, "held", 40), (39, "held", 40)],
)
def test_63_rows_that_vanish_are_held_above_a_tenth(loaded: Place, gone: int, state: str, left: int) -> None:
    before = loaded.table_hash()
    outcome = loaded.night(csv_bytes(children(40 - gone)))
    assert outcome.state == state
    assert (outcome.rule_id == "gate.withdrawn") == (gone > 4)
    assert len(loaded.standing()) == left
    assert (loaded.table_hash() == before) == (left == 40)
    assert loaded.leaks(canaries_of(MORE)) == []


def test_64_a_whole_school_that_vanishes_is_held_though_the_district_hardly_shrinks(place: Place) -> None:
    schools = [child(n, school_id=f"{100 + n // 30:04d}") for n in range(1200)]
    assert place.night(csv_bytes(schools), age=90_000).state == "loaded"
    before = place.standing()
    sent = [row for row in schools if row["school_id"] != "0107"]
    outcome = place.night(csv_bytes([*sent, child(1200, school_id="0100")]))
    assert (outcome.state, outcome.rule_id) == ("loaded", "gate.withdrawn")
    assert "1 of 40 schools held, the others loaded. School 0107: 30 of 30 rows (100.0%)" in outcome.message
    # The other schools have loaded; of this one nothing has changed.
    assert set(place.standing()) == {*before, ("7001200", "0100", 2027)}
    assert place.leaks(canaries_of(schools)) == []


def test_66_a_column_that_changes_everywhere_is_held(loaded: Place) -> None:
    before = loaded.table_hash()
    outcome = loaded.night(csv_bytes(row | {"birth_date": "2000-01-01"} for row in MORE))
    assert (outcome.state, outcome.rule_id) == ("held", "gate.updated")
    assert "School 0101: 20 of 20 rows (100.0%) would be updated" in outcome.message
    assert loaded.table_hash() == before


def test_68_orphans_wait_and_load_by_themselves_when_their_parent_arrives(loaded: Place) -> None:
    loaded.write_suite([CLUB_RULE], CLUBS)
    loaded.drop(clubs(*range(1, 41), 41), "clubs_1.csv")
    few_orphans = with_gate(CLUBS, orphans=0.05)
    first = loaded.run(few_orphans)
    assert (first.state, loaded.issues(first)) == ("loaded", {"clubs.parent.children": 1})
    assert len(loaded.standing(CLUBS)) == 40
    assert loaded.night(csv_bytes(MORE)).state == "loaded"
    # The same file again: nothing in it has changed, but what it is judged by has.
    second = loaded.run(few_orphans, night="2026-11-20")
    assert (second.state, loaded.issues(second)) == ("loaded", {"file.unchanged": 1})
    assert len(loaded.standing(CLUBS)) == 41
    assert loaded.quarantined() == []
    assert loaded.leaks(canaries_of(MORE)) == []


def test_68_many_orphans_are_held(loaded: Place) -> None:
    loaded.write_suite([CLUB_RULE], CLUBS)
    loaded.drop(clubs(*range(1, 45)), "clubs_1.csv")
    outcome = loaded.run(CLUBS)
    assert (outcome.state, outcome.rule_id) == ("held", "gate.orphans")
    assert "4 of 44 rows" in outcome.message


def test_68_a_parent_that_did_not_load_blocks_its_children(loaded: Place) -> None:
    loaded.write_suite([CLUB_RULE], CLUBS)
    loaded.night(b"")
    loaded.drop(clubs(1), "clubs_1.csv")
    outcome = loaded.run(CLUBS)
    assert outcome.state == "blocked"
    assert "children of 2026-11-19 was refused" in outcome.message


def test_69_next_year_s_rows_leave_this_year_s_alone(loaded: Place) -> None:
    before = loaded.table_hash()
    rows = [*children(40), *(child(n, school_year="2028") for n in range(1, 6))]
    outcome = loaded.night(csv_bytes(rows))
    assert (outcome.state, outcome.rule_id) == ("refused", "file.next_year")
    assert "next_year/" in outcome.message
    assert loaded.table_hash() == before


def test_69_a_year_of_which_little_is_sent_is_held_by_itself(loaded: Place) -> None:
    every_year = dataclasses.replace(with_gate(CHILDREN, grown=99), history=True)
    rows = [*children(400), *(child(n, school_year="2026") for n in range(1, 31))]
    first = loaded.night(csv_bytes(rows), dataset=every_year)
    assert first.state == "loaded", first.message
    outcome = loaded.night(csv_bytes(rows[:401]), dataset=every_year, age=60)
    assert (outcome.state, outcome.rule_id) == ("held", "gate.withdrawn")
    assert "school_year 2026: " in outcome.message
