"""Whatever is changed in a settings file: it is refused in one paragraph, or the calendar's tables follow it."""

from __future__ import annotations

import copy
import datetime
import functools
from io import StringIO
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from rich.console import Console

from district.calendar.show import print_calendar
from district.database import engine, sync_calendar
from district.settings import SettingsError, _read_district, settings
from importing import Place, children, csv_bytes

GOOD: dict[str, Any] = {
    "name": "Test District",
    "timezone": "America/Los_Angeles",
    "roles": {"data_person": ["data@district.invalid"]},
    "people": {"rita.moss": ["data_person"]},
    "schools": [{"school_id": "0100"}, {"school_id": "0101", "groups": ["late"], "last_year": 2027}],
    "calendar": {
        "semester_change": {"nights_before": 2, "nights_after": 3},
        "rehearsal_days": 90,
        "closing_days": 60,
        "blackouts": [{"begin": "2027-02-12", "end": "2027-02-15", "reason": "The SIS moves"}],
        "strictness": [
            {"name": "back to school", "around": "first_day", "days_before": 3, "days_after": 21, "scale": 3},
            {"name": "audit", "begin": "2027-03-01", "end": "2027-03-10", "scale": 0.5},
        ],
    },
    "school_years": [
        {"end_year": 2026, "first_day": "2025-08-13", "last_day": "2026-05-28", "turns_on": "2025-07-01"},
        {
            "end_year": 2027,
            "first_day": "2026-08-12",
            "last_day": "2027-05-26",
            "rehearsal_from": "2026-06-01",
            "closes_on": "2027-09-01",
            "track": "A",
            "terms": [
                {"code": "S1", "begin": "2026-08-12", "end": "2026-12-31"},
                {"code": "S2", "begin": "2027-01-01", "end": "2027-05-26"},
            ],
            "holidays": ["2026-09-07"],
            "events": [{"date": "2026-09-10", "event": "weather", "reason": "Snow"}],
            "schools": [{"schools": ["late"], "last_day": "2027-06-02", "terms": [], "status": "current"}],
        },
    ],
    "administrations": [
        {"key": "2026-27_fall", "assessment": "STATE", "school_year": 2027, "test_begin": "2026-10-19",
         "test_end": "2026-11-06", "results_begin": "2027-01-11", "results_end": "2027-03-31"},
    ],
}  # fmt: skip
DAYS = st.dates().map(str)
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(2020, 2030)
    | st.floats()
    | st.text(max_size=8)
    | DAYS
    | st.dates(datetime.date(2025, 1, 1), datetime.date(2028, 12, 31)).map(str)
    | st.sampled_from(
        ["2026-02-30", "", " ", "0100", "late", "S1", "\0", "x" * 300, 2**31, 2**63, float("inf"), [], {}]
    )
)


def places(part: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every entry of a settings file."""
    entries = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    return [found for key, value in entries for found in ((*way, key), *places(value, (*way, key)))]


def at(content: Any, way: tuple[Any, ...]) -> Any:
    """What stands at the end of a way."""
    return functools.reduce(lambda part, step: part[step], way, content)


def nudged(value: Any, by: int) -> Any:
    """A value near to one, as a slip of the finger leaves it."""
    if isinstance(value, str):
        try:
            return str(datetime.date.fromisoformat(value) + datetime.timedelta(days=by))
        except ValueError:
            return value[:by]
    return value + by if isinstance(value, int | float) else value


@st.composite
def edited(draw: st.DrawFn) -> bytes:
    """The settings file after one or two slips in its entries, and now and then one in its text."""
    content = copy.deepcopy(GOOD)
    for _ in range(draw(st.integers(1, 2))):
        slip = draw(st.sampled_from(["nudged", "nudged", "value", "gone", "twice", "same"]))
        ways = [way for way in places(content) if slip != "twice" or isinstance(way[-1], int)]
        way = draw(st.sampled_from(ways))
        holder, last = at(content, way[:-1]), way[-1]
        if slip == "nudged":
            holder[last] = nudged(holder[last], draw(st.integers(-40, 40)))
        elif slip == "value":
            holder[last] = draw(VALUES)
        elif slip == "gone":
            del holder[last]
        elif slip == "twice":
            holder.append(copy.deepcopy(holder[last]))
        else:
            like = [other for other in ways if other[-1] == last and not isinstance(last, int)] or [way]
            holder[last] = copy.deepcopy(at(content, draw(st.sampled_from(like))))
    text = yaml.safe_dump(content, allow_unicode=False).encode()
    if draw(st.integers(0, 7)) == 0:
        place = draw(st.integers(0, len(text)))
        text = text[:place] + draw(st.binary(max_size=3)) + text[place + draw(st.integers(0, 20)) :]
    return text


@examples(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=edited())
def test_any_settings_file_is_refused_or_followed(content: bytes, place: Place) -> None:
    path = place.folder / "district.yaml"
    path.write_bytes(content)
    _read_district.cache_clear()
    told = ""
    try:
        facts = settings().district
        print_calendar(datetime.date(2026, 11, 20), Console(file=StringIO()))
    except SettingsError as slip:
        told = str(slip)
    if told:
        assert told.startswith(str(path))
        assert "\n" not in told
        return
    with engine().connect() as connection, connection.begin() as transaction:
        sync_calendar(connection)
        years = connection.exec_driver_sql("select count(*) from district.school_year").scalar_one()
        transaction.rollback()
    assert years == len(facts.school_years) * (len(facts.schools) + 1)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (
            "blackouts: [{begin: 2026-11-01, end: 2026-12-31, reason: move, datasets: [childern]}]",
            "calendar.blackouts.0.datasets: There is no data set childern",
        ),
        (
            "strictness: [{name: x, begin: 2026-11-01, end: 2026-12-31, gates: {childern: {withdrawn: 0.2}}}]",
            "calendar.strictness.0.gates: There is no data set childern",
        ),
        (
            "strictness: [{name: x, begin: 2026-11-01, end: 2026-12-31, gates: {children: {withdrawn: 0.4}}}]",
            "calendar.strictness.0.gates.children.withdrawn: 0.4 is more than 0.3",
        ),
    ],
)
def test_an_import_stops_at_what_the_calendar_says_of_no_data_set(rules: str, said: str, place: Place) -> None:
    path = place.folder / "district.yaml"
    path.write_text(f"{path.read_text(encoding='utf-8')}\ncalendar: {{{rules}}}\n", encoding="utf-8")
    _read_district.cache_clear()
    outcome = place.night(csv_bytes(children()))
    assert (outcome.state, outcome.message[: len(str(path))]) == ("failed", str(path))
    assert said in outcome.message
