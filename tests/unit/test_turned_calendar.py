"""Years that people turn: in any calendar, a year is current from its own day and the turn's on, and no sooner."""

from __future__ import annotations

import datetime

from hypothesis import given
from hypothesis import strategies as st

from calendars import ONE_DAY, districts
from district.calendar.record import turned
from district.calendar.standing import closed_years, current_year, statuses
from district.settings import District


@given(districts(), st.data())
def test_a_year_is_current_from_its_turn_on(facts: District, data: st.DataObject) -> None:
    year = data.draw(st.sampled_from(facts.school_years))
    on = year.first_day + data.draw(st.integers(-30, 60)) * ONE_DAY
    day = year.first_day + data.draw(st.integers(-90, 90)) * ONE_DAY
    calendar = turned(facts, {year.end_year: on})
    for school_id in facts.calendars:
        own = next(each for each in facts.years_of(school_id) if each.end_year == year.end_year)
        before = current_year(facts, school_id, own.turning_day - ONE_DAY)
        now = current_year(calendar, school_id, day)
        begun = day >= max(on, own.turning_day)
        assert (now.end_year if now else None) == (year.end_year if begun else before.end_year if before else None)
        assert (statuses(calendar, school_id, day)[year.end_year] == "current") == begun


@given(districts(), st.data())
def test_a_year_that_waits_is_next_and_those_before_it_do_not_close(facts: District, data: st.DataObject) -> None:
    year = data.draw(st.sampled_from(facts.school_years))
    calendar = turned(facts, {year.end_year: None})
    day = year.first_day + data.draw(st.integers(0, 300)) * ONE_DAY
    later = [each for each in facts.school_years if each.end_year > year.end_year and each.first_day <= day]
    for school_id in facts.calendars:
        assert statuses(calendar, school_id, day)[year.end_year] == "next"
        assert (
            later
            or year.end_year - 1 not in closed_years(calendar, day, [year.end_year - 1])
            or not _has(facts, year.end_year - 1)
        )


@given(districts())
def test_without_a_record_the_dates_count(facts: District) -> None:
    assert turned(facts, {}) is facts


def _has(facts: District, end_year: int) -> bool:
    return end_year in {year.end_year for year in facts.school_years}


def test_a_status_by_hand_goes_before_the_record() -> None:
    years = [
        {"end_year": 2026, "first_day": "2025-08-13", "last_day": "2026-05-28"},
        {"end_year": 2027, "first_day": "2026-08-12", "last_day": "2027-05-26", "status": "current"},
    ]
    roles = {"data_person": ["data@district.invalid"]}
    facts = District.model_validate({"name": "Test", "roles": roles, "school_years": years})
    day = datetime.date(2026, 7, 1)
    assert statuses(turned(facts, {2027: None}), "", day)[2027] == "current"
