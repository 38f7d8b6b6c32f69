"""Turning the year: a dated step that a person takes, with a reason. It changes the calendar's record, and no row."""

from __future__ import annotations

import datetime

from sqlalchemy import Connection, Row, select, update

from district.calendar.model import Days
from district.calendar.whole import DistrictCalendar
from district.database import engine, prepare_alone, sync_calendar
from district.review import words
from district.review.decisions import write_down
from district.rollover.readiness import Readiness, assess
from district.run import NotAllowed
from district.settings import DATA_PERSON, settings
from district.tables import year_turn

NOT_READY = "although_not_ready"
"""How a decision to turn a year that is not ready is recorded."""


def waiting_turn(connection: Connection, night: datetime.date) -> int | None:
    """The rehearsed school year that may be turned on a night; None where none waits, or its day has not come."""
    query = select(year_turn.c.school_year).where(year_turn.c.turned_on.is_(None)).order_by(year_turn.c.school_year)
    for year in connection.execute(query).scalars():
        days = turning_days(settings().district, year)
        if days is not None and night in days:
            return int(year)
    return None


def turning_days(calendar: DistrictCalendar, year: int) -> Days | None:
    """When a school year may be turned: from the turning day of the school that turns first until it ends."""
    at_schools = [
        each for school_id in calendar.calendars for each in calendar.years_of(school_id) if each.end_year == year
    ]
    if not at_schools:
        return None
    return Days(begin=min(each.turning_day for each in at_schools), end=max(each.last_day for each in at_schools))


def turn_year(
    year: int, *, night: datetime.date, person: str, role: str, reason: str, although_not_ready: bool = False
) -> Readiness:
    """Makes a rehearsed school year the current one from a night on, and the one before it *closing*.

    The nights go by the new year from then on, at each school from its own day. No row of any year is touched.
    Returns what there was for the year.

    Raises:
        NotAllowed: the role may not, no reason is given, its day has not come or it is over, it has turned already or
            was never rehearsed, or it is not ready and nobody said that it turns all the same.
    """
    person = words.name(person)
    if role != DATA_PERSON:
        raise NotAllowed(f"{person} may not turn the year: that needs the role {DATA_PERSON}.")
    reason = words.reason(reason, "Give a reason: who said that the year begins, and what is still missing?")
    with engine().begin() as connection:
        prepare_alone(connection)
        _check_waits(_find(connection, year), year, night)
        found = assess(connection, year, night)
        if not found.ready and not although_not_ready:
            raise NotAllowed(
                f"{year} is {found.score:.0%} ready, and {settings().ready_share:.0%} are asked for. "
                "See `district readiness` for what is missing, or say that it turns all the same."
            )
        choice = "approve" if found.ready else NOT_READY
        about = {"dataset": "", "partition": str(year), "sha256": "", "kind": "year", "choice": choice}
        made = write_down(connection, about, person=person, role=role, reason=reason)
        turned = update(year_turn).where(year_turn.c.school_year == year)
        connection.execute(turned.values(turned_on=night, decision_id=made))
        sync_calendar(connection)
    return found


def _find(connection: Connection, year: int) -> Row[tuple[object, ...]] | None:
    return connection.execute(select(year_turn).where(year_turn.c.school_year == year)).first()


def _check_waits(row: Row[tuple[object, ...]] | None, year: int, night: datetime.date) -> None:
    days = turning_days(settings().district, year)
    if days is None:
        raise NotAllowed(f"The calendar does not have the school year {year}; add it to the settings file.")
    if row is None:
        raise NotAllowed(f"{year} was not rehearsed: it turns by its date, on {days.begin}, and nothing waits.")
    if row.turned_on is not None:
        raise NotAllowed(f"{year} turned on {row.turned_on} already.")
    if night < days.begin:
        raise NotAllowed(f"{year} turns on {days.begin} at the earliest; tonight is {night}.")
    if night > days.end:
        raise NotAllowed(
            f"{year} ends on {days.end}, before {night}; give the night from which it is to be the current one."
        )
