"""Holds: what a gate keeps out of a table until a person decides, and the preview that they decide by."""

from __future__ import annotations

import datetime
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, exists, func, insert, or_, select, update

from district import import_log
from district.database import engine
from district.dataset import Dataset
from district.issues import RuleIssue, rules_of
from district.review.judgement import PARENT_HELD, Judgement, Reason, SchoolChange
from district.review.shown import mark_of
from district.review.tables import WHOLE, decision, hold, school_change
from district.settings import settings
from district.tables import delivery, import_run

_COUNTED = ("standing", "new", "changed", "unchanged", "gone", "rejected", "unknown_codes", "orphans")
# A parent's hold is decided at the parent.
_DECIDED_HERE = hold.c.rule_id != PARENT_HELD


@dataclass(frozen=True, kw_only=True)
class Review:
    """What a run's holds ask a person: counts by school, the reasons, and the issues. Never a value of a row."""

    run_id: int
    run_key: str
    dataset: str
    partition: str
    owner: str
    """The role that may decide, besides the data person."""
    sha256: str
    file_name: str
    state: str
    """``loaded`` where only some schools are held, else ``held``."""
    expires_at: datetime.datetime
    schools: tuple[SchoolChange, ...]
    """What the load would do to each school, or did."""
    held: frozenset[str]
    """The schools that are held; ``WHOLE`` among them where the delivery itself is."""
    reasons: tuple[Reason, ...]
    issues: tuple[RuleIssue, ...]
    shown: str
    """The mark of all this: who decides gives it, and decides about nothing else."""

    @property
    def choices(self) -> tuple[str, ...]:
        """How a person may decide. Only a delivery that is held as a whole can be loaded without some schools."""
        some = WHOLE in self.held and len(self.held) > 1
        return ("approve", "without", "reject") if some else ("approve", "reject")


def waiting(dataset: Dataset, run_key: str) -> Review | None:
    """What waits for a person in the newest run under a key; None where nothing does, or no longer."""
    with engine().connect() as connection:
        run = import_log.find_run(connection, dataset, run_key)
        return review_of(connection, run) if run is not None else None


def all_waiting() -> list[Review]:
    """Whatever waits for a person, the oldest first."""
    with engine().connect() as connection:
        query = select(import_run).where(exists().where(hold.c.import_run_id == import_run.c.id, still_open()))
        runs = connection.execute(query.order_by(import_run.c.id)).all()
        return [found for found in (review_of(connection, run) for run in runs) if found is not None]


def review_of(connection: Connection, run: Row[Any]) -> Review | None:
    """What a run's open holds ask; None where it has none."""
    rows = connection.execute(
        select(hold).where(hold.c.import_run_id == run.id, still_open()).order_by(hold.c.id)
    ).all()
    if not rows:
        return None
    sent = connection.execute(select(delivery).where(delivery.c.id == run.delivery_id)).one()
    return Review(
        run_id=run.id,
        run_key=run.run_key,
        dataset=run.dataset,
        partition=run.partition,
        owner=run.owner,
        sha256=sent.sha256,
        file_name=sent.file_name,
        state=run.state,
        expires_at=min(row.expires_at for row in rows),
        schools=changes_of(connection, run.id),
        held=frozenset(row.school_id for row in rows),
        reasons=tuple(Reason(school_id=row.school_id, rule_id=row.rule_id, text=row.reason) for row in rows),
        issues=tuple(rules_of(connection, run.id)),
        shown=mark_of(connection, run),
    )


def still_open() -> ColumnElement[bool]:
    """The holds that a person may decide about now."""
    return and_(hold.c.state == "open", _DECIDED_HERE, hold.c.expires_at > func.clock_timestamp())


def changes_of(connection: Connection, run_id: int) -> tuple[SchoolChange, ...]:
    """What a run would do, or did, to each school's rows."""
    query = select(school_change).where(school_change.c.import_run_id == run_id).order_by(school_change.c.school_id)
    return tuple(
        SchoolChange(school_id=row.school_id, **{name: row._mapping[name] for name in _COUNTED})
        for row in connection.execute(query)
    )


def held_schools(connection: Connection, run_id: int) -> frozenset[str]:
    """The schools of which a run kept the changes out of the table."""
    query = select(school_change.c.school_id).where(school_change.c.import_run_id == run_id, school_change.c.held)
    return frozenset(connection.execute(query).scalars())


