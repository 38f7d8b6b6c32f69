"""The plan to read a file by, and what a person should see of the file as a whole."""

from __future__ import annotations

from array import array
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, kw_only=True)
class FileWarning:
    """Something about the file as a whole that a person should see though the file loads."""

    rule_id: str
    cause: str
    title: str
    fix: str
    severity: str = "warning"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to read the file: how many fields a record has and at which index (from 0) each column stands."""

    width: int
    places: dict[str, int] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    """Columns that the layout calls optional and the file lacks, and the headers that they would have."""
    warnings: tuple[FileWarning, ...] = ()
    lines: array[int] | None = None
    """Each record's first line, header included; None where record and line have the same number."""

    def only(self, names: Collection[str]) -> Plan:
        """The same plan for these columns alone."""
        return replace(self, places={name: place for name, place in self.places.items() if name in names})

    def as_dict(self, *, lines_are_rows: bool) -> dict[str, Any]:
        """What another delivery must have in common for its lines to mean the same; kept with the run."""
        return {"width": self.width, "places": dict(self.places), "lines_are_rows": lines_are_rows}
