"""The import log's tables, and the table and staging table that follow from a data set's declaration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import TypeEngine

from district.dataset import Dataset

IMPORT_LOG, STAGING, DISTRICT = "import_log", "staging", "district"

# Staging lives for one run: it is not logged, and analysed when it is full rather than whenever a daemon comes by.
_PASSING: dict[str, Any] = {"prefixes": ["UNLOGGED"], "postgresql_with": {"autovacuum_enabled": False}}

metadata = MetaData(schema=IMPORT_LOG)


def identity() -> Column[int]:
    """A row's own number."""
    return Column("id", BigInteger, Identity(always=True), primary_key=True)


def _now(name: str) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=func.now())


def row_count(name: str, comment: str | None = None) -> Column[int]:
    """A column that counts rows."""
    return Column(name, BigInteger, nullable=False, server_default=text("0"), comment=comment)


delivery = Table(
    "delivery",
    metadata,
    identity(),
    Column("dataset", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("file_name", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("final_newline", Boolean, nullable=False),
    Column("modified_at", DateTime(timezone=True), nullable=False),
    _now("landed_at"),
    UniqueConstraint("dataset", "sha256"),
)

mail = Table(
    "mail",
    metadata,
    identity(),
    Column("key", Text, nullable=False, unique=True),
    Column("roles", JSONB, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body_text", Text, nullable=False),
    Column("body_html", Text, nullable=False),
    _now("queued_at"),
    Column("sent_at", DateTime(timezone=True)),
    Column("refused_at", DateTime(timezone=True)),
    Column("last_error", Text, nullable=False, server_default=text("''")),
    comment="The outbox. Counts and titles only, never a value of a row.",
)

_KINDS = "import, release, undo, semester_change or rehearsal."
import_run = Table(
    "import_run",
    metadata,
    identity(),
    Column("dataset", Text, nullable=False),
    Column("run_key", Text, nullable=False),
    Column("partition", Text, nullable=False),
    Column("night", Date, nullable=False),
    Column("owner", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=text("''")),
    Column("rule_id", Text, nullable=False, server_default=text("''")),
    Column("delivery_id", ForeignKey("delivery.id")),
    # A run that begins again has none of these: NULL, and not the JSON value of that name, which has no elements.
    Column("layout", JSONB(none_as_null=True)),
    Column("plan", JSONB(none_as_null=True)),
    Column(
        "scope", JSONB(none_as_null=True), comment="The values of its scope columns, as texts: [[value, ...], ...]."
    ),
    Column("rules", Text, nullable=False, server_default=text("''"), comment="A digest of what it was judged by."),
    Column("versions", Text, nullable=False, server_default=text("''"), comment="The same, and which parents stood."),
    Column(
        "since_id",
        ForeignKey("import_run.id"),
        comment="The loaded run whose lines it was compared with: of these, only what differs was staged.",
    ),
    *[
        row_count(n)
        for n in ("read", "rejected", "superseded", "held", "warnings", "inserted", "updated", "unchanged", "withdrawn")
    ],
    Column(
        "kind",
        Text,
        nullable=False,
        server_default=text("'import'"),
        comment=_KINDS,
    ),
    Column("about_id", ForeignKey("import_run.id"), comment="The run that it releases or undoes."),
    _now("started_at"),
    Column("finished_at", DateTime(timezone=True)),
    Column("loaded_at", DateTime(timezone=True)),
    Column("digest_id", ForeignKey("mail.id")),
    Column("seconds", JSONB, nullable=False, server_default=text("'{}'"), comment="Of each step, when it last ran."),
    Column(
        "unnoticed",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="No other run, digest or mail takes notice of it: a check, or a run by hand that was broken off.",
    ),
    CheckConstraint(
        "state <> 'loaded' OR read = inserted + updated + unchanged + rejected + superseded + held",
        name="every_row_has_a_fate",
    ),
    Index("import_run_by_key", "dataset", "run_key"),
    Index("import_run_by_night", "night"),
)

import_issue = Table(
    "import_issue",
    metadata,
    identity(),
    Column("import_run_id", ForeignKey("import_run.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("stage", Text, nullable=False),
    Column("rule_id", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("fix", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("column_name", Text, nullable=False, server_default=text("''")),
    Column("cause", Text, nullable=False, server_default=text("''")),
    Column("fate", Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("first_line", BigInteger),
    Column("first_seen", Date, nullable=False),
)

carry = Table(
    "carry",
    metadata,
    Column("import_run_id", ForeignKey("import_run.id"), primary_key=True),
    Column("scope", JSONB, nullable=False, comment="The scope values of the rows that it loaded."),
    Column("kept_out", ARRAY(BigInteger), nullable=False, comment="Lines that are rejected or superseded."),
    Column("reported", ARRAY(BigInteger), nullable=False, comment="Lines that are loaded with a finding."),
    Column("unsent", ARRAY(BigInteger), nullable=False, comment="Rows that stand in its scope and are not its own."),
    comment="What the next delivery judges again although its line did not change.",
)

quarantined_row = Table(
    "quarantined_row",
    metadata,
    identity(),
    Column("import_run_id", ForeignKey("import_run.id"), nullable=False, index=True),
    Column("dataset", Text, nullable=False),
    Column("partition", Text, nullable=False),
    Column("source_line", BigInteger, nullable=False),
    Column("raw", Text, nullable=False, comment="The record as its sender wrote it: personal."),
    Column("reasons", JSONB, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    _now("quarantined_at"),
    Index("quarantined_row_open", "dataset", "partition", postgresql_where=text("state = 'open'")),
)

row_history = Table(
    "row_history",
    metadata,
    identity(),
    Column("import_run_id", ForeignKey("import_run.id"), nullable=False, index=True),
    Column("dataset", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("before", JSONB, nullable=False, comment="The row before this run changed it: personal."),
)

crosswalk = Table(
    "crosswalk",
    metadata,
    identity(),
    Column("code_set", Text, nullable=False),
    Column("source_system", Text, nullable=False),
    Column("school_year_from", Integer, nullable=False),
    Column("school_year_to", Integer, nullable=False),
    Column("local_code", Text, nullable=False),
    Column("standard_code", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=text("''")),
    Column("decided_by", Text, nullable=False),
    _now("decided_at"),
    UniqueConstraint("code_set", "source_system", "local_code", "school_year_from"),
)

calendar_date = Table(
    "calendar_date",
    metadata,
    Column("school_year", Integer, nullable=False),
    Column("date", Date, primary_key=True),
    Column("instructional", Boolean, nullable=False),
    schema=DISTRICT,
)

school_date = Table(
    "school_date",
    metadata,
    Column("school_id", Text, primary_key=True),
    Column("school_year", Integer, primary_key=True, autoincrement=False),
    Column("date", Date, primary_key=True),
    Column("event", Text, nullable=False, server_default=text("''")),
    Column("instructional", Boolean, nullable=False),
    schema=DISTRICT,
    comment="The days of schools whose calendar differs from the district's, of the years in which it does.",
)

school_year = Table(
    "school_year",
    metadata,
    Column("end_year", Integer, primary_key=True, autoincrement=False),
    Column("school_id", Text, primary_key=True, comment="Empty: of every school that has no row of its own."),
    Column("first_day", Date, nullable=False),
    Column("last_day", Date, nullable=False),
    Column("turns_on", Date, nullable=False, comment="From this night on it is the current year."),
    Column("rehearsal_from", Date, nullable=False),
    Column("track", Text, nullable=False, server_default=text("''")),
    Column("status", Text, comment="Set by hand, in place of what follows from the dates."),
    schema=DISTRICT,
)

session = Table(
    "session",
    metadata,
    Column("school_year", Integer, primary_key=True, autoincrement=False),
    Column("school_id", Text, primary_key=True, comment="Empty: of every school that has no row of its own."),
    Column("term_code", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("begin_date", Date, nullable=False),
    Column("end_date", Date, nullable=False),
    Column("marks_due", Date, nullable=False, comment="The end of the grading window, else of the term."),
    schema=DISTRICT,
)

administration = Table(
    "administration",
    metadata,
    Column("key", Text, primary_key=True),
    Column("assessment", Text, nullable=False),
    Column("school_year", Integer, nullable=False),
    Column("test_begin", Date, nullable=False),
    Column("test_end", Date, nullable=False),
    Column("results_begin", Date, nullable=False),
    Column("results_end", Date, nullable=False),
    schema=DISTRICT,
)

CALENDAR = (calendar_date, school_date, school_year, session, administration)

readiness = Table(
    "readiness",
    metadata,
    identity(),
    Column("checked_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("school_year", Integer, nullable=False),
    Column("school_id", Text, nullable=False),
    Column("check", Text, nullable=False),
    Column("share", Numeric, nullable=False, comment="Of what the check asks for: 0 to 1."),
    Column("missing", BigInteger, nullable=False, server_default=text("0")),
    Column("what", Text, nullable=False, server_default=text("''"), comment="What is missing, and what to do."),
    Column("owner", Text, nullable=False),
    Index("readiness_by_year", "school_year", "checked_at"),
    comment="How much of next year's data is there, by school and check.",
)

year_turn = Table(
    "year_turn",
    metadata,
    Column("school_year", Integer, primary_key=True, autoincrement=False),
    Column("rehearsed_since", Date, nullable=False, comment="The first night of its rehearsal."),
    Column("turned_on", Date, comment="From this night on it is the current year; empty: it waits."),
    Column("decision_id", ForeignKey(f"{IMPORT_LOG}.decision.id")),
    comment="School years that were rehearsed: they begin when a person says so, and not before their day.",
)

_TYPES: dict[str, type[TypeEngine[Any]]] = {
    "text": Text,
    "integer": BigInteger,
    "decimal": Numeric,
    "date": Date,
    "boolean": Boolean,
}


def target_table(dataset: Dataset) -> Table:
    """The data set's table: its columns and descriptors, and where each row came from."""
    return Table(
        dataset.name,
        MetaData(schema=DISTRICT),
        *_value_columns(dataset, dataset.required),
        Column("import_run_id", BigInteger, nullable=False),
        Column("source_line", BigInteger, nullable=False),
        Column("withdrawn_at", DateTime(timezone=True)),
        UniqueConstraint(*dataset.key, name=f"{dataset.name}_key"),
        # A scope's rows lie together, as they were loaded: a few pages of index keep closed years from being read.
        Index(
            f"{dataset.name}_scope", *dataset.scope, postgresql_using="brin", postgresql_with={"autosummarize": "on"}
        ),
    )


def staging_table(dataset: Dataset, run_id: int) -> Table:
    """The rows of one run before they are loaded: typed, without a key, unlogged; a crash may empty it."""
    return Table(
        f"{dataset.name}_{run_id}",
        MetaData(schema=STAGING),
        Column("row_no", BigInteger, nullable=False),
        *_value_columns(dataset),
        **_PASSING,
    )


def repeated_table(dataset: Dataset, run_id: int) -> Table:
    """The staged rows whose key may be another row's too, where all of a delivery is staged."""
    columns = [Column("row_no", BigInteger, nullable=False)]
    return Table(f"{dataset.name}_{run_id}_repeated", MetaData(schema=STAGING), *columns, **_PASSING)


def gone_table(dataset: Dataset, run_id: int) -> Table:
    """The keys of lines of the last load that the run's delivery lacks, or that it judges again."""
    return Table(
        f"{dataset.name}_{run_id}_gone",
        MetaData(schema=STAGING),
        Column("row_no", BigInteger, nullable=False),
        *(Column(name, _TYPES[dataset.column(name).type]) for name in dataset.key),
        **_PASSING,
    )


def touched_table(dataset: Dataset, run_id: int) -> Table:
    """The rows that stand and that a comparison of lines says nothing of: ``row_no`` names each by where it came from.

    All other rows of the last load are carried.
    """
    return Table(
        f"{dataset.name}_{run_id}_touched",
        MetaData(schema=STAGING),
        Column("row_no", BigInteger, nullable=False),
        *(Column(name, _TYPES[dataset.column(name).type]) for name in dataset.key),
        **_PASSING,
    )


def census_columns(dataset: Dataset) -> tuple[str, ...]:
    """The columns by whose values the rows of a delivery are counted."""
    return tuple(sorted({*dataset.scope, "school_year", "school_id"} & {column.name for column in dataset.columns}))


def standing_table(dataset: Dataset, run_id: int) -> Table:
    """How many rows stood in the scope of the last load when the run began."""
    return Table(
        f"{dataset.name}_{run_id}_standing",
        MetaData(schema=STAGING),
        *(Column(name, _TYPES[dataset.column(name).type]) for name in census_columns(dataset)),
        Column("rows", BigInteger, nullable=False),
        **_PASSING,
    )


def _value_columns(dataset: Dataset, required: tuple[str, ...] = ()) -> Iterator[Column[Any]]:
    for column in dataset.columns:
        yield Column(column.name, _TYPES[column.type], nullable=column.name not in required)
        if column.descriptor:
            yield Column(column.descriptor, Text)


def finding_table(dataset: Dataset, run_id: int) -> Table:
    """What the rules found in the rows of one run: which row, which rule, which column, and what becomes of the row."""
    return Table(
        f"{dataset.name}_{run_id}_finding",
        MetaData(schema=STAGING),
        Column("row_no", BigInteger, nullable=False),
        Column("stage", Text, nullable=False),
        Column("rule_id", Text, nullable=False),
        Column("column_name", Text, nullable=False),
        Column("cause", Text, nullable=False),
        Column("fate", Text, nullable=False),
        **_PASSING,
    )
