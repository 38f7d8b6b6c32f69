"""The calendar: years, terms and windows follow from dates, per school, and a slip is said in plain words."""

from __future__ import annotations

import datetime
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from calendars import ONE_DAY, district, districts
from district.calendar.show import print_calendar
from district.calendar.standing import current_years, standing_of, statuses
from district.calendar.strictness import gate_for
from district.calendar.windows import change_nights, change_on, changes_of
from district.settings import District, Settings, SettingsError
from importing import CHILDREN

YEAR: dict[str, Any] = {
    "end_year": 2027,
    "first_day": "2026-08-12",
    "last_day": "2027-05-26",
    "terms": [
        {"code": "S1", "begin": "2026-08-12", "end": "2026-12-18"},
        {"code": "S2", "begin": "2027-01-04", "end": "2027-05-26"},
    ],
    "holidays": [f"2026-12-{day}" for day in range(21, 32)] + ["2027-01-01"],
}
LATER: dict[str, Any] = {"end_year": 2028, "first_day": "2027-08-11", "last_day": "2028-05-25"}

SITTING = {
    "key": "spring", "assessment": "STATE", "school_year": 2027, "test_begin": "2027-04-12", "test_end": "2027-05-14",
    "results_begin": "2027-06-14", "results_end": "2027-10-31",
}  # fmt: skip
GRADED = {"begin": "2025-12-14", "end": "2026-01-05"}


def with_summers(*begins: str) -> dict[str, Any]:
    """The year with summer terms of two weeks that begin on these days."""
    days = [datetime.date.fromisoformat(begin) for begin in begins]
    terms = [
        {"code": f"U{n}", "type": "summer", "begin": str(day), "end": str(day + 14 * ONE_DAY)}
        for n, day in enumerate(days, start=1)
    ]
    return {**YEAR, "terms": [*YEAR["terms"], *terms]}


def days_around(facts: District) -> list[datetime.date]:
    """Every day from a quarter before the first school year to a quarter after the last."""
    years = facts.school_years
    first = min(year.first_day for year in years) - 100 * ONE_DAY
    last = max(year.last_day for year in years) + 100 * ONE_DAY
    return [first + n * ONE_DAY for n in range((last - first).days)]


@settings(max_examples=12, deadline=None)
@given(facts=districts())
def test_at_every_school_years_follow_each_other_without_gap_or_overlap(facts: District) -> None:
    for school_id in ("0101", "unknown"):
        ended: list[int] = []
        for day in days_around(facts):
            standing = standing_of(facts, school_id, day)
            current = [end for end, status in standing.statuses.items() if status == "current"]
            assert current == ([standing.year.end_year] if standing.year else [])
            assert bool(current) == (day >= facts.years_of(school_id)[0].first_day)
            ended += [end for end in current if ended[-1:] != [end]]
            order = ["closed", "closing", "current", "next", "planned"]
            told = [order.index(status) for status in standing.statuses.values()]
            assert told == sorted(told), "an earlier year never is behind a later one"
            if standing.year and standing.instructional:
                assert standing.term is not None, "a day with school lies in a term"
        assert ended == [year.end_year for year in facts.years_of(school_id)], "each year was current, once, in order"


@settings(max_examples=12, deadline=None)
@given(facts=districts())
def test_windows_hold_each_boundary_and_the_promised_school_days(facts: District) -> None:
    rules = facts.calendar.semester_change
    for school_id in ("0100", "0101"):
        for year in facts.years_of(school_id):
            boundaries = {term.begin for term in year.terms[1:]}
            changes = [change for change in changes_of(facts, school_id) if change.school_year == year.end_year]
            assert {change.boundary for change in changes} == boundaries
            for change in changes:
                school = [day for day in year.instructional_days() if day in change]
                assert sum(day < change.boundary for day in school) == rules.nights_before
                assert sum(day > change.boundary for day in school) == rules.nights_after
                assert change.ends.end < change.boundary
    nights = {day for day in days_around(facts) if any(change_on(facts, s, day) for s in ("0100", "0101"))}
    assert set(change_nights(facts)) == nights


