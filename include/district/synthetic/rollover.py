"""The turn of the school year: the last nights of a year, late corrections of it, and the next year's extracts."""

from __future__ import annotations

import datetime
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from district.settings import District, settings
from district.synthetic import enrollment
from district.synthetic.generate import Generation
from district.synthetic.people import Students, invent_kindergartners
from district.synthetic.plan import GRADES, GRADUATING, DistrictPlan, School, make_plan, next_year
from district.synthetic.sheet import NEVER, source_date

PARTS = ("rows", "terms", "codes")
"""What a school must have for the next year: its rows, its terms in the calendar, and codes that are mapped."""
_UNMAPPED = "NY"
_NEW_SCHOOL = "Sagebrush Elementary"
_FOLLOWING = {"elementary": "middle", "middle": "high"}
_RETAINED, _LEAVING = 0.01, 0.03
_TO_NEW_SCHOOL = 5
"""One elementary child in so many goes to the school that opens."""


def generate_rollover(
    folder: Path,
    *,
    size: str | int = "small",
    seed: int = 1,
    readiness: float = 1.0,
    district: District | None = None,
    layouts_folder: Path | None = None,
) -> dict[str, Any]:
    """Writes what ``generate`` does for the end of the year, ``closed_year/``, ``next_year/`` and ``rollover.json``.

    ``readiness`` is the share (0 to 1) of the schools' PARTS that are in place in the next year's extracts; the others
    are missing, school by school in turn. Returns the content of rollover.json; ValueError says what is wrong with
    what was asked for. No row has a defect.
    """
    if not 0 <= readiness <= 1:
        raise ValueError("The readiness is a share from 0 to 1.")
    plan = make_plan(district or settings().district, size=size, seed=seed, nights=1, closing=True)
    layouts = layouts_folder or settings().layouts_folder
    coming = _NextYear(plan, folder / "next_year", readiness)
    with Generation(plan, folder, layouts, defects=False) as run:
        for school in plan.schools:
            coming.add_school(school, *run.add_school(school))
        run.finish(size)
    expected = coming.finish()
    (folder / "rollover.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")
    return expected


@dataclass(kw_only=True)
class _Roster:
    """One school's children of the next year."""

    lines: list[str] = field(default_factory=list)
    without_state_id: int = 0


