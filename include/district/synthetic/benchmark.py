"""Large files for benchmarks: attendance of any number of rows, and the enrollment that it needs, within seconds."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from district.settings import District, settings
from district.synthetic import attendance, enrollment
from district.synthetic.extract import Source
from district.synthetic.plan import DistrictPlan, make_plan
from district.synthetic.sheet import source_date

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_EACH = 12
"""Attendance rows of one child."""
_CHUNK = 480_000
_SCHOOL_SIZE = 500
_BAD = (
    "attendance.event_date.type",
    "attendance.attendance_code.code",
    "attendance.parent.enrollment",
    "attendance.fraction",
)


def students_for(rows: int) -> int:
    """How many children an attendance file of that many rows is about; their enrollment file has as many rows."""
    return math.ceil(rows / ROWS_EACH)


def enrollment_file(path: Path, students: int, seed: int = 1, *, district: District | None = None) -> int:
    """Writes an enrollment extract of that many children, all sound; returns its rows."""
    plan = make_plan(district or settings().district, size=1, seed=seed, nights=1)
    year = plan.year.first_day.year
    with _Writer(path, enrollment.SOURCE) as writer:
        for begin in range(0, students, _CHUNK):
            index = np.arange(begin, min(students, begin + _CHUNK))
            # All are in grade 5, ten to eleven years old.
            births = [source_date(plan.days[day].replace(year=year - 10)) for day in range(len(plan.days) // 3)]
            writer.write(
                {
                    "student_id": _numbers(index),
                    "state_student_id": _texts(index + 1_000_000_000),
                    "last_name": _picked(["Testerson", "Sampleton", "Mockridge", "Madeup"], index % 4),
                    "first_name": _picked(["Aspen", "Birch", "Cobalt", "Dahlia", "Ember"], index % 5),
                    "birth_date": _picked(births, index % len(births)),
                    "school_id": _schools(index),
                    "school_year": _constant(str(plan.year.end_year), len(index)),
                    "entry_date": _constant(source_date(plan.days[0]), len(index)),
                    "exit_date": _constant("", len(index)),
                    "grade_level_code": _constant("5", len(index)),
                    "entry_code": _constant("C", len(index)),
                    "exit_code": _constant("", len(index)),
                    "primary_enrollment": _constant("1", len(index)),
                    "fte": _constant("1.00", len(index)),
                    "track": _constant("A", len(index)),
                    "meal_eligibility_code": _picked(["F", "P", "R", "P"], index % 4),
                    "residence_district": _constant("Cedar Valley", len(index)),
                    "next_year_school_id": _schools(index),
                }
            )
    return students


def attendance_file(
    path: Path,
    rows: int,
    seed: int = 1,
    bad_share: float = 0.0,
    *,
    changed: float = 0.0,
    district: District | None = None,
) -> dict[str, int]:
    """Writes an attendance extract of that many rows for the children of ``enrollment_file(students_for(rows))``.

    About ``bad_share`` of the rows are wrong, in turn in four ways; returns how many rows each rule must reject. About
    ``changed`` of the rows have another code than with ``changed=0``, which makes the next night's file.
    """
    plan = make_plan(district or settings().district, size=1, seed=seed, nights=1)
    rejected = dict.fromkeys(_BAD, 0)
    with _Writer(path, attendance.SOURCE) as writer:
        for begin in range(0, rows, _CHUNK):
            rng = np.random.default_rng([seed, begin])
            index = np.arange(begin, min(rows, begin + _CHUNK))
            way = np.where(rng.random(len(index)) < bad_share, index % len(_BAD), -1)
            code = rng.integers(0, 4, len(index))
            code = np.where(rng.random(len(index)) < changed, (code + 1) % 4, code)
            writer.write(_absences(plan, index, code, way))
            for number, rule_id in enumerate(_BAD):
                rejected[rule_id] += int((way == number).sum())
    return rejected


def _absences(plan: DistrictPlan, index: np.ndarray, code: np.ndarray, way: np.ndarray) -> dict[str, pa.Array]:
    """The rows; ``way`` says in which way a row is wrong, -1 for none."""
    import pyarrow.compute as pc

    student = index // ROWS_EACH
    days = plan.days[: plan.start]
    # A stride without a common divisor never meets a day twice, so every key is its own.
    stride = next(number for number in (7, 11, 13, 17) if math.gcd(number, len(days)) == 1)
    day = (student + index % ROWS_EACH * stride) % len(days)
    dates = [date.isoformat() for date in days]
    codes = [row for row in attendance.CODES if row[2] == "1"]
    impossible, unknown, orphan, third = (way == number for number in range(len(_BAD)))
    student_id = pc.if_else(orphan, pc.utf8_replace_slice(_numbers(student), 0, 2, "99"), _numbers(student))
    return {
        "student_id": student_id,
        "school_id": _schools(student),
        "event_date": _picked([*dates, dates[0][:5] + "02-30"], np.where(impossible, len(dates), day)),
        "school_year": _constant(str(plan.year.end_year), len(index)),
        "attendance_code": _picked([*(row[0] for row in codes[:4]), "QQ"], np.where(unknown, 4, code)),
        "fraction_absent": _picked(["1", "0.3"], third.astype(int)),
        "minutes_absent": _constant("390", len(index)),
        "session": _constant(plan.year.terms[0].code if plan.year.terms else "", len(index)),
        "excuse_reason": _picked([row[4] for row in codes[:4]], code),
    }


class _Writer:
    def __init__(self, path: Path, source: Source) -> None:
        self.source = source
        self._file = path.open("wb")
        self._file.write((source.header + "\n").encode(source.encoding))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, columns: dict[str, pa.Array]) -> None:
        """Adds rows."""
        import pyarrow as pa
        import pyarrow.csv as arrow_csv

        table = pa.table({name: columns[name] for name in self.source.columns})
        options = arrow_csv.WriteOptions(
            include_header=False, delimiter=self.source.delimiter, quoting_style="none", batch_size=65_536
        )
        arrow_csv.write_csv(table, self._file, options)


def _texts(numbers: np.ndarray) -> pa.Array:
    import pyarrow as pa

    return pa.array(numbers).cast(pa.string())


def _numbers(index: np.ndarray) -> pa.Array:
    """Student numbers: seven digits."""
    import pyarrow.compute as pc

    return pc.utf8_lpad(_texts(index + 100_001), width=7, padding="0")


def _schools(student: np.ndarray) -> pa.Array:
    import pyarrow.compute as pc

    return pc.utf8_lpad(_texts(100 + student // _SCHOOL_SIZE % 1_000), width=4, padding="0")


def _picked(texts: list[str], index: np.ndarray) -> pa.Array:
    import pyarrow as pa

    return pa.array(texts, pa.string()).take(pa.array(index))


def _constant(text: str, rows: int) -> pa.Array:
    import pyarrow as pa

    return pa.repeat(pa.scalar(text, pa.string()), rows)
