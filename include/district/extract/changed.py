"""Changed lines: what a delivery is staged by when the last load of the same rows tells most of it already.

Staged are the lines that differ, the lines in which something was found, and the rows whose parents changed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, column, select, table, tuple_

from district.carried import (
    CARRY_COLUMNS,
    carried_rows,
    count_carried,
    count_standing,
    doubled_rows,
    give_lines,
    touch,
    wake,
)
from district.dataset import Dataset
from district.extract.landing import Landed
from district.extract.lines import Lines, differ, one_line_each, only_lines
from district.extract.plan import Plan
from district.extract.scope import Census, take_census
from district.extract.staging import stage, stage_keys
from district.layout import Layout
from district.settings import settings
from district.tables import DISTRICT, carry, delivery, import_run

# A delivery of which a larger share differs is as soon judged whole.
MOST_DIFFERENT = 0.25
# Scopes take turns, such as this year's file and a closed year's: so many last loads are looked at.
LOADS_COMPARED = 4


@dataclass(frozen=True, kw_only=True)
class Staged:
    """What became of a delivery's rows."""

    rows: int
    """Of the delivery, carried ones included."""
    since: int | None = None
    """The run that it was compared with; None where every row is staged."""
    census: Census


def stage_delivery(
    connection: Connection, landed: Landed, layout: Layout, plan: Plan, dataset: Dataset, run: Row[Any], *, whole: bool
) -> Staged:
    """Stages a delivery: what differs from the last load of the same rows, or with ``whole`` all of it.

    Raises:
        Refused: the file cannot be read.
    """
    # A number in a key may be spelt in two ways, and a line is looked for by its key.
    comparable = all(dataset.column(name).type != "decimal" for name in dataset.key)
    if not whole and comparable and one_line_each(landed, layout, plan):
        for since in _last_loads(connection, dataset, run, plan):
            staged = _stage_changed(connection, landed, layout, plan, dataset, run, since)
            if staged is not None:
                return staged
    rows = stage(connection, landed, dataset, layout, plan, run.id)
    return Staged(rows=rows, census=take_census(connection, dataset, run.id))


def _last_loads(connection: Connection, dataset: Dataset, run: Row[Any], plan: Plan) -> Iterator[Row[Any]]:
    """The newest load of each scope that was judged by the rules of today, newest first."""
    query = (
        select(import_run, delivery.c.sha256, *CARRY_COLUMNS)
        .join(delivery)
        .join(carry, carry.c.import_run_id == import_run.c.id)
        .where(import_run.c.dataset == dataset.name, import_run.c.state == "loaded", import_run.c.rules == run.rules)
        .order_by(import_run.c.loaded_at.desc())
        .limit(LOADS_COMPARED)
    )
    if dataset.partition != "night":
        query = query.where(import_run.c.partition == run.partition)
    for since in connection.execute(query).all():
        same_places = since.plan == plan.as_dict(lines_are_rows=True)
        # A rule may compare with the night; what was not too late then is not too late now.
        if same_places and since.night <= run.night and (settings().landed_folder / since.sha256).exists():
            yield since


def _stage_changed(
    connection: Connection, landed: Landed, layout: Layout, plan: Plan, dataset: Dataset, run: Row[Any], since: Row[Any]
) -> Staged | None:
    """Stages what differs from the load ``since``; None where too much does, or the table is not as that load left it.

    A line in which something was found counts as different too, so that it is judged and told of again.
    """
    import numpy as np

    older = dataclasses.replace(landed, path=settings().landed_folder / since.sha256, sha256=since.sha256)
    anew = np.array(sorted({*since.kept_out, *since.reported}), dtype=np.int64)
    header = layout.header and not layout.fixed_width
    old_lines, new_lines = Lines(older.path), Lines(landed.path)
    lines = differ(old_lines, new_lines, header=header, anew=anew)
    most = MOST_DIFFERENT * lines.same
    if len(lines.came) + len(lines.gone) > most:
        return None
    with only_lines(landed, layout, plan, new_lines, lines.came) as (part, its_plan):
        rows = stage(connection, part, dataset, layout, its_plan, run.id)
    with only_lines(older, layout, plan, old_lines, lines.gone) as (part, its_plan):
        stage_keys(connection, part, dataset, layout, its_plan, run.id)
    touch(connection, dataset, run.id, since)
    doubled = wake(connection, dataset, run.id, doubled_rows(connection, dataset, run.id, since))
    count_standing(connection, dataset, run.id, since)
    carried = count_carried(connection, dataset, run.id, since)
    if carried.rows.total() + doubled != lines.same:
        return None
    if doubled:
        give_lines(connection, dataset, run.id, landed, layout, plan, found_only=False)
    census = carried + take_census(connection, dataset, run.id)
    if _wake_children(connection, dataset, run.id, since) > most:
        return None
    return Staged(rows=rows + lines.same, since=since.id, census=census)


def _wake_children(connection: Connection, dataset: Dataset, run_id: int, since: Row[Any]) -> int:
    """Stages the rows whose parents changed since: a rule may have looked at them."""
    woken = 0
    for parent in dataset.parents:
        loads = select(import_run.c.id).where(
            import_run.c.dataset == parent.dataset, import_run.c.loaded_at >= since.started_at
        )
        loaded = list(connection.execute(loads).scalars())
        if not loaded:
            continue
        theirs = table(parent.dataset, *[column(name) for name in (*parent.on, "import_run_id")], schema=DISTRICT)
        changed = select(*[theirs.c[name] for name in parent.on]).where(theirs.c.import_run_id.in_(loaded)).distinct()
        rows = carried_rows(dataset, run_id, since).subquery()
        touched = tuple_(*[rows.c[name] for name in parent.on]).in_(changed)
        woken += wake(connection, dataset, run_id, select(rows).where(touched))
    return woken
