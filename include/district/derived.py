"""The rules that follow from a data set's declaration and need the whole batch: codes, keys, parents, as SQL on staging."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    String,
    Table,
    and_,
    cast,
    exists,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    tuple_,
)

from district.dataset import Dataset, Parent
from district.tables import crosswalk, finding_table, staging_table


def judge_derived(connection: Connection, dataset: Dataset, parents: dict[str, Table], run_id: int, source: str) -> None:
    """Adds the findings of the code, key and parent rules to the run's findings.

    ``parents`` holds the tables of the parents that exist; ``source`` is the source system as the crosswalk names it.
    """
    staged, findings = staging_table(dataset, run_id), finding_table(dataset, run_id)
    for column in dataset.coded:
        _add(connection, findings, f"{dataset.name}.{column.name}.code", column.name, _unmapped(staged, column, source))
    _add_repetitions(connection, dataset, staged, findings)
    for parent in dataset.parents:
        rule_id = f"{dataset.name}.parent.{parent.dataset}"
        orphans = _orphans(staged, parent, parents.get(parent.dataset))
        _add(connection, findings, rule_id, ",".join(parent.on), orphans)


def _add(
    connection: Connection, findings: Table, rule_id: str, column: str, rows: Select[Any], fate: str = "reject"
) -> None:
    """``rows`` selects row_no and cause."""
    found = rows.subquery()
    connection.execute(
        insert(findings).from_select(
            ["row_no", "stage", "rule_id", "column_name", "cause", "fate"],
            select(
                found.c.row_no, literal("validate"), literal(rule_id), literal(column), found.c.cause, literal(fate)
            ),
        )
    )


def mapped(code: Any, code_set: str, school_year: Any, source: str, entry: Any = crosswalk) -> Any:
    """The crosswalk entry that a code, a school year and a source system lead to, as a join condition."""
    return and_(
        entry.c.code_set == code_set,
        entry.c.source_system == source,
        entry.c.local_code == code,
        school_year.between(entry.c.school_year_from, entry.c.school_year_to),
    )


def _unmapped(staged: Table, column: Any, source: str) -> Select[Any]:
    code = staged.c[column.name]
    # The distinct codes are few: they are looked up once each, then joined back.
    distinct = (
        select(code.label("code"), staged.c.school_year)
        .where(code.is_not(None), staged.c.school_year.is_not(None))
        .distinct()
        .subquery()
    )
    known = exists().where(mapped(distinct.c.code, column.code_set, distinct.c.school_year, source))
    unknown = select(distinct).where(~known).subquery()
    return select(staged.c.row_no, unknown.c.code.label("cause")).join(
        unknown, and_(unknown.c.code == code, unknown.c.school_year == staged.c.school_year)
    )


def _add_repetitions(connection: Connection, dataset: Dataset, staged: Table, findings: Table) -> None:
    """Rows that share a key: alike ones are superseded by the first, differing ones are all rejected."""
    key = [staged.c[name] for name in dataset.key]
    repeated = select(*key).where(*[part.is_not(None) for part in key]).group_by(*key).having(func.count() > 1).subquery()
    content = cast(func.row(*[staged.c[column.name] for column in dataset.columns]), String)
    together = tuple_(*key)
    rows = (
        select(
            staged.c.row_no,
            func.row_number().over(partition_by=key, order_by=staged.c.row_no).label("place"),
            (
                func.min(content).over(partition_by=key) != func.max(content).over(partition_by=key)
            ).label("differ"),
        )
        .where(together.in_(select(*repeated.c)))
        .subquery()
    )
    no_cause = literal("").label("cause")
    conflicts = select(rows.c.row_no, no_cause).where(rows.c.differ)
    duplicates = select(rows.c.row_no, no_cause).where(~rows.c.differ, rows.c.place > 1)
    keys = ",".join(dataset.key)
    _add(connection, findings, f"{dataset.name}.key.conflict", keys, conflicts)
    _add(connection, findings, f"{dataset.name}.key.duplicate", keys, duplicates, "supersede")


def _orphans(staged: Table, parent: Parent, table: Table | None) -> Select[Any]:
    complete = and_(*[staged.c[name].is_not(None) for name in parent.on])
    if table is None:
        return select(staged.c.row_no, literal(f"{parent.dataset} has never been loaded").label("cause")).where(complete)
    values = [staged.c[name] for name in parent.on]
    distinct = select(*values).where(complete).distinct().subquery()
    found = exists().where(*[table.c[name] == distinct.c[name] for name in parent.on])
    missing = select(distinct).where(~found).subquery()
    return select(staged.c.row_no, literal("").label("cause")).join(
        missing, and_(*[missing.c[name] == staged.c[name] for name in parent.on])
    )


def sent_but_rejected(dataset: Dataset, staged: Table, findings: Table, target: Table) -> Any:
    """Whether a rejected row may be the target's row: every part of its key that can be read is the same.

    Nobody disappears because a line was bad: such a row of the target is not taken for a vanished one.
    """
    rejected = select(findings.c.row_no).where(findings.c.fate == "reject")
    return exists().where(
        staged.c.row_no.in_(rejected),
        or_(*[staged.c[name].is_(null()) for name in dataset.key]),
        *[or_(staged.c[name].is_(null()), staged.c[name] == target.c[name]) for name in dataset.key],
    )
