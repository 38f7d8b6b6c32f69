"""Readiness: how much of what each school needs for the next school year is in place, and who has to do the rest.

A school needs three parts: its children's rows are *sent*, they are *accepted* by the rules, and its year is *dated*.
A part is as ready as its weakest check; a school's score is the mean of its parts, the district's that of its schools.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from sqlalchemy import Connection, func, insert, select

from district.calendar.model import SchoolYear
from district.calendar.record import recorded_calendar
from district.calendar.whole import DistrictCalendar, School
from district.catalog import find_dataset
from district.dataset import Dataset
from district.rollover.checks import GRADES, Counted, by_school, count, is_usual
from district.run import ImportStopped
from district.settings import DATA_PERSON, settings
from district.tables import readiness

Part = Literal["sent", "accepted", "dated", ""]
PARTS: tuple[Part, ...] = ("sent", "accepted", "dated")
ENROLLMENT = "enrollment"
_NEEDED = {
    "student_id", "state_student_id", "birth_date", "school_id", "school_year", "entry_date", "exit_date", "exit_code",
    "grade_level_code",
}  # fmt: skip
# In a grade of a school, the children who stay in it; more than that were not promoted.
RETAINED = 0.10
# Of this year's school days, so many at least make a year that is published.
SCHOOL_DAYS = 0.90
NAMED_CODES = 5


@dataclass(frozen=True, kw_only=True)
class Line:
    """One check of one school: how much is there, how much is missing, what to do, and whose task it is."""

    school_id: str
    check: str
    part: Part
    """Empty: told, and not part of the score."""
    share: float
    missing: int
    what: str
    owner: str


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """What is in place for a school year, as of a night."""

    school_year: int
    night: datetime.date
    lines: tuple[Line, ...]
    counted: Counted

    @property
    def schools(self) -> dict[str, float]:
        """Each school's score, 0 to 1."""
        names = dict.fromkeys(line.school_id for line in self.lines)
        return {name: fmean(self.part(name, part) for part in PARTS) for name in names}

    def part(self, school_id: str, part: Part) -> float:
        """How ready a part of a school is: as its weakest check."""
        return min(line.share for line in self.lines if (line.school_id, line.part) == (school_id, part))

    @property
    def score(self) -> float:
        """The district's: the mean of its schools."""
        return fmean(self.schools.values()) if self.schools else 0.0

    @property
    def checklist(self) -> tuple[Line, ...]:
        """What is missing, the least ready first; what does not count for the score comes last."""
        open_ones = [line for line in self.lines if line.missing]
        return tuple(sorted(open_ones, key=lambda line: (not line.part, line.share, line.school_id)))

    @property
    def ready(self) -> bool:
        """Whether the score reaches the setting ``ready_share``."""
        return self.score >= settings().ready_share


def assess(connection: Connection, year: int, night: datetime.date) -> Readiness:
    """Judges what there is for a school year now; writes nothing.

    Raises:
        ImportStopped: the calendar does not have the year and the one before it, or enrollment lacks a column.
    """
    calendar = recorded_calendar(connection)
    ending, coming = _two_years(calendar, year)
    enrollment = find_dataset(ENROLLMENT, settings().dags_folder)
    lacking = sorted(_NEEDED - {column.name for column in enrollment.columns})
    if lacking:
        raise ImportStopped(f"The rollover asks enrollment for {', '.join(lacking)}; declare what is missing there.")
    counted = count(connection, enrollment, ending.end_year, coming.end_year)
    known = {school.school_id: school for school in calendar.schools}
    lines: list[Line] = []
    for school_id in sorted(counted.schools | set(known)):
        school = known.get(school_id)
        closes = school is not None and school.last_year is not None and school.last_year <= ending.end_year
        lines += _closing(counted, enrollment, school_id, ending, night)
        if not closes:
            lines += _sent(counted, enrollment, school_id, school)
            lines += _accepted(counted, enrollment, school_id)
            lines += _dated(calendar, school_id, ending, coming)
        else:
            lines += _closed_school(counted, enrollment, school_id)
    return Readiness(school_year=year, night=night, lines=tuple(lines), counted=counted)


