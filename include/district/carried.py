"""Carried rows: those of the last load that are not staged, since their lines are the same and were in order.

They stand in the table and are judged only by rules that look at the whole batch. A row in which such a rule finds
something is *woken*: staged, and given the number of its line in tonight's file.
See ``docs/explanation/second-nights.md``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Select,
    Table,
    Text,
    and_,
    cast,
    column,
    delete,
    exists,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    table,
    tuple_,
    union,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.schema import CreateTable

from district.database import analyse, create_temporary
from district.dataset import Dataset
from district.extract.landing import Landed, land
from district.extract.plan import Plan
from district.extract.reading import read_batches
from district.extract.records import count_lines
from district.extract.scope import Census
from district.extract.values import convert
from district.import_log import landed_path, layout_of, speaks_for
from district.layout import Layout
from district.run import Held, ImportStopped
from district.tables import (
    carry,
    census_columns,
    finding_table,
    gone_table,
    import_run,
    staging_table,
    standing_table,
    target_table,
    touched_table,
)
from district.validate.fates import KEPT_OUT

CARRY_COLUMNS = (carry.c.scope.label("loaded_scope"), carry.c.kept_out, carry.c.reported, carry.c.unsent)


def since_of(connection: Connection, run: Row[Any]) -> Row[Any] | None:
    """The load whose rows the run carries, with what was found in them; None where all rows are staged.

    Raises:
        Held: another run has loaded meanwhile.
    """
    if run.since_id is None:
        return None
    query = select(import_run, *CARRY_COLUMNS).join(carry, carry.c.import_run_id == import_run.c.id)
    since = connection.execute(query.where(import_run.c.id == run.since_id)).first()
    if since is None:
        message = "Another run has loaded since this one began; clear `extract` to look again."
        raise Held(message, rule_id="run.overtaken")
    return since


def standing_id(target: Table) -> ColumnElement[int]:
    """Names a row that stands, by run and line: below zero, so that it is no line of tonight's file."""
    return -(target.c.import_run_id * literal(1 << 32, BigInteger) + target.c.source_line)


def touch(connection: Connection, dataset: Dataset, run_id: int, since: Row[Any]) -> None:
    """Notes which rows that stand have the key of a line that differs, or had no line in the last load."""
    target, touched = target_table(dataset), touched_table(dataset, run_id)
    key = [target.c[name] for name in dataset.key]
    lines = (staging_table(dataset, run_id), gone_table(dataset, run_id))
    differing = union(*[select(*[rows.c[name] for name in dataset.key]) for rows in lines]).subquery()
    rows = [select(standing_id(target), *key).join(differing, _same_key(dataset, target, differing))]
    if since.unsent:
        rows.append(select(standing_id(target), *key).where(standing_id(target).in_(_unsent_by(since))))
    connection.execute(CreateTable(touched))
    connection.execute(insert(touched).from_select(["row_no", *dataset.key], union(*rows)))
    analyse(connection, touched)


def count_standing(connection: Connection, dataset: Dataset, run_id: int, since: Row[Any]) -> None:
    """Counts the rows that stand in the scope of the last load: once, for all who ask until the run is done."""
    target, counts = target_table(dataset), standing_table(dataset, run_id)
    names = census_columns(dataset)
    columns = [target.c[name] for name in names]
    counted = select(*columns, func.count()).where(_standing(dataset, target, since)).group_by(*columns)
    connection.execute(CreateTable(counts))
    connection.execute(insert(counts).from_select([*names, "rows"], counted))


def count_carried(connection: Connection, dataset: Dataset, run_id: int, since: Row[Any]) -> Census:
    """The rows that are carried: those that stand, less those that were touched."""
    target, counts, touched = target_table(dataset), standing_table(dataset, run_id), touched_table(dataset, run_id)
    names = census_columns(dataset)
    columns = [target.c[name] for name in names]
    lost = select(*columns, func.count()).join(touched, _same_key(dataset, target, touched))
    less = connection.execute(lost.where(_standing(dataset, target, since)).group_by(*columns))
    rows = Counter({tuple(values): count for *values, count in connection.execute(select(counts))})
    rows.subtract({tuple(values): count for *values, count in less})
    return Census(names=names, rows=+rows)


def carried_rows(dataset: Dataset, run_id: int, since: Row[Any]) -> Select[Any]:
    """The rows that stand for lines which the delivery still has and which are not staged.

    They have no line number yet: ``row_no`` is negative and names the row by where it came from.
    """
    target, touched = target_table(dataset), touched_table(dataset, run_id)
    columns = [target.c[name] for name in dataset.target_columns]
    rows = select(standing_id(target).label("row_no"), *columns)
    return rows.where(_standing(dataset, target, since), standing_id(target).not_in(select(touched.c.row_no)))


