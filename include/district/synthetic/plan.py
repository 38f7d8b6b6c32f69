"""The plan of a synthetic district: its schools, its nights and its administrations, from a size and the calendar."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from district.calendar.model import Administration, SchoolYear, Term
from district.settings import District

# Students and schools by name of the size.
SIZES: dict[str, tuple[int, int]] = {
    "small": (2_000, 5),
    "medium": (20_000, 30),
    "large": (100_000, 150),
    "very_large": (500_000, 1_000),
}
GRADES = {
    "elementary": (-2, -1, 0, 1, 2, 3, 4, 5),
    "middle": (6, 7, 8),
    "high": (9, 10, 11, 12),
    "academy": tuple(range(13)),
}
GRADUATING = 12
_UNTIL_CLOSED, _UNTIL_CORRECTED = datetime.timedelta(days=7), datetime.timedelta(days=28)
_FIRST_SCHOOL = 100
_FIRST_STUDENT = 100_001


@dataclass(frozen=True, kw_only=True)
class School:
    """A school: number in the SIS, kind, how many children are there on the first night, and the first one's number."""

    index: int
    school_id: str
    kind: str
    students: int
    first_student: int


@dataclass(frozen=True, kw_only=True)
class DistrictPlan:
    """Everything that is settled before the first child is invented."""

    seed: int
    schools: tuple[School, ...]
    year: SchoolYear
    previous: SchoolYear
    days: tuple[datetime.date, ...]
    """Instructional days of the school year."""
    start: int
    """Index in ``days`` of the first night. A night's extract holds what happened on the days before it."""
    nights: tuple[datetime.date, ...]
    regular: int
    """How many of them are of the school year; those after it bring its closing and late corrections."""
    current: Administration
    """The administration whose results the nights bring."""
    past: tuple[Administration, ...]
    years: tuple[SchoolYear, ...]

    @property
    def folders(self) -> tuple[str, ...]:
        """Where each night's extracts land: corrections of a closed year apart from tonight's files."""
        return tuple(
            f"night_{number}" if number <= self.regular + 1 else "closed_year"
            for number in range(1, len(self.nights) + 1)
        )

    @property
    def students(self) -> int:
        """Children of the first night."""
        return sum(school.students for school in self.schools)

    def first_after(self, day: datetime.date) -> int | None:
        """The first of the nights after a day, whose extracts tell of it; None where all are before."""
        return next((number for number, night in enumerate(self.nights) if night > day), None)

    @property
    def ended_term(self) -> Term | None:
        """The term that gives way to another between the first night and the last, None if none does."""
        # Of a term that was over before, the first night tells already: number 0.
        return next((term for term in self.year.terms[:-1] if self.first_after(term.end)), None)

    @property
    def turn(self) -> int | None:
        """The first night after that term, which brings its final marks."""
        return self.first_after(self.ended_term.end) if self.ended_term else None

    def year_of(self, administration: Administration) -> SchoolYear:
        """The school year of an administration."""
        return next(year for year in self.years if year.end_year == administration.school_year)

    def other_school(self, school: School, nth: int) -> str | None:
        """The school that a child of this one came from: of the same kind or an academy; None if there is no other."""
        same = [other for other in self.schools if other.kind in (school.kind, "academy") and other != school]
        others = same or [other for other in self.schools if other != school]
        return others[nth % len(others)].school_id if others else None


def make_plan(
    district: District,
    *,
    size: str | int,
    seed: int,
    nights: int,
    first_night: datetime.date | None = None,
    closing: bool = False,
) -> DistrictPlan:
    """The plan for a size (a name in SIZES or a number of students).

    The first night is a quarter into the calendar's latest school year unless given. ``closing`` means the end of that
    year instead: its last night, the one that closes it, and one with late corrections in the year after.

    Raises:
        ValueError: says what is wrong with what was asked for.
    """
    years = sorted(district.school_years, key=lambda year: year.first_day)
    if len(years) < 2:
        raise ValueError("The calendar needs two school years or more: transcripts are of the year before.")
    within = (index for index, each in enumerate(years) if first_night and first_night <= each.last_day)
    number = max(1, next(within, len(years) - 1))
    year = years[number]
    days = year.instructional_days()
    after: tuple[datetime.date, ...] = ()
    if closing:
        nights, first_night = 1, days[-1]
        after = (year.last_day + _UNTIL_CLOSED, next_year(year.first_day) + _UNTIL_CORRECTED)
    night = first_night or days[len(days) // 4]
    if nights < 1 or night not in days or days.index(night) + nights > len(days):
        raise ValueError(
            "The nights must be instructional days of one school year, of which the calendar has the year before."
        )
    start = days.index(night)
    begun = sorted(
        (a for a in district.administrations if a.results_begin <= night), key=lambda item: item.results_begin
    )
    if not begun:
        raise ValueError("No administration in the calendar has results on or before the first night.")
    return DistrictPlan(
        seed=seed,
        schools=_schools(size),
        year=year,
        previous=years[number - 1],
        days=tuple(days),
        start=start,
        nights=(*days[start : start + nights], *after),
        regular=nights,
        current=begun[-1],
        past=tuple(begun[:-1]),
        years=tuple(years),
    )


def next_year(day: datetime.date) -> datetime.date:
    """The same weekday 52 weeks later: what a calendar not yet adopted is likely to say."""
    return day + datetime.timedelta(weeks=52)


def _schools(size: str | int) -> tuple[School, ...]:
    if isinstance(size, str) and size not in SIZES:
        raise ValueError(f"There is no size {size}; use {', '.join(SIZES)} or a number of students.")
    students, count = SIZES[size] if isinstance(size, str) else (size, max(1, round(size / 500)))
    academies = count if count < 4 else max(1, round(count * 0.1))
    rest = count - academies
    elementary, middle = round(rest * 0.5), round(rest * 0.25)
    # One of each kind first: the schools that the settings name are these, whatever the size.
    kinds = ["elementary", "elementary", "middle", "high", "academy"] if count >= 5 else []
    counts = {"elementary": elementary, "middle": middle, "high": rest - elementary - middle, "academy": academies}
    for kind, number in counts.items():
        kinds += [kind] * (number - kinds.count(kind))
    # An academy is a little smaller than the average school; the others share the remaining children by grades.
    apart = students if not rest else round(students * 0.75 * academies / count)
    weights = {"elementary": 6 / 13, "middle": 3 / 13, "high": 4 / 13}
    schools: list[School] = []
    first, given, due = _FIRST_STUDENT, 0, 0.0
    for index, kind in enumerate(kinds):
        due += apart / academies if kind == "academy" else (students - apart) * weights[kind] / kinds.count(kind)
        number = round(due) - given
        given += number
        schools.append(
            School(
                index=index, school_id=f"{_FIRST_SCHOOL + index:04d}", kind=kind, students=number, first_student=first
            )
        )
        # Room for those who arrive on later nights.
        first += number + number // 4 + 10
    return tuple(schools)