def record_changes(
    connection: Connection, run_id: int, schools: Collection[SchoolChange], judgement: Judgement
) -> None:
    """Writes the preview of a run, in place of what an earlier try of it wrote."""
    connection.execute(delete(school_change).where(school_change.c.import_run_id == run_id))
    rows = [
        {
            "import_run_id": run_id,
            "school_id": school.school_id,
            "held": judgement.whole or school.school_id in judgement.held,
            **{name: getattr(school, name) for name in _COUNTED},
        }
        for school in schools
    ]
    if rows:
        connection.execute(insert(school_change), rows)


def record_holds(connection: Connection, run: Row[Any], judgement: Judgement, left_out: Collection[str]) -> None:
    """Writes the holds of a run. Those of schools that a person has ``left_out`` ask nobody again."""
    forget_holds(connection, run.id)
    until = func.clock_timestamp() + datetime.timedelta(hours=settings().hold_hours)
    rows = [
        {
            "import_run_id": run.id,
            "school_id": reason.school_id,
            "rule_id": reason.rule_id,
            "reason": reason.text,
            "state": "rejected" if reason.school_id in left_out else "open",
        }
        for reason in judgement.reasons
    ]
    for row in rows:
        connection.execute(insert(hold).values(**row, expires_at=until))


def forget_holds(connection: Connection, run_id: int) -> None:
    """Removes what an earlier try of a run had held: it is judged anew, and what was decided stays in ``decision``."""
    connection.execute(delete(hold).where(hold.c.import_run_id == run_id))


def supersede(
    connection: Connection, dataset: Dataset, run_id: int, rows: Row[Any], *, keeping: Collection[int] = ()
) -> int:
    """Closes the holds of earlier runs of the same rows: this run tells of them anew. Returns how many.

    The ``rows`` are told by a run that is about them: this one, or where its file is unchanged, the one that loaded it.
    Left are those that the decisions ``keeping`` let through: these may still be relied on.
    """
    same = select(import_run.c.id).where(
        import_log.speaks_for(dataset, rows.partition, rows.scope), import_run.c.id != run_id
    )
    # A decision may just be made: only once it is, and the lock is here, does a statement see the hold and its record.
    waits = (hold.c.import_run_id.in_(same), hold.c.state.in_(("open", "approved")))
    mine = connection.execute(select(hold.c.id).where(*waits).order_by(hold.c.id).with_for_update()).scalars().all()
    unused = exists().where(
        decision.c.id == hold.c.decision_id, decision.c.used_by.is_(None), decision.c.id.not_in(keeping)
    )
    closed = update(hold).where(
        hold.c.id.in_(mine), or_(hold.c.state == "open", and_(hold.c.state == "approved", unused))
    )
    return connection.execute(closed.values(state="superseded")).rowcount


def expire(connection: Connection) -> list[int]:
    """Closes what nobody decided about in time, and what was approved and not released; returns the runs that held it.

    The table keeps its rows.
    """
    late = and_(
        decision.c.id == hold.c.decision_id,
        decision.c.used_by.is_(None),
        decision.c.expires_at <= func.clock_timestamp(),
    )
    over = or_(
        and_(hold.c.state == "open", hold.c.expires_at <= func.clock_timestamp()),
        and_(hold.c.state == "approved", exists().where(late)),
    )
    expired = update(hold).where(over).values(state="expired").returning(hold.c.import_run_id, hold.c.rule_id)
    rows = connection.execute(expired).all()
    _end_releases(connection)
    return sorted({row.import_run_id for row in rows if row.rule_id != PARENT_HELD})


def _end_releases(connection: Connection) -> None:
    """A release that was killed in its last try is over once nothing lets its delivery through any more."""
    approved = exists().where(hold.c.import_run_id == import_run.c.about_id, hold.c.state == "approved")
    broken_off = select(import_run.c.id).where(
        import_run.c.kind == "release", import_run.c.state.not_in(import_log.FINAL), ~approved
    )
    for run_id in connection.execute(broken_off.with_for_update(skip_locked=True)).scalars().all():
        reason = "The release was broken off, and its approval has run out. Nothing was loaded."
        import_log.update_run(connection, run_id, state="failed", reason=reason, rule_id="run.not_approved")


def reasons_text(reasons: Collection[Reason], shown: int = 3) -> str:
    """The reasons in a few sentences, for a run's row."""
    told = " ".join(str(reason) for reason in list(reasons)[:shown])
    more = len(reasons) - shown
    return told + (f" And {more} more: `district holds`." if more > 0 else "")