def doubled_rows(connection: Connection, dataset: Dataset, run_id: int, since: Row[Any]) -> Select[Any]:
    """Rows whose line is still there and whose key another line has now, or had: which of them counts is judged anew.

    The usual touched row is that of a changed line: then the line that was loaded is one of those gone.
    """
    target, touched, gone = target_table(dataset), touched_table(dataset, run_id), gone_table(dataset, run_id)
    kept_out = select(func.unnest(carry.c.kept_out)).where(carry.c.import_run_id == since.id)
    was_loaded = select(gone).where(gone.c.row_no.not_in(kept_out)).subquery()
    keys = keys_kept(connection, dataset, touched, no_key_of(dataset, touched, was_loaded))
    columns = [target.c[name] for name in dataset.target_columns]
    rows = select(standing_id(target), *columns).join(keys, _same_key(dataset, target, keys))
    return rows.where(_standing(dataset, target, since), standing_id(target).not_in(_unsent_by(since)))


def keys_kept(connection: Connection, dataset: Dataset, touched: Table, condition: ColumnElement[bool]) -> FromClause:
    """The touched keys that meet a condition, in a temporary table to join the target with.

    Settled before the target is looked at: the planner takes a row that passes such conditions for a rarity, and then
    joins by comparing everything with everything.
    """
    kept = select(*[touched.c[name] for name in dataset.key]).where(condition)
    create_temporary(connection, "touched_keys", kept)
    columns: list[Any] = [column(name) for name in dataset.key]
    return table("touched_keys", *columns)


def no_key_of(dataset: Dataset, asked: FromClause, rows: FromClause) -> ColumnElement[bool]:
    """Whether none of some thousand ``rows`` has the key of a row that is ``asked`` about.

    Always answered from a hash table. For an anti-join the planner takes four equal columns for a rarity, and then
    compares everything with everything.
    """
    key = [rows.c[name] for name in dataset.key]
    told = select(*key).where(*[part.is_not(None) for part in key])
    return tuple_(*[asked.c[name] for name in dataset.key]).not_in(told)


def wake(connection: Connection, dataset: Dataset, run_id: int, rows: Select[Any]) -> int:
    """Stages rows that stand, so that they are judged; returns how many."""
    staged, touched = staging_table(dataset, run_id), touched_table(dataset, run_id)
    woken = connection.execute(insert(staged).from_select(["row_no", *dataset.target_columns], rows)).rowcount
    if woken:
        names = ["row_no", *dataset.key]
        mine = select(*[staged.c[name] for name in names]).where(
            staged.c.row_no < 0, staged.c.row_no.not_in(select(touched.c.row_no))
        )
        connection.execute(insert(touched).from_select(names, mine))
    return woken


def wake_found(connection: Connection, dataset: Dataset, run: Row[Any], since: Row[Any]) -> None:
    """Stages the carried rows in which a rule on the whole batch found something, and gives woken rows their lines."""
    findings = finding_table(dataset, run.id)
    found = select(findings.c.row_no).where(findings.c.row_no < 0)
    if connection.execute(select(exists(found))).scalar():
        rows = carried_rows(dataset, run.id, since).subquery()
        wake(connection, dataset, run.id, select(rows).where(rows.c.row_no.in_(found)))
        give_lines(connection, dataset, run.id, *reread(connection, run), found_only=True)


def give_lines(
    connection: Connection,
    dataset: Dataset,
    run_id: int,
    landed: Landed,
    layout: Layout,
    plan: Plan,
    *,
    found_only: bool,
) -> None:
    """Gives woken rows (or those in which something was found) the numbers of their lines in tonight's file.

    Raises:
        ImportStopped: a row has no line.
    """
    findings, staged = finding_table(dataset, run_id), staging_table(dataset, run_id)
    query = select(staged.c.row_no, *[cast(staged.c[name], Text) for name in dataset.key]).where(staged.c.row_no < 0)
    if found_only:
        query = query.where(staged.c.row_no.in_(select(findings.c.row_no)))
    nameless = {tuple(values): number for number, *values in connection.execute(query)}
    taken = set(connection.execute(select(staged.c.row_no).where(staged.c.row_no > 0)).scalars())
    found = _lines_with(landed, dataset, layout, plan, set(nameless))
    lines = {nameless[values]: line for values, line in found if line not in taken}
    if len(lines) != len(nameless):
        raise ImportStopped(f"{dataset.name}: its table was changed by hand; import the file by hand to mend it.")
    pairs = func.unnest(cast(list(lines), ARRAY(BigInteger)), cast(list(lines.values()), ARRAY(BigInteger)))
    named = pairs.table_valued("row_no", "line", name="named").render_derived()
    for rows in (staged, findings):
        connection.execute(update(rows).where(rows.c.row_no == named.c.row_no).values(row_no=named.c.line))


