"""Calendars of districts that do not exist, for tests: random ones, and how to make one from a few lines."""

from __future__ import annotations

import datetime
import json
from typing import Any

import yaml
from hypothesis import strategies as st

from district.settings import District, _read_district, settings
from importing import Place

ONE_DAY = datetime.timedelta(days=1)


def district(years: list[dict[str, Any]], **facts: Any) -> District:
    """A district with these school years, and two schools unless others are given."""
    schools = [{"school_id": "0100"}, {"school_id": "0101", "groups": ["year_round"]}]
    roles = {"data_person": ["data@district.invalid"]}
    return District.model_validate({"name": "Test", "roles": roles, "schools": schools, "school_years": years} | facts)


def write_calendar(place: Place, *years: dict[str, Any], **facts: Any) -> District:
    """Puts school years, and other facts, in the settings file and reads it again."""
    path = place.folder / "district.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "school_years": years, **facts}, default=str), encoding="utf-8")
    _read_district.cache_clear()
    return settings().district


@st.composite
def term_dates(draw: st.DrawFn, first: datetime.date, last: datetime.date) -> dict[str, Any]:
    """Two to four terms from the first to the last day, with a break before each but the first."""
    count = draw(st.integers(2, 4))
    length = (last - first).days + 1
    begins = [first + (length * n // count) * ONE_DAY for n in range(count)]
    breaks = [0, *(draw(st.integers(0, 16)) for _ in range(count - 1))]
    ends = [begin - (pause + 1) * ONE_DAY for begin, pause in zip(begins[1:], breaks[1:], strict=True)]
    pauses = [end + n * ONE_DAY for end, pause in zip(ends, breaks[1:], strict=True) for n in range(1, pause + 1)]
    spans = enumerate(zip(begins, [*ends, last], strict=True))
    terms = [{"code": f"T{n + 1}", "begin": begin, "end": end} for n, (begin, end) in spans]
    return {"first_day": first, "last_day": last, "terms": terms, "holidays": pauses}


@st.composite
def districts(draw: st.DrawFn) -> District:
    """One to four school years in a row; in some, one of the two schools has days and terms of its own."""
    start = draw(st.integers(2001, 2060))
    years: list[dict[str, Any]] = []
    for end_year in range(start, start + draw(st.integers(1, 4))):

        def dates(end_year: int = end_year) -> dict[str, Any]:
            first = datetime.date(end_year - 1, 8, 1) + draw(st.integers(0, 40)) * ONE_DAY
            last = datetime.date(end_year, 5, 20) + draw(st.integers(0, 40)) * ONE_DAY
            return draw(term_dates(first, last))

        own = [{"schools": [draw(st.sampled_from(["0101", "year_round"]))], **dates()}] if draw(st.booleans()) else []
        years.append({"end_year": end_year, **dates(), "schools": own})
    nights = {"nights_before": draw(st.integers(0, 6)), "nights_after": draw(st.integers(0, 6))}
    return district(years, calendar={"semester_change": nights, "rehearsal_days": draw(st.integers(0, 120))})
