"""Load: the changes that were decided on are made in the caller's transaction, or none is."""

from __future__ import annotations

from typing import Any

from sqlalchemy import UniqueConstraint, and_, func, insert, literal, select, text, true, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import AddConstraint, DropConstraint

from district.carried import keep_for_next
from district.database import analyse
from district.load.batch import Batch
from district.load.deciding import Changes
from district.load.quarantine import quarantine
from district.run import ImportStopped
from district.tables import DISTRICT, row_history


def make_changes(batch: Batch, changes: Changes) -> None:
    """Makes the changes that were decided on, keeping what each changed row was before.

    Raises:
        ImportStopped: another number of rows changed than was decided; the transaction must be given up.
    """
    connection, dataset, run = batch.connection, batch.dataset, batch.run
    if batch.first:
        done = (_insert_into_empty(batch), 0, 0)
    else:
        _keep_before_images(batch)
        done = (_insert(batch, batch.changed("insert")), _update(batch), _withdraw(batch))
    if done != (changes.inserted, changes.updated, changes.withdrawn):
        raise ImportStopped(f"{dataset.name}: the rows changed while they were loaded. Nothing was loaded.")
    quarantine(connection, dataset, run)
    keep_for_next(connection, dataset, run, unsent=batch.unsent(), scope=batch.loaded_scope)


def _keep_before_images(batch: Batch) -> None:
    gone = batch.vanished_keys()
    for action, rows, where in (
        ("update", batch.good, and_(batch.on_key(batch.good), batch.changed("update"))),
        ("withdraw", gone, batch.on_key(gone)),
    ):
        before = func.to_jsonb(text(f'"{batch.target.name}".*'), type_=JSONB)
        about = (literal(batch.run.id), literal(batch.dataset.name), literal(action))
        images = select(*about, before).select_from(batch.target.join(rows, where))
        columns = ["import_run_id", "dataset", "action", "before"]
        batch.connection.execute(insert(row_history).from_select(columns, images))


def _insert_into_empty(batch: Batch) -> int:
    """A first load: the key is built behind the rows, which costs a third of building it along with them."""
    connection, target = batch.connection, batch.target
    key = next(item for item in target.constraints if isinstance(item, UniqueConstraint))
    connection.execute(DropConstraint(key))
    inserted = _insert(batch, true())
    connection.execute(AddConstraint(key, isolate_from_table=False))
    # The next night may come before any daemon has looked at the table.
    connection.execute(text(f"SELECT brin_summarize_new_values('{DISTRICT}.{target.name}_scope')"))
    analyse(connection, target)
    return inserted


def _insert(batch: Batch, which: Any) -> int:
    names = batch.dataset.target_columns
    rows = select(*[batch.good.c[name] for name in names], literal(batch.run.id), batch.good.c.row_no)
    columns = [*names, "import_run_id", "source_line"]
    return batch.connection.execute(insert(batch.target).from_select(columns, rows.where(which))).rowcount


def _update(batch: Batch) -> int:
    names = [name for name in batch.dataset.target_columns if name not in batch.dataset.key]
    values = {name: batch.good.c[name] for name in names}
    source = {"import_run_id": batch.run.id, "source_line": batch.good.c.row_no, "withdrawn_at": None}
    changed = update(batch.target).where(batch.on_key(batch.good), batch.changed("update"))
    return batch.connection.execute(changed.values(**values, **source)).rowcount


def _withdraw(batch: Batch) -> int:
    withdrawn = update(batch.target).where(batch.on_key(batch.vanished_keys()))
    values = {"withdrawn_at": func.clock_timestamp(), "import_run_id": batch.run.id}
    return batch.connection.execute(withdrawn.values(**values)).rowcount
