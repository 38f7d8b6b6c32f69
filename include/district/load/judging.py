"""Judging a load: the gate is asked, people's decisions are looked up, and both are written down with the preview."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, select

from district import import_log
from district.calendar.record import recorded_calendar
from district.calendar.standing import closed_years
from district.calendar.strictness import gate_for
from district.dataset import Dataset
from district.load.batch import Batch
from district.load.deciding import Changes, Decider
from district.load.gate import PARENT_HELD, Judgement, Reason, judge
from district.review import decisions, holds
from district.review.tables import WHOLE
from district.settings import settings
from district.tables import import_issue


def judge_load(batch: Batch, last: Row[Any] | None, *, preview: bool) -> tuple[Changes, Judgement]:
    """What the load would do once what is held is left out, and what is held; the preview and the holds are written.

    Whether a person has let something through is asked here, in the load's own transaction.

    Raises:
        Held: the run is a release, and nothing lets it through any more.
    """
    connection, dataset, run, decider = batch.connection, batch.dataset, batch.run, Decider(batch)
    gate = gate_for(dataset, run.night)
    changes = decider.changes(gate, last)
    relied_on = decisions.relied_on(connection, dataset, run)
    judgement = judge(
        gate,
        changes.schools,
        own={school: gate_for(dataset, run.night, school) for school in settings().district.calendars[1:]},
        parts=changes.parts,
        last_read=last.read if last is not None else 0,
        stopping=[
            *_stopping(connection, dataset, run, first=batch.first and (gate.first or settings().first_load) == "hold"),
            *(() if batch.first else _amends(connection, dataset, run, changes)),
        ],
        waiting=_held_by_parents(connection, dataset, run),
        approved=decisions.schools_of(relied_on),
    )
    holds.record_changes(connection, run.id, changes.schools, judgement)
    if not preview:
        holds.record_holds(connection, run, judgement, decisions.left_out(connection, relied_on))
        if not judgement.whole:
            decisions.mark_used(connection, relied_on, run.id)
        holds.supersede(connection, dataset, run)
    return decider.hold(changes, judgement), judgement


def reason_of(judgement: Judgement, schools: int) -> str:
    """What a run's row says of what is held; nothing where nothing is."""
    if not judgement.reasons:
        return ""
    told = holds.reasons_text(judgement.reasons)
    if judgement.whole:
        told += " Nothing was changed."
    else:
        told = f"{len(judgement.held)} of {schools} schools held, the others loaded. {told}"
    asked = any(reason.rule_id != PARENT_HELD for reason in judgement.reasons)
    return told + (" A person decides: answer the required action, or see `district holds`." if asked else "")


def _stopping(connection: Connection, dataset: Dataset, run: Row[Any], *, first: bool) -> list[Reason]:
    """What holds the delivery as a whole, besides its counts: the suite's rules, that it is the first, or an undo."""
    rules = select(import_issue.c.rule_id, import_issue.c.title, import_issue.c.fix).where(
        import_issue.c.import_run_id == run.id, import_issue.c.fate == "hold"
    )
    reasons = [
        Reason(school_id=WHOLE, rule_id=rule_id, text=f"{title}. {fix}")
        for rule_id, title, fix in connection.execute(rules.order_by(import_issue.c.id))
    ]
    if first:
        text = "It would be the first load of this table: compare its counts with the SIS and approve the baseline."
        reasons.append(Reason(school_id=WHOLE, rule_id="gate.first", text=text))
    undone = import_log.undo_of_delivery(connection, dataset, run)
    if undone is not None and not run.run_key.startswith(import_log.BY_HAND):
        told = "is, to the byte, a delivery that was taken back"
        if undone.delivery_id != run.delivery_id:
            told = "had loaded on top of a delivery that was taken back since, and may bring its rows again"
        text = f"The file {told} ({undone.reason})."
        reasons.append(Reason(school_id=WHOLE, rule_id="delivery.undone", text=text))
    return reasons


def _amends(connection: Connection, dataset: Dataset, run: Row[Any], changes: Changes) -> list[Reason]:
    """What holds a delivery that would change a closed school year: only an amendment with a reason may.

    A data set that sends its history with every file mends it night by night.
    """
    changed = changes.inserted + changes.updated + changes.withdrawn
    if dataset.partition != "night" or dataset.history or not changed:
        return []
    closed = closed_years(recorded_calendar(connection), run.night, import_log.years_sent(dataset, run))
    if not closed:
        return []
    listed = ", ".join(map(str, sorted(closed)))
    text = f"School year {listed} is closed. Approve it as an amendment of that year, and say what was corrected."
    return [Reason(school_id=WHOLE, rule_id="year.closed", text=text)]


def _held_by_parents(connection: Connection, dataset: Dataset, run: Row[Any]) -> frozenset[str]:
    """The schools that a parent's newest run of the same night holds; a rehearsal waits for none of the night's own."""
    if dataset.partition != "night" or run.kind == "rehearsal":
        return frozenset()
    held: set[str] = set()
    for parent in dataset.parents:
        theirs = import_log.parent_run(connection, parent.dataset, run.partition)
        if theirs is not None and theirs.state == "loaded":
            held |= holds.held_schools(connection, theirs.id)
    return frozenset(held)
