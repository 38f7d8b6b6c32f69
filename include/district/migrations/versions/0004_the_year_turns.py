"""The turn of the school year: which years are rehearsed, and when a person let them begin."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_BEFORE = "import, release, undo or semester_change."
_SINCE = "import, release, undo, semester_change or rehearsal."


def upgrade() -> None:
    op.create_table(
        "year_turn",
        sa.Column("school_year", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("rehearsed_since", sa.Date(), nullable=False, comment="The first night of its rehearsal."),
        sa.Column(
            "turned_on", sa.Date(), nullable=True, comment="From this night on it is the current year; empty: it waits."
        ),
        sa.Column("decision_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["decision_id"], ["import_log.decision.id"]),
        sa.PrimaryKeyConstraint("school_year"),
        schema="import_log",
        comment="School years that were rehearsed: they begin when a person says so, and not before their day.",
    )
    op.alter_column("import_run", "kind", comment=_SINCE, existing_comment=_BEFORE, schema="import_log")


def downgrade() -> None:
    op.alter_column("import_run", "kind", comment=_BEFORE, existing_comment=_SINCE, schema="import_log")
    op.drop_table("year_turn", schema="import_log")
