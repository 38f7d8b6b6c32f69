"""Decisions: a person's word on what is held, for one delivery, with a reason and an end."""

from __future__ import annotations

import datetime
from collections.abc import Collection
from typing import Any, Literal

from sqlalchemy import Connection, Row, ScalarSelect, Select, and_, exists, func, insert, or_, select, update

from district import import_log
from district.database import engine
from district.dataset import Dataset
from district.review import words
from district.review.judgement import PARENT_HELD
from district.review.shown import mark_of, run_as_shown
from district.review.tables import WHOLE, decision, hold
from district.run import Held, NotAllowed
from district.settings import roles_for, settings
from district.tables import delivery, import_run

Choice = Literal["approve", "reject", "without"]


def decide(dataset: Dataset, run_id: int, *, shown: str, choice: Choice, person: str, role: str, reason: str) -> None:
    """Records a person's decision on what a run holds, as it was ``shown``: see ``Review.shown``.

    ``without`` lets the delivery through, but for the schools that are held by themselves.

    Raises:
        NotAllowed: the role may not decide, the name or reason does not do, nothing waits (any more), or something
            else does.
    """
    person, roles = words.name(person), roles_for(dataset.owner)
    if role not in roles:
        raise NotAllowed(f"{person} may not decide on {dataset.name}: that needs the role {' or '.join(roles)}.")
    reason = words.reason(
        reason, "Give a reason: whoever looks at this load later must know why it was let through, or not."
    )
    with engine().begin() as connection:
        rows = _holds_of(connection, run_id)
        run = run_as_shown(connection, dataset, run_id, shown)
        if not rows:
            raise NotAllowed(f"Nothing of {dataset.name} waits for a decision in this run.")
        _check_open(connection, dataset, rows)
        open_ones = [row for row in rows if row.state == "open"]
        tripped = {row.school_id for row in open_ones}
        if choice == "without" and (WHOLE not in tripped or len(tripped) == 1):
            raise NotAllowed("There is nothing to leave out: approve what is held, or reject it.")
        through = {WHOLE} if choice == "without" else tripped
        about = {"choice": choice, "person": person, "role": role, "reason": reason}
        made = record(connection, run, kind="review", schools=sorted(through), **about)
        for row in open_ones:
            state = "approved" if choice != "reject" and row.school_id in through else "rejected"
            connection.execute(update(hold).where(hold.c.id == row.id).values(state=state, decision_id=made))


def record(
    connection: Connection,
    run: Row[Any],
    *,
    kind: str,
    choice: str,
    person: str,
    role: str,
    reason: str,
    schools: Collection[str] = (),
) -> int:
    """Writes down a person's word on a run's delivery; returns the record's number."""
    about = {
        "dataset": run.dataset,
        "partition": run.partition,
        "import_run_id": run.id,
        "sha256": _sha256_of(run),
        "rules": run.rules,
        "shown": mark_of(connection, run),
        "kind": kind,
        "choice": choice,
        "schools": list(schools),
    }
    return write_down(connection, about, person=person, role=role, reason=reason)


def write_down(connection: Connection, about: dict[str, Any], *, person: str, role: str, reason: str) -> int:
    """Writes down a person's word ``about`` something, which these columns name; returns the record's number."""
    until = func.clock_timestamp() + datetime.timedelta(hours=settings().hold_hours)
    values = {**about, "person": person, "role": role, "reason": reason, "expires_at": until}
    return int(connection.execute(insert(decision).values(values).returning(decision.c.id)).scalar_one())


def countable(dataset: Dataset, run: Row[Any], *, kind: str, roles: Collection[str]) -> Select[Any]:
    """The unused and unexpired records that let a run's bytes through as they are judged here, the oldest first."""
    return (
        select(decision)
        .where(
            decision.c.kind == kind,
            decision.c.choice.in_(("approve", "without")),
            decision.c.dataset == dataset.name,
            decision.c.sha256 == _sha256_of(run),
            # Read by another layout or judged by another suite, the same bytes are not what was looked at.
            decision.c.rules == run.rules,
            # Asked when it was written; asked again, since more than one hand can write to a table.
            decision.c.role.in_(roles),
            decision.c.person.regexp_match(r"\S"),
            decision.c.reason.regexp_match(r"\S"),
            decision.c.expires_at > func.clock_timestamp(),
            decision.c.used_by.is_(None),
        )
        .order_by(decision.c.id)
    )


def _sha256_of(run: Row[Any]) -> ScalarSelect[str]:
    """The checksum of a run's delivery; it equals none where a run has no delivery."""
    return select(delivery.c.sha256).where(delivery.c.id == run.delivery_id).scalar_subquery()


def _holds_of(connection: Connection, run_id: int) -> list[Row[Any]]:
    """The holds that are decided here, locked, so that two people cannot decide at once."""
    late = (hold.c.expires_at <= func.clock_timestamp()).label("late")
    query = select(hold, late).where(hold.c.import_run_id == run_id, hold.c.rule_id != PARENT_HELD)
    return list(connection.execute(query.order_by(hold.c.id).with_for_update()))


def _check_open(connection: Connection, dataset: Dataset, rows: list[Row[Any]]) -> None:
    open_ones = [row for row in rows if row.state == "open"]
    if open_ones and not any(row.late for row in open_ones):
        return
    if open_ones or any(row.state == "expired" for row in rows):
        what = "this came too late, and the table keeps the rows it has. The next delivery is judged anew."
    elif any(row.state == "superseded" for row in rows):
        what = "a newer delivery has come in its place, or the load was undone; `district holds` tells what waits."
    else:
        made = select(decision.c.person, decision.c.choice).where(decision.c.id.in_([row.decision_id for row in rows]))
        earlier = connection.execute(made.order_by(decision.c.id)).first()
        what = f"{earlier.person} has decided already ({earlier.choice})." if earlier else "nothing waits any more."
    raise NotAllowed(f"{dataset.name}: {what}")


