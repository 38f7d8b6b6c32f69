"""Load: the rows that may load go into the table in one transaction, or nothing does."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
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
    delete,
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
from district.dataset import Dataset, Gate
from district.extract.scope import Census
from district.load.counting import SCHOOL, Found, counts_of_last_year, found_by_school, school_of, usual_counts
from district.load.gate import Judgement, Part, SchoolChange
from district.load.quarantine import quarantine
from district.review.tables import WHOLE
from district.run import ImportStopped, Locked
from district.settings import settings
from district.tables import (
    DISTRICT,
    census_columns,
    finding_table,
    row_history,
    staging_table,
    standing_table,
    target_table,
    touched_table,
)
from district.validate.fates import blanked_columns, kept_out, perhaps_sent, values_of

_CHANGE = table("change", column("row_no"), column("action"), column("school"))


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What a load would do to the rows of its scope."""

    inserted: int
    updated: int
    unchanged: int
    withdrawn: int
    held: int = 0
    """Rows that would be inserted or updated, and whose school is held."""
    schools: tuple[SchoolChange, ...] = ()
    parts: tuple[Part, ...] = ()


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
        self._by_school = SCHOOL in dataset.key and dataset.column(SCHOOL).type == "text"
        self._good = self._good_rows()
        self._first = not connection.execute(select(exists(select(self._target)))).scalar()
        # Whatever an empty table is given is this run's own.
        self._loaded_scope = run.scope if self._first else self._scope_values()
        connection.execute(text("SET LOCAL work_mem = '256MB'"))
        connection.execute(text("SET LOCAL maintenance_work_mem = '256MB'"))

    @property
    def first(self) -> bool:
        """Whether the table has no row yet."""
        return self._first

    def changes(self, gate: Gate, last: Row[Any] | None) -> Changes:
        """Decides for every row what the load would do, in temporary tables; nothing changes yet.

        Counts what ``gate`` judges by; ``last`` is the newest load of the same rows.
        """
        found = found_by_school(self._connection, self._dataset, self._run.id, last, self._known_schools)
        if self._first:
            rows = self._run.read - self._run.rejected - self._run.superseded
            return Changes(inserted=rows, updated=0, unchanged=0, withdrawn=0, schools=self._first_schools(found))
        self._decide()
        withdrawn = create_temporary(self._connection, "vanished", self._vanished())
        actions = self._by_action()
        counts: Counter[str] = Counter()
        for (_, action), rows in actions.items():
            counts[action] += rows
        parts = self._parts()
        return Changes(
            inserted=counts["insert"],
            updated=counts["update"],
            unchanged=counts["keep"] + self._carried(),
            withdrawn=withdrawn,
            schools=self._schools(found, actions, parts, share=gate.updated),
            parts=parts,
        )

    def _decide(self) -> None:
        good, target = self._good, self._target
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
        school = school_of(good, self._known_schools)
        decided = select(good.c.row_no, action.label("action"), school.label("school"))
        create_temporary(self._connection, "change", decided.select_from(good.outerjoin(target, on_key)))

    def _by_action(self) -> dict[tuple[str, str], int]:
        counted = select(_CHANGE.c.school, _CHANGE.c.action, func.count()).group_by(_CHANGE.c.school, _CHANGE.c.action)
        return {(school, action): int(rows) for school, action, rows in self._connection.execute(counted)}

    def _first_schools(self, found: dict[str, Found]) -> tuple[SchoolChange, ...]:
        """Every row of an empty table's first load that is kept for some reason is new."""
        staged = self._staged
        school = school_of(staged, self._known_schools)
        sent = self._connection.execute(select(school, func.count()).select_from(staged).group_by(school))
        schools = []
        for name, rows in sorted((name, rows) for name, rows in sent):
            told = found.get(name, Found())
            schools.append(_school(name, told, new=rows - told.rejected - told.superseded))
        return tuple(schools)

    def _schools(
        self, found: dict[str, Found], actions: dict[tuple[str, str], int], parts: tuple[Part, ...], *, share: float
    ) -> tuple[SchoolChange, ...]:
        standing: Counter[str] = Counter()
        gone: Counter[str] = Counter()
        for part in parts:
            standing[part.school_id] += part.standing
            gone[part.school_id] += part.withdrawn
        unchanged: Counter[str] = Counter()
        place = self._carried_rows.names.index(SCHOOL) if self._by_school else 0
        for values, rows in self._carried_rows.rows.items():
            unchanged[values[place] if self._by_school else WHOLE] += rows
        changed = {school: rows for (school, action), rows in actions.items() if action == "update"}
        suspicious = any(rows > share * standing[school] for school, rows in changed.items())
        suspicious = suspicious or sum(changed.values()) > share * standing.total()
        overwritten = self._overwritten() if suspicious else changed
        usual = usual_counts(self._connection, self._dataset, self._run)
        last_year = counts_of_last_year(self._connection, self._dataset, self._run)
        names_of_all = {*standing, *found, *unchanged, *(school for school, _ in actions)}
        return tuple(
            _school(
                name,
                found.get(name, Found()),
                standing=standing[name],
                new=actions.get((name, "insert"), 0),
                changed=changed.get(name, 0),
                unchanged=actions.get((name, "keep"), 0) + unchanged[name],
                gone=gone[name],
                overwritten=overwritten.get(name, 0),
                usual=usual.get(name, 0),
                last_year=last_year.get(name, 0),
            )
            for name in sorted(names_of_all)
        )

    def _overwritten(self) -> dict[str, int]:
        """Updated rows of which a value changes that was there: a column that is new to the table overwrites none."""
        good, target = self._good, self._target
        lost = [
            and_(target.c[name].is_not(null()), target.c[name].is_distinct_from(good.c[name]))
            for name in self._dataset.target_columns
        ]
        school = school_of(good, self._known_schools)
        rows = select(school, func.count()).select_from(good.join(target, self._on_key(good)))
        counted = rows.where(self._changed("update"), or_(*lost)).group_by(school)
        return {name: int(count) for name, count in self._connection.execute(counted)}

    def _parts(self) -> tuple[Part, ...]:
        """Each school's share of each scope: one that is missing altogether is a small share of the whole."""
        scope, gone, names = self._dataset.scope, self._vanished_keys(), self._part_columns
        withdrawn = self._counted([gone.c[name] for name in names])
        return tuple(
            Part(
                name=", ".join(f"{name} {value}" for name, value in zip(scope, values, strict=False)),
                school_id=str(values[names.index(SCHOOL)]) if self._by_school else WHOLE,
                standing=rows,
                withdrawn=withdrawn.get(values, 0),
            )
            for values, rows in self._standing_rows.items()
        )

    @property
    def _part_columns(self) -> tuple[str, ...]:
        scope = self._dataset.scope
        return (*scope, SCHOOL) if self._by_school and SCHOOL not in scope else scope

    @cached_property
    def _standing_rows(self) -> dict[tuple[Any, ...], int]:
        return self._standing(self._part_columns)

    @cached_property
    def _known_schools(self) -> frozenset[str] | None:
        """The schools that the settings name or that have rows standing; None where schools are not told apart."""
        if not self._by_school:
            return None
        named = {school.school_id for school in settings().district.schools}
        if self._first:
            return frozenset(named)
        place = self._part_columns.index(SCHOOL)
        return frozenset(named | {values[place] for values in self._standing_rows})

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

    def hold(self, changes: Changes, judgement: Judgement) -> Changes:
        """Keeps what the held schools would change out of the load; what stands of them stays."""
        if judgement.whole:
            held = changes.inserted + changes.updated
            return replace(changes, inserted=0, updated=0, withdrawn=0, held=held)
        schools = judgement.held
        if not schools:
            return changes
        good, findings, connection = self._good, self._findings, self._connection
        parts = (literal("load"), literal("held"), literal(""), literal(""), literal("hold"))
        names = ["row_no", "stage", "rule_id", "column_name", "cause", "fate"]
        if self._first:
            kept = select(good.c.row_no, *parts).where(good.c[SCHOOL].in_(schools))
        else:
            kept = select(_CHANGE.c.row_no, *parts).where(_CHANGE.c.action != "keep", _CHANGE.c.school.in_(schools))
        held = connection.execute(insert(findings).from_select(names, kept)).rowcount
        if not self._first:
            connection.execute(delete(_CHANGE).where(_CHANGE.c.action != "keep", _CHANGE.c.school.in_(schools)))
            vanished = table("vanished", column(SCHOOL))
            connection.execute(delete(vanished).where(vanished.c[SCHOOL].in_(schools)))
        out = [school for school in changes.schools if school.school_id in schools]
        return replace(
            changes,
            inserted=changes.inserted - sum(school.new for school in out),
            updated=changes.updated - sum(school.changed for school in out),
            withdrawn=changes.withdrawn - sum(school.gone for school in out),
            held=held,
        )

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

    @cached_property
    def _carried_rows(self) -> Census:
        """How many rows of the delivery are carried, by scope and school."""
        if self._since is None:
            return Census(names=census_columns(self._dataset))
        return count_carried(self._connection, self._dataset, self._run.id, self._since)

    def _scope_values(self) -> list[tuple[Any, ...]]:
        """The scope values of the rows that load, or are carried."""
        staged = select(*[self._good.c[name] for name in self._dataset.scope]).distinct()
        values = {tuple(row) for row in self._connection.execute(staged)}
        return sorted(values | set(self._carried_rows.scopes(self._dataset)))

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


def _school(name: str, found: Found, **counts: int) -> SchoolChange:
    return SchoolChange(
        school_id=name,
        rejected=found.rejected,
        unknown_codes=found.unknown_codes,
        orphans=found.orphans,
        new_codes=found.new_codes,
        **counts,
    )
