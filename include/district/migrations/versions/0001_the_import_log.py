"""The import log."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "calendar_date",
        sa.Column("school_year", sa.Integer(), nullable=False),
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("instructional", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("date"),
        schema="district",
    )
    op.create_table(
        "crosswalk",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("code_set", sa.Text(), nullable=False),
        sa.Column("source_system", sa.Text(), nullable=False),
        sa.Column("school_year_from", sa.Integer(), nullable=False),
        sa.Column("school_year_to", sa.Integer(), nullable=False),
        sa.Column("local_code", sa.Text(), nullable=False),
        sa.Column("standard_code", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("code_set", "source_system", "local_code", "school_year_from"),
        schema="import_log",
    )
    op.create_table(
        "delivery",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("final_newline", sa.Boolean(), nullable=False),
        sa.Column("modified_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("landed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("dataset", "sha256"),
        schema="import_log",
    )
    op.create_table(
        "mail",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("roles", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body_text", sa.Text(), nullable=False),
        sa.Column("body_html", sa.Text(), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("refused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
        schema="import_log",
        comment="The outbox. Counts and titles only, never a value of a row.",
    )
    op.create_table(
        "import_run",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("run_key", sa.Text(), nullable=False),
        sa.Column("partition", sa.Text(), nullable=False),
        sa.Column("night", sa.Date(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("rule_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("delivery_id", sa.BigInteger(), nullable=True),
        sa.Column("layout", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("plan", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "scope",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="The values of its scope columns, as texts: [[value, ...], ...].",
        ),
        sa.Column(
            "rules",
            sa.Text(),
            server_default=sa.text("''"),
            nullable=False,
            comment="A digest of what it was judged by.",
        ),
        sa.Column(
            "versions",
            sa.Text(),
            server_default=sa.text("''"),
            nullable=False,
            comment="The same, and which parents stood.",
        ),
        sa.Column(
            "since_id",
            sa.BigInteger(),
            nullable=True,
            comment="The loaded run whose lines it was compared with: of these, only what differs was staged.",
        ),
        sa.Column("read", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("rejected", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("superseded", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("held", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("warnings", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("inserted", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("updated", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("unchanged", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("withdrawn", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "kind",
            sa.Text(),
            server_default=sa.text("'import'"),
            nullable=False,
            comment="import, release or undo.",
        ),
        sa.Column("about_id", sa.BigInteger(), nullable=True, comment="The run that it releases or undoes."),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("loaded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("digest_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "seconds",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="Of each step, when it last ran.",
        ),
        sa.Column(
            "unnoticed",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="No other run, digest or mail takes notice of it: a check, or a run by hand that was broken off.",
        ),
        sa.CheckConstraint(
            "state <> 'loaded' OR read = inserted + updated + unchanged + rejected + superseded + held",
            name="every_row_has_a_fate",
        ),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["import_log.delivery.id"],
        ),
        sa.ForeignKeyConstraint(
            ["since_id"],
            ["import_log.import_run.id"],
        ),
        sa.ForeignKeyConstraint(
            ["about_id"],
            ["import_log.import_run.id"],
        ),
        sa.ForeignKeyConstraint(
            ["digest_id"],
            ["import_log.mail.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        schema="import_log",
    )
    op.create_index("import_run_by_key", "import_run", ["dataset", "run_key"], unique=False, schema="import_log")
    op.create_index("import_run_by_night", "import_run", ["night"], unique=False, schema="import_log")
    op.create_table(
        "import_issue",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("import_run_id", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("rule_id", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("fix", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("column_name", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("cause", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("fate", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("first_line", sa.BigInteger(), nullable=True),
        sa.Column("first_seen", sa.Date(), nullable=False),
        sa.ForeignKeyConstraint(["import_run_id"], ["import_log.import_run.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        schema="import_log",
    )
    op.create_index(
        op.f("ix_import_log_import_issue_import_run_id"),
        "import_issue",
        ["import_run_id"],
        unique=False,
        schema="import_log",
    )
    op.create_table(
        "carry",
        sa.Column("import_run_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "scope",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="The scope values of the rows that it loaded.",
        ),
        sa.Column(
            "kept_out",
            postgresql.ARRAY(sa.BigInteger()),
            nullable=False,
            comment="Lines that are rejected or superseded.",
        ),
        sa.Column(
            "reported",
            postgresql.ARRAY(sa.BigInteger()),
            nullable=False,
            comment="Lines that are loaded with a finding.",
        ),
        sa.Column(
            "unsent",
            postgresql.ARRAY(sa.BigInteger()),
            nullable=False,
            comment="Rows that stand in its scope and are not its own.",
        ),
        sa.ForeignKeyConstraint(
            ["import_run_id"],
            ["import_log.import_run.id"],
        ),
        sa.PrimaryKeyConstraint("import_run_id"),
        schema="import_log",
        comment="What the next delivery judges again although its line did not change.",
    )
    op.create_table(
        "quarantined_row",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("import_run_id", sa.BigInteger(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("partition", sa.Text(), nullable=False),
        sa.Column("source_line", sa.BigInteger(), nullable=False),
        sa.Column("raw", sa.Text(), nullable=False, comment="The record as its sender wrote it: personal."),
        sa.Column("reasons", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'open'"), nullable=False),
        sa.Column("quarantined_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["import_run_id"],
            ["import_log.import_run.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        schema="import_log",
    )
    op.create_index(
        op.f("ix_import_log_quarantined_row_import_run_id"),
        "quarantined_row",
        ["import_run_id"],
        unique=False,
        schema="import_log",
    )
    op.create_index(
        "quarantined_row_open",
        "quarantined_row",
        ["dataset", "partition"],
        unique=False,
        schema="import_log",
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "row_history",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("import_run_id", sa.BigInteger(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column(
            "before",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="The row before this run changed it: personal.",
        ),
        sa.ForeignKeyConstraint(
            ["import_run_id"],
            ["import_log.import_run.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        schema="import_log",
    )
    op.create_index(
        op.f("ix_import_log_row_history_import_run_id"),
        "row_history",
        ["import_run_id"],
        unique=False,
        schema="import_log",
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_import_log_row_history_import_run_id"), table_name="row_history", schema="import_log")
    op.drop_table("row_history", schema="import_log")
    op.drop_index(
        "quarantined_row_open",
        table_name="quarantined_row",
        schema="import_log",
        postgresql_where=sa.text("state = 'open'"),
    )
    op.drop_index(
        op.f("ix_import_log_quarantined_row_import_run_id"), table_name="quarantined_row", schema="import_log"
    )
    op.drop_table("quarantined_row", schema="import_log")
    op.drop_table("carry", schema="import_log")
    op.drop_index(op.f("ix_import_log_import_issue_import_run_id"), table_name="import_issue", schema="import_log")
    op.drop_table("import_issue", schema="import_log")
    op.drop_index("import_run_by_night", table_name="import_run", schema="import_log")
    op.drop_index("import_run_by_key", table_name="import_run", schema="import_log")
    op.drop_table("import_run", schema="import_log")
    op.drop_table("mail", schema="import_log")
    op.drop_table("delivery", schema="import_log")
    op.drop_table("crosswalk", schema="import_log")
    op.drop_table("calendar_date", schema="district")
