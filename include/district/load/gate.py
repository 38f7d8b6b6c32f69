"""The gate: shares of a batch that no machine should wave through. Judged before any row changes."""

from __future__ import annotations

from dataclasses import dataclass

from district.dataset import Dataset
from district.run import Held


@dataclass(frozen=True, kw_only=True)
class Part:
    """A school's rows of a scope: how many stand, and how many of them a load would withdraw."""

    name: str
    standing: int
    withdrawn: int


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What a load would do to the rows of its scope."""

    standing: int
    """Rows of the scope that are in the table and not withdrawn, before the load."""
    inserted: int
    updated: int
    unchanged: int
    withdrawn: int
    overwritten: int = 0
    """Updated rows of which a value changes that was there."""
    parts: tuple[Part, ...] = ()


def judge_rejects(dataset: Dataset, *, read: int, rejected: int, orphans: int, unmapped: int) -> None:
    """Holds a batch of which too much was rejected.

    ``orphans`` are rows without a parent, ``unmapped`` rows with an unknown code; both are part of ``rejected``.

    Raises:
        Held: says which share, and what it means.
    """
    if read and rejected == read:
        raise Held(_all_rejected(read, orphans, unmapped), rule_id="gate.rejected")
    if read < dataset.gate.floor:
        return
    if orphans > dataset.gate.orphans * read:
        message = (
            f"{_share(orphans, read)} have no parent row, more than {dataset.gate.orphans:.0%}: "
            "ids may have lost their leading zeros, or the parent data set is not loaded. Nothing was changed."
        )
        raise Held(message, rule_id="gate.orphans")
    if rejected > dataset.gate.rejected * read:
        message = (
            f"{_share(rejected, read)} were rejected, more than {dataset.gate.rejected:.0%}. Nothing was changed; "
            "see the errors with the most rows first."
        )
        raise Held(message, rule_id="gate.rejected")


def judge_changes(dataset: Dataset, changes: Changes, *, read: int, last_read: int) -> None:
    """Holds a load that would change too much of what stands.

    Raises:
        Held: says which share, and what it means.
    """
    gate = dataset.gate
    if last_read >= gate.floor and read > gate.grown * last_read:
        message = (
            f"{read:,} rows came, {read / last_read:.1f} times the last load's {last_read:,}. Nothing was changed."
        )
        raise Held(message, rule_id="gate.grown")
    if changes.standing < gate.floor:
        return
    if changes.withdrawn > gate.withdrawn * changes.standing:
        message = (
            f"{_share(changes.withdrawn, changes.standing)} would be withdrawn, more than {gate.withdrawn:.0%}: "
            "the file may be cut short. Nothing was changed; if the rows really are gone, a person must say so."
        )
        raise Held(message, rule_id="gate.withdrawn")
    for part in changes.parts:
        # A few children leave a small school in one night; half a floor's worth do not.
        if part.withdrawn > gate.withdrawn * part.standing and 2 * part.withdrawn >= gate.floor:
            message = (
                f"{part.name}: {_share(part.withdrawn, part.standing)} would be withdrawn, more than "
                f"{gate.withdrawn:.0%}: its rows may be missing from the file. Nothing was changed."
            )
            raise Held(message, rule_id="gate.withdrawn")
    if changes.overwritten > gate.updated * changes.standing:
        message = (
            f"{_share(changes.overwritten, changes.standing)} would be updated, more than {gate.updated:.0%}: "
            "a column may have changed its meaning. Nothing was changed."
        )
        raise Held(message, rule_id="gate.updated")


def _all_rejected(read: int, orphans: int, unmapped: int) -> str:
    cause = "have no parent row" if orphans == read else "hold an unknown code" if unmapped == read else "were rejected"
    return f"All {read:,} rows {cause}; nothing was changed. Mend the first error, then run it again."


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} rows ({part / whole:.1%})"
