"""Validate: every staged row gets its fate, from the data set's own rules and then from its suite."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Connection,
    Engine,
    Row,
    Table,
    cast,
    delete,
    func,
    insert,
    literal,
    select,
    text,
    update,
)

from district.codes import descriptors
from district.database import raw_cursor
from district.dataset import Dataset
from district.derived import judge_derived
from district.expectations import Failure, RowJudge, judge_batch
from district.gate import judge_rejects
from district.import_log import (
    count_fates,
    count_warnings,
    forget_issues,
    record_findings,
    record_issue,
    update_run,
)
from district.layout import Layout
from district.rules import Rule, derived_rules
from district.run import Held, Refused
from district.suite import Suite
from district.tables import DISTRICT, STAGING, finding_table, staging_table

if TYPE_CHECKING:
    import pandas as pd

# Rows per pandas batch: below 250,000 the fixed cost of a Great Expectations run shows, above it memory does.
BATCH_ROWS = 250_000


def validate_batch(
    engine: Engine, dataset: Dataset, layout: Layout, suite: Suite, parameters: dict[str, Any], run: Row[Any]
) -> None:
    """Judges the staged rows of a run; findings, issues and blanked values are written, nothing is loaded.

    Safe to repeat: what an earlier try found is forgotten first.

    Raises:
        Held: too many rows are rejected, a rule on the whole batch failed, or a rule could not be evaluated.
        Refused: likewise, where the suite says refuse.
    """
    rules = {**derived_rules(dataset), **suite.rules}
    findings = finding_table(dataset, run.id)
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL work_mem = '256MB'"))
        connection.execute(delete(findings).where(findings.c.stage != "extract"))
        forget_issues(connection, run.id, "validate")
        judge_derived(connection, dataset, _parent_tables(connection, dataset), run.id, layout.source)
        _create_view(connection, dataset, layout, run.id)
    # A missing parent is one cause: the suite's view of rows that lack it would only repeat it.
    _close_gate(engine, dataset, run, rules, final=False)
    # Great Expectations reads with connections of its own, so what it is to see is committed first.
    row_failures = list(_judge_rows(engine, dataset, suite, parameters, run.id))
    with engine.begin() as connection:
        for failure in row_failures:
            _add_findings(connection, dataset, run.id, rules[failure.rule_id], failure.rows)
        _drop_repeated_findings(connection, findings)
        _blank(connection, dataset, run.id, suite)
    url = engine.url.render_as_string(hide_password=False)
    batch_failures = list(judge_batch(suite, parameters, url=url, schema=STAGING, view=_view_name(dataset, run.id)))
    stopping = [rules[failure.rule_id] for failure in batch_failures if not failure.rows]
    with engine.begin() as connection:
        for failure in batch_failures:
            _add_findings(connection, dataset, run.id, rules[failure.rule_id], failure.rows)
        for rule in stopping:
            record_issue(connection, dataset, run.id, rule, rows=0, first_line=None, stage="validate")
    _close_gate(engine, dataset, run, rules, final=True)
    _stop(stopping)


def _close_gate(engine: Engine, dataset: Dataset, run: Row[Any], rules: dict[str, Rule], *, final: bool) -> None:
    """Counts the fates so far; records them as issues when judging ends here: at the end, or because the gate holds."""
    with engine.begin() as connection:
        fates = count_fates(connection, dataset, run.id)
    held: Held | None = None
    try:
        judge_rejects(
            dataset, read=run.read, rejected=fates.rejected, orphans=fates.orphans, unmapped=fates.unmapped
        )
    except Held as gate:
        held = gate
    if held or final:
        with engine.begin() as connection:
            record_findings(connection, dataset, run.id, rules)
            counts = {"rejected": fates.rejected, "superseded": fates.superseded}
            update_run(connection, run.id, warnings=count_warnings(connection, run.id), **counts)
    if held:
        raise held


def _stop(stopping: list[Rule]) -> None:
    for outcome, kind in (("refuse", Refused), ("hold", Held)):
        for rule in stopping:
            if rule.on_fail == outcome:
                raise kind(f"{rule.title}. {rule.fix}", rule_id=rule.rule_id)


def _parent_tables(connection: Connection, dataset: Dataset) -> dict[str, Table]:
    """The parents' tables that exist and hold anything."""
    tables: dict[str, Table] = {}
    for parent in dataset.parents:
        name = f"{DISTRICT}.{parent.dataset}"
        if connection.execute(text("SELECT to_regclass(:name)"), {"name": name}).scalar() is None:
            continue
        if connection.execute(text(f"SELECT EXISTS (SELECT FROM {name})")).scalar():
            tables[parent.dataset] = _named(parent.dataset, parent.on)
    return tables


