"""The calendar's tables: what the settings file says, no more and no less, and what rules in SQL make of it."""

from __future__ import annotations

import json

from calendars import write_calendar
from district.catalog import find_dataset
from district.database import engine, sync_calendar
from district.settings import PROJECT
from importing import Place

YEAR = {"end_year": 2027, "first_day": "2026-08-12", "last_day": "2027-05-26"}
TERMS = [
    {"code": "S1", "begin": "2026-08-12", "end": "2026-12-31", "grading": {"begin": "2026-12-14", "end": "2027-01-06"}},
    {"code": "S2", "begin": "2027-01-01", "end": "2027-05-26"},
]


def counts(place: Place) -> dict[str, int]:
    """Rows of each table."""
    tables = ("calendar_date", "school_date", "school_year", "session", "administration")
    return {name: place.rows(f"select count(*) n from district.{name}")[0]["n"] for name in tables}


def sync() -> None:
    with engine().begin() as connection:
        sync_calendar(connection)


def test_tables_follow_the_settings_file(place: Place) -> None:
    own = {"schools": ["0101"], "events": [{"date": "2026-09-10", "event": "weather"}]}
    facts = write_calendar(place, {**YEAR, "terms": TERMS, "schools": [own]})
    sync()
    days = len(facts.school_years[0].days())
    assert counts(place) == {"calendar_date": days, "school_date": days, "school_year": 3, "session": 6,
                             "administration": 0}  # fmt: skip
    due = place.rows("select marks_due::text from district.session where school_id = '' order by term_code")
    assert [row["marks_due"] for row in due] == ["2027-01-06", "2027-05-26"]
    shut = place.rows("select school_id, event from district.school_date where not instructional and event <> ''")
    assert shut == [{"school_id": "0101", "event": "weather"}]

    before = place.rows("select xmin::text, * from district.calendar_date order by date")
    sync()
    assert place.rows("select xmin::text, * from district.calendar_date order by date") == before, "nothing to do"
    write_calendar(place, {**YEAR, "last_day": "2027-05-27"})
    sync()
    assert counts(place) == {"calendar_date": days + 1, "school_date": 0, "school_year": 3, "session": 0,
                             "administration": 0}  # fmt: skip


def test_attendance_is_judged_by_the_school_s_own_days(place: Place) -> None:
    own = {
        "schools": ["0101"],
        "events": [{"date": "2026-09-10", "event": "weather"}, {"date": "2026-09-12", "event": "make_up"}],
    }
    write_calendar(place, {**YEAR, "schools": [own]})
    sync()
    dataset = find_dataset("attendance", PROJECT / "dags")
    suite = json.loads((PROJECT / "expectations" / f"{dataset.name}.json").read_text(encoding="utf-8"))
    rules = {each["meta"]["rule_id"]: each for each in suite["expectations"]}
    query = rules["attendance.not_instructional"]["kwargs"]["unexpected_rows_query"]
    days = ("2026-09-10", "2026-09-12", "2026-09-11")
    rows = [(school, day) for school in ("0100", "0101") for day in days]
    values = ", ".join(f"({n}, '{school}', 2027, date '{day}')" for n, (school, day) in enumerate(rows))
    batch = f"(values {values}) as batch (row_no, school_id, school_year, event_date)"
    found = place.rows(f"select row_no from ({query.replace('{batch}', batch)}) found order by 1")
    assert [rows[row["row_no"]] for row in found] == [("0100", "2026-09-12"), ("0101", "2026-09-10")]
