"""The rules that follow from a data set's declaration and need the whole batch: keys and parents, as SQL on staging."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    String,
    Table,
    and_,
    cast,
    column,
    exists,
    func,
    insert,
    literal,
    select,
    table,
    tuple_,
)

from district.database import create_temporary
from district.dataset import Dataset, Parent
from district.tables import finding_table, repeated_table, staging_table


def judge_derived(
    connection: Connection, dataset: Dataset, parents: dict[str, Table], run_id: int, *, whole: bool
) -> None:
    """Adds the findings of the key and parent rules to the run's findings.

    ``parents`` holds the tables of the parents that have rows; ``whole`` says that all of the delivery is staged.
    """
    staged, findings = staging_table(dataset, run_id), finding_table(dataset, run_id)
    # Rows that were staged later than the file's are not among those that are known to be repeated.
    likely = select(repeated_table(dataset, run_id).c.row_no) if whole else select(staged.c.row_no)
    _add_repetitions(connection, dataset, staged, findings, likely)
    for parent in dataset.parents:
        rule_id = f"{dataset.name}.parent.{parent.dataset}"
        orphans = _orphans(staged, parent, parents.get(parent.dataset))
        _add(connection, findings, rule_id, ",".join(parent.on), orphans)


def _add(
    connection: Connection, findings: Table, rule_id: str, column: str, rows: Select[Any], fate: str = "reject"
) -> None:
    """``rows`` selects row_no and cause."""
    found = rows.subquery()
    parts = (literal("validate"), literal(rule_id), literal(column), found.c.cause, literal(fate))
    connection.execute(
        insert(findings).from_select(
            ["row_no", "stage", "rule_id", "column_name", "cause", "fate"], select(found.c.row_no, *parts)
        )
    )


def _add_repetitions(
    connection: Connection, dataset: Dataset, staged: Table, findings: Table, likely: Select[Any]
) -> None:
    """Rows that share a key: alike ones are superseded by the first, differing ones are all rejected."""
    key = [staged.c[name] for name in dataset.key]
    complete = [part.is_not(None) for part in key]
    repeated = select(*key).where(*complete, staged.c.row_no.in_(likely)).group_by(*key).having(func.count() > 1)
    if create_temporary(connection, "repeated", repeated) == 0:
        return
    content = cast(func.row(*[_plain(staged.c[column.name], column.type) for column in dataset.columns]), String)
    differ = func.min(content).over(partition_by=key) != func.max(content).over(partition_by=key)
    place = func.row_number().over(partition_by=key, order_by=staged.c.row_no)
    again = table("repeated", *[column(name) for name in dataset.key])
    together = tuple_(*key).in_(select(*[again.c[name] for name in dataset.key]))
    rows = select(staged.c.row_no, place.label("place"), differ.label("differ")).where(together).subquery()
    no_cause = literal("").label("cause")
    about = ",".join(dataset.key)
    conflicts = select(rows.c.row_no, no_cause).where(rows.c.differ)
    duplicates = select(rows.c.row_no, no_cause).where(~rows.c.differ, rows.c.place > 1)
    _add(connection, findings, f"{dataset.name}.key.conflict", about, conflicts)
    _add(connection, findings, f"{dataset.name}.key.duplicate", about, duplicates, "supersede")


def _plain(value: Any, kind: str) -> Any:
    """1.0 and 1.00 are the same number."""
    return func.trim_scale(value) if kind == "decimal" else value


def _orphans(staged: Table, parent: Parent, table: Table | None) -> Select[Any]:
    complete = and_(*[staged.c[name].is_not(None) for name in parent.on])
    if table is None:
        return select(staged.c.row_no, literal(f"{parent.dataset} has never been loaded").label("cause")).where(
            complete
        )
    found = exists().where(*[table.c[name] == staged.c[name] for name in parent.on])
    return select(staged.c.row_no, literal("").label("cause")).where(complete, ~found)
