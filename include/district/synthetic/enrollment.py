"""The enrollment extract: who attends which school from when to when, as the SIS writes it."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from district.synthetic.defects import Kind, equals, everyday_kinds, filled, kinds_of, put, rewrite
from district.synthetic.extract import Source
from district.synthetic.people import Students
from district.synthetic.plan import GRADUATING, DistrictPlan, School
from district.synthetic.sheet import NEVER, Edit, Quota, Sheet, source_date

SOURCE = Source(
    dataset="enrollment",
    columns={
        "student_id": "Student_Number",
        "state_student_id": "State_StudentNumber",
        "last_name": "Last_Name",
        "first_name": "First_Name",
        "birth_date": "DOB",
        "school_id": "SchoolID",
        "school_year": "SchoolYear",
        "entry_date": "EntryDate",
        "exit_date": "ExitDate",
        "grade_level_code": "Grade_Level",
        "entry_code": "EntryCode",
        "exit_code": "ExitCode",
        "primary_enrollment": "Primary",
        "fte": "FTE",
        "track": "Track",
        "meal_eligibility_code": "Lunch_Status",
        "residence_district": "ResidentDistrict",
        "next_year_school_id": "Next_School",
    },
    newline="\r\n",
    dates=("birth_date", "entry_date", "exit_date"),
    date_format="%m/%d/%Y",
)
_MOVED, _LATE, _LEFT = 0.10, 0.03, 0.01
_FEWEST_DAYS = 14
"""A first night sooner than that leaves no time to have moved."""


@dataclass(kw_only=True)
class Spans:
    """The enrollment rows as day indexes: days ``begin <= day < end``, and the nights on which the row is there."""

    student: list[int]
    school_id: list[str]
    begin: list[int]
    end: list[int]
    first: list[int]
    last: list[int]


class EnrollmentYear:
    """Makes each school's sheet; the shares hold over the whole district."""

    def __init__(self, plan: DistrictPlan) -> None:
        self.plan = plan
        self.moved, self.late, self.left = Quota(_MOVED), Quota(_LATE), Quota(_LEFT)
        self.leaving, self.vanishing, self.regraded = Quota(0.0015), Quota(0.001), Quota(0.001)
        self.leaving_at_turn = Quota(0.008)

    def spans(self, school: School, students: Students) -> Spans:
        """When each child attends: most since the first day, some moved, came late or left."""
        plan = self.plan
        rng = np.random.default_rng([plan.seed, school.index, 2])
        pool = rng.permutation(np.flatnonzero(students.arrives == 0))
        begin = {int(student): 0 for student in pool}
        end: dict[int, int] = {}
        last: dict[int, int] = {}
        early: dict[int, int] = {}

        def pick(quota: Quota) -> list[int]:
            nonlocal pool
            chosen = quota.take(rng, pool, school.students)
            pool = np.setdiff1d(pool, chosen)
            return [int(student) for student in chosen]

        if plan.start >= _FEWEST_DAYS:
            if plan.other_school(school, 0):
                for student in pick(self.moved):
                    early[student] = begin[student] = int(rng.integers(5, plan.start - 6))
            for student in pick(self.late):
                begin[student] = int(rng.integers(2, plan.start - 3))
            for student in pick(self.left):
                end[student] = int(rng.integers(3, plan.start - 3))
        for night in range(1, plan.regular):
            leaving = pick(self.leaving) + (pick(self.leaving_at_turn) if night == plan.turn else [])
            for student in leaving:
                end[student] = plan.start + night
            for student in pick(self.vanishing):
                last[student] = night
        spans = Spans(student=[], school_id=[], begin=[], end=[], first=[], last=[])

        def put_span(student: int, school_id: str, since: int, until: int, first: int, gone: int) -> None:
            spans.student.append(student)
            spans.school_id.append(school_id)
            spans.begin.append(since)
            spans.end.append(until)
            spans.first.append(first)
            spans.last.append(gone)

        for student in range(len(students)):
            arrives = int(students.arrives[student])
            if student in early:
                put_span(student, str(plan.other_school(school, student)), 0, early[student], 0, NEVER)
            # The day before the night, or the first one of a new term.
            since = plan.start + arrives - (arrives != plan.turn) if arrives else begin[student]
            put_span(student, school.school_id, since, end.get(student, NEVER), arrives, last.get(student, NEVER))
        return spans

    def sheet(self, school: School, students: Students, spans: Spans) -> Sheet:
        """The rows as text, with what later nights show: exits and corrected grades."""
        plan = self.plan
        rng = np.random.default_rng([plan.seed, school.index, 3])
        days = [source_date(day) for day in plan.days]
        rows = range(len(spans.student))
        # An exit that falls on a later night is not known on the first.
        known_end = [spans.end[row] if spans.end[row] < plan.start else NEVER for row in rows]
        moved = [spans.begin[row] > 0 and row > 0 and spans.student[row - 1] == spans.student[row] for row in rows]
        closed = [known_end[row] < NEVER for row in rows]
        transferred = [closed[row] and spans.school_id[row] != school.school_id for row in rows]
        half = rng.random(len(rows)) < 0.02
        outside = rng.random(len(rows)) < 0.02
        births = [source_date(day) for day in students.births]

        def entry_code(row: int) -> str:
            return "T" if moved[row] else "C" if spans.begin[row] == 0 else "TS"

        columns = {
            "student_id": [students.ids[s] for s in spans.student],
            "state_student_id": [students.state_ids[s] for s in spans.student],
            "last_name": [students.last_names[s] for s in spans.student],
            "first_name": [students.first_names[s] for s in spans.student],
            "birth_date": [births[s] for s in spans.student],
            "school_id": list(spans.school_id),
            "school_year": [str(plan.year.end_year)] * len(rows),
            "entry_date": [days[begin] for begin in spans.begin],
            "exit_date": [days[known_end[row] - 1] if closed[row] else "" for row in rows],
            "grade_level_code": [str(students.grades[s]) for s in spans.student],
            "entry_code": [entry_code(row) for row in rows],
            "exit_code": ["" if not closed[row] else "T" if transferred[row] else "TS" for row in rows],
            "primary_enrollment": ["1"] * len(rows),
            "fte": ["0.50" if part else "1.00" for part in half],
            "track": ["A"] * len(rows),
            "meal_eligibility_code": [students.meals[s] for s in spans.student],
            "residence_district": ["Outside" if other else "Cedar Valley" for other in outside],
            "next_year_school_id": [school.school_id] * len(rows),
        }
        sheet = Sheet(
            columns=columns,
            first=np.array(spans.first, dtype=np.int64),
            last=np.array(spans.last, dtype=np.int64),
            student=np.array(spans.student, dtype=np.int64),
        )
        for row in rows:
            if plan.start < spans.end[row] < NEVER:
                values = {"exit_date": days[spans.end[row] - 1], "exit_code": "W"}
                sheet.edits.append(Edit(night=spans.end[row] - plan.start, row=row, values=values))
        self._regrade(sheet, rng, days[0])
        if plan.regular < len(plan.nights):
            _close(plan, sheet, students, spans)
        return sheet

    def _regrade(self, sheet: Sheet, rng: np.random.Generator, first_day: str) -> None:
        steady = np.flatnonzero(
            sheet.stable() & settled(first_day)(sheet) & (np.array(sheet.columns["exit_date"]) == "")
        )
        for night in range(1, len(self.plan.nights)):
            for row in self.regraded.take(rng, steady, len(sheet)):
                grade = int(sheet.columns["grade_level_code"][row])
                values = {"grade_level_code": str(grade - 1 if grade > 0 else grade + 1)}
                sheet.edits.append(Edit(night=night, row=int(row), values=values))
                steady = steady[steady != row]


