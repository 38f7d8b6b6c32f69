"""The calendar as it stands in the settings file: school years, terms, events, administrations and windows."""

from __future__ import annotations

import datetime
import difflib
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

ONE_DAY = datetime.timedelta(days=1)
LONGEST_YEAR = 731
"""Days of the longest school year, one that is held over into the next included."""
LATEST_GRADING = 180
"""Days after the end of a term by which its marks are entered at the latest."""
LATEST_RESULTS = 731
"""Days that testing may take, and that its results may take after it."""
LONGEST_WINDOW = 366
"""Days for which a gate may differ without a break."""
MOST_SCALE = 3.0
"""How many times looser than a data set's own gate a window may make it; there is no switch that turns it off."""

Status = Literal["planned", "next", "current", "closing", "closed"]
TermType = Literal["semester", "trimester", "quarter", "year", "summer"]
EventKind = Literal["instructional", "make_up", "holiday", "weather", "teacher_only"]
Anchor = Literal["first_day", "last_day", "term_begin", "term_end"]

INSTRUCTS: frozenset[EventKind] = frozenset(("instructional", "make_up"))


def _is_label(text: str) -> str:
    if not 1 <= len(text) <= 200 or text != text.strip() or not text.isprintable():
        raise ValueError(f"{text[:40]!r} must be 1 to 200 printable characters, without a blank at either end")
    return text


def _on_one_line(text: str) -> str:
    joined = " ".join(text.split())
    return joined and _is_label(joined)


# A year of four digits with a slip in it is seldom one that a district plans or remembers.
Day = Annotated[datetime.date, Field(ge=datetime.date(1900, 1, 1), le=datetime.date(2199, 12, 31))]
EndYear = Annotated[int, Field(ge=1900, le=2199)]
DayCount = Annotated[int, Field(ge=0, le=366)]
Label = Annotated[str, AfterValidator(_is_label)]
"""An id, a code or a name, compared letter by letter."""
Text = Annotated[str, AfterValidator(_on_one_line)]
"""What is only shown; may be empty."""


class CalendarPart(BaseModel):
    """What all parts of the calendar share: nothing is changed after reading, and no field is misspelt unseen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Days(CalendarPart):
    """From one day to another, both included."""

    begin: Day
    end: Day

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end < self.begin:
            raise ValueError(f"it ends on {self.end}, before it begins on {self.begin}; swap the two")
        return self

    def __contains__(self, day: datetime.date) -> bool:
        return self.begin <= day <= self.end


class Term(Days):
    """A session of a school year: its code in the SIS, first and last day, and when its marks are entered."""

    code: Label
    type: TermType = "semester"
    grading: Days | None = None

    @model_validator(mode="after")
    def _is_graded_in_time(self) -> Self:
        late = self.end + LATEST_GRADING * ONE_DAY
        if self.grading and not self.begin <= self.grading.begin <= self.grading.end <= late:
            raise ValueError(
                f"term {self.code} goes from {self.begin} to {self.end}, and its grading from {self.grading.begin} to "
                f"{self.grading.end}; correct one of them"
            )
        return self

    @property
    def marks_due(self) -> datetime.date:
        """The day by which the term's marks are complete: the end of its grading window, else its own."""
        return self.grading.end if self.grading else self.end


class CalendarEvent(CalendarPart):
    """A day that is not what its weekday says: a holiday, a snow day, a Saturday that makes up for one."""

    date: Day
    event: EventKind
    reason: Text = ""


class SchoolDates(CalendarPart):
    """What is different for some schools in a school year: whatever is left out is as in the district."""

    schools: tuple[Label, ...] = Field(min_length=1)
    """School ids, or names of groups."""
    status: Status | None = None
    first_day: Day | None = None
    last_day: Day | None = None
    turns_on: Day | None = None
    track: Text | None = None
    terms: tuple[Term, ...] | None = None
    holidays: tuple[Day, ...] | None = None
    events: tuple[CalendarEvent, ...] = ()
    """In addition to the district's; for the same date, instead of it."""


