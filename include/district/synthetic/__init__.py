"""A synthetic district: invented children, extracts in every layout, and what an import of them must report."""

from district.synthetic.benchmark import attendance_file, enrollment_file, students_for
from district.synthetic.generate import generate
from district.synthetic.mishaps import Mishap
from district.synthetic.plan import SIZES
from district.synthetic.rollover import generate_rollover
from district.synthetic.spoil import DEFECTS, spoil

__all__ = [
    "DEFECTS",
    "SIZES",
    "Mishap",
    "attendance_file",
    "enrollment_file",
    "generate",
    "generate_rollover",
    "spoil",
    "students_for",
]
