"""``district calendar``: where each school stands on a date."""

from __future__ import annotations

import datetime

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from district.calendar.named import check_named
from district.calendar.standing import Standing, current_years, standing_of
from district.calendar.whole import DistrictCalendar
from district.settings import settings

_EVENTS = {None: "weekend", "make_up": "make-up day", "teacher_only": "teachers only", "weather": "closed, weather"}


def print_calendar(
    day: datetime.date | None = None, console: Console | None = None, calendar: DistrictCalendar | None = None
) -> None:
    """One line per school: its year and those beside it, its term, the next semester change, what holds tonight.

    ``calendar`` is the one with the turns on record; without it, the settings file's dates count.

    Raises:
        SettingsError: the calendar names a data set that is none.
    """
    check_named()
    console = console or Console()
    district = settings().district
    calendar = calendar or district
    day = day or district.today()
    table = RichTable(title=f"{escape(district.name)} on {day:%A}, {day}", title_justify="left", box=SIMPLE_HEAD)
    for heading in ("school", "year", "beside it", "term", "day", "next change", "tonight"):
        table.add_column(heading, no_wrap=heading in ("school", "next change"))
    for school in district.schools:
        table.add_row(escape(school.school_id), *map(escape, _cells(standing_of(calendar, school.school_id, day))))
    if not district.schools:
        table.add_row("all", *map(escape, _cells(standing_of(calendar, "", day))))
    console.print(table)
    if not current_years(calendar, day):
        console.print("No school year of the settings file has begun by then; add it to school_years.")


def _cells(standing: Standing) -> tuple[str, ...]:
    year, change = standing.year, standing.next_change
    beside = [f"{end} {status}" for end, status in standing.statuses.items() if status in ("next", "closing")]
    tonight = [
        f"change from {standing.change.ends.code} to {standing.change.begins.code}" if standing.change else "",
        f"no imports: {standing.blackout}" if standing.blackout else "",
        f"gates: {standing.strictness}" if standing.strictness else "",
    ]
    return (
        str(year.end_year) if year else "none",
        ", ".join(beside),
        standing.term.code if standing.term else "none",
        _day(standing),
        f"{change.begins.code} on {change.boundary}" if change else "",
        "; ".join(filter(None, tonight)),
    )


def _day(standing: Standing) -> str:
    if standing.year is None or not standing.year.first_day <= standing.date <= standing.year.last_day:
        return "between years"
    return _EVENTS.get(standing.event, str(standing.event))
