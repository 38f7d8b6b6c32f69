"""Deciding: what a load would do to each row and each school, before anything changes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sqlalchemy import (
    Row,
    and_,
    case,
    column,
    delete,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    table,
    tuple_,
)

from district.database import create_temporary
from district.load.batch import CHANGE, Batch
from district.load.counting import SCHOOL, Found, counts_of_last_year, found_by_school, school_of, usual_counts
from district.load.schools import known_schools
from district.review.judgement import Judgement, Part, SchoolChange
from district.review.tables import UNLISTED, WHOLE
from district.tables import standing_table


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


class Decider:
    """Says what a load of a batch would do, and leaves out what is held."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def changes(self, last: Row[Any] | None, *, share: float) -> Changes:
        """Decides for every row what the load would do, in temporary tables; nothing changes yet.

        ``last`` is the newest load of the same rows. Overwritten rows are told from other changed ones where more than
        ``share`` of a school's or the district's rows change: the lowest that any gate in use allows.
        """
        found = found_by_school(
            self._batch.connection, self._batch.dataset, self._batch.run.id, last, self._known_schools
        )
        if self._batch.first:
            rows = self._batch.run.read - self._batch.run.rejected - self._batch.run.superseded
            return Changes(inserted=rows, updated=0, unchanged=0, withdrawn=0, schools=self._first_schools(found))
        self._decide()
        withdrawn = create_temporary(self._batch.connection, "vanished", self._batch.vanished())
        actions = self._by_action()
        counts: Counter[str] = Counter()
        for (_, action), rows in actions.items():
            counts[action] += rows
        parts = self._parts()
        return Changes(
            inserted=counts["insert"],
            updated=counts["update"],
            unchanged=counts["keep"] + self._batch.carried(),
            withdrawn=withdrawn,
            schools=self._schools(found, actions, parts, share=share),
            parts=parts,
        )

    def _decide(self) -> None:
        good, target = self._batch.good, self._batch.target
        on_key = and_(*[target.c[name] == good.c[name] for name in self._batch.dataset.key])
        names = self._batch.dataset.target_columns
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
        create_temporary(self._batch.connection, "change", decided.select_from(good.outerjoin(target, on_key)))

    def _by_action(self) -> dict[tuple[str, str], int]:
        counted = select(CHANGE.c.school, CHANGE.c.action, func.count()).group_by(CHANGE.c.school, CHANGE.c.action)
        return {(school, action): int(rows) for school, action, rows in self._batch.connection.execute(counted)}

    def _first_schools(self, found: dict[str, Found]) -> tuple[SchoolChange, ...]:
        """Every row of an empty table's first load that is kept for some reason is new."""
        staged = self._batch.staged
        school = school_of(staged, self._known_schools)
        sent = self._batch.connection.execute(select(school, func.count()).select_from(staged).group_by(school))
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
        place = self._batch.carried_rows.names.index(SCHOOL) if self._batch.by_school else 0
        for values, rows in self._batch.carried_rows.rows.items():
            unchanged[self._told(values[place]) if self._batch.by_school else WHOLE] += rows
        changed = {school: rows for (school, action), rows in actions.items() if action == "update"}
        suspicious = any(rows > share * standing[school] for school, rows in changed.items())
        suspicious = suspicious or sum(changed.values()) > share * standing.total()
        overwritten = self._overwritten() if suspicious else changed
        usual = usual_counts(self._batch.connection, self._batch.dataset, self._batch.run)
        last_year = counts_of_last_year(self._batch.connection, self._batch.dataset, self._batch.run)
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
        good, target = self._batch.good, self._batch.target
        lost = [
            and_(target.c[name].is_not(null()), target.c[name].is_distinct_from(good.c[name]))
            for name in self._batch.dataset.target_columns
        ]
        school = school_of(good, self._known_schools)
        rows = select(school, func.count()).select_from(good.join(target, self._batch.on_key(good)))
        counted = rows.where(self._batch.changed("update"), or_(*lost)).group_by(school)
        return {name: int(count) for name, count in self._batch.connection.execute(counted)}

    def _parts(self) -> tuple[Part, ...]:
        """Each school's share of each scope: one that is missing altogether is a small share of the whole."""
        scope, gone, names = self._batch.dataset.scope, self._batch.vanished_keys(), self._part_columns
        withdrawn = self._counted([gone.c[name] for name in names])
        parts = []
        for values, rows in self._standing_rows.items():
            part = dict(zip(names, values, strict=True))
            if self._batch.by_school:
                part[SCHOOL] = self._told(part[SCHOOL])
            parts.append(
                Part(
                    name=", ".join(f"{name} {part[name]}" for name in scope),
                    school_id=part[SCHOOL] if self._batch.by_school else WHOLE,
                    standing=rows,
                    withdrawn=withdrawn.get(values, 0),
                )
            )
        return tuple(parts)

    @property
    def _part_columns(self) -> tuple[str, ...]:
        scope = self._batch.dataset.scope
        return (*scope, SCHOOL) if self._batch.by_school and SCHOOL not in scope else scope

    @cached_property
    def _standing_rows(self) -> dict[tuple[Any, ...], int]:
        return self._standing(self._part_columns)

    @cached_property
    def _known_schools(self) -> frozenset[str] | None:
        """The schools that are told by their ids; None where schools are not told apart."""
        if not self._batch.by_school:
            return None
        standing: Counter[str] = Counter()
        if not self._batch.first:
            place = self._part_columns.index(SCHOOL)
            for values, rows in self._standing_rows.items():
                standing[values[place]] += rows
        return known_schools(standing)

    def _told(self, value: Any) -> str:
        """What stands in a school's column, if it is a school; else ``UNLISTED``."""
        return str(value) if value in (self._known_schools or ()) else UNLISTED

    def _standing(self, names: tuple[str, ...]) -> dict[tuple[Any, ...], int]:
        """Rows that stand in the scope, by these columns; those of the last load's scope are counted already."""
        target, new = self._batch.target, self._batch.loaded_scope
        counts: dict[tuple[Any, ...], int] = {}
        if self._batch.since is not None:
            counted = standing_table(self._batch.dataset, self._batch.run.id)
            columns = [counted.c[name] for name in names]
            scope = tuple_(*[counted.c[name] for name in self._batch.dataset.scope]).in_(self._batch.loaded_scope)
            rows = select(*columns, func.sum(counted.c.rows)).where(scope).group_by(*columns)
            counts = {tuple(values): int(count) for *values, count in self._batch.connection.execute(rows)}
            known = {tuple(values) for values in self._batch.since.loaded_scope}
            new = [values for values in new if tuple(map(str, values)) not in known]
        if not new:
            return counts
        columns = [target.c[name] for name in names]
        in_new = tuple_(*[target.c[name] for name in self._batch.dataset.scope]).in_(new)
        return counts | self._counted(columns, target.c.withdrawn_at.is_(null()), in_new)

    def _counted(self, columns: list[Any], *where: Any) -> dict[tuple[Any, ...], int]:
        counted = select(*columns, func.count()).where(*where).group_by(*columns).order_by(*columns)
        return {tuple(row[:-1]): row[-1] for row in self._batch.connection.execute(counted)}

    def hold(self, changes: Changes, judgement: Judgement) -> Changes:
        """Keeps what the held schools would change out of the load; what stands of them stays."""
        if judgement.whole:
            held = changes.inserted + changes.updated
            return replace(changes, inserted=0, updated=0, withdrawn=0, held=held)
        schools = judgement.held
        if not schools:
            return changes
        good, findings, connection = self._batch.good, self._batch.findings, self._batch.connection
        parts = (literal("load"), literal("held"), literal(""), literal(""), literal("hold"))
        names = ["row_no", "stage", "rule_id", "column_name", "cause", "fate"]
        if self._batch.first:
            kept = select(good.c.row_no, *parts).where(school_of(good, self._known_schools).in_(schools))
        else:
            kept = select(CHANGE.c.row_no, *parts).where(CHANGE.c.action != "keep", CHANGE.c.school.in_(schools))
        held = connection.execute(insert(findings).from_select(names, kept)).rowcount
        if not self._batch.first:
            connection.execute(delete(CHANGE).where(CHANGE.c.action != "keep", CHANGE.c.school.in_(schools)))
            vanished = table("vanished", column(SCHOOL))
            connection.execute(delete(vanished).where(school_of(vanished, self._known_schools).in_(schools)))
        out = [school for school in changes.schools if school.school_id in schools]
        return replace(
            changes,
            inserted=changes.inserted - sum(school.new for school in out),
            updated=changes.updated - sum(school.changed for school in out),
            withdrawn=changes.withdrawn - sum(school.gone for school in out),
            held=held,
        )


def _school(name: str, found: Found, **counts: int) -> SchoolChange:
    return SchoolChange(
        school_id=name,
        rejected=found.rejected,
        unknown_codes=found.unknown_codes,
        orphans=found.orphans,
        new_codes=found.new_codes,
        **counts,
    )
