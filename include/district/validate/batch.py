"""Validate: every staged row gets its fate, from the data set's own rules and then from its suite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column as SqlColumn
from sqlalchemy import (
    Connection,
    Engine,
    MetaData,
    Row,
    Table,
    and_,
    cast,
    delete,
    func,
    insert,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.types import BigInteger, Text

from district.database import clean_error
from district.dataset import Dataset
from district.import_log import (
    count_fates,
    count_warnings,
    forget_issues,
    record_findings,
    record_issue,
    update_run,
)
from district.load.gate import judge_rejects
from district.run import Held, Refused
from district.tables import DISTRICT, STAGING, finding_table, staging_table
from district.validate.derived import judge_derived
from district.validate.expectations import RowJudge, judge_batch
from district.validate.frames import distinct_frames
from district.validate.rules import Rule, derived_rules
from district.validate.suite import Suite


def validate_batch(engine: Engine, dataset: Dataset, suite: Suite, parameters: dict[str, Any], run: Row[Any]) -> None:
    """Judges the staged rows of a run; findings, issues and blanked values are written, nothing is loaded.

    Safe to repeat: what an earlier try found is forgotten first.

    Raises:
        Held: too many rows are rejected, a rule on the whole batch failed, or a rule could not be evaluated.
        Refused: a rule on the whole batch failed, and the suite says refuse.
    """
    rules = {**derived_rules(dataset), **suite.rules}
    findings = finding_table(dataset, run.id)
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL work_mem = '256MB'"))
        # What was blanked is gone from the rows: no second look finds it.
        blanked = [rule.rule_id for rule in suite.rules.values() if rule.on_fail == "blank"]
        connection.execute(delete(findings).where(findings.c.stage != "extract", findings.c.rule_id.not_in(blanked)))
        forget_issues(connection, run.id, "validate")
        judge_derived(connection, dataset, _parent_tables(connection, dataset), run.id)
        _create_view(connection, dataset, run.id)
    # A missing parent is one cause: the suite's view of rows that lack it would only repeat it.
    _close_gate(engine, dataset, run, rules, final=False)
    failed_rows = _judge_rows(engine, dataset, suite, parameters, run.id)
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL work_mem = '256MB'"))
        for values, failures in failed_rows.items():
            _add_row_findings(connection, dataset, run.id, values, failures, rules)
        connection.exec_driver_sql(f"ANALYZE {STAGING}.{findings.name}")
        _drop_repeated_findings(connection, findings)
        _blank(connection, dataset, run.id, suite)
        for spec in suite.sql:
            _add_sql_findings(connection, dataset, run.id, spec, rules[spec["meta"]["rule_id"]])
    url = engine.url.render_as_string(hide_password=False)
    failed = judge_batch(suite, parameters, url=url, schema=STAGING, view=_view_name(dataset, run.id))
    stopping = [rules[rule_id] for rule_id in failed]
    with engine.begin() as connection:
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
        judge_rejects(dataset, read=run.read, rejected=fates.rejected, orphans=fates.orphans, unmapped=fates.unmapped)
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
    return Table(name, MetaData(schema=DISTRICT), *[SqlColumn(column) for column in columns])


def _view_name(dataset: Dataset, run_id: int) -> str:
    return f"{dataset.name}_{run_id}_batch"


def _create_view(connection: Connection, dataset: Dataset, run_id: int) -> None:
    """What a suite's SQL sees as ``{batch}``: the rows that no rule of the data set itself keeps out."""
    staged, findings = staging_table(dataset, run_id), finding_table(dataset, run_id)
    gone = select(findings.c.row_no).where(
        findings.c.fate.in_(("reject", "supersede")), findings.c.stage.in_(("extract", "validate"))
    )
    query = select(staged).where(staged.c.row_no.not_in(gone))
    body = query.compile(connection, compile_kwargs={"literal_binds": True})
    name = f"{STAGING}.{_view_name(dataset, run_id)}"
    connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")
    connection.exec_driver_sql(f"CREATE VIEW {name} AS {body}")


def drop_view(connection: Connection, dataset: Dataset, run_id: int) -> None:
    """Drops the view that the suite's SQL saw."""
    connection.exec_driver_sql(f"DROP VIEW IF EXISTS {STAGING}.{_view_name(dataset, run_id)}")


