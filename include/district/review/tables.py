"""The tables of what waits for a person and of what people decided. Counts and reasons only, never a value of a row."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from district.tables import IMPORT_LOG, identity, metadata, row_count

WHOLE = ""
"""In place of a school: the delivery as a whole."""
UNLISTED = "(not listed)"
"""In place of a school: the rows of none that the settings list, or that the table knows."""

decision = Table(
    "decision",
    metadata,
    identity(),
    Column("dataset", Text, nullable=False),
    Column("partition", Text, nullable=False),
    Column("import_run_id", ForeignKey(f"{IMPORT_LOG}.import_run.id"), comment="The run that was looked at."),
    Column("sha256", Text, nullable=False, comment="Of the delivery that was looked at: no other may use it."),
    Column("rules", Text, nullable=False, server_default=text("''"), comment="Of the run that was looked at."),
    Column("shown", Text, nullable=False, server_default=text("''"), comment="The mark of what was shown of the run."),
    Column("kind", Text, nullable=False, comment="review, confirmation, year or undo."),
    Column("choice", Text, nullable=False, comment="approve, reject or without; of a year: although_not_ready."),
    Column(
        "schools",
        JSONB,
        nullable=False,
        server_default=text("'[]'"),
        comment="Of a review; '' is the delivery itself.",
    ),
    Column("person", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("decided_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("used_by", ForeignKey(f"{IMPORT_LOG}.import_run.id"), comment="The run that relied on it."),
    Index("decision_by_delivery", "dataset", "sha256"),
    comment="Who decided what about which delivery, and why. Rows are only ever added, and marked as used.",
)

hold = Table(
    "hold",
    metadata,
    identity(),
    Column("import_run_id", ForeignKey(f"{IMPORT_LOG}.import_run.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("school_id", Text, nullable=False, server_default=text("''"), comment="Empty: the delivery as a whole."),
    Column("rule_id", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column(
        "state",
        Text,
        nullable=False,
        server_default=text("'open'"),
        comment="open, approved, rejected, expired or superseded.",
    ),
    Column("held_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("decision_id", ForeignKey(f"{IMPORT_LOG}.decision.id")),
    UniqueConstraint("import_run_id", "school_id", "rule_id"),
    comment="What a gate keeps out of a table until a person decides.",
)

school_change = Table(
    "school_change",
    metadata,
    Column("import_run_id", ForeignKey(f"{IMPORT_LOG}.import_run.id", ondelete="CASCADE"), primary_key=True),
    Column("school_id", Text, primary_key=True),
    row_count("standing", "Rows in the table before the load."),
    row_count("new"),
    row_count("changed"),
    row_count("unchanged"),
    row_count("gone", "Rows that the delivery no longer holds."),
    row_count("rejected"),
    row_count("unknown_codes", "Of the rejected ones, those with a code that nobody has mapped."),
    row_count("orphans", "Of the rejected ones, those without a parent row."),
    Column("held", Boolean, nullable=False, server_default=text("false")),
    comment="What a run would do, or did, to each school's rows: the preview, and the gates' history.",
)

acknowledgement = Table(
    "acknowledgement",
    metadata,
    identity(),
    Column("dataset", Text, nullable=False),
    Column("rule_id", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("reason", Text, nullable=False),
    row_count("ceiling", "More rows than this are new again."),
    Column("acknowledged_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("expires_on", Date, nullable=False),
    Index("acknowledgement_by_rule", "dataset", "rule_id"),
    comment="Warnings that a person knows of, until a day and up to a number of rows.",
)
