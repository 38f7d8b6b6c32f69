"""Validate: every staged row gets its fate, from the data set's own rules and then from its suite."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column as SqlColumn
from sqlalchemy import Connection, Engine, MetaData, Row, Table, delete, select, text, union_all
from sqlalchemy.exc import SQLAlchemyError

from district.carried import carried_rows, since_of, wake_found
from district.database import clean_error
from district.dataset import Dataset
from district.import_log import update_run
from district.issues import count_fates, count_warnings, forget_issues, record_findings, record_issue
from district.run import Held, Refused
from district.semester_change.nights import CHANGE, change_rows
from district.settings import settings
from district.tables import DISTRICT, STAGING, finding_table, staging_table
from district.validate.derived import judge_derived
from district.validate.expectations import judge_batch
from district.validate.fates import KEPT_OUT, values_of
from district.validate.row_rules import judge_rows
from district.validate.rules import Rule, derived_rules
from district.validate.suite import Suite


def validate_batch(engine: Engine, dataset: Dataset, suite: Suite, parameters: dict[str, Any], run: Row[Any]) -> None:
    """Judges the staged rows of a run; findings and issues are written, nothing is loaded.

    Safe to repeat: what an earlier try found is forgotten first.

    Raises:
        Held: a rule could not be evaluated.
        Refused: a rule on the whole batch failed, and the suite says refuse. One that says hold is left to the gate.
    """
    rules = {**derived_rules(dataset), **suite.rules}
    findings = finding_table(dataset, run.id)
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL work_mem = '256MB'"))
        # Until the last rule has been asked again, the run is not validated.
        update_run(connection, run.id, state="extracted")
        connection.execute(delete(findings).where(findings.c.stage != "extract"))
        forget_issues(connection, run.id, "validate")
        since = since_of(connection, run)
        judge_derived(connection, dataset, _parent_tables(connection, dataset), run.id, whole=since is None)
        _create_views(connection, dataset, suite, run.id, since)
    with engine.begin() as connection:
        fates = count_fates(connection, dataset, run.id)
    # Where nothing is left, as without a parent, the suite's view of the rows would only repeat the one cause.
    failed = _ask_suite(engine, dataset, suite, parameters, run, since) if fates.rejected < run.read else []
    with engine.begin() as connection:
        for rule_id in failed:
            record_issue(connection, dataset, run.id, rules[rule_id], rows=0, first_line=None, stage="validate")
        record_findings(connection, dataset, run.id, rules)
        fates = count_fates(connection, dataset, run.id)
        counts = {"rejected": fates.rejected, "superseded": fates.superseded}
        update_run(connection, run.id, warnings=count_warnings(connection, run.id), **counts)
    for rule in (rules[rule_id] for rule_id in failed):
        if rule.on_fail == "refuse":
            raise Refused(f"{rule.title}. {rule.fix}", rule_id=rule.rule_id)


def _ask_suite(
    engine: Engine, dataset: Dataset, suite: Suite, parameters: dict[str, Any], run: Row[Any], since: Row[Any] | None
) -> list[str]:
    """Adds what the suite finds in the rows; returns the rules on the whole batch that failed."""
    findings = finding_table(dataset, run.id)
    judge_rows(engine, dataset, suite, parameters, run.id)
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL work_mem = '256MB'"))
        connection.exec_driver_sql(f"ANALYZE {STAGING}.{findings.name}")
        _drop_repeated_findings(connection, findings)
        for spec in suite.sql:
            _add_sql_findings(connection, dataset, run, spec, suite.rules[spec["meta"]["rule_id"]])
        if since is not None:
            wake_found(connection, dataset, run, since)
        connection.exec_driver_sql(f"ANALYZE {STAGING}.{findings.name}")
    url = engine.url.render_as_string(hide_password=False)
    return judge_batch(suite, parameters, url=url, schema=STAGING, view=_view_name(dataset, run.id))


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


def _view_name(dataset: Dataset, run_id: int, what: str = "batch") -> str:
    return f"{dataset.name}_{run_id}_{what}"


def _create_views(connection: Connection, dataset: Dataset, suite: Suite, run_id: int, since: Row[Any] | None) -> None:
    """What a suite's SQL sees as ``{batch}``: the rows that no rule of the data set itself keeps out, as they load.

    A rule that judges each row alone sees the ``staged`` ones; the whole ``batch`` has the carried ones too.
    """
    staged, findings = staging_table(dataset, run_id), finding_table(dataset, run_id)
    gone = select(findings.c.row_no).where(findings.c.fate.in_(KEPT_OUT), findings.c.stage.in_(("extract", "validate")))
    blanked = {rule.columns[0] for rule in suite.rules.values() if rule.on_fail == "blank"}
    query = select(staged.c.row_no, *values_of(dataset, staged, findings, blanked)).where(staged.c.row_no.not_in(gone))
    drop_views(connection, dataset, run_id)
    whole = query if since is None else union_all(query, carried_rows(dataset, run_id, since))
    for what, rows in (("staged", query), ("batch", whole)):
        body = rows.compile(connection, compile_kwargs={"literal_binds": True})
        connection.exec_driver_sql(f"CREATE VIEW {STAGING}.{_view_name(dataset, run_id, what)} AS {body}")


def drop_views(connection: Connection, dataset: Dataset, run_id: int) -> None:
    """Drops the views that the suite's SQL saw."""
    for what in ("batch", "staged"):
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {STAGING}.{_view_name(dataset, run_id, what)}")


def _add_sql_findings(
    connection: Connection, dataset: Dataset, run: Row[Any], spec: dict[str, Any], rule: Rule
) -> None:
    """Runs a rule's query where the rows are; only their numbers are taken from it.

    Raises:
        Held: the query fails, or gives no row_no.
    """
    seen = "staged" if spec["meta"].get("judges") == "row" else "batch"
    view = f"{STAGING}.{_view_name(dataset, run.id, seen)}"
    query = spec["kwargs"]["unexpected_rows_query"].replace("{batch}", f"{view} AS batch")
    query = query.replace(CHANGE, change_rows(settings().district, run.night, view))
    parts = {"rule_id": rule.rule_id, "columns": ",".join(rule.columns), "fate": rule.on_fail}
    table = f"{STAGING}.{finding_table(dataset, run.id).name}"
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