def relied_on(connection: Connection, dataset: Dataset, run: Row[Any]) -> list[Row[Any]]:
    """The decisions that a run's load may rely on, locked until its transaction, the load's own, ends.

    Raises:
        Held: the run is a release, and no decision lets it through any more.
    """
    if run.kind == "release":
        held = connection.execute(select(import_run).where(import_run.c.id == run.about_id)).one()
        check_approved(connection, dataset, held)
    # None of them where a release is judged otherwise than what was looked at: then it is held in its turn.
    return _usable(connection, dataset, run)


def check_approved(connection: Connection, dataset: Dataset, held: Row[Any]) -> None:
    """Makes sure, before anything is staged, that a decision lets a held run's delivery through.

    Raises:
        Held: none does, or a newer delivery has come in its place.
    """
    _check_release(connection, dataset, held, _usable(connection, dataset, held))


def is_approved(connection: Connection, dataset: Dataset, held: Row[Any]) -> bool:
    """Whether a decision about a held run is left that a load may rely on."""
    usable = _usable(connection, dataset, held)
    return any(each.import_run_id == held.id for each in usable)


def _usable(connection: Connection, dataset: Dataset, run: Row[Any]) -> list[Row[Any]]:
    """The decisions on a run's delivery, on holds that nothing has superseded."""
    query = countable(dataset, run, kind="review", roles=roles_for(dataset.owner)).where(
        exists().where(and_(hold.c.decision_id == decision.c.id, hold.c.state == "approved"))
    )
    return [each for each in connection.execute(query.with_for_update()) if _names_schools(each)]


def _names_schools(made: Row[Any]) -> bool:
    return isinstance(made.schools, list) and all(isinstance(school, str) for school in made.schools)


def _check_release(connection: Connection, dataset: Dataset, held: Row[Any], usable: list[Row[Any]]) -> None:
    newer = select(import_run.c.id).where(
        import_log.speaks_for(dataset, held.partition, held.scope),
        import_run.c.state == "loaded",
        # What the held run itself has loaded bears its own time, a moment before or after its end.
        import_run.c.id != held.id,
        import_run.c.loaded_at > held.finished_at,
        import_run.c.about_id.is_distinct_from(held.id),
    )
    overtaken = connection.execute(select(newer.exists())).scalar_one()
    if not overtaken and any(each.import_run_id == held.id for each in usable):
        return
    states = set(connection.execute(select(hold.c.state).where(hold.c.import_run_id == held.id)).scalars())
    if held.state == "undone":
        message = f"{dataset.name}: this load is undone, and what it held with it. Nothing was loaded."
        raise Held(message, rule_id="run.not_approved")
    if overtaken or "superseded" in states:
        message = f"{dataset.name}: a newer delivery has come in the place of this one. Nothing was loaded."
        raise Held(message, rule_id="run.overtaken")
    why = "no decision lets this delivery through, or it came too late" if states else "nothing of this run waits"
    message = f"{dataset.name}: {why}. Nothing was loaded."
    raise Held(message, rule_id="run.not_approved")


def run_key_of(dataset: Dataset, run_id: int) -> str:
    """The key of a run, by its number.

    Raises:
        NotAllowed: the data set has no such run, or another has come under its key.
    """
    query = select(import_run.c.run_key).where(import_run.c.id == run_id, import_run.c.dataset == dataset.name)
    with engine().connect() as connection:
        run_key: str | None = connection.execute(query).scalar()
        newest = import_log.find_run(connection, dataset, run_key) if run_key is not None else None
    if run_key is None:
        raise NotAllowed(f"{dataset.name} has no run {run_id}; `district holds` tells which wait.")
    if newest is not None and newest.id != run_id:
        raise NotAllowed(f"{dataset.name}: run {newest.id} has come in the place of run {run_id}; look at that one.")
    return run_key


def told_of_release(connection: Connection, run_id: int) -> str:
    """Who let a run's rows through, and why; empty where nobody had to."""
    query = select(decision).where(decision.c.used_by == run_id).order_by(decision.c.id)
    return " ".join(
        f"{each.person} ({each.role}) let it through"
        f"{' without the schools that are held' if each.choice == 'without' else ''}: {each.reason}"
        for each in connection.execute(query)
    )


def schools_of(decisions: list[Row[Any]]) -> frozenset[str]:
    """The schools that decisions let through; ``WHOLE`` among them where the delivery itself may pass."""
    return frozenset(school for each in decisions for school in each.schools)


def rules_seen(connection: Connection, decisions: list[Row[Any]]) -> frozenset[str]:
    """The rules that held the delivery as a whole when it was let through."""
    approved = (hold.c.decision_id.in_([each.id for each in decisions]), hold.c.state == "approved")
    query = select(hold.c.rule_id).where(*approved, hold.c.school_id == WHOLE)
    return frozenset(connection.execute(query).scalars())


def left_out(connection: Connection, run: Row[Any], decisions: list[Row[Any]]) -> frozenset[str]:
    """The schools that decisions leave out of a run's load, or left out of what it releases."""
    decided = hold.c.decision_id.in_([each.id for each in decisions])
    query = select(hold.c.school_id).where(
        or_(decided, hold.c.import_run_id == run.about_id), hold.c.state == "rejected"
    )
    return frozenset(connection.execute(query).scalars())


def mark_used(connection: Connection, decisions: list[Row[Any]], run_id: int) -> None:
    """From now on no other run may rely on these decisions."""
    used = update(decision).where(decision.c.id.in_([each.id for each in decisions]))
    connection.execute(used.values(used_by=run_id))