def _close(plan: DistrictPlan, sheet: Sheet, students: Students, spans: Spans) -> None:
    """The night after the year ends every enrollment that is open."""
    for row, student in enumerate(spans.student):
        if spans.end[row] == NEVER:
            code = "G" if students.grades[student] == GRADUATING else "EY"
            values = {"exit_date": source_date(plan.days[-1]), "exit_code": code}
            sheet.edits.append(Edit(night=plan.regular, row=row, values=values))


def settled(first_day: str) -> Callable[[Sheet], np.ndarray]:
    """Mask of children with a single row: there since the first day, and not gone."""
    return lambda sheet: equals("entry_date", first_day)(sheet) & ~filled("exit_date")(sheet)


def enrollment_kinds(plan: DistrictPlan, *, spared: frozenset[str] = frozenset()) -> tuple[Kind, ...]:
    """The defects of an enrollment extract; no extra row falls to the ``spared`` schools."""
    first_day = source_date(plan.days[0])
    before = source_date(plan.days[0] - datetime.timedelta(days=9))
    far_ahead = source_date(plan.nights[-1] + datetime.timedelta(days=200))
    overlap_day = source_date(plan.days[plan.start // 2])
    single, left = settled(first_day), filled("exit_date")
    usual = equals("entry_date", first_day, overlap_day)

    def overlap(fields: dict[str, str]) -> None:
        others = [school.school_id for school in plan.schools if school.school_id not in {fields["school_id"], *spared}]
        fields["school_id"] = others[0] if others else fields["school_id"]
        fields |= {"entry_date": overlap_day, "entry_code": "T"}

    kind = kinds_of("enrollment")

    def iso(text: str) -> str:
        month, day, year = text.split("/")
        return f"{year}-{int(month):02d}-{int(day):02d}"

    def next_day(text: str) -> str:
        month, day, year = (int(part) for part in text.split("/"))
        return source_date(datetime.date(year, month, day) + datetime.timedelta(days=1))

    return (
        kind("bad_date", "REJECT", "entry_date.type", rewrite("entry_date", lambda t: "13/45/" + t[-4:]), keyed=False),
        kind("iso_date", "REJECT", "exit_date.type", rewrite("exit_date", iso), where=left),
        kind("two_digit_year", "REJECT", "birth_date.type", rewrite("birth_date", lambda t: t[:-4] + t[-2:])),
        kind("unknown_grade", "REJECT", "grade_level_code.code", put(grade_level_code="K3")),
        kind("unknown_exit_code", "REJECT", "exit_code.code", put(exit_code="ZZ"), where=left),
        kind("expired_code", "REJECT", "exit_code.code", put(exit_code="W9"), where=left),
        kind("missing_grade", "REJECT", "grade_level_code.required", put(grade_level_code="")),
        kind("null_token_grade", "REJECT", "grade_level_code.required", put(grade_level_code="N/A")),
        # A line without an id may be anyone's who entered there that day and keeps them all from being withdrawn; so
        # it strikes a day on which nobody entered who leaves later.
        kind(
            "missing_id",
            "REJECT",
            "student_id.required",
            put(student_id=""),
            keyed=False,
            where=lambda sheet: ~usual(sheet),
        ),
        # Single rows only: a child's other row would share its state id with the maimed number.
        kind(
            "lost_zero",
            "REJECT",
            "student_id.type",
            rewrite("student_id", lambda t: t.lstrip("0")),
            keyed=False,
            where=single,
            anyone=True,
        ),
        kind("unknown_school", "REJECT", "school_id.type", put(school_id="12"), keyed=False),
        kind("exit_before_entry", "REJECT", "exit_before_entry", put(exit_date=before), where=left),
        *everyday_kinds("enrollment", ",", differs=put(track="B")),
        kind("null_token", "LOAD", "", put(exit_date="N/A"), where=single),
        kind("zero_width", "WARN", "student_id.invisible", rewrite("student_id", lambda t: t + "\u200b")),
        kind("mojibake", "WARN", "last_name.mojibake", put(last_name="MuÃ±oz-Sample"), alters=True),
        kind("overlap", "WARN", "overlap", overlap, extra=True, where=single),
        kind("early_entry", "WARN", "entry_outside_year", put(entry_date=before), where=single, lasting=True),
        kind(
            "exit_far_ahead",
            "WARN",
            "exit_far_ahead",
            put(exit_date=far_ahead, exit_code="T"),
            where=single,
            alters=True,
        ),
        kind("exit_code_missing", "WARN", "exit_code_missing", put(exit_code=""), where=left, alters=True),
        kind("state_id_missing", "WARN", "state_id_missing", put(state_student_id=""), alters=True),
        kind("state_id_short", "WARN", "state_id_format", put(state_student_id="12345"), alters=True),
        kind(
            "state_id_shared", "WARN", "state_id_shared", pair="state_student_id", where=single, alters=True, findings=2
        ),
        kind("credit_as_fte", "WARN", "fte_range", put(fte="5.00"), alters=True),
        kind(
            "age_for_grade",
            "WARN",
            "age_for_grade",
            rewrite("grade_level_code", lambda t: str(int(t) + 5)),
            where=lambda sheet: single(sheet) & equals("grade_level_code", *"01234567")(sheet),
            alters=True,
        ),
        kind(
            "birth_date_changed",
            "WARN",
            "birth_date_changed",
            rewrite("birth_date", next_day),
            where=single,
            alters=True,
            once=True,
        ),
        kind("name_missing", "WARN", "name_missing", put(last_name=""), severity="info", alters=True),
    )