class SchoolYear(CalendarPart):
    """A school year, named by the year in which it ends."""

    end_year: EndYear
    first_day: Day
    last_day: Day
    status: Status | None = None
    """Instead of the one that follows from the dates."""
    turns_on: Day | None = None
    """From this night on it is the current year; else from its first day on."""
    rehearsal_from: Day | None = None
    """From this night on its extracts are rehearsed; else so many days before it turns as the calendar says."""
    closes_on: Day | None = None
    """From this day on it changes by amendments alone; else so many days after the next one turned."""
    track: Text = ""
    terms: tuple[Term, ...] = ()
    holidays: tuple[Day, ...] = ()
    """Weekdays on which no school instructs."""
    events: tuple[CalendarEvent, ...] = ()
    schools: tuple[SchoolDates, ...] = ()
    """What is different for some schools."""

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.last_day < self.first_day or self.last_day.year != self.end_year:
            raise ValueError(
                f"school year {self.end_year} must end in {self.end_year}, after its first day; "
                f"it goes from {self.first_day} to {self.last_day}"
            )
        if (days := (self.last_day - self.first_day).days + 1) > LONGEST_YEAR:
            raise ValueError(f"school year {self.end_year} has {days} days; two years are the longest that one may be")
        named = [school for dates in self.schools for school in dates.schools]
        check_once(named, f"school year {self.end_year} says twice what is different for", "join the two")
        check_once((e.date for e in self.events), f"school year {self.end_year} has two events on", "remove one")
        self._check_terms()
        for dates in self.schools:
            try:
                self.of(dates)
            except ValidationError as error:
                slip = error.errors(include_input=False, include_url=False)[0]["msg"].removeprefix("Value error, ")
                raise ValueError(f"for {', '.join(dates.schools)}: {slip}") from None
        return self

    def _check_terms(self) -> None:
        check_once((term.code for term in self.terms), f"school year {self.end_year} has two terms", "rename one")
        for term in self.terms:
            if term.begin < self.first_day or (term.end > self.last_day and term.type != "summer"):
                raise ValueError(f"term {term.code} of {self.end_year} lies outside the school year")
        for terms in self.terms_by_type.values():
            for before, after in pairwise(terms):
                if after.begin <= before.end:
                    raise ValueError(f"terms {before.code} and {after.code} of {self.end_year} overlap")
        regular = [terms for kind, terms in self.terms_by_type.items() if kind != "summer"]
        for terms in regular:
            for day in self.instructional_days():
                if not any(day in term for term in terms):
                    listed = ", ".join(term.code for term in terms)
                    raise ValueError(f"{day} instructs, but is in none of the terms {listed} of {self.end_year}")

    def of(self, dates: SchoolDates) -> SchoolYear:
        """This year as some schools have it."""
        own = {name: value for name in SchoolDates.model_fields if (value := getattr(dates, name)) is not None}
        replaced = {event.date for event in dates.events}
        events = (*(event for event in self.events if event.date not in replaced), *dates.events)
        common = {name: getattr(self, name) for name in SchoolYear.model_fields}
        return SchoolYear(**{**common, **own, "events": events, "schools": ()})

    @property
    def turning_day(self) -> datetime.date:
        """The first night on which this is the current year."""
        return self.turns_on or self.first_day

    @cached_property
    def terms_by_type(self) -> dict[TermType, tuple[Term, ...]]:
        """The terms of each kind, in order: semesters follow semesters, and quarters quarters."""
        ordered = sorted(self.terms, key=lambda term: term.begin)
        return {kind: tuple(t for t in ordered if t.type == kind) for kind in dict.fromkeys(t.type for t in ordered)}

    @cached_property
    def _events(self) -> dict[datetime.date, EventKind]:
        return {**dict.fromkeys(self.holidays, "holiday"), **{each.date: each.event for each in self.events}}

    def event_on(self, day: datetime.date) -> EventKind | None:
        """What a day of the year is; None for a plain Saturday or Sunday, and outside of the year."""
        if not self.first_day <= day <= self.last_day:
            return None
        return self._events.get(day, "instructional" if day.weekday() < 5 else None)

    def instructs(self, day: datetime.date) -> bool:
        """Whether there is school on that day."""
        return self.event_on(day) in INSTRUCTS

    def days(self) -> list[datetime.date]:
        """Every day from the first to the last."""
        return [self.first_day + n * ONE_DAY for n in range((self.last_day - self.first_day).days + 1)]

    def instructional_days(self) -> list[datetime.date]:
        """The days with school, in order."""
        return list(self._instructional)

    @cached_property
    def _instructional(self) -> tuple[datetime.date, ...]:
        return tuple(day for day in self.days() if self.instructs(day))

    def school_days_around(self, day: datetime.date, *, before: int, after: int) -> list[datetime.date]:
        """So many days with school before a day and after it, in order; fewer at the ends of the year."""
        earlier, later = bisect_left(self._instructional, day), bisect_right(self._instructional, day)
        return [*self._instructional[max(0, earlier - before) : earlier], *self._instructional[later : later + after]]


