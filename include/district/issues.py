"""Issues: what went wrong in a run, one line per rule and cause, as people read it in the import log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, case, delete, func, insert, literal, or_, select

from district.counted import counted
from district.dataset import Dataset
from district.extract.plan import FileWarning
from district.tables import crosswalk, finding_table, import_issue, import_run
from district.validate.rules import WORDS, Rule

# A column of codes has no more of them than this, and they repeat; else another column stands in its place.
MAX_CODES = 100
FEW_CODES = 10
# A code is as short as those of its code sets, or as this; what is longer may be a name that slid into the column.
CODE_LENGTH = 6


def record_file_issue(connection: Connection, dataset: Dataset, run_id: int, warning: FileWarning, stage: str) -> None:
    """An issue of the file as a whole."""
    rule = Rule(
        rule_id=warning.rule_id,
        severity="warning" if warning.severity == "warning" else "info",
        title=warning.title,
        fix=warning.fix,
        owner=dataset.owner,
        on_fail="report",
    )
    record_issue(connection, dataset, run_id, rule, rows=1, first_line=None, cause=warning.cause, stage=stage)


def record_issue(
    connection: Connection,
    dataset: Dataset,
    run_id: int,
    rule: Rule,
    *,
    rows: int,
    first_line: int | None,
    stage: str,
    cause: str = "",
) -> None:
    """One issue: a rule, its cause where one is known, and how many rows it touches."""
    earlier = (
        select(func.min(import_issue.c.first_seen))
        .join(import_run, import_run.c.id == import_issue.c.import_run_id)
        .where(
            import_run.c.dataset == dataset.name, import_issue.c.rule_id == rule.rule_id, import_issue.c.cause == cause
        )
        .scalar_subquery()
    )
    night = select(import_run.c.night).where(import_run.c.id == run_id).scalar_subquery()
    values = {
        "import_run_id": run_id,
        "stage": stage,
        "rule_id": rule.rule_id,
        "severity": rule.severity,
        "title": rule.title,
        "fix": rule.fix,
        "owner": rule.owner,
        "column_name": ",".join(rule.columns),
        "cause": cause,
        "fate": rule.on_fail,
        "rows": rows,
        "first_line": first_line,
        "first_seen": func.coalesce(earlier, night),
    }
    connection.execute(insert(import_issue).values(values))


def record_findings(connection: Connection, dataset: Dataset, run_id: int, rules: dict[str, Rule]) -> None:
    """Turns the run's findings into issues, one per rule and cause; causes that are no codes are not told."""
    findings = finding_table(dataset, run_id)
    by_cause = (
        select(
            findings.c.rule_id, findings.c.cause, func.count().label("rows"), func.min(findings.c.row_no).label("first")
        )
        .group_by(findings.c.rule_id, findings.c.cause)
        .subquery()
    )
    found = by_cause.c
    known = select(func.max(func.length(crosswalk.c.local_code)))
    known = known.where(crosswalk.c.code_set.in_([each.code_set for each in dataset.coded]))
    too_long = func.length(found.cause) > func.greatest(CODE_LENGTH, known.scalar_subquery())
    causes = func.count().over(partition_by=found.rule_id)
    all_rows = func.sum(found.rows).over(partition_by=found.rule_id)
    no_codes = or_(causes > MAX_CODES, too_long, and_(causes > FEW_CODES, 2 * causes > all_rows))
    told = case((and_(found.rule_id.endswith(".code"), no_codes), ""), else_=found.cause)
    named = select(found.rule_id, told.label("cause"), found.rows, found.first).subquery().c
    query = select(named.rule_id, named.cause, func.sum(named.rows), func.min(named.first))
    for rule_id, cause, rows, first in connection.execute(query.group_by(named.rule_id, named.cause)).all():
        record_issue(
            connection, dataset, run_id, rules[rule_id], rows=rows, first_line=first, cause=cause, stage="validate"
        )


def forget_issues(connection: Connection, run_id: int, stage: str) -> None:
    """Removes the issues that an earlier try of a stage recorded."""
    gone = (import_issue.c.import_run_id == run_id, import_issue.c.stage == stage)
    connection.execute(delete(import_issue).where(*gone))


@dataclass(frozen=True, kw_only=True)
class Fates:
    """How many rows the findings keep out, and why."""

    rejected: int
    superseded: int


def count_fates(connection: Connection, dataset: Dataset, run_id: int) -> Fates:
    """The fates of the run's rows as the findings so far have them; a row that is rejected is not superseded too."""
    findings = finding_table(dataset, run_id)
    by_row = (
        select(
            findings.c.row_no,
            func.bool_or(findings.c.fate == "reject").label("rejected"),
            func.bool_or(findings.c.fate == "supersede").label("superseded"),
        )
        .group_by(findings.c.row_no)
        .subquery()
    )
    found = by_row.c
    query = select(func.count().filter(found.rejected), func.count().filter(found.superseded, ~found.rejected))
    rejected, superseded = connection.execute(query.select_from(by_row)).one()
    return Fates(rejected=rejected, superseded=superseded)


def count_warnings(connection: Connection, run_id: int) -> int:
    """The sum over the run's warnings."""
    warnings = select(func.coalesce(func.sum(import_issue.c.rows), 0)).where(
        import_issue.c.import_run_id == run_id, import_issue.c.severity == "warning"
    )
    return int(connection.execute(warnings).scalar_one())


def issues_of(connection: Connection, run_id: int, limit: int | None = None) -> list[Row[Any]]:
    """The run's issues, those that stop the most rows first."""
    grade = case((import_issue.c.severity == "critical", 0), (import_issue.c.severity == "warning", 1), else_=2)
    query = select(import_issue).where(import_issue.c.import_run_id == run_id)
    return list(connection.execute(query.order_by(grade, import_issue.c.rows.desc(), import_issue.c.id).limit(limit)))


@dataclass(frozen=True, kw_only=True)
class RuleIssue:
    """All of a run's issues of one rule, as people are told of them outside the import log: without their causes."""

    word: str
    rows: int
    title: str
    fix: str

    @property
    def counted(self) -> str:
        """How many rows."""
        return counted(self.rows, "row")

    @property
    def line(self) -> str:
        """As an item of a list in Markdown."""
        return f"- **{self.word}**, {self.counted}: {self.title}"


def rules_of(connection: Connection, run_id: int) -> list[RuleIssue]:
    """The run's issues, one per rule, those that stop the most rows first.

    Which code it was stands in the import log alone: what was typed into a code's column may be no code.
    """
    by_rule: dict[str, RuleIssue] = {}
    for issue in issues_of(connection, run_id):
        earlier = by_rule.get(issue.rule_id)
        by_rule[issue.rule_id] = RuleIssue(
            word=WORDS[issue.severity],
            rows=issue.rows + (earlier.rows if earlier else 0),
            title=issue.title,
            fix=issue.fix,
        )
    order = list(WORDS.values())
    return sorted(by_rule.values(), key=lambda each: (order.index(each.word), -each.rows))


def copy_issues(connection: Connection, from_run: int, to_run: int) -> None:
    """An unchanged file's issues are those it had when it was loaded."""
    names = [each.name for each in import_issue.columns if each.name not in ("id", "import_run_id")]
    rows = select(literal(to_run), *[import_issue.c[name] for name in names]).where(
        import_issue.c.import_run_id == from_run
    )
    connection.execute(insert(import_issue).from_select(["import_run_id", *names], rows))