def _named(name: str, columns: tuple[str, ...]) -> Table:
    from sqlalchemy import Column as SqlColumn
    from sqlalchemy import MetaData

    return Table(name, MetaData(schema=DISTRICT), *[SqlColumn(column) for column in columns])


def _view_name(dataset: Dataset, run_id: int) -> str:
    return f"{dataset.name}_{run_id}_batch"


def _create_view(connection: Connection, dataset: Dataset, layout: Layout, run_id: int) -> None:
    """What a suite's SQL sees as ``{batch}``: the rows that no derived rule rejected, with their descriptors."""
    staged, findings = staging_table(dataset, run_id), finding_table(dataset, run_id)
    joined, columns = descriptors(dataset, staged, layout.source)
    gone = select(findings.c.row_no).where(
        findings.c.fate.in_(("reject", "supersede")), findings.c.stage.in_(("extract", "validate"))
    )
    query = select(staged.c.row_no, *columns).select_from(joined).where(staged.c.row_no.not_in(gone))
    body = query.compile(connection, compile_kwargs={"literal_binds": True})
    name = f"{STAGING}.{_view_name(dataset, run_id)}"
    connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")
    connection.exec_driver_sql(f"CREATE VIEW {name} AS {body}".replace("%", "%%"))


def _judge_rows(
    engine: Engine, dataset: Dataset, suite: Suite, parameters: dict[str, Any], run_id: int
) -> Iterator[Failure]:
    if not suite.row:
        return
    judge = RowJudge(suite, parameters)
    for frame in staged_frames(engine, dataset, suite.row_columns, run_id):
        yield from judge.judge(frame)


def staged_frames(engine: Engine, dataset: Dataset, columns: list[str], run_id: int) -> Iterator[pd.DataFrame]:
    """The staged rows as pandas frames of up to BATCH_ROWS, in the types Great Expectations is fast on."""
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    staged = staging_table(dataset, run_id)
    kinds = {"text": pa.string(), "integer": pa.int64(), "decimal": pa.float64(), "date": pa.date32()}
    types = {name: kinds.get(dataset.column(name).type, pa.bool_()) for name in columns}
    query = select(staged.c.row_no, *[staged.c[name] for name in columns])
    read_end, write_end = os.pipe()
    trouble: list[BaseException] = []

    def export() -> None:
        try:
            with os.fdopen(write_end, "wb") as sink, engine.connect() as connection:
                statement = f"COPY ({query.compile(connection)}) TO STDOUT (FORMAT csv)"
                with raw_cursor(connection) as cursor:
                    cursor.copy_expert(statement, sink)
        except BrokenPipeError:
            pass  # the reader stopped early and says why itself
        except BaseException as error:
            trouble.append(error)

    exporter = threading.Thread(target=export, daemon=True)
    exporter.start()
    pending: list[pa.RecordBatch] = []
    waiting = 0
    try:
        with os.fdopen(read_end, "rb") as source:
            names = ["row_no", *columns]
            with suppress(StopIteration):
                reader = _open_typed(arrow_csv, source, names, {"row_no": pa.int64(), **types})
                while True:
                    block = reader.read_next_batch()
                    pending.append(block)
                    waiting += block.num_rows
                    if waiting >= BATCH_ROWS:
                        yield _frame(pending, dataset)
                        pending, waiting = [], 0
    finally:
        exporter.join()
    if trouble:
        raise trouble[0]
    if pending:
        yield _frame(pending, dataset)