def record(connection: Connection, found: Readiness) -> bool:
    """Writes down what was found; returns whether it differs from what was found last."""
    newest = select(func.max(readiness.c.checked_at)).where(readiness.c.school_year == found.school_year)
    last = connection.execute(
        select(readiness.c.school_id, readiness.c.check, readiness.c.missing).where(
            readiness.c.school_year == found.school_year, readiness.c.checked_at == newest.scalar_subquery()
        )
    )
    before = {tuple(row) for row in last}
    rows = [
        {
            "checked_at": func.now(),
            "school_year": found.school_year,
            **{name: getattr(line, name) for name in ("school_id", "check", "share", "missing", "what", "owner")},
        }
        for line in found.lines
    ]
    for row in rows:
        connection.execute(insert(readiness).values(row))
    return before != {(line.school_id, line.check, line.missing) for line in found.lines}


def _two_years(calendar: DistrictCalendar, year: int) -> tuple[SchoolYear, SchoolYear]:
    years = calendar.years_of()
    place = next((n for n, each in enumerate(years) if each.end_year == year), 0)
    if not place:
        raise ImportStopped(f"The calendar needs {year} and the school year before it; add them to the settings file.")
    return years[place - 1], years[place]


def _closing(
    counted: Counted, enrollment: Dataset, school_id: str, ending: SchoolYear, night: datetime.date
) -> Iterator[Line]:
    """The year that ends has no enrollment left open; while it lasts, all of them are."""
    still_open = counted.open[school_id] if night > ending.last_day else 0
    yield Line(
        school_id=school_id,
        check="ended",
        part="sent",
        share=_share(counted.rows[school_id] - still_open, counted.rows[school_id]),
        missing=still_open,
        what=f"Enrollments of {ending.end_year} are still open: end them in the SIS, with an exit code.",
        owner=enrollment.owner,
    )


def _sent(counted: Counted, enrollment: Dataset, school_id: str, school: School | None) -> Iterator[Line]:
    """The children who are expected come, in the grade that follows, each under a number of their own."""

    def line(check: str, share: float, missing: int, what: str, part: Part = "sent") -> Line:
        owner = enrollment.owner
        return Line(school_id=school_id, check=check, part=part, share=share, missing=missing, what=what, owner=owner)

    sends = counted.sent[school_id] > 0 or counted.coming[school_id] > 0
    named = school is not None
    what = "It sends no row of next year: enroll its children, or say last_year in the settings if it closes."
    if sends and not named:
        what = "It opens and is not in the settings file: add it to schools."
    yield line("school", float(sends and named), int(not (sends and named)), what)

    cells = [cell for cell in by_school(counted.matrix, school_id) if cell[0] != GRADES[-1]]
    expected = sum(children for *_, children in cells)
    gone = sum(children for _, then, children in cells if not then)
    # Rows that came and were not accepted are told of there.
    gone = max(0, gone - counted.rejected[school_id] - counted.held[school_id])
    enough = (1 - enrollment.gate.withdrawn) * expected
    unseen = gone if expected - gone < enough else 0
    what = "Children of this year have no enrollment of next year and have not left: enroll or exit them."
    yield line("children", _share(expected - gone, enough), unseen, what)

    matched = sum(children for _, then, children in cells if then)
    unusual = sum(children for grade, then, children in cells if then and not is_usual(grade, then))
    unusual += _not_promoted(cells, enrollment.gate.floor)
    what = "Children come in a grade that does not follow theirs: promote them once, before the extracts are written."
    yield line("grades", _share(matched - unusual, matched), unusual, what)

    reused = counted.reused[school_id]
    what = "A number belonged to a child with another birth date: give the new child a number of its own."
    yield line("numbers", _share(counted.coming[school_id] - reused, counted.coming[school_id]), reused, what)

    without = counted.without_state_id[school_id]
    what = "Children have no state id yet, as new kindergartners do: ask the state for them."
    yield line("state ids", _share(counted.coming[school_id] - without, counted.coming[school_id]), without, what, "")


