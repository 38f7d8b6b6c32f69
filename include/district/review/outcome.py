"""What became of what a run held: whether it waits, or who decided, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, select

from district import import_log
from district.database import engine
from district.dataset import Dataset
from district.review.judgement import PARENT_HELD
from district.review.tables import decision, hold
from district.tables import import_run

State = Literal["approved", "open", "expired", "superseded", "rejected"]
# Of several holds of a run, the first of these says how the run stands.
_ORDER: tuple[State, ...] = ("open", "approved", "expired", "superseded", "rejected")
_WORDS = {"approve": "approved", "reject": "rejected", "without": "let through without the held schools"}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How the holds of a run stand."""

    state: State
    choice: str = ""
    person: str = ""
    role: str = ""
    reason: str = ""

    @property
    def sentence(self) -> str:
        """For people: a run's note, a task that is skipped."""
        if self.state == "open":
            return "What is held waits for a person."
        if self.state == "superseded":
            return "A newer delivery has come in place of what was held, or the load was undone."
        stays = "What was held stays out, and the table keeps the rows that it has."
        if not self.choice:
            return f"Nobody decided in time. {stays}"
        reason = self.reason if self.reason.endswith((".", "!", "?")) else f"{self.reason}."
        said = f"{_WORDS[self.choice].capitalize()} by {self.person} ({self.role}): {reason}"
        return f"{said} It was not released in time. {stays}" if self.state == "expired" else said


def asked_key(dataset: Dataset, run_key: str) -> str:
    """The key of the run that a person is asked about: this one, or its release where that is held in its turn."""
    with engine().connect() as connection:
        run = import_log.find_run(connection, dataset, run_key)
        while run is not None:
            released = release_of(connection, run)
            if released is None or find_outcome(connection, released.id) is None:
                return str(run.run_key)
            run = released
    return run_key


def outcome_of(dataset: Dataset, run_key: str) -> Outcome | None:
    """How the holds of the newest run under a run key stand; None where it held nothing that is decided there."""
    with engine().connect() as connection:
        run = import_log.find_run(connection, dataset, run_key)
        return None if run is None else find_outcome(connection, run.id)


def release_of(connection: Connection, run: Row[Any]) -> Row[Any] | None:
    """The newest run that released what a run held; None where it has begun anew since, perhaps with another file."""
    query = select(import_run).where(
        import_run.c.about_id == run.id, import_run.c.kind == "release", import_run.c.started_at > run.started_at
    )
    return connection.execute(query.order_by(import_run.c.id.desc()).limit(1)).first()


def find_outcome(connection: Connection, run_id: int) -> Outcome | None:
    """How the holds of a run stand; None where it held nothing that is decided there."""
    # Whom a person left out of what is released is decided already.
    left_out = (hold.c.state == "rejected") & hold.c.decision_id.is_(None)
    query = (
        select(hold.c.state, *(decision.c[name] for name in ("choice", "person", "role", "reason")))
        .select_from(hold.outerjoin(decision, decision.c.id == hold.c.decision_id))
        .where(hold.c.import_run_id == run_id, hold.c.rule_id != PARENT_HELD, ~left_out)
    )
    rows = sorted(connection.execute(query), key=lambda row: _ORDER.index(row.state))
    if not rows:
        return None
    first = rows[0]
    if first.choice is None:
        return Outcome(state=first.state)
    return Outcome(state=first.state, choice=first.choice, person=first.person, role=first.role, reason=first.reason)