@dataclass(frozen=True, kw_only=True)
class _Values:
    """A group of columns, and those of them that are null: values of one such shape are found by equality alone."""

    columns: tuple[str, ...]
    nulls: tuple[str, ...]


def _judge_rows(
    engine: Engine, dataset: Dataset, suite: Suite, parameters: dict[str, Any], run_id: int
) -> dict[_Values, list[tuple[str, int]]]:
    """The rules that fail, each with the first row that holds the values that fail it.

    A rule on some columns gives the same answer for the same values, and values repeat: what Great Expectations
    judges is each combination once, a few hundred in place of a million rows.
    """
    failures: dict[_Values, list[tuple[str, int]]] = {}
    if not suite.row:
        return failures
    groups = list(suite.row_groups)
    judge = RowJudge(suite, parameters)
    for frame in distinct_frames(engine, dataset, groups, run_id):
        frame["place"] = range(len(frame))
        group_of, row_of = frame["group"].to_numpy(), frame["row_no"].to_numpy()
        missing = {name: frame[name].isna().to_numpy() for group in groups for name in group}
        for failure in judge.judge(frame):
            for place in failure.places:
                group = groups[int(group_of[place])]
                # Rows of other groups are null in this rule's columns, and say nothing about it.
                if failure.rule_id in suite.row_groups[group]:
                    nulls = tuple(name for name in group if missing[name][place])
                    values = _Values(columns=group, nulls=nulls)
                    failures.setdefault(values, []).append((failure.rule_id, int(row_of[place])))
    return failures


def _add_row_findings(
    connection: Connection,
    dataset: Dataset,
    run_id: int,
    values: _Values,
    failures: list[tuple[str, int]],
    rules: dict[str, Rule],
) -> None:
    """A finding for every row that holds the same values as a first row that failed."""
    staged, findings = staging_table(dataset, run_id), finding_table(dataset, run_id)
    failed = select(
        func.unnest(cast([rule_id for rule_id, _ in failures], ARRAY(Text))).label("rule_id"),
        func.unnest(cast([rules[rule_id].on_fail for rule_id, _ in failures], ARRAY(Text))).label("fate"),
        func.unnest(cast([",".join(rules[rule_id].columns) for rule_id, _ in failures], ARRAY(Text))).label("columns"),
        func.unnest(cast([row for _, row in failures], ARRAY(BigInteger))).label("row_no"),
    ).subquery()
    first = staged.alias("first")
    same = [
        staged.c[name].is_(None) if name in values.nulls else staged.c[name] == first.c[name] for name in values.columns
    ]
    rows = select(
        staged.c.row_no, literal("suite"), failed.c.rule_id, failed.c.columns, literal(""), failed.c.fate
    ).select_from(failed.join(first, first.c.row_no == failed.c.row_no).join(staged, and_(*same)))
    columns = ["row_no", "stage", "rule_id", "column_name", "cause", "fate"]
    connection.execute(insert(findings).from_select(columns, rows))


def _add_sql_findings(connection: Connection, dataset: Dataset, run_id: int, spec: dict[str, Any], rule: Rule) -> None:
    """Runs a rule's query where the rows are; only their numbers are taken from it.

    Raises:
        Held: the query fails, or gives no row_no.
    """
    query = spec["kwargs"]["unexpected_rows_query"].replace(
        "{batch}", f"{STAGING}.{_view_name(dataset, run_id)} AS batch"
    )
    parts = {"rule_id": rule.rule_id, "columns": ",".join(rule.columns), "fate": rule.on_fail}
    table = f"{STAGING}.{finding_table(dataset, run_id).name}"
    statement = text(
        f"INSERT INTO {table} (row_no, stage, rule_id, column_name, cause, fate) "
        f"SELECT DISTINCT found.row_no, 'suite', :rule_id, :columns, '', :fate FROM ({_quoted(query)}) AS found"
    )
    try:
        with connection.begin_nested():
            connection.execute(statement, parts)
    except SQLAlchemyError as error:
        kind = clean_error(error)
        message = f"Rule {rule.rule_id} could not be evaluated: its query failed with {kind}. Correct it in the suite."
        raise Held(message, rule_id="suite.crashed") from None


def _quoted(query: str) -> str:
    """A colon in a rule's SQL is SQL's own, not a parameter of ours; a comment may end it."""
    return query.rstrip("; \n").replace(":", "\\:") + "\n"


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
