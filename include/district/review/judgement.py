"""What is counted of a run, school by school, and what the gate makes of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from district.review.tables import UNLISTED, WHOLE

PARENT_HELD = "parent.held"
LEFT_OUT = "school.left_out"


@dataclass(frozen=True, kw_only=True)
class SchoolChange:
    """A school's rows of a run: what a load would do to them, and what is known of earlier nights."""

    school_id: str = field(default=WHOLE)
    """``UNLISTED`` for rows of no known school, ``WHOLE`` where the data set does not tell schools apart."""
    standing: int = 0
    """Rows in the table, in the delivery's scope, before the load."""
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    gone: int = 0
    """Rows that stand and that the delivery no longer holds."""
    rejected: int = 0
    unknown_codes: int = 0
    """Of the rejected rows, those with a code that nobody has mapped."""
    orphans: int = 0
    """Of the rejected rows, those without a parent row."""
    overwritten: int = 0
    """Of the changed rows, those of which a value changes that was there."""
    new_codes: int = 0
    """Of the rows with an unknown code, those whose code the last load did not know of."""
    usual: int = 0
    """The median of the rows sent in the last nights; 0 where there were too few nights to say."""
    last_year: int = 0
    """Rows sent about this date a year ago; 0 where there were none."""

    @property
    def read(self) -> int:
        """Rows that the delivery holds, but for repeated ones."""
        return self.new + self.changed + self.unchanged + self.rejected


@dataclass(frozen=True, kw_only=True)
class Part:
    """A school's rows of one scope, such as a school year: how many stand, and how many of them a load withdraws."""

    name: str
    school_id: str
    standing: int
    withdrawn: int


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why a school's rows, or with ``WHOLE`` the delivery, are held."""

    school_id: str
    rule_id: str
    text: str

    def __str__(self) -> str:
        return f"School {self.school_id}: {self.text}" if self.school_id not in (WHOLE, UNLISTED) else self.text


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the gate makes of a run."""

    reasons: tuple[Reason, ...]
    held: frozenset[str]
    """The schools that are held."""
    whole: bool
    """Nothing loads: the delivery as a whole is held, or each of its schools."""
