"""What must become of a school's rows on one night: which of them load, and what that changes in the table."""

from __future__ import annotations

import numpy as np

from district.synthetic.defects import Injection
from district.synthetic.mishaps import Strike

KEPT_OUT = ("rejected", "unknown_codes", "orphans")
SCHOOL_COUNTS = ("standing", "new", "changed", "unchanged", "gone", *KEPT_OUT)


class Fate:
    """The rows of a sheet on one night, as masks; ``content`` differs where a row loads with another content."""

    def __init__(self, content: np.ndarray, present: np.ndarray) -> None:
        self.content = content
        self.present = present
        self.rejected, self.unreadable, self.unmapped, self.orphans = (np.zeros_like(present) for _ in range(4))
        self.rejected_twins = np.zeros_like(content)

    def add_defect(self, injection: Injection, position: int) -> None:
        """A row's defect, the sheet's ``position``-th."""
        kind, row = injection.kind, injection.row
        rejected = kind.verdict == "REJECT"
        self.rejected[row] |= rejected
        self.rejected_twins[row] += kind.twin and rejected
        self.unreadable[row] |= not kind.keyed
        self.unmapped[row] |= kind.rule_id.endswith(".code")
        self.orphans[row] |= ".parent." in kind.rule_id
        self.content[row] += kind.alters * (1 + position % 999)

    def add_mishap(self, strike: Strike, rows: np.ndarray, position: int) -> None:
        """A mishap of rows that are sent, the night's ``position``-th."""
        self.rejected |= rows & bool(strike.kind.rule_id)
        self.unmapped |= rows & strike.kind.rule_id.endswith(".code")
        self.content += rows * (1 + position) * 1_000_000

    def add_orphans(self, known: np.ndarray) -> int:
        """``known`` masks the rows whose parent is loaded, without the extra ones; returns how many have none."""
        lacking = self.present.copy()
        lacking[: len(known)] &= ~known
        lacking[len(known) :] = False
        self.orphans |= lacking
        self.rejected |= lacking
        return int(lacking.sum())

    def changes(self, table: np.ndarray) -> dict[str, np.ndarray]:
        """By name in SCHOOL_COUNTS, the rows it is true of, or how many lines each of them stands for.

        ``table`` is what the nights before left: 0 never there, positive the content that stands, negative what was
        withdrawn.
        """
        loaded = self.present & ~self.rejected
        return {
            "standing": table > 0,
            "new": loaded & (table == 0),
            "changed": loaded & (table != 0) & (table != self.content),
            "unchanged": loaded & (table == self.content),
            "gone": (table > 0) & ~(self.present & ~self.unreadable),
            "rejected": (self.present & self.rejected) + self.rejected_twins,
            "unknown_codes": self.present & self.unmapped,
            "orphans": self.present & self.orphans,
        }


def by_school(schools: np.ndarray, changes: dict[str, np.ndarray]) -> dict[str, dict[str, int]]:
    """The counts of each school; ``schools`` holds the school of each row."""
    return {
        str(school_id): {name: int(rows[schools == school_id].sum()) for name, rows in changes.items()}
        for school_id in np.unique(schools)
    }
