"""The calendar as rows of its tables, so that a suite's SQL may ask for a day, a term or a year."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from district.calendar.standing import rehearsal_day

if TYPE_CHECKING:
    from district.calendar.whole import DistrictCalendar

CalendarRows = dict[str, list[dict[str, Any]]]


def calendar_rows(district: DistrictCalendar) -> CalendarRows:
    """The rows of each of the calendar's tables, by the table's name."""
    schools = ("", *(school.school_id for school in district.schools))
    return {
        "calendar_date": [
            {"school_year": year.end_year, "date": day, "instructional": year.instructs(day)}
            for year in district.years_of()
            for day in year.days()
        ],
        "school_date": list(_own_dates(district)),
        "school_year": [
            {
                "end_year": year.end_year,
                "school_id": school_id,
                "first_day": year.first_day,
                "last_day": year.last_day,
                "turns_on": year.turning_day,
                "rehearsal_from": rehearsal_day(district, year),
                "track": year.track,
                "status": year.status,
            }
            for school_id in schools
            for year in district.years_of(school_id)
        ],
        "session": [
            {
                "school_year": year.end_year,
                "school_id": school_id,
                "term_code": term.code,
                "type": term.type,
                "begin_date": term.begin,
                "end_date": term.end,
                "marks_due": term.marks_due,
            }
            for school_id in schools
            for year in district.years_of(school_id)
            for term in year.terms
        ],
        "administration": [each.model_dump() for each in district.administrations],
    }


def _own_dates(district: DistrictCalendar) -> Iterator[dict[str, Any]]:
    common = district.years_of()
    for school_id in district.calendars[1:]:
        for year in district.years_of(school_id):
            for day in year.days() if year not in common else ():
                yield {
                    "school_id": school_id,
                    "school_year": year.end_year,
                    "date": day,
                    "event": year.event_on(day) or "",
                    "instructional": year.instructs(day),
                }
