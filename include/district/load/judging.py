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
from district.load.gate import judge
from district.review import decisions, holds
from district.review.judgement import LEFT_OUT, PARENT_HELD, Judgement, Reason
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
    own = {school: gate_for(dataset, run.night, school) for school in settings().district.calendars[1:]}
    changes = decider.changes(last, share=min(each.updated for each in (gate, *own.values())))
    relied_on = decisions.relied_on(connection, dataset, run)
    left_out = decisions.left_out(connection, run, relied_on)
    stopping = [
        *_stopping(connection, dataset, run, first=batch.first and (gate.first or settings().first_load) == "hold"),
        *(() if batch.first else _amends(batch)),
    ]
    seen = decisions.rules_seen(connection, relied_on)
    judgement = judge(
        gate,
        changes.schools,
        own=own,
        parts=changes.parts,
        last_read=last.read if last is not None else 0,
        listed=not batch.first and bool(settings().district.schools),
        # A reason that has come since is not what was looked at, such as a year that has closed.
        stopping=[reason for reason in stopping if reason.rule_id not in seen],
        waiting=_held_by_parents(connection, dataset, run),
        approved=decisions.schools_of(relied_on),
        left_out=left_out,
    )
    holds.record_changes(connection, run.id, changes.schools, judgement)
    if not preview:
        holds.record_holds(connection, run, judgement, left_out)
        passed = [] if judgement.whole else [each for each in relied_on if judgement.held.isdisjoint(each.schools)]
        decisions.mark_used(connection, passed, run.id)
        # Of a release that is held in its turn, the earlier approval still counts.
        if not (run.kind == "release" and judgement.whole):
            holds.supersede(connection, dataset, run.id, run, keeping=[each.id for each in relied_on])
    return decider.hold(changes, judgement), judgement


def reason_of(connection: Connection, run: Row[Any], judgement: Judgement, schools: int, *, preview: bool) -> str:
    """What a run's row says of what is held; nothing where nothing is. A preview asks nobody."""
    if not judgement.reasons:
        return ""
    told = holds.reasons_text(judgement.reasons)
    held = f"{len(judgement.held)} of {schools} schools"
    if preview:
        return f"{told} Nothing would be changed." if judgement.whole else f"{held} would be held. {told}"
    told = f"{told} Nothing was changed." if judgement.whole else f"{held} held, the others loaded. {told}"
    if all(reason.rule_id in (PARENT_HELD, LEFT_OUT) for reason in judgement.reasons):
        return told
    return f"{told} A person decides: {_how_to_decide(connection, run)}see `district holds`."


def _how_to_decide(connection: Connection, run: Row[Any]) -> str:
    """Where Airflow asks; nowhere about a run by hand or a rehearsal, and about a release only when it is told to."""
    if run.run_key.startswith(import_log.BY_HAND) or import_log.judged_as(connection, run) == "rehearsal":
        return ""
    return "clear `review` and answer it, or " if run.kind == "release" else "answer the required action, or "


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


def _amends(batch: Batch) -> list[Reason]:
    """What holds a delivery that would change a row of a closed school year: only an amendment with a reason may.

    A data set that sends its history with every file mends it night by night.
    """
    dataset, run = batch.dataset, batch.run
    if dataset.partition != "night" or dataset.history:
        return []
    closed = closed_years(recorded_calendar(batch.connection), run.night, import_log.years_sent(dataset, run))
    if closed:
        closed &= batch.changed_years()
    if not closed:
        return []
    listed = ", ".join(map(str, sorted(closed)))
    text = f"School year {listed} is closed. Approve it as an amendment of that year, and say what was corrected."
    return [Reason(school_id=WHOLE, rule_id="year.closed", text=text)]


def _held_by_parents(connection: Connection, dataset: Dataset, run: Row[Any]) -> frozenset[str]:
    """The schools that a parent's loads of the same night hold; a rehearsal waits for none of the night's own."""
    if dataset.partition != "night" or import_log.judged_as(connection, run) == "rehearsal":
        return frozenset()
    loads = [load for parent in dataset.parents for load in import_log.parent_loads(connection, parent.dataset, run)]
    return frozenset(school for load in loads for school in holds.held_schools(connection, load.id))
