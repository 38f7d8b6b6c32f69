"""The state's assessment files: one administration's scores, in the fixed-width layout of its year."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np

from district.calendar.model import Administration
from district.layout import layouts_of
from district.synthetic.defects import Kind, equals, filled, kinds_of, put, rewrite
from district.synthetic.extract import Source
from district.synthetic.people import Students
from district.synthetic.plan import DistrictPlan, School
from district.synthetic.sheet import NEVER, Edit, Quota, Sheet

# Today's line: each field's characters. Earlier lines are read off the layouts that the project keeps of them.
_WIDTHS: dict[str, str | int] = {
    "administration": 16,
    "assessment_id": 10,
    "school_year": 4,
    "state_student_id": 10,
    "student_id": 10,
    "attempt": 2,
    "subject": 5,
    "grade_tested_code": 2,
    "test_date": 8,
    "tested_school_id": 6,
    "accountable_school_id": 6,
    "tested_status_code": 1,
    "scale_score": 4,
    "standard_error": 5,
    "achievement_level_code": 1,
    "accommodations": 10,
}
_SUBJECTS = ("ELA", "MATH", "SCI")
_SCIENCE_GRADES = (5, 8, 11)
_SPRING_GRADES = (3, 4, 5, 6, 7, 8, 11)
_RETEST_GRADES = (10, 11, 12)
_RETESTED = 0.4
_STATUSES = (("V", 0.95), ("N", 0.02), ("I", 0.01), ("O", 0.01), ("E", 0.005), ("P", 0.005))
_NEVER_SAT = ("N", "O", "E")


def assessment_source(administration: str, layouts_folder: Path) -> Source:
    """How the state writes that administration's file."""
    columns = _WIDTHS
    for layout in layouts_of("state_assessments", layouts_folder):
        if administration in layout.partitions:
            columns, end = {}, 0
            places = {name: place for name, place in layout.columns.items() if isinstance(place, tuple)}
            for name, (first, last) in sorted(places.items(), key=lambda item: item[1]):
                if first > end + 1:
                    columns[f"_filler_{end}"] = first - end - 1
                columns[name], end = last - first + 1, last
    return Source(
        dataset="state_assessments", columns=columns, newline="\r\n", dates=("test_date",), date_format="%m%d%Y"
    )


class AssessmentYear:
    """Makes each school's sheet of one administration; the shares hold over the whole district."""

    def __init__(self, plan: DistrictPlan, administration: Administration, source: Source, *, nights: int) -> None:
        self.plan = plan
        self.administration = administration
        self.source = source
        self.nights = nights
        self.rescored, self.late, self.deleted = Quota(0.01), Quota(0.003), Quota(0.001)

    def sheet(self, school: School, students: Students, *, allowed: np.ndarray) -> Sheet:
        """The scores of the children who are here now and sat it then; ``allowed`` masks the children."""
        plan, sitting = self.plan, self.administration
        ordinal = next(index for index, year in enumerate(plan.years) if year.end_year == sitting.school_year)
        rng = np.random.default_rng([plan.seed, school.index, 6, ordinal, sitting.test_begin.toordinal()])
        spring = sitting.test_begin.year == sitting.school_year
        grade = students.grades - (plan.year.end_year - sitting.school_year)
        tested = np.isin(grade, _SPRING_GRADES if spring else _RETEST_GRADES) & (students.arrives == 0) & allowed
        if not spring:
            tested &= rng.random(len(students)) < _RETESTED
        student = np.repeat(np.flatnonzero(tested), len(_SUBJECTS))
        subject = np.tile(np.arange(len(_SUBJECTS)), int(tested.sum()))
        science = np.isin(grade[student], _SCIENCE_GRADES) & spring
        sat = (subject < 2) | science
        student, subject = student[sat], subject[sat]
        count = len(student)
        shares = np.array([share for _, share in _STATUSES])
        status = [_STATUSES[index][0] for index in rng.choice(len(_STATUSES), count, p=shares / shares.sum())]
        score = np.clip(rng.normal(1500, 90, count).round(), 1210, 1790).astype(int)
        window = [
            day for day in plan.year_of(sitting).instructional_days() if sitting.test_begin <= day <= sitting.test_end
        ]
        day = rng.integers(0, len(window), count)
        error = rng.integers(18, 36, count)
        aided = rng.random(count) < 0.08
        valid = [text == "V" for text in status]
        columns = {
            "administration": [sitting.key] * count,
            "assessment_id": [sitting.assessment] * count,
            "school_year": [str(sitting.school_year)] * count,
            "state_student_id": [students.state_ids[s] for s in student],
            "student_id": [students.ids[s] for s in student],
            "attempt": ["1" if spring else "2"] * count,
            "subject": [_SUBJECTS[index] for index in subject],
            "grade_tested_code": [f"{value:02d}" for value in grade[student]],
            "test_date": [
                "" if text in _NEVER_SAT else f"{window[index]:%m%d%Y}" for text, index in zip(status, day, strict=True)
            ],
            "tested_school_id": [school.school_id] * count,
            "accountable_school_id": [school.school_id] * count,
            "tested_status_code": status,
            "scale_score": [str(value) if ok else "" for value, ok in zip(score, valid, strict=True)],
            "standard_error": [str(value) if ok else "" for value, ok in zip(error, valid, strict=True)],
            "achievement_level_code": [level_of(int(s)) if ok else "" for s, ok in zip(score, valid, strict=True)],
            "accommodations": ["TTS" if aid else "" for aid in aided],
        }
        for absent in columns.keys() - self.source.columns.keys():
            columns[absent] = [""] * count
        sheet = Sheet(
            columns=columns,
            first=np.zeros(count, dtype=np.int64),
            last=np.full(count, NEVER, dtype=np.int64),
            student=student.astype(np.int64),
        )
        self._later(sheet, score, np.array(valid, dtype=bool), rng)
        return sheet

    def _later(self, sheet: Sheet, score: np.ndarray, valid: np.ndarray, rng: np.random.Generator) -> None:
        """Later nights bring final scores instead of preliminary ones, late results, and results taken back."""
        pool = np.flatnonzero(valid)
        for night in range(1, self.nights):
            for row in self.rescored.take(rng, pool, len(sheet)):
                final = int(score[row]) + (12 if score[row] < 1500 else -12)
                values = {"scale_score": str(final), "achievement_level_code": level_of(final)}
                sheet.edits.append(Edit(night=night, row=int(row), values=values))
                pool = pool[pool != row]
            late = self.late.take(rng, pool, len(sheet))
            pool = np.setdiff1d(pool, late)
            sheet.first[late] = night
            deleted = self.deleted.take(rng, pool, len(sheet))
            pool = np.setdiff1d(pool, deleted)
            sheet.last[deleted] = night