class _NextYear:
    def __init__(self, plan: DistrictPlan, folder: Path, readiness: float) -> None:
        self.plan = plan
        self.end_year = plan.year.end_year + 1
        self.new_school = f"{int(plan.schools[-1].school_id) + 1:04d}"
        self._folder = folder
        self._entry = source_date(next_year(plan.year.first_day))
        self._schools = {school_id: _Roster() for school_id in (*(s.school_id for s in plan.schools), self.new_school)}
        self._missing = _missing_parts(list(self._schools), readiness)
        self._promotion: Counter[tuple[str, str]] = Counter()
        self._by_grade = {
            grade: [s.school_id for s in plan.schools if grade in GRADES[s.kind]] for grade in range(-2, GRADUATING + 1)
        }

    def add_school(self, school: School, students: Students, spans: enrollment.Spans) -> None:
        """Promotes the children who are there on the last day, and adds the new kindergartners."""
        rng = np.random.default_rng([self.plan.seed, school.index, 9])
        staying = [
            student
            for student, end, last in zip(spans.student, spans.end, spans.last, strict=True)
            if end == NEVER and last == NEVER
        ]
        for student in staying:
            chance, grade = rng.random(), int(students.grades[student])
            coming = grade if chance < _RETAINED else grade + 1
            gone = coming > GRADUATING or chance > 1 - _LEAVING
            there = "" if gone else self._school(school, students.ids[student], coming)
            sent = bool(there) and "rows" not in self._missing[there]
            self._promotion[str(grade), str(coming) if sent else ""] += 1
            if there:
                self._enroll(there, students, student, coming, "C")
        if 0 in GRADES[school.kind]:
            children = invent_kindergartners(self.plan, school, int((students.grades == 0).sum()))
            for child in range(len(children)):
                self._enroll(self._school(school, children.ids[child], 0), children, child, 0, "N")

    def _school(self, school: School, student_id: str, grade: int) -> str:
        """Where a child goes: on in the same school, to one that follows it, or to the one that opens; '' for away."""
        number = int(student_id)
        if grade in GRADES[school.kind]:
            opens = grade in GRADES["elementary"] and number % _TO_NEW_SCHOOL == 0
            return self.new_school if opens else school.school_id
        kinds = {s.school_id: s.kind for s in self.plan.schools}
        others = self._by_grade[grade]
        following = [other for other in others if kinds[other] == _FOLLOWING.get(school.kind)] or others
        return following[number % len(following)] if following else ""

    def _enroll(self, school_id: str, students: Students, student: int, grade: int, entry_code: str) -> None:
        roster = self._schools[school_id]
        roster.without_state_id += not students.state_ids[student]
        fields = dict.fromkeys(enrollment.SOURCE.columns, "") | {
            "student_id": students.ids[student],
            "state_student_id": students.state_ids[student],
            "last_name": students.last_names[student],
            "first_name": students.first_names[student],
            "birth_date": source_date(students.births[student]),
            "school_id": school_id,
            "school_year": str(self.end_year),
            "entry_date": self._entry,
            "grade_level_code": str(grade),
            "entry_code": _UNMAPPED if "codes" in self._missing[school_id] else entry_code,
            "primary_enrollment": "1",
            "fte": "1.00",
            "track": "A",
            "meal_eligibility_code": students.meals[student],
            "residence_district": "Cedar Valley",
        }
        roster.lines.append(enrollment.SOURCE.line(fields))

    def finish(self) -> dict[str, Any]:
        """Writes the files; what is to be expected of them."""
        self._folder.mkdir(parents=True, exist_ok=True)
        source, night = enrollment.SOURCE, self.plan.nights[0]
        lines = [source.header]
        for school_id, roster in self._schools.items():
            lines += [] if "rows" in self._missing[school_id] else roster.lines
        content = "".join(line + source.newline for line in lines)
        (self._folder / f"enrollment_{night:%Y%m%d}.csv").write_bytes(content.encode(source.encoding))
        path = self._folder / f"school_year_{self.end_year}.yaml"
        path.write_text(yaml.safe_dump(self._calendar(), sort_keys=False), encoding="utf-8")
        parts = len(PARTS) * len(self._schools)
        lacking = sum(len(missing) for missing in self._missing.values())
        promotion: dict[str, dict[str, int]] = {}
        for (grade, coming), count in sorted(self._promotion.items(), key=lambda item: (int(item[0][0]), item[0][1])):
            promotion.setdefault(grade, {})[coming] = count
        return {
            "closing_year": self.plan.year.end_year,
            "school_year": self.end_year,
            "readiness": round((parts - lacking) / parts, 4),
            "schools": {school_id: self._told(school_id) for school_id in self._schools},
            "promotion": promotion,
        }

    def _told(self, school_id: str) -> dict[str, Any]:
        roster, missing = self._schools[school_id], self._missing[school_id]
        sent = "rows" not in missing
        return {
            "missing": missing,
            "students": len(roster.lines),
            "rows": len(roster.lines) if sent else 0,
            "unknown_codes": len(roster.lines) if sent and "codes" in missing else 0,
            "without_state_id": roster.without_state_id if sent else 0,
            "opens": school_id == self.new_school,
        }

    def _calendar(self) -> dict[str, Any]:
        """What is to be added to the settings file: the year, as this one was, and the school that opens."""
        year = self.plan.year
        holidays: list[datetime.date] = [next_year(day) for day in year.holidays]
        content: dict[str, Any] = {
            "end_year": self.end_year,
            "first_day": next_year(year.first_day),
            "last_day": next_year(year.last_day),
            "terms": [
                {"code": term.code, "begin": next_year(term.begin), "end": next_year(term.end)} for term in year.terms
            ],
            "holidays": holidays,
        }
        without = [school_id for school_id, missing in self._missing.items() if "terms" in missing]
        if without:
            content["schools"] = [{"schools": without, "terms": []}]
        return {"schools": [{"school_id": self.new_school, "name": _NEW_SCHOOL}], "school_years": [content]}


def _missing_parts(schools: list[str], readiness: float) -> dict[str, list[str]]:
    """Which parts each school lacks: first one of each school, by turns, then a second one."""
    turns = [
        (school_id, PARTS[(place + turn) % len(PARTS)])
        for turn in range(len(PARTS))
        for place, school_id in enumerate(schools)
    ]
    missing: dict[str, list[str]] = {school_id: [] for school_id in schools}
    for school_id, part in turns[: round((1 - readiness) * len(turns))]:
        missing[school_id].append(part)
    return missing
