"""The confirmation: a second person's word for a semester change, and what its load asks of the record first."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import Connection, Row, Select, func, select

from district import import_log
from district.counted import are
from district.database import engine
from district.dataset import Dataset
from district.review import words
from district.review.acknowledgements import acknowledged_by, new_warnings
from district.review.decisions import countable, record
from district.review.judgement import SchoolChange
from district.review.shown import mark_of, run_as_shown
from district.review.tables import decision
from district.run import Held, NotAllowed
from district.settings import roles_for, settings
from district.tables import import_run

TECHNOLOGY_LEAD = "technology_lead"
_NOT_YET = ("semester_change.warnings", "semester_change.confirmation")


def confirming_roles(dataset: Dataset) -> tuple[str, ...]:
    """The roles that may confirm a data set's semester change."""
    return tuple(dict.fromkeys((*roles_for(dataset.owner), TECHNOLOGY_LEAD)))


def confirm(
    dataset: Dataset,
    run_id: int,
    *,
    choice: Literal["approve", "reject"],
    shown: str,
    person: str,
    role: str,
    reason: str,
) -> None:
    """Records a second person's word on what was ``shown`` of a run, as its question names it.

    After a rejection it does not load; the newest word alone counts.

    Raises:
        NotAllowed: the role may not confirm, the name or reason does not do, a warning is new, the person has
            acknowledged one, or what was shown has changed since.
    """
    person, roles = words.name(person), confirming_roles(dataset)
    if role not in roles:
        raise NotAllowed(f"{person} may not confirm {dataset.name}: that needs the role {_or(roles)}.")
    reason = words.reason(reason, "Give a reason: what have you compared, and with what?")
    with engine().begin() as connection:
        _lock(connection, run_id)
        run = run_as_shown(connection, dataset, run_id, shown)
        if not asks(run):
            raise NotAllowed(f"Nothing of {dataset.name} waits for a confirmation in this run.")
        if choice == "approve" and (new := new_warnings(connection, dataset, run)):
            raise NotAllowed(f"Of {dataset.name}, {are(len(new), 'new warning')} to be acknowledged first.")
        if words.same(person) in _acknowledgers(connection, dataset, run):
            raise NotAllowed(f"{person} has acknowledged a warning of this run; a second person confirms.")
        record(connection, run, kind="confirmation", choice=choice, person=person, role=role, reason=reason)
        if choice == "reject":
            why = f"{person} ({role}) did not confirm: {reason} Nothing was changed."
            import_log.update_run(connection, run.id, state="held", reason=why, rule_id="semester_change.rejected")


def confirming_role(person: str, dataset: Dataset) -> str:
    """The role by which a person may confirm; empty where there is none."""
    return settings().district.role_of(person, confirming_roles(dataset))


def give_up(dataset: Dataset, run_key: str, what: str, rule_id: str) -> None:
    """Ends a run for which people were waited for in vain: it is held, and the table keeps its rows."""
    with engine().begin() as connection:
        run = import_log.find_run(connection, dataset, run_key, locked=True)
        if run is not None and run.state == "validated":
            import_log.update_run(
                connection, run.id, state="held", reason=f"{what} Nothing was changed.", rule_id=rule_id
            )


def check_strict(connection: Connection, dataset: Dataset, run: Row[Any]) -> list[Row[Any]]:
    """The confirmation that the load of a semester change relies on, locked until its transaction, this one, ends.

    Raises:
        Held: a warning is new that nobody has acknowledged, or no second person has confirmed what was shown.
    """
    _lock(connection, run.id)
    new = new_warnings(connection, dataset, run)
    if new:
        listed = ", ".join(f"{each.rule_id} ({each.rows:,})" for each in new[:5])
        message = f"{are(len(new), 'new warning')} not acknowledged: {listed}. Nothing was changed."
        raise Held(message, rule_id="semester_change.warnings")
    confirmed = connection.execute(_confirmed(connection, dataset, run).with_for_update()).one_or_none()
    if confirmed is None or words.same(confirmed.person) in _acknowledgers(connection, dataset, run):
        message = f"No second person has confirmed {dataset.name} of {run.partition}. Nothing was changed."
        raise Held(message, rule_id="semester_change.confirmation")
    return [confirmed]


def check_foreseen(run: Row[Any], foreseen: tuple[SchoolChange, ...], now: tuple[SchoolChange, ...]) -> None:
    """Makes sure that a load which has just counted its changes does to each school what was confirmed.

    Raises:
        Held: the table has changed since.
    """
    if now != foreseen:
        message = f"{run.dataset} of {run.partition} would no longer change what was confirmed; "
        raise Held(message + "clear `validate` to have it looked at again.", rule_id="semester_change.changed")


def confirmed_by(connection: Connection, dataset: Dataset, run: Row[Any]) -> str:
    """Who has confirmed a run, where that still counts; empty where nobody has."""
    confirmed = connection.execute(_confirmed(connection, dataset, run)).one_or_none()
    if confirmed is None or words.same(confirmed.person) in _acknowledgers(connection, dataset, run):
        return ""
    return str(confirmed.person)


def _confirmed(connection: Connection, dataset: Dataset, run: Row[Any]) -> Select[Any]:
    """The newest word on a run, where it is an unused and unexpired confirmation of what is shown of it now."""
    about = (decision.c.kind == "confirmation", decision.c.dataset == dataset.name, decision.c.import_run_id == run.id)
    confirmed = countable(dataset, run, kind="confirmation", roles=confirming_roles(dataset))
    return confirmed.where(
        decision.c.id == select(func.max(decision.c.id)).where(*about).scalar_subquery(),
        decision.c.shown == mark_of(connection, run),
    )


def asks(run: Row[Any]) -> bool:
    """Whether a run waits for people: it is judged, or its load stopped for want of their word."""
    return run.kind == "semester_change" and (run.state == "validated" or unconfirmed(run))


def unconfirmed(run: Row[Any]) -> bool:
    """Whether a load stopped for want of a person's word alone, so that it may be tried again."""
    return run.state == "held" and run.rule_id in _NOT_YET


def _lock(connection: Connection, run_id: int) -> None:
    """Until the transaction ends: a word on a run and its load take their turns."""
    run = select(import_run.c.id).where(import_run.c.id == run_id)
    connection.execute(run.with_for_update(key_share=True))


def _acknowledgers(connection: Connection, dataset: Dataset, run: Row[Any]) -> set[str]:
    return {words.same(person) for person in acknowledged_by(connection, dataset, run).values()}


def _or(roles: tuple[str, ...]) -> str:
    return ", ".join(roles[:-1]) + f" or {roles[-1]}" if len(roles) > 1 else roles[0]
