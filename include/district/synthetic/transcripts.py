"""The transcripts extract: last year's semester marks and this year's marks so far, as the SIS writes them."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import numpy as np

from district.synthetic.defects import Kind, equals, everyday_kinds, kinds_of, put, rewrite
from district.synthetic.extract import Source
from district.synthetic.people import Students
from district.synthetic.plan import DistrictPlan, School
from district.synthetic.sheet import NEVER, Edit, Quota, Sheet, source_date

SOURCE = Source(
    dataset="transcripts",
    columns={
        "student_id": "Student_Number",
        "school_id": "SchoolID",
        "course_code": "Course_Number",
        "course_title": "Course_Name",
        "school_year": "SchoolYear",
        "term_code": "TermCode",
        "mark_type_code": "StoreType",
        "grade_level_taken_code": "Grade_Level",
        "letter_mark": "Grade",
        "numeric_mark": "Percent",
        "credits_attempted": "PotentialCrHrs",
        "credits_earned": "EarnedCrHrs",
        "credit_type_code": "Credit_Type",
        "result_code": "Result",
        "repeat_code": "Repeat",
        "gpa_points": "GPA_Points",
        "exclude_from_gpa": "ExcludeFromGPA",
        "stored_date": "DateStored",
    },
    delimiter="^",
    encoding="cp1252",
    newline="\r\n",
    dates=("stored_date",),
    date_format="%m/%d/%Y",
)
# Credit type, course prefix, title.
_COURSES = (
    ("ELA", "ENG", "English"),
    ("MAT", "MAT", "Mathematics"),
    ("SCI", "SCI", "Science"),
    ("SOC", "SOC", "Social Studies"),
    ("LNG", "FRE", "Français"),
)
_POINTS = {"A": "4.0", "B": "3.0", "C": "2.0", "D": "1.0", "F": "0.0"}
_GRADES = (9, 10, 11, 12)
_LATE_FINALS = 0.01
"""Of a term's final marks, those that are stored a night after the others."""


@dataclass(frozen=True, kw_only=True)
class _Slot:
    """One mark of a child's year: which course and term, and the credit that goes with it."""

    years_ago: int
    term: str
    stored: str
    credit: str
    course: tuple[str, str, str]
    first: int = 0
    """The first night on which it is there."""

    @property
    def credit_type(self) -> str:
        return self.course[0]

    @property
    def prefix(self) -> str:
        return self.course[1]

    @property
    def title(self) -> str:
        return self.course[2]


