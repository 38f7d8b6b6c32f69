"""The gate, swept: every share from nothing to all, for a school and a district, against what a person would say."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from district.dataset import Gate
from district.load.gate import judge
from district.review.judgement import LEFT_OUT, PARENT_HELD, Judgement, Part, Reason, SchoolChange
from district.review.tables import UNLISTED, WHOLE

GATE = Gate()
SIZES = (1, 5, 9, 10, 11, 12, 19, 20, 21, 25, 40, 99, 100, 333, 1000)
PERCENT = range(101)
# A school of which nothing changes, so that the others are never the whole district.
QUIET = SchoolChange(school_id="quiet", standing=5000, unchanged=5000)


def school(standing: int, *, gone: int = 0, changed: int = 0, school_id: str = "0100") -> SchoolChange:
    """A school that loses some of its rows, and of which others change."""
    kept = standing - gone
    changed = min(changed, kept)
    return SchoolChange(
        school_id=school_id,
        standing=standing,
        gone=gone,
        changed=changed,
        overwritten=changed,
        unchanged=kept - changed,
    )


def parts(*schools: SchoolChange) -> list[Part]:
    return [
        Part(name="school_year 2027", school_id=each.school_id, standing=each.standing, withdrawn=each.gone)
        for each in schools
    ]


def verdict(*schools: SchoolChange, gate: Gate = GATE) -> Judgement:
    return judge(gate, schools, parts=parts(*schools))


def too_many_gone(standing: int, gone: int) -> bool:
    """As people say it: more than a tenth of twenty or more; of fewer, at least ten and hardly one left."""
    return 10 * gone > standing if standing >= 20 else gone >= 10 and standing - gone <= standing // 10


@pytest.mark.parametrize("standing", SIZES)
def test_deleted_rows_of_a_school(standing: int) -> None:
    for percent in PERCENT:
        gone = round(standing * percent / 100)
        found = verdict(QUIET, school(standing, gone=gone))
        assert found.held == ({"0100"} if too_many_gone(standing, gone) else set()), percent
        assert not found.whole
        assert {reason.rule_id for reason in found.reasons} <= {"gate.withdrawn"}


@pytest.mark.parametrize("standing", SIZES)
def test_updated_rows_of_a_school(standing: int) -> None:
    for percent in PERCENT:
        changed = round(standing * percent / 100)
        found = verdict(QUIET, school(standing, changed=changed))
        assert found.held == ({"0100"} if standing >= 20 and 4 * changed > 3 * standing else set()), percent
        assert {reason.rule_id for reason in found.reasons} <= {"gate.updated"}


@pytest.mark.parametrize("percent", PERCENT)
def test_deleted_and_updated_rows_of_a_district_of_small_schools(percent: int) -> None:
    """None of its schools has twenty rows, so that only the district can be judged."""
    for what in ("gone", "changed"):
        counts = [percent // 10 + (number < percent % 10) for number in range(10)]
        small = [school(10, **{what: count}, school_id=f"{number:04d}") for number, count in enumerate(counts)]
        found = verdict(*small)
        single = {f"{number:04d}" for number, count in enumerate(counts) if what == "gone" and count == 10}
        rest = [each for each in small if each.school_id not in single]
        amount = sum(getattr(each, what) for each in rest)
        left = 10 * len(rest)
        whole = too_many_gone(left, amount) if what == "gone" else 4 * amount > 3 * left
        told = [reason for reason in found.reasons if reason.school_id == WHOLE]
        assert bool(told) == (whole and bool(rest)), what
        assert found.whole == (whole or not rest)


@given(
    schools=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 100), st.integers(0, 100)), min_size=1, max_size=12)
)
def test_any_district(schools: list[tuple[int, int, int]]) -> None:
    changes = [
        school(standing, gone=standing * gone // 100, changed=standing * changed // 100, school_id=f"{number:04d}")
        for number, (standing, gone, changed) in enumerate(schools)
    ]
    found = verdict(*changes)
    tripped = {
        each.school_id
        for each in changes
        if too_many_gone(each.standing, each.gone) or (each.standing >= 20 and 4 * each.overwritten > 3 * each.standing)
    }
    rest = [each for each in changes if each.school_id not in tripped]
    standing, gone, changed = (
        sum(getattr(each, name) for each in rest) for name in ("standing", "gone", "overwritten")
    )
    whole = too_many_gone(standing, gone) or (standing >= 20 and 4 * changed > 3 * standing)
    assert found.held == tripped
    assert found.whole == (whole or tripped == {each.school_id for each in changes})


@given(
    schools=st.lists(
        st.tuples(*[st.tuples(st.integers(0, 200), st.integers(0, 100)) for _ in range(2)]), min_size=1, max_size=8
    )
)
def test_any_district_of_two_school_years(schools: list[tuple[tuple[int, int], tuple[int, int]]]) -> None:
    """A school is held for what it loses in one year as well as for what it loses of all."""
    changes, scopes, tripped = [], [], set()
    for number, years in enumerate(schools):
        name = f"{number:04d}"
        lost = [(standing, standing * percent // 100) for standing, percent in years]
        standing, gone = (sum(column) for column in zip(*lost, strict=True))
        changes.append(school(standing, gone=gone, school_id=name))
        scopes += [
            Part(name=f"school_year {year}", school_id=name, standing=rows, withdrawn=missing)
            for year, (rows, missing) in enumerate(lost, start=2026)
        ]
        if any(too_many_gone(*each) for each in [(standing, gone), *lost]):
            tripped.add(name)
    found = judge(GATE, changes, parts=scopes)
    assert found.held == tripped
    rest = [scope for scope in scopes if scope.school_id not in tripped]
    by_year = {scope.name: [each for each in rest if each.name == scope.name] for scope in rest}
    sums = [
        (sum(each.standing for each in year), sum(each.withdrawn for each in year))
        for year in (rest, *by_year.values())
    ]
    whole = any(too_many_gone(*each) for each in sums)
    assert found.whole == (whole or len(tripped) == len(changes))


def test_one_school_year_of_a_school_that_is_missing_from_the_file() -> None:
    change = school(4000, gone=300)
    scopes = [
        Part(name=f"school_year {year}", school_id="0100", standing=rows, withdrawn=gone)
        for year, rows, gone in ((2026, 3700, 0), (2027, 300, 300))
    ]
    found = judge(GATE, [QUIET, change], parts=scopes)
    assert [(reason.school_id, reason.rule_id) for reason in found.reasons] == [("0100", "gate.withdrawn")]
    assert found.reasons[0].text.startswith("school_year 2027: 300 of 300 rows (100.0%) would be withdrawn")


def test_a_school_that_is_left_out_is_held_whether_it_trips_or_not() -> None:
    found = judge(GATE, [QUIET, school(100)], approved={WHOLE}, left_out={"0100"})
    assert (found.held, found.whole, [reason.rule_id for reason in found.reasons]) == ({"0100"}, False, [LEFT_OUT])


@given(share=st.integers(0, 100), standing=st.integers(20, 2000), gone=st.integers(0, 2000))
def test_a_share_is_what_people_write(share: int, standing: int, gone: int) -> None:
    """29 of 100 are not more than 0.29, whatever a computer makes of 0.29."""
    gone = min(gone, standing)
    gate = dataclasses.replace(GATE, withdrawn=share / 100)
    found = verdict(QUIET, school(standing, gone=gone), gate=gate)
    assert ("0100" in found.held) == (100 * gone > share * standing)


REJECTS = [
    # rows sent, rejected, orphans, new codes; the rule that holds the school
    (100, 10, 0, 0, ""),
    (100, 11, 0, 0, "gate.rejected"),
    (19, 19, 0, 0, ""),
    (1000, 20, 20, 0, ""),
    (1000, 21, 21, 0, "gate.orphans"),
    (1000, 500, 500, 0, "gate.orphans"),
    (40, 3, 3, 0, ""),
    (40, 4, 4, 0, "gate.orphans"),
    (40, 3, 0, 3, ""),
    (1000, 20, 0, 20, ""),
    (1000, 21, 0, 21, "gate.codes"),
]


@pytest.mark.parametrize(("read", "rejected", "orphans", "codes", "rule_id"), REJECTS)
def test_rejected_rows_of_a_school(read: int, rejected: int, orphans: int, codes: int, rule_id: str) -> None:
    change = SchoolChange(
        school_id="0100",
        standing=read,
        unchanged=read - rejected,
        rejected=rejected,
        orphans=orphans,
        unknown_codes=codes,
        new_codes=codes,
    )
    found = judge(GATE, [QUIET, change])
    assert [reason.rule_id for reason in found.reasons] == ([rule_id] if rule_id else [])


@pytest.mark.parametrize(
    ("change", "rule_id"),
    [
        (SchoolChange(school_id="0100", standing=80, unchanged=80, usual=100), ""),
        (SchoolChange(school_id="0100", standing=79, unchanged=79, usual=100), "gate.count"),
        (SchoolChange(school_id="0100", standing=79, unchanged=79, usual=19), ""),
        (SchoolChange(school_id="0100", standing=50, unchanged=50, last_year=100), ""),
        (SchoolChange(school_id="0100", standing=49, unchanged=49, last_year=100), "gate.count"),
        (SchoolChange(school_id="0100", standing=100, unchanged=100, new=200), ""),
        (SchoolChange(school_id="0100", standing=100, unchanged=100, new=201), "gate.grown"),
        (SchoolChange(school_id="0100", new=5000), ""),
    ],
)
def test_counts_of_a_school(change: SchoolChange, rule_id: str) -> None:
    found = judge(GATE, [QUIET, change])
    assert [reason.rule_id for reason in found.reasons] == ([rule_id] if rule_id else [])


@pytest.mark.parametrize(
    ("others", "held"),
    [
        (SchoolChange(school_id=UNLISTED, new=19), False),
        (SchoolChange(school_id=UNLISTED, new=20), True),
        # They stood here before, and were withdrawn.
        (SchoolChange(school_id=UNLISTED, changed=20), True),
        # One unlisted school in the place of another.
        (SchoolChange(school_id=UNLISTED, standing=30, new=30, gone=30), True),
        (SchoolChange(school_id=UNLISTED, standing=30, changed=30, overwritten=30), False),
        (SchoolChange(school_id=UNLISTED, rejected=500), False),
    ],
)
def test_new_rows_of_schools_that_nobody_listed(others: SchoolChange, held: bool) -> None:
    missing = school(400, gone=400)
    for rest in ((QUIET,), (QUIET, missing)):
        found = judge(GATE, [*rest, others], listed=True)
        assert found.held == {each.school_id for each in (missing,) if each in rest} | ({UNLISTED} if held else set())
        assert not found.whole
    assert ("gate.unlisted" in {reason.rule_id for reason in found.reasons}) == held
    assert judge(GATE, [QUIET, others]).held == set()
    assert judge(GATE, [QUIET, others], listed=True, approved={UNLISTED}).held == set()
    if held:
        (reason,) = judge(GATE, [QUIET, others], listed=True, waiting={UNLISTED}).reasons
        assert reason.rule_id == PARENT_HELD


def test_what_is_approved_passes_and_nothing_else_does() -> None:
    bad, worse = school(100, gone=50), school(100, gone=60, school_id="0101")
    stopping = [Reason(school_id=WHOLE, rule_id="rows", text="Too few.")]
    everything = judge(GATE, [QUIET, bad, worse], approved={WHOLE, "0100", "0101"})
    assert (everything.reasons, everything.held, everything.whole) == ((), frozenset(), False)
    one = judge(GATE, [QUIET, bad, worse], approved={WHOLE, "0100"})
    assert (one.held, one.whole) == ({"0101"}, False)
    for approved in ({"0100", "0101"}, {WHOLE, "0100", "0101"}):
        assert judge(GATE, [QUIET, bad, worse], stopping=stopping, approved=approved).whole


def test_a_parent_s_hold_is_not_for_the_child_to_let_through() -> None:
    found = judge(GATE, [QUIET, school(100)], waiting={"0100"}, approved={WHOLE, "0100"})
    assert [(reason.school_id, reason.rule_id) for reason in found.reasons] == [("0100", PARENT_HELD)]


def test_a_run_of_which_nothing_is_left_is_held_however_small() -> None:
    found = judge(GATE, [SchoolChange(school_id="0100", rejected=3), SchoolChange(rejected=1)])
    assert (found.whole, [reason.rule_id for reason in found.reasons]) == (True, ["gate.rejected"])


def test_the_district_s_count_is_that_of_the_schools_of_which_it_is_known() -> None:
    """None of them is large enough to be judged alone."""
    known = [SchoolChange(school_id=f"{n:04d}", standing=7, unchanged=7, usual=10) for n in range(10)]
    found = judge(GATE, [*known, SchoolChange(school_id="0900", new=500)])
    assert [(reason.school_id, reason.rule_id) for reason in found.reasons] == [(WHOLE, "gate.count")]
    whole = judge(GATE, [SchoolChange(standing=70, unchanged=70, last_year=200)])
    assert [reason.rule_id for reason in whole.reasons] == ["gate.count"]


def test_a_gate_may_be_wide_open() -> None:
    open_gate = Gate(
        **{name: float("inf") for name in ("withdrawn", "updated", "rejected", "orphans", "codes", "grown")}
    )
    assert (
        judge(open_gate, [school(100, gone=100), SchoolChange(school_id="0101", standing=20, new=5000)]).reasons == ()
    )
