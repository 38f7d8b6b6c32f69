"""
### Programs

Which students take part in which program, and since when: the SIS's nightly `programs_*.csv`.
It waits for the same night's enrollment.

**When it fails:** read the run's note; it names the rule and what to fix in the SIS. Then clear `extract`.
"""

from district import Column, Dataset, Files, Parent
from district_airflow import import_dag, semester_change_dag

PROGRAMS = Dataset(
    name="programs",
    extract=Files("programs_*.csv"),
    key=("student_id", "program", "begin_date", "school_year"),
    scope=("school_year",),
    columns=(
        Column("student_id", personal=True),
        Column("program", personal=True),
        Column("begin_date", "date"),
        Column("end_date", "date"),
        Column("school_year", "integer"),
    ),
    parents=(Parent("enrollment", on=("student_id",)),),
)

dag = import_dag(PROGRAMS, doc_md=__doc__)
semester_change = semester_change_dag(PROGRAMS, doc_md=__doc__)
