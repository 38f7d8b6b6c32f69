"""The rows that a load changed, as its before-images tell them, and how they become again what they were."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Select,
    Text,
    and_,
    case,
    cast,
    column,
    delete,
    exists,
    func,
    insert,
    inspect,
    literal,
    literal_column,
    null,
    select,
    table,
    text,
    union,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB

from district.database import create_temporary
from district.dataset import Dataset
from district.load.counting import SCHOOL
from district.load.schools import known_schools
from district.review.tables import WHOLE
from district.run import ImportStopped
from district.tables import DISTRICT, import_run, row_history


class ChangedRows:
    """The rows that a load changed: those that stand as it left them, and those that later loads touched."""

    def __init__(self, connection: Connection, dataset: Dataset, run: Row[Any]) -> None:
        self._connection, self._dataset, self._run = connection, dataset, run
        # Also columns that are no longer declared: they are part of the row.
        names = [each["name"] for each in inspect(connection).get_columns(dataset.name, schema=DISTRICT)]
        self._target = table(dataset.name, *map(column, names), schema=DISTRICT)
        self._was = table("_was", *map(column, names))
        self._touched = table("_touched", column("school"))
        create_temporary(connection, "_was", self._images(row_history.c.import_run_id == run.id))
        self._mine = self._target.c.import_run_id == run.id
        self.own = self._count(select(self._target).where(self._mine))
        self.touched = create_temporary(connection, "_touched", self._touched_later())
        self._pass_over_undone()
        self.removed = self._count(select(self._target).where(self._mine, ~self._was_there()))

    def by_school(self) -> dict[str, int]:
        """How many rows later loads touched, by school, the most first; ``WHOLE`` for rows of no known school.

        Empty where the data set knows no schools.
        """
        if SCHOOL not in self._target.c:
            return {}
        school = func.coalesce(cast(self._touched.c.school, Text), "")
        counted = self._connection.execute(select(school, func.count()).group_by(school))
        rows = {name: int(count) for name, count in counted}
        known = known_schools(rows)
        told: Counter[str] = Counter()
        for name in sorted(rows):
            told[name if name in known else WHOLE] += rows[name]
        return dict(told.most_common())

    def set_back(self, undo_id: int) -> None:
        """Makes the rows what they were before the load, and keeps what they were before the undo.

        Raises:
            ImportStopped: other rows changed than were counted; the transaction must be given up.
        """
        target, was, connection = self._target, self._was, self._connection
        now = func.to_jsonb(text(f'"{target.name}".*'), type_=JSONB)
        action = case((self._was_there(), "set back"), else_="remove")
        images = select(literal(undo_id), literal(self._dataset.name), action, now).select_from(target)
        columns = ["import_run_id", "dataset", "action", "before"]
        connection.execute(insert(row_history).from_select(columns, images.where(self._mine)))
        removed = connection.execute(delete(target).where(self._mine, ~self._was_there())).rowcount
        before = update(target).where(self._mine, self._same_key(was))
        values = {each.name: was.c[each.name] for each in target.columns}
        restored = connection.execute(before.values(values)).rowcount
        if (removed, restored) != (self.removed, self.own - self.removed):
            raise ImportStopped(f"{self._dataset.name}: its rows changed while they were undone. Nothing was undone.")

    def _touched_later(self) -> Select[Any]:
        """Rows that the load changed and that are no longer as it left them, with their schools."""
        target, run = self._target, self._run
        later = select(import_run.c.id).where(
            import_run.c.dataset == run.dataset, import_run.c.loaded_at > run.loaded_at
        )
        # What the load inserted has no image of its own; whoever changed it kept one of what the load had made.
        its_row = row_history.c.before["import_run_id"].astext == str(run.id)
        changed = self._images(row_history.c.import_run_id.in_(later), its_row).subquery()
        both = [select(*[rows.c[name] for name in self._dataset.key]) for rows in (self._was, changed)]
        keys = union(*both).subquery()
        school = target.c[SCHOOL] if SCHOOL in target.c else null()
        rows = select(school.label("school")).join(keys, self._same_key(keys))
        return rows.where(~self._mine)

    def _pass_over_undone(self) -> None:
        """A row that the load found as an undone load had left it becomes what it was before that one, too.

        That undo left the row to this load, and nobody would take back its own value any more.
        """
        was, execute = self._was, self._connection.execute
        undone = select(import_run.c.id).where(import_run.c.state == "undone")
        newest = select(func.max(was.c.import_run_id)).where(was.c.import_run_id.in_(undone))
        while (made_by := execute(newest).scalar()) is not None:
            before = self._images(row_history.c.import_run_id == made_by).subquery()
            same = and_(*[was.c[name] == before.c[name] for name in self._dataset.key])
            theirs = was.c.import_run_id == made_by
            execute(delete(was).where(theirs, ~exists().where(same)))
            execute(update(was).where(theirs, same).values({each.name: before.c[each.name] for each in was.columns}))

    def _images(self, *where: Any) -> Select[Any]:
        """Rows as the history has them, in the table's columns."""
        names = [each.name for each in self._target.columns]
        kind: ColumnElement[Any] = literal_column(f'NULL::{DISTRICT}."{self._dataset.name}"')
        image = func.jsonb_populate_record(kind, row_history.c.before).table_valued(*names, name="image")
        rows = select(*[image.c[name] for name in names]).select_from(row_history).join(image, text("true"))
        return rows.where(row_history.c.dataset == self._dataset.name, *where)

    def _same_key(self, rows: FromClause) -> Any:
        return and_(*[self._target.c[name] == rows.c[name] for name in self._dataset.key])

    def _was_there(self) -> Any:
        return exists().where(self._same_key(self._was))

    def _count(self, rows: Select[Any]) -> int:
        return int(self._connection.execute(select(func.count()).select_from(rows.subquery())).scalar_one())
