"""What became of what a run held: whether it waits, or who decided, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, func, select

from district.database import engine
from district.dataset import Dataset
from district.review.judgement import PARENT_HELD
from district.review.tables import decision, hold
from district.tables import import_run

State = Literal["approved", "open", "expired", "superseded", "rejected"]
# Of several holds of a run, the first of these says how the run stands.
_ORDER: tuple[State, ...] = ("open", "approved", "expired", "superseded", "rejected")
_WORDS = {"approve": "approved", "reject": "rejected", "without": "loaded without the held schools"}


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
        if self.state == "expired":
            return "Nobody decided in time: what was held stays out, and the rows of before stay."
        if self.state == "superseded":
            return "A newer delivery has come in place of what was held."
        reason = self.reason if self.reason.endswith((".", "!", "?")) else f"{self.reason}."
        return f"{_WORDS[self.choice].capitalize()} by {self.person} ({self.role}): {reason}"


def outcome_of(dataset: Dataset, run_key: str) -> Outcome | None:
    """How the holds of the newest import under a run key stand; None where it held nothing that is decided there."""
    with engine().connect() as connection:
        return find_outcome(connection, dataset, run_key)


def find_outcome(connection: Connection, dataset: Dataset, run_key: str) -> Outcome | None:
    """The same, inside a transaction."""
    mine = (
        (import_run.c.dataset == dataset.name)
        & (import_run.c.run_key == run_key)
        & (import_run.c.kind.in_(("import", "semester_change")))
    )
    newest = select(func.max(import_run.c.id)).where(mine).scalar_subquery()
    query = (
        select(hold.c.state, *(decision.c[name] for name in ("choice", "person", "role", "reason")))
        .select_from(hold.outerjoin(decision, decision.c.id == hold.c.decision_id))
        .where(hold.c.import_run_id == newest, hold.c.rule_id != PARENT_HELD)
    )
    rows = sorted(connection.execute(query), key=lambda row: _ORDER.index(row.state))
    if not rows:
        return None
    first = rows[0]
    if first.choice is None or first.state not in ("approved", "rejected"):
        return Outcome(state=first.state)
    return Outcome(state=first.state, choice=first.choice, person=first.person, role=first.role, reason=first.reason)