def _not_promoted(cells: list[tuple[str, str, int]], floor: int) -> int:
    """Children who stay in their grade where too many of it do: nobody has promoted them."""
    stayed = 0
    for grade in GRADES[:-1]:
        matched = sum(children for here, then, children in cells if here == grade and then)
        same = sum(children for here, then, children in cells if here == then == grade)
        stayed += same if matched >= floor and same > RETAINED * matched else 0
    return stayed


def _accepted(counted: Counted, enrollment: Dataset, school_id: str) -> Iterator[Line]:
    """The rows that were sent pass the rules, and the codes in use go on."""
    sent, rejected, codes = (found[school_id] for found in (counted.sent, counted.rejected, counted.unknown_codes))
    kept_out = rejected + counted.held[school_id]
    if codes:
        what = f"{codes:,} of its rows hold a code that is not mapped for next year: map it, or correct it in the SIS."
    else:
        what = "Rows were sent and did not load: `district rehearse` says why; decide about what is held."
    yield Line(
        school_id=school_id,
        check="rows",
        part="accepted",
        share=_share(sent - kept_out, sent),
        missing=kept_out,
        what=what,
        owner=enrollment.owner,
    )
    ending, names = counted.ending[school_id], sorted(counted.ending_codes[school_id])
    listed = f" ({', '.join(names[:NAMED_CODES])})" if names else ""
    yield Line(
        school_id=school_id,
        check="codes",
        part="accepted",
        share=_share(counted.codes[school_id] - ending, counted.codes[school_id]),
        missing=ending,
        what=f"Codes in use this year have no entry for next year{listed}: carry them forward in the crosswalk.",
        owner=enrollment.owner,
    )


def _dated(calendar: DistrictCalendar, school_id: str, ending: SchoolYear, coming: SchoolYear) -> Iterator[Line]:
    """Its terms are those of this year, and its days are published."""
    years = {year.end_year: year for year in calendar.years_of(school_id)}
    now, then = years.get(ending.end_year, ending), years.get(coming.end_year, coming)
    wanted = {term.code for term in now.terms}
    lacking = wanted - {term.code for term in then.terms}
    yield Line(
        school_id=school_id,
        check="terms",
        part="dated",
        share=_share(len(wanted) - len(lacking), len(wanted)),
        missing=len(lacking),
        what=f"The calendar has no {', '.join(sorted(lacking))} of {then.end_year} for it: add the terms.",
        owner=DATA_PERSON,
    )
    days, enough = len(then.instructional_days()), int(SCHOOL_DAYS * len(now.instructional_days()))
    yield Line(
        school_id=school_id,
        check="days",
        part="dated",
        share=_share(days, enough),
        missing=max(0, enough - days),
        what=f"The calendar has {days} days with school in {then.end_year}: publish the others.",
        owner=DATA_PERSON,
    )


def _closed_school(counted: Counted, enrollment: Dataset, school_id: str) -> Iterator[Line]:
    """A school that closes needs nothing, and sends nothing."""
    left = counted.coming[school_id] + counted.sent[school_id]
    what = "It closes, and rows of next year are sent for it: enroll these children elsewhere."
    for part in PARTS:
        share, missing = (float(not left), left) if part == "sent" else (1.0, 0)
        yield Line(
            school_id=school_id, check="school", part=part, share=share, missing=missing, what=what,
            owner=enrollment.owner,
        )  # fmt: skip


def _share(there: float, wanted: float) -> float:
    """0 to 1; of what nobody asks for, all is there."""
    return min(1.0, max(0.0, there / wanted)) if wanted else 1.0
