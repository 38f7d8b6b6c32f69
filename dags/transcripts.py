"""
### Transcripts

Stored marks and credits, one row per student, school, course, term and kind of mark: the SIS's nightly
`transcripts_*.csv`, separated by carets and written in cp1252. It waits for the same night's enrollment.

**When it fails:** read the run's note. Credits earned above those attempted, or a mark off the scale, are
corrected in the stored marks of the SIS by the school's registrar. A mark of a student whom enrollment does not know
waits in quarantine until the enrollment arrives. Then clear `extract`.
"""

from district import Column, Dataset, Files, Layout, Parent
from district_airflow import import_dag, semester_change_dag

TRANSCRIPTS = Dataset(
    name="transcripts",
    extract=Files("transcripts_*.csv"),
    key=("student_id", "school_id", "course_code", "school_year", "term_code", "mark_type_code"),
    scope=("school_year",),
    columns=(
        Column("student_id", personal=True),
        Column("school_id", description="The school that gave the mark."),
        Column("course_code"),
        Column("course_title"),
        Column("school_year", "integer", description="The year in which the school year of the mark ended."),
        Column("term_code"),
        Column("mark_type_code", code_set="mark_type"),
        Column("grade_level_taken_code", code_set="grade_level", descriptor="grade_level_when_taken", required=True),
        Column("letter_mark", personal=True),
        Column("numeric_mark", "decimal", personal=True),
        Column("credits_attempted", "decimal", required=True),
        Column("credits_earned", "decimal", required=True),
        Column("credit_type_code", code_set="credit_type"),
        Column("result_code", code_set="course_result", descriptor="result"),
        Column("repeat_code"),
        Column("gpa_points", "decimal", personal=True),
        Column("exclude_from_gpa", "boolean"),
        Column("stored_date", "date"),
    ),
    parents=(Parent("enrollment", on=("student_id",)),),
    layout=Layout(
        name="sis_stored_marks",
        delimiter="^",
        encoding="cp1252",
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
        patterns={"course_code": "[A-Z]{3}[0-9]{3}"},
        date_formats=("%m/%d/%Y",),
        null_tokens=("", "N/A"),
    ),
)

dag = import_dag(TRANSCRIPTS, doc_md=__doc__)
semester_change = semester_change_dag(TRANSCRIPTS, doc_md=__doc__)
