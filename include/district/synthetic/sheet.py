"""A sheet: one school's rows of a data set as columns of source text, and the nights on which each is sent."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

NEVER = 1 << 30
"""A night that does not come."""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """What the SIS shows differently from a night on, in one row."""

    night: int
    row: int
    values: dict[str, str]


@dataclass(kw_only=True)
class Sheet:
    """Rows that keep their index on every night; a row is in the extract of the nights ``first <= night < last``."""

    columns: dict[str, list[str]]
    first: np.ndarray
    last: np.ndarray
    student: np.ndarray
    """The child's index in the school: no child meets two defects in one data set."""
    edits: list[Edit] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.first)

    def row(self, index: int) -> dict[str, str]:
        """One row's values by column."""
        return {name: values[index] for name, values in self.columns.items()}

    def stable(self) -> np.ndarray:
        """Mask of the rows that stay as they are on all nights; only these meet defects: a count has one cause."""
        mask: np.ndarray = (self.first == 0) & (self.last == NEVER)
        mask[[edit.row for edit in self.edits]] = False
        return mask

    def extend(self, rows: list[dict[str, str]], *, first: list[int], last: list[int], student: list[int]) -> None:
        """Adds rows at the end."""
        for name, values in self.columns.items():
            values.extend(row[name] for row in rows)
        self.first = np.concatenate([self.first, np.array(first, dtype=np.int64)])
        self.last = np.concatenate([self.last, np.array(last, dtype=np.int64)])
        self.student = np.concatenate([self.student, np.array(student, dtype=np.int64)])


class Quota:
    """A share of the district's rows in whole numbers, school by school, and at least so many."""

    def __init__(self, share: float, *, at_least: int = 1) -> None:
        self.share = share
        self.at_least = at_least
        self.seen = 0
        self.given = 0

    def due(self, rows: int) -> int:
        """How many more are due after ``rows`` further rows; what is taken is to be added to ``given``."""
        self.seen += rows
        return max(self.at_least, round(self.share * self.seen)) - self.given if self.seen else 0

    def take(self, rng: np.random.Generator, candidates: np.ndarray, rows: int) -> np.ndarray:
        """Some of the candidates, as many as are due."""
        number = max(0, min(self.due(rows), len(candidates)))
        self.given += number
        return rng.choice(candidates, number, replace=False)


def source_date(day: object) -> str:
    """A date as the SIS writes it, month first and without leading zeros."""
    return f"{day.month}/{day.day}/{day.year}"  # type: ignore[attr-defined]
