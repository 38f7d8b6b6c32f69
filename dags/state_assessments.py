"""
### State assessments

Summative scores of one administration, from the state's fixed-width file `state_assessments_<administration>.txt`.
While results are open in the district calendar, each night looks for the file; a past administration is a backfill.
Preliminary results are replaced by final ones; a retest is an attempt of its own. Layouts of earlier years are kept in
`include/layouts/state_assessments/`, each for the administrations it names.

**When it fails:** read the run's note. Many unknown students mean another district's file, or local
ids that the state holds in another form; a few are children who have left, or ids to correct in the state's portal.
When the line length is wrong the state has changed its layout: ask for this year's field list before anything else.
"""

from district import Column, Dataset, Files, Gate, Layout, Parent
from district_airflow import administrations, import_dag

STATE_ASSESSMENTS = Dataset(
    name="state_assessments",
    extract=Files("state_assessments_{partition}*.txt"),
    owner="assessment_lead",
    partition="administration",
    key=("assessment_id", "administration", "student_id", "subject", "attempt"),
    scope=("administration",),
    columns=(
        Column("assessment_id"),
        Column("administration"),
        Column("student_id", personal=True, description="The district's number of the student, as the state holds it."),
        Column("state_student_id", personal=True),
        Column("subject"),
        Column("attempt", "integer", description="1 for the first sitting, higher for a retest."),
        Column("school_year", "integer", required=True, description="The year in which the school year ends."),
        Column("test_date", "date"),
        Column("grade_tested_code", code_set="grade_level", required=True),
        Column("tested_school_id"),
        Column("accountable_school_id"),
        Column("scale_score", "integer", personal=True),
        Column("standard_error", "decimal"),
        Column("achievement_level_code", code_set="achievement_level"),
        Column("tested_status_code", code_set="tested_status", required=True),
        Column("accommodations", personal=True),
    ),
    parents=(Parent("enrollment", on=("student_id",)),),
    # Two to five in a hundred are never matched: they have left, or the state holds another id of theirs.
    gate=Gate(orphans=0.10),
    layout=Layout(
        name="state_summative",
        source="state",
        fixed_width=True,
        line_length=100,
        columns={
            "administration": (1, 16),
            "assessment_id": (17, 26),
            "school_year": (27, 30),
            "state_student_id": (31, 40),
            "student_id": (41, 50),
            "attempt": (51, 52),
            "subject": (53, 57),
            "grade_tested_code": (58, 59),
            "test_date": (60, 67),
            "tested_school_id": (68, 73),
            "accountable_school_id": (74, 79),
            "tested_status_code": (80, 80),
            "scale_score": (81, 84),
            "standard_error": (85, 89),
            "achievement_level_code": (90, 90),
            "accommodations": (91, 100),
        },
        date_formats=("%m%d%Y",),
    ),
)

dag = import_dag(STATE_ASSESSMENTS, schedule=administrations(), doc_md=__doc__)