class Administration(CalendarPart):
    """One sitting of a state assessment; ``key`` is the partition key of its import, such as ``2024-25_spring``."""

    key: Label
    assessment: Label
    school_year: EndYear
    test_begin: Day
    test_end: Day
    results_begin: Day
    """From this day on, nightly until ``results_end``, its import looks for the state's file."""
    results_end: Day

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for what, begin, end in (
            ("testing", self.test_begin, self.test_end),
            ("the wait for its results", self.results_begin, self.results_end),
        ):
            if end < begin:
                raise ValueError(f"administration {self.key}: {what} ends on {end}, before it begins on {begin}")
        for what, begin, later, end in (
            ("begins", self.test_begin, "testing", self.test_end),
            ("ends", self.test_end, "the wait for its results", self.results_end),
        ):
            if (end - begin).days > LATEST_RESULTS:
                raise ValueError(
                    f"administration {self.key}: testing {what} on {begin}, and {later} ends on {end}; two years "
                    "later is the latest. Correct one of them"
                )
        return self


class Blackout(Days):
    """Nights on which nothing is imported, such as while the SIS is upgraded."""

    reason: Label
    datasets: tuple[Label, ...] = ()
    """These alone; else all."""


class Shares(CalendarPart):
    """Shares of a gate, 0 to 1, that a strictness window puts in place of a data set's own."""

    rejected: float | None = Field(None, ge=0, le=1)
    withdrawn: float | None = Field(None, ge=0, le=1)
    updated: float | None = Field(None, ge=0, le=1)
    orphans: float | None = Field(None, ge=0, le=1)
    codes: float | None = Field(None, ge=0, le=1)
    count: float | None = Field(None, ge=0, le=1)
    last_year: float | None = Field(None, ge=0, le=1)
    grown: float | None = Field(None, ge=1)


class Strictness(CalendarPart):
    """Days on which gates are looser or stricter: around an anchor of every school year, or between two dates."""

    name: Label
    around: Anchor | None = None
    days_before: DayCount = 0
    days_after: DayCount = 0
    begin: Day | None = None
    end: Day | None = None
    scale: float = Field(1.0, gt=0, le=MOST_SCALE)
    """Every share of the gate is multiplied by it, and at most 1."""
    gates: dict[Label, Shares] = {}
    """By data set: shares in place of the scaled ones, at most ``MOST_SCALE`` times the data set's own."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        dated = (self.begin, self.end)
        if (self.around is None) == (None in dated) or (self.around and dated != (None, None)):
            raise ValueError(f"strictness window {self.name}: give either around, or both begin and end")
        if self.begin and self.end and self.end < self.begin:
            raise ValueError(f"strictness window {self.name} ends before it begins; swap the two")
        length = (self.end - self.begin).days if self.begin and self.end else self.days_before + self.days_after
        if length >= LONGEST_WINDOW:
            raise ValueError(
                f"strictness window {self.name} has {length + 1} days; {LONGEST_WINDOW} are the most. "
                "To change a gate for good, change it in the data set's DAG file"
            )
        return self


class SemesterChange(CalendarPart):
    """How many nights of school days before and after a new term's first day are semester change."""

    nights_before: int = Field(2, ge=0, le=30)
    nights_after: int = Field(3, ge=0, le=30)
    term_types: tuple[TermType, ...] = ("semester", "trimester")


class CalendarRules(CalendarPart):
    """What follows from the dates of every school year."""

    semester_change: SemesterChange = SemesterChange()
    rehearsal_days: DayCount = 90
    """A school year is rehearsed so many days before it turns, unless it says another day."""
    closing_days: DayCount = 60
    """Corrections of last year's rows are taken so many days after the next year turned."""
    blackouts: tuple[Blackout, ...] = ()
    strictness: tuple[Strictness, ...] = ()
    """Where two hold on a day, the one that stands first counts."""


def check_known(names: list[str], known: list[str], what: str) -> None:
    """ValueError for the first name that is none of the known ones, with the nearest that is."""
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise ValueError(f"{what} {name}{f'; is {near[0]} meant?' if near else ''}")


def check_once(names: Iterable[object], what: str, mend: str) -> None:
    """ValueError for the first name that stands twice."""
    for name, times in Counter(names).items():
        if times > 1:
            raise ValueError(f"{what} {name}; {mend}")
