"""The attendance extract: the days on which a child was not fully there, as the SIS writes them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from district.synthetic.defects import Kind, equals, everyday_kinds, kinds_of, put, rewrite
from district.synthetic.enrollment import Spans
from district.synthetic.extract import Source
from district.synthetic.people import Students
from district.synthetic.plan import DistrictPlan, School
from district.synthetic.sheet import NEVER, Edit, Sheet

SOURCE = Source(
    dataset="attendance",
    columns={
        "student_id": "01 Student ID",
        "school_id": "02 Site ID",
        "event_date": "03 Date",
        "school_year": "04 Academic Year",
        "attendance_code": "05 Attendance Code",
        "fraction_absent": "06 Fraction Absent",
        "minutes_absent": "07 Minutes Absent",
        "session": "08 Term",
        "excuse_reason": "09 Reason",
    },
    delimiter="\t",
)
# Code, share, fraction of the day, minutes, reason.
CODES = (
    ("E", 0.28, "1", "390", "Family"),
    ("I", 0.26, "1", "390", "Illness"),
    ("A", 0.15, "1", "390", ""),
    ("T", 0.12, "0", "15", ""),
    ("U", 0.06, "1", "390", ""),
    ("M", 0.04, "0.5", "120", "Appointment"),
    ("T10", 0.04, "0", "25", ""),
    ("H", 0.03, "0.5", "195", ""),
    ("OSS", 0.01, "1", "390", ""),
    ("ED", 0.01, "0", "40", "Appointment"),
)
_ABSENCE = 0.065
_CORRECTED, _REMOVED = 0.06, 0.01
_CORRECTION_DAYS = 10
"""So many days back the attendance office still changes codes."""
_COLUMNS = ("attendance_code", "fraction_absent", "minutes_absent", "excuse_reason")


def attendance_sheet(plan: DistrictPlan, school: School, students: Students, spans: Spans) -> tuple[Sheet, np.ndarray]:
    """The school's rows up to the last night, and for each the enrollment row that it falls under."""
    rng = np.random.default_rng([plan.seed, school.index, 4])
    horizon = min(plan.start + len(plan.nights) - 1, len(plan.days))
    begin, end = np.array(spans.begin), np.minimum(np.array(spans.end), horizon)
    # Some are away often and most seldom; the mean is the district's rate.
    rate = _ABSENCE * rng.gamma(2.0, 0.5, len(begin))
    day = np.arange(horizon)
    there = (begin[:, None] <= day) & (day < end[:, None])
    span, day = np.nonzero((rng.random(there.shape) < rate[:, None]) & there)
    student = np.array(spans.student)[span]
    shares = np.array([share for _, share, *_ in CODES])
    code = rng.choice(len(CODES), len(span), p=shares / shares.sum())

    def take(texts: list[str], index: np.ndarray) -> list[str]:
        return list(np.array(texts, dtype=object)[index])

    terms = [next((t.code for t in plan.year.terms if t.begin <= d <= t.end), "") for d in plan.days]
    columns = {
        "student_id": take(students.ids, student),
        "school_id": take(spans.school_id, span),
        "event_date": take([d.isoformat() for d in plan.days], day),
        "school_year": [str(plan.year.end_year)] * len(span),
        "attendance_code": take([c[0] for c in CODES], code),
        "fraction_absent": take([c[2] for c in CODES], code),
        "minutes_absent": take([c[3] for c in CODES], code),
        "session": take(terms, day),
        "excuse_reason": take([c[4] for c in CODES], code),
    }
    sheet = Sheet(
        columns=columns,
        first=np.maximum(np.array(spans.first)[span], np.maximum(0, day - plan.start + 1)),
        last=np.array(spans.last)[span],
        student=student,
    )
    _correct(plan, sheet, day, rng)
    return sheet, span


