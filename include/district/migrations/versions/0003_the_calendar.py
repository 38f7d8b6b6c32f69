"""The calendar's tables: school years and terms per school, days of schools that differ, administrations."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "school_date",
        sa.Column("school_id", sa.Text(), nullable=False),
        sa.Column("school_year", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("event", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("instructional", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("school_id", "school_year", "date"),
        schema="district",
        comment="The days of schools whose calendar differs from the district's, of the years in which it does.",
    )
    op.create_table(
        "school_year",
        sa.Column("end_year", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("school_id", sa.Text(), nullable=False, comment="Empty: of every school that has no row of its own."),
        sa.Column("first_day", sa.Date(), nullable=False),
        sa.Column("last_day", sa.Date(), nullable=False),
        sa.Column("turns_on", sa.Date(), nullable=False, comment="From this night on it is the current year."),
        sa.Column("rehearsal_from", sa.Date(), nullable=False),
        sa.Column("track", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("status", sa.Text(), nullable=True, comment="Set by hand, in place of what follows from the dates."),
        sa.PrimaryKeyConstraint("end_year", "school_id"),
        schema="district",
    )
    op.create_table(
        "session",
        sa.Column("school_year", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("school_id", sa.Text(), nullable=False, comment="Empty: of every school that has no row of its own."),
        sa.Column("term_code", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("begin_date", sa.Date(), nullable=False),
        sa.Column("end_date", sa.Date(), nullable=False),
        sa.Column("marks_due", sa.Date(), nullable=False, comment="The end of the grading window, else of the term."),
        sa.PrimaryKeyConstraint("school_year", "school_id", "term_code"),
        schema="district",
    )
    op.create_table(
        "administration",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("assessment", sa.Text(), nullable=False),
        sa.Column("school_year", sa.Integer(), nullable=False),
        sa.Column("test_begin", sa.Date(), nullable=False),
        sa.Column("test_end", sa.Date(), nullable=False),
        sa.Column("results_begin", sa.Date(), nullable=False),
        sa.Column("results_end", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
        schema="district",
    )
    op.alter_column(
        "import_run",
        "kind",
        comment="import, release, undo or semester_change.",
        existing_comment="import, release or undo.",
        schema="import_log",
    )


def downgrade() -> None:
    op.alter_column("import_run", "kind", comment="import, release or undo.", schema="import_log")
    for table in ("administration", "session", "school_year", "school_date"):
        op.drop_table(table, schema="district")