def _open_typed(arrow_csv: Any, source: Any, names: list[str], types: dict[str, Any]) -> Any:
    import pyarrow as pa

    try:
        return arrow_csv.open_csv(
            source,
            arrow_csv.ReadOptions(use_threads=False, block_size=16 << 20, column_names=names),
            arrow_csv.ParseOptions(newlines_in_values=True),
            arrow_csv.ConvertOptions(
                column_types=types,
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                null_values=[""],
                true_values=["t"],
                false_values=["f"],
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            raise StopIteration from None
        raise


def _frame(blocks: list[Any], dataset: Dataset) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    table = pa.Table.from_batches(blocks)
    coded = {column.name for column in dataset.coded}
    for index, field in enumerate(table.schema):
        if pa.types.is_date(field.type):
            # Great Expectations is five times slower on any other unit than nanoseconds.
            table = table.set_column(index, field.name, pc.cast(table.column(index), pa.timestamp("ns")))
        elif field.name in coded:
            table = table.set_column(index, field.name, table.column(index).dictionary_encode())
    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    has_nulls = {field.type for field in table.schema if table.column(field.name).null_count}
    return table.to_pandas(types_mapper=lambda kind: nullable.get(kind) if kind in has_nulls else None)


def _add_findings(connection: Connection, dataset: Dataset, run_id: int, rule: Rule, rows: list[int]) -> None:
    if not rows:
        return
    found = select(func.unnest(cast(rows, ARRAY(BigInteger))).label("row_no")).subquery()
    parts = ("suite", rule.rule_id, ",".join(rule.columns), "", rule.on_fail)
    connection.execute(
        insert(finding_table(dataset, run_id)).from_select(
            ["row_no", "stage", "rule_id", "column_name", "cause", "fate"],
            select(found.c.row_no, *[literal(part) for part in parts]),
        )
    )


def _drop_repeated_findings(connection: Connection, findings: Table) -> None:
    """One reason per row and column: where a value is none of its type, the suite's view of it adds nothing."""
    first = findings.alias("first")
    derived = (
        select(first.c.row_no)
        .where(
            first.c.stage != "suite",
            first.c.fate == "reject",
            first.c.row_no == findings.c.row_no,
            first.c.column_name == findings.c.column_name,
        )
        .exists()
    )
    malformed = (
        select(first.c.row_no)
        .where(first.c.stage == "extract", first.c.column_name == "", first.c.row_no == findings.c.row_no)
        .exists()
    )
    connection.execute(delete(findings).where(findings.c.stage == "suite", derived | malformed))
    connection.execute(delete(findings).where(findings.c.stage == "validate", findings.c.fate == "reject", malformed))


def _blank(connection: Connection, dataset: Dataset, run_id: int, suite: Suite) -> None:
    """Removes the values that rules with on_fail blank found bad; the row loads without them."""
    staged, findings = staging_table(dataset, run_id), finding_table(dataset, run_id)
    for rule in suite.rules.values():
        if rule.on_fail == "blank":
            rows = select(findings.c.row_no).where(findings.c.rule_id == rule.rule_id)
            connection.execute(update(staged).where(staged.c.row_no.in_(rows)).values({rule.columns[0]: None}))


def drop_view(connection: Connection, dataset: Dataset, run_id: int) -> None:
    """Drops the view that the suite's SQL saw."""
    connection.exec_driver_sql(f"DROP VIEW IF EXISTS {STAGING}.{_view_name(dataset, run_id)}")