def level_of(score: int) -> str:
    """The state's achievement level of a scale score."""
    return str(1 + (score >= 1400) + (score >= 1500) + (score >= 1600))


def assessment_kinds(administration: Administration) -> tuple[Kind, ...]:
    """The defects of a state assessment file."""
    weekend = administration.test_begin
    weekend += datetime.timedelta(days=(5 - weekend.weekday()) % 7)
    valid, absent = equals("tested_status_code", "V"), equals("tested_status_code", *_NEVER_SAT)
    invalidated = equals("tested_status_code", "I", "P")
    sat = filled("test_date")
    kind = kinds_of("state_assessments")
    return (
        kind(
            "unmatched",
            "REJECT",
            "parent.enrollment",
            rewrite("student_id", lambda t: "98" + t[2:]),
            extra=True,
            share=0.03,
        ),
        # Without an id a score may be anyone's in its subject and attempt, and keeps them all from being withdrawn; so
        # it has an attempt of its own.
        kind("missing_id", "REJECT", "student_id.required", put(student_id="", attempt="7"), keyed=False),
        kind("bad_date", "REJECT", "test_date.type", rewrite("test_date", lambda t: "0230" + t[4:]), where=sat),
        kind("unknown_level", "REJECT", "achievement_level_code.code", put(achievement_level_code="9"), where=valid),
        kind("score_off_scale", "REJECT", "score_range", put(scale_score="2500"), where=valid),
        kind(
            "score_off_band",
            "REJECT",
            "level_and_score",
            put(scale_score="1250", achievement_level_code="4"),
            where=valid,
        ),
        kind("not_tested_with_score", "REJECT", "not_tested_with_score", put(scale_score="1550"), where=absent),
        kind("unknown_subject", "REJECT", "subject_unknown", put(subject="XYZ"), keyed=False),
        kind("attempt_zero", "REJECT", "attempt_range", put(attempt="0"), keyed=False),
        kind("exact_duplicate", "WARN", "key.duplicate", twin=True),
        kind("conflicting_duplicate", "REJECT", "key.conflict", put(accommodations="XX"), twin=True, findings=2),
        kind("long_line", "REJECT", "row.fields", raw=lambda line: line + "XYZ", keyed=False),
        kind("short_line", "REJECT", "row.fields", raw=lambda line: line[:-12], keyed=False),
        kind("one_short", "LOAD", "", raw=lambda line: line[:-1]),
        kind(
            "score_missing",
            "WARN",
            "score_missing",
            put(scale_score="", standard_error="", achievement_level_code=""),
            where=valid,
            alters=True,
        ),
        kind(
            "level_without_score",
            "WARN",
            "level_without_score",
            put(achievement_level_code="2"),
            where=invalidated,
            alters=True,
        ),
        kind("saturday", "WARN", "test_day", put(test_date=f"{weekend:%m%d%Y}"), where=sat, alters=True),
        kind(
            "other_year",
            "WARN",
            "year_and_administration",
            put(school_year=str(administration.school_year - 1), test_date=""),
            alters=True,
        ),
        kind(
            "error_off_scale",
            "WARN",
            "error_range",
            put(standard_error="999"),
            where=filled("standard_error"),
            alters=True,
        ),
        kind("state_id_short", "WARN", "state_id_format", put(state_student_id="123"), alters=True),
        kind("school_missing", "WARN", "accountable_school_missing", put(accountable_school_id=""), alters=True),
    )
