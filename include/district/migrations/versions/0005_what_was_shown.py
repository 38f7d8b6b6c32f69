"""A sign-off remembers what was shown to whoever gave it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "decision",
        sa.Column(
            "shown",
            sa.Text(),
            server_default=sa.text("''"),
            nullable=False,
            comment="Of a sign-off: the digest of what was shown; nothing else may load.",
        ),
        schema="import_log",
    )


def downgrade() -> None:
    op.drop_column("decision", "shown", schema="import_log")