@settings(max_examples=30, deadline=None)
@given(
    begins=st.integers(0, 100),
    length=st.integers(0, 60),
    scale=st.floats(0.1, 3),
    day=st.dates(datetime.date(2026, 7, 1), datetime.date(2027, 6, 30)),
)
def test_a_gate_is_scaled_inside_its_window_alone(begins: int, length: int, scale: float, day: datetime.date) -> None:
    begin = datetime.date(2026, 8, 1) + begins * ONE_DAY
    window = {"name": "window", "begin": begin, "end": begin + length * ONE_DAY, "scale": scale}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Settings, "district", district([YEAR], calendar={"strictness": [window]}))
        gate = gate_for(CHILDREN, day)
    if begin <= day <= begin + length * ONE_DAY:
        assert gate.withdrawn == min(1.0, CHILDREN.gate.withdrawn * scale)
        assert gate.floor == CHILDREN.gate.floor
    else:
        assert gate == CHILDREN.gate


def test_back_to_school_differs_from_mid_term(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = [
        {"name": "back to school", "around": "first_day", "days_after": 20, "gates": {"children": {"withdrawn": 0.3}}},
        {"name": "all else", "begin": "2026-07-01", "end": "2027-06-30", "scale": 0.5},
    ]
    facts = district(
        [{**YEAR, "schools": [{"schools": ["0101"], "first_day": "2026-09-16", "holidays": YEAR["holidays"],
          "terms": [{"code": "S1", "begin": "2026-09-16", "end": "2026-12-18"}, YEAR["terms"][1]]}]}],
        calendar={"strictness": windows},
    )  # fmt: skip
    monkeypatch.setattr(Settings, "district", facts)
    day = datetime.date(2026, 9, 20)
    assert gate_for(CHILDREN, day, "0100").withdrawn == 0.05
    assert gate_for(CHILDREN, day, "0101").withdrawn == 0.3
    assert gate_for(CHILDREN, day, "0101").updated == CHILDREN.gate.updated


def test_two_schools_are_in_different_terms_on_one_night() -> None:
    terms = [
        {"code": "T1", "begin": "2026-08-12", "end": "2026-11-13"},
        {"code": "T2", "begin": "2026-11-16", "end": "2027-05-26"},
    ]
    own = {"schools": ["year_round"], "terms": terms, "track": "B"}
    facts = district([{**YEAR, "schools": [own]}])
    night = datetime.date(2026, 11, 17)
    first, second = (standing_of(facts, school_id, night) for school_id in ("0100", "0101"))
    assert (first.term and first.term.code, second.term and second.term.code) == ("S1", "T2")
    assert first.change is None
    assert second.change is not None
    assert second.year is not None
    assert second.year.track == "B"
    assert night in change_nights(facts), "a file holds both schools, so that its data set is in semester change"


def test_two_schools_are_in_different_years_on_one_night() -> None:
    early = {"schools": ["0101"], "first_day": "2027-07-12"}
    facts = district([{**YEAR, "terms": []}, {**LATER, "schools": [early]}])
    night = datetime.date(2027, 7, 20)
    ends = [standing.year.end_year for s in ("0100", "0101") if (standing := standing_of(facts, s, night)).year]
    assert ends == [2027, 2028]
    assert [year.end_year for year in current_years(facts, night)] == [2027, 2028]


def test_a_status_set_by_hand_goes_before_the_dates() -> None:
    late = district([{**YEAR, "status": "current"}, LATER])
    night = datetime.date(2027, 9, 1)
    assert statuses(late, "0100", night) == {2027: "current", 2028: "next"}
    elsewhere = [{"schools": ["0101"], "status": "current"}]
    shut = district([{**YEAR, "status": "closed"}, {**LATER, "status": "planned", "schools": elsewhere}])
    assert statuses(shut, "0100", night) == {2027: "closed", 2028: "planned"}
    assert standing_of(shut, "0100", night).year is None


def test_events_change_what_a_day_is() -> None:
    events = [
        {"date": "2026-09-10", "event": "weather"},
        {"date": "2026-09-12", "event": "make_up"},
        {"date": "2026-12-21", "event": "instructional"},
    ]
    year = {**YEAR, "terms": [], "events": events[:2], "schools": [{"schools": ["0101"], "events": events[2:]}]}
    facts = district([year])

    def instructs(school_id: str, day: str) -> bool:
        return standing_of(facts, school_id, datetime.date.fromisoformat(day)).instructional

    assert not instructs("0100", "2026-09-10")
    assert instructs("0100", "2026-09-12"), "a Saturday that makes up for it"
    assert not instructs("0100", "2026-12-21")
    assert instructs("0101", "2026-12-21"), "one school has no holiday on that day"
    assert instructs("0101", "2026-09-12"), "and what is said of the district counts there too"


@pytest.mark.parametrize(
    ("years", "facts", "said"),
    [
        ([{**YEAR, "end_year": 2028}], {}, "school year 2028 must end in 2028"),
        ([{**YEAR, "holidays": []}], {}, "2026-12-21 instructs, but is in none of the terms S1, S2 of 2027"),
        ([{**YEAR, "schools": [{"schools": ["yearround"]}]}], {}, "group yearround; is year_round meant?"),
        ([{**YEAR, "schools": [{"schools": ["0100"]}, {"schools": ["0100"]}]}], {}, "says twice"),
        (
            [{**YEAR, "schools": [{"schools": ["0100"], "last_day": "2028-01-01"}]}],
            {},
            "for 0100: school year 2027 must end in 2027",
        ),
        ([YEAR, {**LATER, "turns_on": "2027-05-01"}], {}, "2028 begins on 2027-05-01, and 2027 ends on 2027-05-26"),
        ([{**YEAR, "status": "current"}, {**LATER, "status": "current"}], {}, "two school years have the status"),
        ([YEAR], {"calendar": {"strictness": [{"name": "x"}]}}, "strictness window x: give either around, or both"),
        (
            [YEAR],
            {"calendar": {"blackouts": [{"begin": "2027-01-02", "end": "2027-01-01", "reason": "x"}]}},
            "calendar.blackouts.0: it ends on 2027-01-01, before it begins",
        ),
        (
            [with_summers("2026-09-01", "2027-12-01")],
            {"calendar": {"semester_change": {"term_types": ["summer"]}}},
            "the semester change from U1 to U2 of 2027 would go from 2027-05-25 to 2027-12-01; 150 nights are the most",
        ),
        (
            [with_summers("2026-09-01", "2027-08-12"), LATER],
            {},
            "term U2 of 2027 ends on 2027-08-26, when 2028 has begun on 2027-08-11; correct one of them",
        ),
        (
            [YEAR],
            {"administrations": [{**SITTING, "test_end": "2027-04-01"}]},
            "administration spring: testing ends on 2027-04-01, before it begins on 2027-04-12",
        ),
        (
            [YEAR],
            {"administrations": [{**SITTING, "results_end": "2026-10-31"}]},
            "administration spring: the wait for its results ends on 2026-10-31, before it begins on 2027-06-14",
        ),
        (
            [YEAR],
            {"administrations": [{**SITTING, "results_end": "2062-10-31"}]},
            "administration spring: testing ends on 2027-05-14, and the wait for its results ends on 2062-10-31; two",
        ),
        (
            [YEAR],
            {"administrations": [{**SITTING, "test_end": "2062-05-07"}]},
            "administration spring: testing begins on 2027-04-12, and testing ends on 2062-05-07; two years later",
        ),
        ([{**YEAR, "status": "closed"}], {}, "no school year would be current any more, since by their status 2027 is"),
        ([YEAR, {**LATER, "status": "closing"}], {}, "since by their status 2028 is closing; remove the status of the"),
        (
            [{**YEAR, "status": "closed"}, {**LATER, "status": "planned"}],
            {},
            "since by their status 2027 is closed, 2028 is planned; remove",
        ),
        (
            [{**YEAR, "holidays": [*YEAR["holidays"], "2028-01-18"]}],
            {},
            "school year 2027 has a holiday on 2028-01-18, and goes from 2026-08-12 to 2027-05-26",
        ),
        (
            [{**YEAR, "schools": [{"schools": ["0100"], "events": [{"date": "2026-08-11", "event": "make_up"}]}]}],
            {},
            "school year 2027 has an event on 2026-08-11 for 0100, and goes from",
        ),
        ([{**YEAR, "rehearsal_from": "2026-08-13"}], {}, "2027 is rehearsed from 2026-08-13, and turns on 2026-08-12"),
        ([{**YEAR, "closes_on": "2027-05-01"}], {}, "2027 closes on 2027-05-01, and its last day is 2027-05-26"),
        (
            [{**YEAR, "terms": [{**YEAR["terms"][0], "grading": GRADED}, YEAR["terms"][1]]}],
            {},
            "term S1 goes from 2026-08-12 to 2026-12-18, and its grading from 2025-12-14 to 2026-01-05; correct one",
        ),
        (
            [YEAR, LATER],
            {"calendar": {"strictness": [{"name": "x", "around": "first_day", "days_after": 364, "scale": 2}]}},
            "strictness window x: gates would be looser from 2026-08-12 to 2028-08-09 without a break; 366 days",
        ),
        (
            [YEAR],
            {
                "calendar": {
                    "strictness": [
                        {"name": "x", "begin": "2026-01-01", "end": "2026-12-31", "scale": 2},
                        {
                            "name": "y",
                            "begin": "2027-01-01",
                            "end": "2027-01-02",
                            "gates": {"children": {"withdrawn": 0.2}},
                        },
                    ]
                }
            },
            "strictness window x and y: gates would be looser from 2026-01-01 to 2027-01-02 without a break",
        ),
    ],
)
def test_a_slip_in_the_calendar_is_said_in_plain_words(
    years: list[dict[str, Any]], facts: dict[str, Any], said: str, tmp_path: Path
) -> None:
    schools = [{"school_id": "0100"}, {"school_id": "0101", "groups": ["year_round"]}]
    content = {"name": "Test", "roles": {}, "schools": schools, "school_years": years, **facts}
    (tmp_path / "district.yaml").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(SettingsError) as slip:
        _ = Settings(file=tmp_path / "district.yaml").district
    assert said in str(slip.value)
    assert "\n" not in str(slip.value)


def test_what_a_calendar_may_well_hold() -> None:
    """Holidays of the district outside of a school's own year, and the longest changes that settings may ask for."""
    late = {"schools": ["0101"], "first_day": "2026-09-08", "terms": []}
    quarters = [("2026-08-12", "2026-10-09"), ("2026-10-12", "2026-12-18"), ("2027-01-04", "2027-03-12"),
                ("2027-03-15", "2027-05-26")]  # fmt: skip
    terms = [{"code": f"Q{n}", "type": "quarter", "begin": b, "end": e} for n, (b, e) in enumerate(quarters, start=1)]
    change = {"nights_before": 30, "nights_after": 30, "term_types": ["semester", "quarter"]}
    stricter = {"name": "stricter", "around": "first_day", "days_after": 365, "scale": 0.5}
    year = {**YEAR, "terms": [*YEAR["terms"], *terms], "holidays": [*YEAR["holidays"], "2026-09-07"], "schools": [late]}
    facts = district([year, LATER], calendar={"semester_change": change, "strictness": [stricter]})
    assert len(change_nights(facts)) > 200


def test_the_command_shows_each_school() -> None:
    console = Console(width=120, file=StringIO())
    print_calendar(datetime.date(2026, 12, 20), console)
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert "0103" in told
    assert "S2 on 2027-01-04" in told
    assert "change from S1 to S2" in told