def reread(connection: Connection, run: Row[Any]) -> tuple[Landed, Layout, Plan]:
    """A run's delivery, as it was landed, ready to be read again.

    Raises:
        ImportStopped: the landed copy is gone.
    """
    path = landed_path(connection, run)
    landed, layout = land(path, path.parent), layout_of(run)
    lines, _ = count_lines(landed, layout, run.plan["width"], f"The landed copy {landed.sha256[:12]}")
    return landed, layout, Plan(width=run.plan["width"], places=run.plan["places"], lines=lines)


def keep_for_next(
    connection: Connection, dataset: Dataset, run: Row[Any], *, unsent: Select[Any], scope: list[Any]
) -> None:
    """Records what the next delivery judges again, in place of what earlier loads of the same rows recorded."""
    findings = finding_table(dataset, run.id)
    kept_out = findings.c.fate.in_(KEPT_OUT)
    out = select(findings.c.row_no).where(kept_out).distinct()
    reported: Any = select(findings.c.row_no).where(~kept_out, findings.c.row_no.not_in(out)).distinct()
    superseded = exists(select(findings.c.row_no).where(findings.c.fate == "supersede"))
    if connection.execute(select(superseded)).scalar():
        reported = union(reported, _twins(dataset, run.id))
    same = select(import_run.c.id).where(speaks_for(dataset, run.partition, run.scope))
    row = {
        "import_run_id": run.id,
        "scope": [[str(value) for value in values] for values in scope],
        "kept_out": func.array(out.scalar_subquery()),
        "reported": func.array(reported.scalar_subquery()),
        "unsent": func.array(unsent.scalar_subquery()),
    }
    # The new record first: what is unsent may be read from the old one.
    connection.execute(insert(carry).values(row))
    connection.execute(delete(carry).where(carry.c.import_run_id.in_(same), carry.c.import_run_id != run.id))


def _twins(dataset: Dataset, run_id: int) -> Select[Any]:
    """The lines that load in place of those they supersede: judged again together, since together they are odd."""
    staged, findings = staging_table(dataset, run_id), finding_table(dataset, run_id)
    double = staged.alias("double")
    odd = select(findings.c.row_no).where(findings.c.fate == "supersede")
    same = and_(*[staged.c[name] == double.c[name] for name in dataset.key])
    out = select(findings.c.row_no).where(findings.c.fate.in_(KEPT_OUT))
    return select(staged.c.row_no).join(double, same).where(double.c.row_no.in_(odd), staged.c.row_no.not_in(out))


def _standing(dataset: Dataset, target: Table, since: Row[Any]) -> ColumnElement[bool]:
    """The rows that stand in the scope of the last load."""
    columns = [target.c[name] for name in dataset.scope]
    scope = [
        and_(*[each == cast(value, each.type) for each, value in zip(columns, values, strict=True)])
        for values in since.loaded_scope
    ]
    return and_(target.c.withdrawn_at.is_(None), or_(false(), *scope))


def _unsent_by(since: Row[Any]) -> Select[Any]:
    """Rows that stood when that load was done and for which its file had no line."""
    return select(func.unnest(carry.c.unsent)).where(carry.c.import_run_id == since.id)


def _same_key(dataset: Dataset, target: Table, rows: Any) -> ColumnElement[bool]:
    return and_(*[rows.c[name] == target.c[name] for name in dataset.key])


def _lines_with(
    landed: Landed, dataset: Dataset, layout: Layout, plan: Plan, keys: set[tuple[str, ...]]
) -> Iterator[tuple[tuple[str, ...], int]]:
    """The lines of the file that have one of these keys."""
    import pyarrow as pa
    import pyarrow.compute as pc

    firsts = pa.array(sorted({key[0] for key in keys}), pa.string())
    for batch in read_batches(landed, dataset, layout, plan.only(dataset.key)):
        columns = [
            pc.cast(convert(dataset.column(name), batch.columns[name], layout, in_key=True).values, pa.string())
            for name in dataset.key
        ]
        likely = pc.is_in(columns[0], value_set=firsts)
        texts = [each.filter(likely).to_pylist() for each in columns]
        for number, *values in zip(batch.numbers.filter(likely).to_pylist(), *texts, strict=True):
            if tuple(values) in keys:
                yield tuple(values), number
