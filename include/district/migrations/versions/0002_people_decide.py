"""What waits for a person, and what people decided."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "acknowledgement",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("rule_id", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "ceiling",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="More rows than this are new again.",
        ),
        sa.Column(
            "acknowledged_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("expires_on", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema="import_log",
        comment="Warnings that a person knows of, until a day and up to a number of rows.",
    )
    op.create_index(
        "acknowledgement_by_rule", "acknowledgement", ["dataset", "rule_id"], unique=False, schema="import_log"
    )
    op.create_table(
        "readiness",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "checked_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("school_year", sa.Integer(), nullable=False),
        sa.Column("school_id", sa.Text(), nullable=False),
        sa.Column("check", sa.Text(), nullable=False),
        sa.Column("share", sa.Numeric(), nullable=False, comment="Of what the check asks for: 0 to 1."),
        sa.Column("missing", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "what", sa.Text(), server_default=sa.text("''"), nullable=False, comment="What is missing, and what to do."
        ),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema="import_log",
        comment="How much of next year's data is there, by school and check.",
    )
    op.create_index("readiness_by_year", "readiness", ["school_year", "checked_at"], unique=False, schema="import_log")
    op.create_table(
        "decision",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("partition", sa.Text(), nullable=False),
        sa.Column("import_run_id", sa.BigInteger(), nullable=True, comment="The run that was looked at."),
        sa.Column(
            "sha256", sa.Text(), nullable=False, comment="Of the delivery that was looked at: no other may use it."
        ),
        sa.Column(
            "rules",
            sa.Text(),
            server_default=sa.text("''"),
            nullable=False,
            comment="Of the run that was looked at.",
        ),
        sa.Column(
            "shown",
            sa.Text(),
            server_default=sa.text("''"),
            nullable=False,
            comment="The mark of what was shown of the run.",
        ),
        sa.Column("kind", sa.Text(), nullable=False, comment="review, confirmation, year or undo."),
        sa.Column(
            "choice", sa.Text(), nullable=False, comment="approve, reject or without; of a year: although_not_ready."
        ),
        sa.Column(
            "schools",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'"),
            nullable=False,
            comment="Of a review; '' is the delivery itself.",
        ),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "decided_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_by", sa.BigInteger(), nullable=True, comment="The run that relied on it."),
        sa.ForeignKeyConstraint(
            ["import_run_id"],
            ["import_log.import_run.id"],
        ),
        sa.ForeignKeyConstraint(
            ["used_by"],
            ["import_log.import_run.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        schema="import_log",
        comment="Who decided what about which delivery, and why. Rows are only ever added, and marked as used.",
    )
    op.create_index("decision_by_delivery", "decision", ["dataset", "sha256"], unique=False, schema="import_log")
    op.create_table(
        "school_change",
        sa.Column("import_run_id", sa.BigInteger(), nullable=False),
        sa.Column("school_id", sa.Text(), nullable=False),
        sa.Column(
            "standing",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Rows in the table before the load.",
        ),
        sa.Column("new", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("changed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("unchanged", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "gone",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Rows that the delivery no longer holds.",
        ),
        sa.Column("rejected", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "unknown_codes",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Of the rejected ones, those with a code that nobody has mapped.",
        ),
        sa.Column(
            "orphans",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Of the rejected ones, those without a parent row.",
        ),
        sa.Column("held", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.ForeignKeyConstraint(["import_run_id"], ["import_log.import_run.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("import_run_id", "school_id"),
        schema="import_log",
        comment="What a run would do, or did, to each school's rows: the preview, and the gates' history.",
    )
    op.create_table(
        "hold",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("import_run_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "school_id",
            sa.Text(),
            server_default=sa.text("''"),
            nullable=False,
            comment="Empty: the delivery as a whole.",
        ),
        sa.Column("rule_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "state",
            sa.Text(),
            server_default=sa.text("'open'"),
            nullable=False,
            comment="open, approved, rejected, expired or superseded.",
        ),
        sa.Column("held_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decision_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["decision_id"],
            ["import_log.decision.id"],
        ),
        sa.ForeignKeyConstraint(["import_run_id"], ["import_log.import_run.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("import_run_id", "school_id", "rule_id"),
        schema="import_log",
        comment="What a gate keeps out of a table until a person decides.",
    )
    op.create_index(
        op.f("ix_import_log_hold_import_run_id"), "hold", ["import_run_id"], unique=False, schema="import_log"
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_import_log_hold_import_run_id"), table_name="hold", schema="import_log")
    op.drop_table("hold", schema="import_log")
    op.drop_table("school_change", schema="import_log")
    op.drop_index("decision_by_delivery", table_name="decision", schema="import_log")
    op.drop_table("decision", schema="import_log")
    op.drop_index("readiness_by_year", table_name="readiness", schema="import_log")
    op.drop_table("readiness", schema="import_log")
    op.drop_index("acknowledgement_by_rule", table_name="acknowledgement", schema="import_log")
    op.drop_table("acknowledgement", schema="import_log")
