"""An import run as its tasks hand it on: an id, a state and counts, never a row."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal[
    "started",
    "checked",
    "extracted",
    "validated",
    "loaded",
    "unchanged",
    "held",
    "refused",
    "blocked",
    "aside",
    "locked",
    "failed",
    "missing",
    "undone",
    "restored",
]


RunKind = Literal["import", "release", "undo", "semester_change", "rehearsal"]


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """What a task returns and a person reads: counts of rows, and why the run stopped where it did."""

    id: int
    dataset: str
    partition: str
    state: State
    read: int = 0
    rejected: int = 0
    superseded: int = 0
    held: int = 0
    warnings: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    withdrawn: int = 0
    reason: str = ""

    @property
    def loaded(self) -> int:
        """Rows of the delivery that stand in the table after the load."""
        return self.inserted + self.updated + self.unchanged

    def as_dict(self) -> dict[str, Any]:
        """For XCom and JSON."""
        return asdict(self)


def release_key(run_key: str) -> str:
    """The run key of what releases a run's held rows."""
    return f"{run_key}/release"


class ImportStopped(Exception):
    """The import did not go on, and why: a message for a person, without a value of any row."""

    state: State = "failed"

    def __init__(self, message: str, *, rule_id: str = "") -> None:
        super().__init__(message)
        self.rule_id = rule_id


class Refused(ImportStopped):
    """The file was put aside; the table keeps what it has."""

    state: State = "refused"


class Held(ImportStopped):
    """Nothing changes until a person has looked."""

    state: State = "held"


class Blocked(ImportStopped):
    """A parent data set of the same night did not load."""

    state: State = "blocked"


class Aside(ImportStopped):
    """The calendar has another import of the data set on this night, or none at all."""

    state: State = "aside"


class Locked(ImportStopped):
    """Another run of the same data set is loading; try again."""

    state: State = "locked"


class NotArrived(ImportStopped):
    """No complete delivery is there yet."""

    state: State = "missing"


class NotAllowed(Exception):
    """A person's decision does not count, and why: a sentence for whoever made it."""