class TranscriptYear:
    """Makes each school's sheet; the shares hold over the whole district."""

    def __init__(self, plan: DistrictPlan) -> None:
        self.plan = plan
        self.corrected, self.late, self.deleted = Quota(0.003), Quota(0.002), Quota(0.0005)

    def sheet(self, school: School, students: Students) -> Sheet:
        """The marks of each child in grades 9 to 12: five courses in each semester, two of them in a quarter."""
        plan = self.plan
        rng = np.random.default_rng([plan.seed, school.index, 5])
        takers = np.flatnonzero(np.isin(students.grades, _GRADES) & (students.arrives == 0))
        slots = self._slots()
        student = np.repeat(takers, len(slots))
        rows = [slots[index] for index in np.tile(np.arange(len(slots)), len(takers))]
        percent = np.clip(rng.normal(81, 11, len(student)).round(), 35, 100).astype(int)
        taken = students.grades[student] - [slot.years_ago for slot in rows]
        marks = [mark_columns(int(number), slot.credit) for number, slot in zip(percent, rows, strict=True)]
        columns = {
            "student_id": [students.ids[s] for s in student],
            "school_id": [school.school_id] * len(student),
            "course_code": [f"{slot.prefix}{grade:02d}1" for slot, grade in zip(rows, taken, strict=True)],
            "course_title": [f"{slot.title} {grade}" for slot, grade in zip(rows, taken, strict=True)],
            "school_year": [str(plan.year.end_year - slot.years_ago) for slot in rows],
            "term_code": [slot.term for slot in rows],
            "mark_type_code": [slot.term[0] for slot in rows],
            "grade_level_taken_code": [str(grade) for grade in taken],
            "credit_type_code": [slot.credit_type for slot in rows],
            "credits_attempted": [slot.credit for slot in rows],
            "repeat_code": [""] * len(student),
            "exclude_from_gpa": ["0"] * len(student),
            "stored_date": [slot.stored for slot in rows],
            **{name: [mark[name] for mark in marks] for name in mark_columns(0, "")},
        }
        sheet = Sheet(
            columns=columns,
            first=np.array([slot.first for slot in rows], dtype=np.int64),
            last=np.full(len(student), NEVER, dtype=np.int64),
            student=student.astype(np.int64),
        )
        self._later(sheet, percent, rng)
        return sheet

    def _slots(self) -> list[_Slot]:
        """The marks that each child has."""
        plan = self.plan
        past = [
            _Slot(years_ago=1, term=term.code, stored=source_date(term.end), credit="0.50", course=course)
            for course in _COURSES
            for term in plan.previous.terms[:2]
        ]
        finals = {term.code: term.end for term in plan.year.terms}
        # Quarters end within a term; at its own end the final marks are stored.
        quarters = {"Q1": plan.days[len(plan.days) // 4 - 1], "Q3": plan.days[len(plan.days) * 3 // 4 - 1]}
        return past + self._stored(_COURSES, finals, "0.50") + self._stored(_COURSES[:2], quarters, "0.00")

    def _stored(
        self, courses: tuple[tuple[str, str, str], ...], ends: dict[str, datetime.date], credit: str
    ) -> list[_Slot]:
        """This year's marks of the terms that have ended, or do before the last night."""
        nights = {code: self.plan.first_after(end) for code, end in ends.items()}
        return [
            _Slot(years_ago=0, term=code, stored=source_date(ends[code]), credit=credit, course=course, first=night)
            for course in courses
            for code, night in nights.items()
            if night is not None
        ]

    def _later(self, sheet: Sheet, percent: np.ndarray, rng: np.random.Generator) -> None:
        """Later nights bring corrected marks, marks stored late, and marks deleted."""
        new = np.flatnonzero(sheet.first > 0)
        if len(new):
            sheet.first[new[rng.random(len(new)) < _LATE_FINALS]] += 1
        spent = np.zeros(len(sheet), dtype=bool)
        for night in range(1, len(self.plan.nights)):
            for row in self._taken(self.corrected, rng, sheet, spent, night):
                better = int(percent[row]) + (10 if percent[row] < 90 else -10)
                values = mark_columns(better, sheet.columns["credits_attempted"][row])
                sheet.edits.append(Edit(night=night, row=int(row), values=values))
            sheet.first[self._taken(self.late, rng, sheet, spent, night)] = night
            sheet.last[self._taken(self.deleted, rng, sheet, spent, night)] = night

    @staticmethod
    def _taken(quota: Quota, rng: np.random.Generator, sheet: Sheet, spent: np.ndarray, night: int) -> np.ndarray:
        """Rows that have stood before that night, each taken once."""
        chosen = quota.take(rng, np.flatnonzero(~spent & (sheet.first < night)), len(sheet))
        spent[chosen] = True
        return chosen


def mark_columns(percent: int, credit: str) -> dict[str, str]:
    """Letter, points, credit and result that belong to a percentage."""
    letter = "F" if percent < 60 else "DCBA"[min(3, (percent - 60) // 10)]
    sign = "" if letter == "F" else "-" if percent % 10 < 3 and percent < 100 else "+" if percent % 10 > 6 else ""
    return {
        "letter_mark": letter + sign,
        "numeric_mark": str(percent),
        "gpa_points": _POINTS[letter],
        "credits_earned": "0.00" if letter == "F" else credit,
        "result_code": "F" if letter == "F" else "P",
    }


def transcript_kinds() -> tuple[Kind, ...]:
    """The defects of a transcripts extract."""
    passed, failed = equals("result_code", "P"), equals("letter_mark", "F")
    high = equals("letter_mark", "A", "A+", "A-")
    semester = equals("mark_type_code", "S")
    kind = kinds_of("transcripts")
    return (
        kind("impossible_date", "REJECT", "stored_date.type", rewrite("stored_date", lambda t: "2/30/" + t[-4:])),
        kind("letter_o", "REJECT", "numeric_mark.type", put(numeric_mark="8O")),
        kind("unknown_result", "REJECT", "result_code.code", put(result_code="X9")),
        kind("missing_credits", "REJECT", "credits_attempted.required", put(credits_attempted="")),
        kind("null_token_credits", "REJECT", "credits_earned.required", put(credits_earned="N/A")),
        kind(
            "orphan_student", "REJECT", "parent.enrollment", rewrite("student_id", lambda t: "99" + t[2:]), extra=True
        ),
        kind("earned_over_attempted", "REJECT", "earned_over_attempted", put(credits_earned="1.50"), where=passed),
        kind("negative_credits", "REJECT", "negative_earned", put(credits_earned="-0.50"), where=passed),
        kind("mark_off_scale", "REJECT", "letter_scale", put(letter_mark="Q")),
        kind("odd_course", "REJECT", "course_code.type", rewrite("course_code", str.lower), keyed=False),
        *everyday_kinds("transcripts", "^", differs=put(gpa_points="0.5")),
        kind("null_token", "LOAD", "", put(repeat_code="N/A")),
        kind(
            "fail_with_credit",
            "WARN",
            "f_with_credit",
            put(credits_earned="0.50"),
            where=lambda sheet: failed(sheet) & semester(sheet),
            alters=True,
        ),
        kind("fail_that_passed", "WARN", "f_passed", put(result_code="P"), where=failed, alters=True),
        kind("percent_over_100", "WARN", "numeric_range", put(numeric_mark="930"), alters=True),
        kind("letter_disagrees", "WARN", "letter_and_number", put(numeric_mark="65"), where=high, alters=True),
        kind("five_credits", "WARN", "credit_unit", put(credits_attempted="5.00"), alters=True),
        kind("mark_missing", "WARN", "mark_missing", put(letter_mark="", numeric_mark=""), where=passed, alters=True),
        kind("points_off_scale", "WARN", "gpa_range", put(gpa_points="40"), alters=True),
        kind("unknown_term", "WARN", "term_unknown", put(term_code="T9"), lasting=True),
        kind("quarter_as_semester", "WARN", "quarter_as_final", put(term_code="Q2"), where=semester, lasting=True),
    )
