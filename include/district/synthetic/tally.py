"""The count of one night: what an import of a data set's file must report, for the district and for each school."""

from __future__ import annotations

from typing import Any

import numpy as np

from district.synthetic.defects import Kind
from district.synthetic.fate import KEPT_OUT, SCHOOL_COUNTS, Fate, by_school

COUNTS = ("processed", "rejected", "superseded", "warnings", "inserted", "updated", "unchanged", "withdrawn", "held")
SETTLED = ("inserted", "updated", "unchanged", "rejected", "superseded", "held")
"""What becomes of a processed row: exactly one of these."""


class Tally:
    """Grows with every school's rows; ``held`` are the schools whose changes a gate must hold that night."""

    def __init__(self, held: frozenset[str]) -> None:
        self._held = held
        self._table = dict.fromkeys(COUNTS, 0)
        self._schools: dict[str, dict[str, int]] = {}
        self._issues: dict[str, dict[str, Any]] = {}

    def add_issue(self, rule_id: str, severity: str, rows: int, *, caused: int = 0) -> None:
        """So many rows break a rule; of them, ``caused`` only since another data set's row was rejected."""
        if rule_id and rows:
            issue = self._issues.setdefault(rule_id, {"severity": severity, "count": 0, "caused": 0})
            issue["count"] += rows
            issue["caused"] += caused
            self._table["warnings"] += rows if severity == "warning" else 0

    def add_twin(self, kind: Kind) -> None:
        """A row's second copy."""
        self._table["processed"] += 1
        self._table["rejected" if kind.verdict == "REJECT" else "superseded"] += 1

    def settle(self, table: np.ndarray, fate: Fate, schools: list[str] | None, sent_as: list[str] | None) -> np.ndarray:
        """Counts a sheet's rows; returns the table after the night, as ``Fate.changes`` takes it.

        ``schools`` holds the school of each row, None where the data set knows none, and ``sent_as`` that which the
        file names: a rejected row is of no other.
        """
        changes = fate.changes(table)
        held = np.isin(np.array(schools), list(self._held)) if schools else np.zeros_like(fate.present)
        if schools and sent_as:
            self._add_schools(schools, {name: changes[name] for name in SCHOOL_COUNTS if name not in KEPT_OUT})
            self._add_schools(sent_as, {name: changes[name] for name in KEPT_OUT})
        new, changed, gone = (changes[name] for name in ("new", "changed", "gone"))
        for name, rows in {
            "processed": fate.present,
            "rejected": fate.present & fate.rejected,
            "inserted": new & ~held,
            "updated": changed & ~held,
            "unchanged": changes["unchanged"],
            "withdrawn": gone & ~held,
            "held": (new | changed) & held,
        }.items():
            self._table[name] += int(rows.sum())
        return np.where((new | changed) & ~held, fate.content, np.where(gone & ~held, -table, table))

    def _add_schools(self, schools: list[str], changes: dict[str, np.ndarray]) -> None:
        for school_id, counts in by_school(np.array(schools), changes).items():
            total = self._schools.setdefault(school_id, dict.fromkeys(SCHOOL_COUNTS, 0))
            for name, count in counts.items():
                total[name] += count

    def expected(self) -> dict[str, Any]:
        """The run table, the issues and, where the data set knows schools, theirs."""
        if self._table["processed"] != sum(self._table[name] for name in SETTLED):
            raise AssertionError("The expected counts do not add up.")
        state = "held" if self._held and self._held >= self._schools.keys() else "loaded"
        told: dict[str, Any] = {"table": {**self._table, "state": state}, "issues": dict(sorted(self._issues.items()))}
        if self._schools:
            told["schools"] = {
                school_id: {**counts, "held": school_id in self._held}
                for school_id, counts in sorted(self._schools.items())
            }
        return told
