"""
### Attendance

Every absence, tardy and partial day of the school year, one row per student, school and day: the SIS's nightly
`attendance_*.txt`, tab-delimited. Days in full attendance are not sent. A corrected code replaces the day's row.
It waits for the same night's enrollment.

**When it fails:** if the run is *blocked*, enrollment did not load; mend that first, this one follows. Otherwise read
the run's note: an unknown code is mapped once for all its rows, a day without an enrollment is a wrong entry or exit
date in the SIS. Then clear `extract`.
"""

from district import Column, Dataset, Files, Layout, Parent
from district_airflow import import_dag, semester_change_dag

ATTENDANCE = Dataset(
    name="attendance",
    extract=Files("attendance_*.txt"),
    key=("student_id", "school_id", "event_date", "school_year"),
    scope=("school_year",),
    columns=(
        Column("student_id", personal=True),
        Column("school_id"),
        Column("event_date", "date"),
        Column("school_year", "integer", description="The year in which the school year ends."),
        Column("attendance_code", code_set="attendance_category", descriptor="attendance_category", required=True),
        Column("fraction_absent", "decimal", required=True, description="Share of the day absent: 0, 0.5 or 1."),
        Column("minutes_absent", "integer"),
        Column("session", description="The term the day falls in."),
        Column("excuse_reason", personal=True, description="What the family gave as the reason."),
    ),
    parents=(Parent("enrollment", on=("student_id", "school_id", "school_year")),),
    layout=Layout(
        name="sis_attendance",
        delimiter="\t",
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
        null_tokens=("", "N/A"),
    ),
)

dag = import_dag(ATTENDANCE, doc_md=__doc__)
semester_change = semester_change_dag(ATTENDANCE, doc_md=__doc__)
