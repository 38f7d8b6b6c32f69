"""A batch: the rows of one run beside the table that they load into, as the queries of a load ask for them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    Subquery,
    and_,
    column,
    exists,
    false,
    func,
    null,
    or_,
    select,
    table,
    text,
    tuple_,
    union,
)

from district.carried import count_carried, keys_kept, no_key_of, since_of, standing_id
from district.dataset import Dataset
from district.extract.scope import Census
from district.import_log import SCHOOL_YEAR
from district.load.counting import SCHOOL
from district.tables import census_columns, finding_table, staging_table, target_table, touched_table
from district.validate.fates import blanked_columns, kept_out, perhaps_sent, values_of

CHANGE = table("change", column("row_no"), column("action"), column("school"))
"""What is to become of each staged row: a temporary table of the load's transaction."""


class Batch:
    """What the queries of one load look at, all in the caller's transaction."""

    def __init__(self, connection: Connection, dataset: Dataset, run: Row[Any]) -> None:
        self.connection = connection
        self.dataset = dataset
        self.run = run
        self.since = since_of(connection, run)
        self.target = target_table(dataset)
        self.staged = staging_table(dataset, run.id)
        self.findings = finding_table(dataset, run.id)
        self.by_school = SCHOOL in dataset.key and dataset.column(SCHOOL).type == "text"
        self.good = self._good_rows()
        self.first = not connection.execute(select(exists(select(self.target)))).scalar()
        # Whatever an empty table is given is this run's own.
        self.loaded_scope = run.scope if self.first else self._scope_values()
        connection.execute(text("SET LOCAL work_mem = '256MB'"))
        connection.execute(text("SET LOCAL maintenance_work_mem = '256MB'"))

    @cached_property
    def carried_rows(self) -> Census:
        """How many rows of the delivery are carried, by scope and school."""
        if self.since is None:
            return Census(names=census_columns(self.dataset))
        return count_carried(self.connection, self.dataset, self.run.id, self.since)

    def carried(self) -> int:
        """Rows of the delivery that are not staged: they stand as they are."""
        staged = self.connection.execute(select(func.count()).select_from(self.staged)).scalar_one()
        return int(self.run.read - staged)

    def vanished(self) -> Select[Any]:
        """Rows that stand in the delivery's scope and that it no longer holds, not even as a rejected row."""
        key = [self.target.c[name] for name in self.dataset.key]
        return self._standing_without(key, self.staged, unless_sent=True)

    def vanished_keys(self) -> Subquery:
        """The keys of those rows, once they lie in a temporary table of the load's transaction."""
        vanished = table("vanished", *[column(name) for name in self.dataset.key])
        return select(*[vanished.c[name] for name in self.dataset.key]).subquery("gone")

    def unsent(self) -> Select[Any]:
        """Rows that stand in the scope after the load, and that are not of this delivery's rows."""
        if self.first:
            return select(standing_id(self.target)).where(false())
        return self._standing_without([standing_id(self.target)], self.good)

    def changed(self, action: str) -> Any:
        """Whether a good row is to be inserted or updated, once that is decided."""
        return self.good.c.row_no.in_(select(CHANGE.c.row_no).where(CHANGE.c.action == action))

    def changed_years(self) -> frozenset[int]:
        """The school years of which a row is to be inserted, updated or withdrawn, once that is decided."""
        good, gone = self.good, self.vanished_keys()
        changed = select(good.c[SCHOOL_YEAR]).where(or_(self.changed("insert"), self.changed("update")))
        return frozenset(self.connection.execute(union(changed, select(gone.c[SCHOOL_YEAR]))).scalars())

    def on_key(self, rows: Any) -> Any:
        """Whether a row has the key of one of the target's."""
        return and_(*[self.target.c[name] == rows.c[name] for name in self.dataset.key])

    def _good_rows(self) -> Subquery:
        """The staged rows that no finding keeps out, in the target's columns."""
        staged, findings = self.staged, self.findings
        values = values_of(self.dataset, staged, findings, blanked_columns(self.connection, findings))
        return select(staged.c.row_no, *values).where(~kept_out(staged, findings)).subquery("good")

    def _in_scope(self) -> Any:
        """The target's rows that this delivery speaks for: those of the scope values it holds."""
        columns = tuple_(*[self.target.c[name] for name in self.dataset.scope])
        return columns.in_(self.loaded_scope)

    def _scope_values(self) -> list[tuple[Any, ...]]:
        """The scope values of the rows that load, or are carried."""
        staged = select(*[self.good.c[name] for name in self.dataset.scope]).distinct()
        values = {tuple(row) for row in self.connection.execute(staged)}
        return sorted(values | set(self.carried_rows.scopes(self.dataset)))

    def _standing_without(self, columns: list[Any], rows: Any, *, unless_sent: bool = False) -> Select[Any]:
        """The target's rows in the delivery's scope whose key none of these staged rows has.

        Where lines were compared, only a touched key can be missing.
        """
        target, connection = self.target, self.connection
        touched = touched_table(self.dataset, self.run.id)
        whole = self.since is None
        missing = ~exists().where(self.on_key(rows)) if whole else no_key_of(self.dataset, touched, rows)
        if unless_sent:
            asked = target if whole else touched
            missing &= ~perhaps_sent(connection, self.dataset, self.staged, self.findings, asked)
        standing = select(*columns).where(target.c.withdrawn_at.is_(null()), self._in_scope())
        if whole:
            return standing.where(missing)
        keys = keys_kept(connection, self.dataset, touched, missing)
        return standing.select_from(target.join(keys, self.on_key(keys)))
