"""
### Enrollment

Which students attend which school, in which grade and since when: the SIS's nightly `enrollment_*.csv`, every row
of the school year in one file. Attendance and transcripts wait for it.

**When it fails:** read the run's note. It names the rule, how many rows, and what to fix in the SIS; fix
it there, let the SIS write the file again and clear `extract`. When `review` waits, schools are held: answer the
required action, after comparing its counts with the SIS; until then yesterday's rows of these schools are in place.
When `review` failed, nobody did in time.
"""

from district import Column, Dataset, Files, Layout
from district_airflow import import_dag, semester_change_dag

ENROLLMENT = Dataset(
    name="enrollment",
    extract=Files("enrollment_*.csv"),
    key=("student_id", "school_id", "entry_date", "school_year"),
    scope=("school_year",),
    columns=(
        Column("student_id", personal=True, description="The student's number in the SIS, seven digits."),
        Column("state_student_id", personal=True, description="The student's number at the state, ten digits."),
        Column("last_name", personal=True, literal=True),
        Column("first_name", personal=True, literal=True),
        Column("birth_date", "date", personal=True),
        Column("school_id", description="The school's number in the SIS, four digits."),
        Column("school_year", "integer", description="The year in which the school year ends."),
        Column("entry_date", "date"),
        Column("exit_date", "date", description="Last day at the school; empty while the student attends."),
        Column("grade_level_code", code_set="grade_level", required=True),
        Column("entry_code", code_set="entry_type", descriptor="entry_type"),
        Column("exit_code", code_set="exit_withdrawal_type", descriptor="exit_type"),
        Column("primary_enrollment", "boolean", required=True, description="The enrollment that is funded."),
        Column("fte", "decimal", description="Share of a full school day, 0 to 1."),
        Column("track"),
        Column(
            "meal_eligibility_code",
            code_set="meal_eligibility",
            personal=True,
            description="Free, reduced-price or full-price school meals, in CEDS's words; empty while nobody applied.",
        ),
        Column("residence_district", description="The district that the student lives in."),
        Column("next_year_school_id"),
    ),
    layout=Layout(
        name="sis_enrollment",
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
        patterns={"student_id": "[0-9]{7}", "school_id": "[0-9]{4}"},
        date_formats=("%m/%d/%Y",),
        null_tokens=("", "N/A"),
    ),
)

dag = import_dag(ENROLLMENT, schedule="0 2 * * *", doc_md=__doc__)
semester_change = semester_change_dag(ENROLLMENT, doc_md=__doc__)
