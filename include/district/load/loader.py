"""Load: the rows that may load go into the table in one transaction, or nothing does."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    Subquery,
    UniqueConstraint,
    and_,
    case,
    column,
    exists,
    false,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    table,
    text,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import AddConstraint, DropConstraint

from district.carried import count_carried, keep_for_next, keys_kept, no_key_of, since_of, standing_id
from district.database import analyse, create_temporary
from district.dataset import Dataset
from district.load.gate import Changes, Part
from district.load.quarantine import quarantine
from district.run import ImportStopped, Locked
from district.tables import (
    DISTRICT,
    finding_table,
    row_history,
    staging_table,
    standing_table,
    target_table,
    touched_table,
)
from district.validate.fates import blanked_columns, kept_out, perhaps_sent, values_of

SCHOOL = "school_id"
_CHANGE = table("change", column("row_no"), column("action"))


def lock(connection: Connection, dataset: Dataset, partition: str) -> None:
    """Takes the lock of a data set (or of its partition) until the transaction ends; a killed load frees it at once.

    Raises:
        Locked: another session loads it; names that session.
    """
    part = "" if dataset.partition == "night" else partition
    keys = {"dataset": f"district.{dataset.name}", "part": part}
    query = text("SELECT pg_try_advisory_xact_lock(hashtext(:dataset), hashtext(:part))")
    if connection.execute(query, keys).scalar():
        return
    holder = connection.execute(
        text(
            "SELECT pid, backend_start::timestamp(0) AS since FROM pg_locks JOIN pg_stat_activity USING (pid) "
            "WHERE locktype = 'advisory' AND granted AND classid::bigint = hashtext(:dataset)::bigint & 4294967295 "
            "AND objid::bigint = hashtext(:part)::bigint & 4294967295 LIMIT 1"
        ),
        keys,
    ).first()
    who = f" by database session {holder.pid}, connected since {holder.since}" if holder else ""
    raise Locked(f"{dataset.name} is locked{who}: another run of it is loading. This run tries again.")


class Loader:
    """One load: says what would change, then changes it. All in the caller's transaction."""

    def __init__(self, connection: Connection, dataset: Dataset, run: Row[Any]) -> None:
        self._connection = connection
        self._dataset = dataset
        self._run = run
        self._since = since_of(connection, run)
        self._target = target_table(dataset)
        self._staged = staging_table(dataset, run.id)
        self._findings = finding_table(dataset, run.id)
        self._good = self._good_rows()
        self._first = not connection.execute(select(exists(select(self._target)))).scalar()
        # Whatever an empty table is given is this run's own.
        self._loaded_scope = run.scope if self._first else self._scope_values()
        connection.execute(text("SET LOCAL work_mem = '256MB'"))
        connection.execute(text("SET LOCAL maintenance_work_mem = '256MB'"))

    def changes(self) -> Changes:
        """Decides for every row what the load would do, in temporary tables; nothing changes yet."""
        good, target, connection = self._good, self._target, self._connection
        if self._first:
            rows = self._run.read - self._run.rejected - self._run.superseded
            return Changes(standing=0, inserted=rows, updated=0, unchanged=0, withdrawn=0)
        on_key = and_(*[target.c[name] == good.c[name] for name in self._dataset.key])
        names = self._dataset.target_columns
        differs = tuple_(*[target.c[name] for name in names]).op("IS DISTINCT FROM")(
            tuple_(*[good.c[name] for name in names])
        )
        action = case(
            (target.c.import_run_id.is_(null()), "insert"),
            (or_(target.c.withdrawn_at.is_not(null()), differs), "update"),
            else_="keep",
        )
        decided = select(good.c.row_no, action.label("action")).select_from(good.outerjoin(target, on_key))
        create_temporary(connection, "change", decided)
        withdrawn = create_temporary(connection, "vanished", self._vanished())
        actions = connection.execute(select(_CHANGE.c.action, func.count()).group_by(_CHANGE.c.action)).all()
        counts = {action: int(count) for action, count in actions}
        scopes, schools = self._parts()
        standing = sum(part.standing for part in scopes)
        updated = counts.get("update", 0)
        suspicious = updated > self._dataset.gate.updated * standing
        return Changes(
            standing=standing,
            parts=scopes + schools,
            overwritten=self._overwritten() if suspicious else updated,
            inserted=counts.get("insert", 0),
            updated=updated,
            unchanged=counts.get("keep", 0) + self._carried(),
            withdrawn=withdrawn,
        )

    def _overwritten(self) -> int:
        """Updated rows of which a value changes that was there: a column that is new to the table overwrites none."""
        good, target = self._good, self._target
        lost = [
            and_(target.c[name].is_not(null()), target.c[name].is_distinct_from(good.c[name]))
            for name in self._dataset.target_columns
        ]
        rows = select(func.count()).select_from(good.join(target, self._on_key(good)))
        return int(self._connection.execute(rows.where(self._changed("update"), or_(*lost))).scalar_one())

    def _parts(self) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
        """Each scope, and each school's share of it: one that is missing altogether is a small share of the whole."""
        scope, gone = self._dataset.scope, self._vanished_keys()
        by_school = SCHOOL in self._dataset.key and SCHOOL not in scope
        names = (*scope, SCHOOL) if by_school else scope
        standing = self._standing(names)
        withdrawn = self._counted([gone.c[name] for name in names])
        schools = _told(names, standing, withdrawn) if by_school else ()
        length = len(scope)
        return _told(scope, _shortened(standing, length), _shortened(withdrawn, length)), schools

    def _standing(self, names: tuple[str, ...]) -> dict[tuple[Any, ...], int]:
        """Rows that stand in the scope, by these columns; those of the last load's scope are counted already."""
        target, new = self._target, self._loaded_scope
        counts: dict[tuple[Any, ...], int] = {}
        if self._since is not None:
            counted = standing_table(self._dataset, self._run.id)
            columns = [counted.c[name] for name in names]
            scope = tuple_(*[counted.c[name] for name in self._dataset.scope]).in_(self._loaded_scope)
            rows = select(*columns, func.sum(counted.c.rows)).where(scope).group_by(*columns)
            counts = {tuple(values): int(count) for *values, count in self._connection.execute(rows)}
            known = {tuple(values) for values in self._since.loaded_scope}
            new = [values for values in new if tuple(map(str, values)) not in known]
        if not new:
            return counts
        columns = [target.c[name] for name in names]
        in_new = tuple_(*[target.c[name] for name in self._dataset.scope]).in_(new)
        return counts | self._counted(columns, target.c.withdrawn_at.is_(null()), in_new)

    def _counted(self, columns: list[Any], *where: Any) -> dict[tuple[Any, ...], int]:
        counted = select(*columns, func.count()).where(*where).group_by(*columns).order_by(*columns)
        return {tuple(row[:-1]): row[-1] for row in self._connection.execute(counted)}

    def apply(self, changes: Changes) -> None:
        """Makes the changes that ``changes`` decided on, keeping what each changed row was before.

        Raises:
            ImportStopped: another number of rows changed than was decided; the transaction must be given up.
        """
        if self._first:
            done = (self._insert_into_empty(), 0, 0)
        else:
            self._keep_before_images()
            done = (self._insert(self._changed("insert")), self._update(), self._withdraw())
        if done != (changes.inserted, changes.updated, changes.withdrawn):
            raise ImportStopped(f"{self._dataset.name}: the rows changed while they were loaded. Nothing was loaded.")
        quarantine(self._connection, self._dataset, self._run)
        keep_for_next(self._connection, self._dataset, self._run, unsent=self._unsent(), scope=self._loaded_scope)

    def _good_rows(self) -> Subquery:
        """The staged rows that no finding keeps out, in the target's columns."""
        staged, findings = self._staged, self._findings
        values = values_of(self._dataset, staged, findings, blanked_columns(self._connection, findings))
        return select(staged.c.row_no, *values).where(~kept_out(staged, findings)).subquery("good")

    def _in_scope(self) -> Any:
        """The target's rows that this delivery speaks for: those of the scope values it holds."""
        columns = tuple_(*[self._target.c[name] for name in self._dataset.scope])
        return columns.in_(self._loaded_scope)

    def _scope_values(self) -> list[tuple[Any, ...]]:
        """The scope values of the rows that load, or are carried."""
        staged = select(*[self._good.c[name] for name in self._dataset.scope]).distinct()
        values = {tuple(row) for row in self._connection.execute(staged)}
        if self._since is not None:
            carried = count_carried(self._connection, self._dataset, self._run.id, self._since)
            values |= set(carried.scopes(self._dataset))
        return sorted(values)

    def _carried(self) -> int:
        """Rows of the delivery that are not staged: they stand as they are."""
        staged = self._connection.execute(select(func.count()).select_from(self._staged)).scalar_one()
        return int(self._run.read - staged)

    def _standing_without(self, columns: list[Any], rows: Any, *, unless_sent: bool = False) -> Select[Any]:
        """The target's rows in the delivery's scope whose key none of these staged rows has.

        Where lines were compared, only a touched key can be missing.
        """
        target, connection = self._target, self._connection
        touched = touched_table(self._dataset, self._run.id)
        whole = self._since is None
        missing = ~exists().where(self._on_key(rows)) if whole else no_key_of(self._dataset, touched, rows)
        if unless_sent:
            asked = target if whole else touched
            missing &= ~perhaps_sent(connection, self._dataset, self._staged, self._findings, asked)
        standing = select(*columns).where(target.c.withdrawn_at.is_(null()), self._in_scope())
        if whole:
            return standing.where(missing)
        keys = keys_kept(connection, self._dataset, touched, missing)
        return standing.select_from(target.join(keys, self._on_key(keys)))

    def _unsent(self) -> Select[Any]:
        """Rows that stand in the scope after the load, and that are not of this delivery's rows."""
        if self._first:
            return select(standing_id(self._target)).where(false())
        return self._standing_without([standing_id(self._target)], self._good)

    def _vanished(self) -> Select[Any]:
        """Rows that stand in the delivery's scope and that it no longer holds, not even as a rejected row."""
        key = [self._target.c[name] for name in self._dataset.key]
        return self._standing_without(key, self._staged, unless_sent=True)

    def _changed(self, action: str) -> Any:
        return self._good.c.row_no.in_(select(_CHANGE.c.row_no).where(_CHANGE.c.action == action))

    def _on_key(self, rows: Any) -> Any:
        return and_(*[self._target.c[name] == rows.c[name] for name in self._dataset.key])

    def _vanished_keys(self) -> Any:
        vanished = table("vanished", *[column(name) for name in self._dataset.key])
        return select(*[vanished.c[name] for name in self._dataset.key]).subquery("gone")

    def _keep_before_images(self) -> None:
        gone = self._vanished_keys()
        for action, rows, where in (
            ("update", self._good, and_(self._on_key(self._good), self._changed("update"))),
            ("withdraw", gone, self._on_key(gone)),
        ):
            before = func.to_jsonb(text(f'"{self._target.name}".*'), type_=JSONB)
            images = select(literal(self._run.id), literal(self._dataset.name), literal(action), before).select_from(
                self._target.join(rows, where)
            )
            columns = ["import_run_id", "dataset", "action", "before"]
            self._connection.execute(insert(row_history).from_select(columns, images))

    def _insert_into_empty(self) -> int:
        """A first load: the key is built behind the rows, which costs a third of building it along with them."""
        key = next(item for item in self._target.constraints if isinstance(item, UniqueConstraint))
        self._connection.execute(DropConstraint(key))
        inserted = self._insert(true())
        self._connection.execute(AddConstraint(key, isolate_from_table=False))
        # The next night may come before any daemon has looked at the table.
        self._connection.execute(text(f"SELECT brin_summarize_new_values('{DISTRICT}.{self._target.name}_scope')"))
        analyse(self._connection, self._target)
        return inserted

    def _insert(self, which: Any) -> int:
        names = self._dataset.target_columns
        rows = select(*[self._good.c[name] for name in names], literal(self._run.id), self._good.c.row_no)
        columns = [*names, "import_run_id", "source_line"]
        return self._connection.execute(insert(self._target).from_select(columns, rows.where(which))).rowcount

    def _update(self) -> int:
        names = [name for name in self._dataset.target_columns if name not in self._dataset.key]
        values = {name: self._good.c[name] for name in names}
        source = {"import_run_id": self._run.id, "source_line": self._good.c.row_no, "withdrawn_at": None}
        changed = update(self._target).where(self._on_key(self._good), self._changed("update"))
        return self._connection.execute(changed.values(**values, **source)).rowcount

    def _withdraw(self) -> int:
        withdrawn = update(self._target).where(self._on_key(self._vanished_keys()))
        values = {"withdrawn_at": func.clock_timestamp(), "import_run_id": self._run.id}
        return self._connection.execute(withdrawn.values(**values)).rowcount


def _shortened(counts: dict[tuple[Any, ...], int], length: int) -> dict[tuple[Any, ...], int]:
    """Counts by the first ``length`` of their values."""
    sums: Counter[tuple[Any, ...]] = Counter()
    for values, count in counts.items():
        sums[values[:length]] += count
    return sums


def _told(
    names: tuple[str, ...], standing: dict[tuple[Any, ...], int], withdrawn: dict[tuple[Any, ...], int]
) -> tuple[Part, ...]:
    return tuple(
        Part(
            name=", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True)),
            standing=count,
            withdrawn=withdrawn.get(values, 0),
        )
        for values, count in standing.items()
    )