def _correct(plan: DistrictPlan, sheet: Sheet, day: np.ndarray, rng: np.random.Generator) -> None:
    """On later nights some codes of the last days change, and some absences turn out to have been none."""
    corrected: set[int] = set()
    for night in range(1, len(plan.nights)):
        lately = (day >= plan.start + night - 1 - _CORRECTION_DAYS) & (day < plan.start + night - 1)
        chance = rng.random(len(sheet))
        stay = (sheet.first < night) & (sheet.last == NEVER) & lately
        for row in np.flatnonzero(stay & (chance < _CORRECTED)):
            now = sheet.columns["attendance_code"][row]
            code, _, fraction, minutes, reason = CODES[0] if now != "E" else CODES[1]
            values = dict(zip(_COLUMNS, (code, fraction, minutes, reason), strict=True))
            # A row that an earlier night already corrected is left alone: each edit must change the row.
            if row not in corrected:
                corrected.add(int(row))
                sheet.edits.append(Edit(night=night, row=int(row), values=values))
        sheet.last[stay & (chance > 1 - _REMOVED)] = night


def attendance_kinds(plan: DistrictPlan, begin: np.ndarray, end: np.ndarray) -> tuple[Kind, ...]:
    """The defects of an attendance extract; ``begin`` and ``end`` are the day indexes of each row's enrollment."""
    year = plan.year
    closed = [day for day in year.holidays if plan.days[0] < day < plan.nights[0]]
    ahead = plan.days[plan.start + len(plan.nights) + 4 :][:1]
    whole_day = equals("fraction_absent", "1")
    always = (begin == 0) & (end == NEVER)
    kind = kinds_of("attendance")

    def undated(name: str, change: Callable[[str], str]) -> Kind:
        """A line without a readable date may be any of the child's and keeps them all from being withdrawn."""
        return kind(
            name, "REJECT", "event_date.type", rewrite("event_date", change), keyed=False, where=_without_removals
        )

    kinds = [
        undated("bad_date", lambda text: text[:5] + "02-30"),
        undated("us_date", _month_first),
        kind("unknown_code", "REJECT", "attendance_code.code", put(attendance_code="QQ")),
        kind("missing_code", "REJECT", "attendance_code.required", put(attendance_code="")),
        kind(
            "orphan_student", "REJECT", "parent.enrollment", rewrite("student_id", lambda t: "99" + t[2:]), extra=True
        ),
        kind("odd_fraction", "REJECT", "fraction", put(fraction_absent="0.3"), where=whole_day),
        kind(
            "not_enrolled",
            "REJECT",
            "not_enrolled",
            put(event_date=plan.days[0].isoformat()),
            extra=True,
            where=lambda _: begin > 0,
        ),
        *everyday_kinds("attendance", "\t", differs=put(minutes_absent="77")),
        kind("null_token", "LOAD", "", put(minutes_absent="N/A"), alters=True),
        kind("absurd_minutes", "WARN", "minutes_range", put(minutes_absent="9999"), alters=True),
        kind(
            "placeholder_code",
            "WARN",
            "not_verified",
            put(attendance_code="UNV", fraction_absent="1", minutes_absent="390", excuse_reason=""),
            alters=True,
        ),
        kind(
            "tardy_all_day",
            "WARN",
            "category_and_fraction",
            put(attendance_code="T", fraction_absent="1", excuse_reason=""),
            alters=True,
        ),
        kind(
            "reason_missing",
            "WARN",
            "reason_missing",
            put(excuse_reason=""),
            where=equals("attendance_code", "E"),
            severity="info",
            alters=True,
        ),
    ]
    if closed:
        holiday = put(event_date=closed[0].isoformat())
        kinds.append(kind("holiday", "REJECT", "not_instructional", holiday, extra=True, where=lambda _: always))
    if ahead:
        future = put(event_date=ahead[0].isoformat())
        kinds.append(kind("future_date", "REJECT", "future_date", future, extra=True, where=lambda _: always))
    return tuple(kinds)


def _without_removals(sheet: Sheet) -> np.ndarray:
    return ~np.isin(sheet.student, sheet.student[sheet.last != NEVER])


def _month_first(text: str) -> str:
    year, month, day = text.split("-")
    return f"{int(month)}/{int(day)}/{year}"
