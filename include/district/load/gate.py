"""The gate: what no machine should wave through, judged before any row changes. Counts go in, reasons come out.

Schools first: one that trips is held with all it would change. Then the district, over the schools that are left.
What is held and why stands in ``docs/explanation/what-is-held.md``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal

from district.dataset import Gate
from district.review.tables import WHOLE

PARENT_HELD = "parent.held"
LEFT_OUT = "school.left_out"


@dataclass(frozen=True, kw_only=True)
class SchoolChange:
    """A school's rows of a run: what a load would do to them, and what is known of earlier nights."""

    school_id: str = field(default=WHOLE)
    """``WHOLE`` for rows without a school, and where the data set does not tell schools apart."""
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
        return f"School {self.school_id}: {self.text}" if self.school_id else self.text


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the gate makes of a run."""

    reasons: tuple[Reason, ...]
    held: frozenset[str]
    """The schools that are held."""
    whole: bool
    """Nothing loads: the delivery as a whole is held, or each of its schools."""


def judge(
    gate: Gate,
    schools: Collection[SchoolChange],
    *,
    own: Mapping[str, Gate] | None = None,
    parts: Collection[Part] = (),
    last_read: int = 0,
    stopping: Collection[Reason] = (),
    waiting: Collection[str] = (),
    approved: Collection[str] = (),
    left_out: Collection[str] = (),
) -> Judgement:
    """Judges each school by itself, and then the district over those that are left.

    ``own`` are the gates of schools that the calendar has at another place than the district. ``last_read`` are the
    rows of the last load, ``stopping`` what else holds the delivery as a whole, ``waiting`` the
    schools that a parent data set holds. ``approved`` names what a person has let through; in it, ``WHOLE`` stands
    for what holds the delivery as a whole. A parent's hold is not for the child to let through. The schools that are
    ``left_out`` by a decision are held, whether they would trip or not.
    """
    reasons: list[Reason] = []
    scopes: dict[str, list[Part]] = {}
    for part in parts:
        scopes.setdefault(part.school_id, []).append(part)
    for school in schools:
        if school.school_id in waiting and school.school_id != WHOLE:
            text = "a data set that this one depends on holds it; it is judged again once that one has loaded it."
            reasons.append(Reason(school_id=school.school_id, rule_id=PARENT_HELD, text=text))
        elif school.school_id in left_out and school.school_id != WHOLE:
            text = "it was left out by a person's decision."
            reasons.append(Reason(school_id=school.school_id, rule_id=LEFT_OUT, text=text))
        elif school.school_id not in (WHOLE, *approved):
            reasons += [
                Reason(school_id=school.school_id, rule_id=rule_id, text=text)
                for rule_id, text in _of_school(
                    own.get(school.school_id, gate) if own else gate, school, scopes.get(school.school_id, ())
                )
            ]
    held = frozenset(reason.school_id for reason in reasons)
    named = {school.school_id for school in schools} - {WHOLE}
    if WHOLE not in approved:
        rest = [school for school in schools if school.school_id not in held and school.school_id not in approved]
        left = [part for part in parts if part.school_id not in held and part.school_id not in approved]
        in_full = len(rest) == len(schools)
        told = [
            Reason(school_id=WHOLE, rule_id=rule_id, text=text)
            for rule_id, text in _rest(gate, rest, left, last_read, in_full=in_full)
        ]
        reasons = [*stopping, *told, *reasons]
    whole = any(reason.school_id == WHOLE for reason in reasons) or (bool(named) and named <= held)
    return Judgement(reasons=tuple(reasons), held=held, whole=whole)


def _of_school(gate: Gate, school: SchoolChange, parts: Collection[Part]) -> Iterator[tuple[str, str]]:
    """The rules that a school breaks: a year that is missing from a file of several is a small share of its rows."""
    if not _too_many_gone(gate, school.standing, school.gone):
        for part in parts:
            if _too_many_gone(gate, part.standing, part.withdrawn):
                yield "gate.withdrawn", f"{part.name}: {_gone(gate, part.standing, part.withdrawn)}"
                break
    yield from _too_much(gate, school)


def _rest(
    gate: Gate, schools: Collection[SchoolChange], parts: Collection[Part], last_read: int, *, in_full: bool
) -> Iterator[tuple[str, str]]:
    """What the schools that are left come to together, and in each scope.

    Only where none is left out (``in_full``) can they be compared with all of the last delivery.
    """
    district = _together(schools)
    if in_full and district.read and district.rejected == district.read:
        yield "gate.rejected", _all_rejected(district)
        return
    grown = in_full and last_read >= gate.floor and _over(gate.grown, district.read, last_read)
    if grown:
        yield "gate.grown", _grown(district.read, last_read, "the last load's")
    # New codes are a school's matter: a slip at one of them, or a code that one of them begins to use.
    elsewhere = ("gate.grown", "gate.codes") if any(school.school_id for school in schools) else ("gate.grown",)
    told = {rule_id: text for rule_id, text in _too_much(gate, district) if rule_id not in elsewhere}
    yield from told.items()
    yield from _rest_counts(gate, schools)
    if "gate.withdrawn" in told:
        return
    by_scope: dict[str, tuple[int, int]] = {}
    for part in parts:
        standing, gone = by_scope.get(part.name, (0, 0))
        by_scope[part.name] = (standing + part.standing, gone + part.withdrawn)
    for name, (standing, gone) in by_scope.items():
        if _too_many_gone(gate, standing, gone):
            yield "gate.withdrawn", f"{name}: {_gone(gate, standing, gone)}"
            return


def _rest_counts(gate: Gate, schools: Collection[SchoolChange]) -> Iterator[tuple[str, str]]:
    """The counts of the schools of which it is known what usually comes, or came last year."""
    for name in ("usual", "last_year"):
        known = [school for school in schools if getattr(school, name)]
        before = sum(getattr(school, name) for school in known)
        counted = list(_counts(gate, replace(_together(known), **{name: before})))
        yield from counted
        if counted:
            return


def _together(schools: Collection[SchoolChange]) -> SchoolChange:
    names = [each.name for each in fields(SchoolChange) if each.name not in ("school_id", "usual", "last_year")]
    sums = {name: sum(getattr(school, name) for school in schools) for name in names}
    return SchoolChange(**sums)


def _too_much(gate: Gate, school: SchoolChange) -> Iterator[tuple[str, str]]:
    """The rules that a school's rows break, with what to look at."""
    read, standing = school.read, school.standing
    if _too_many_gone(gate, standing, school.gone):
        yield "gate.withdrawn", _gone(gate, standing, school.gone)
    if standing >= gate.floor and _over(gate.updated, school.overwritten, standing):
        told = f"{_share(school.overwritten, standing)} would be updated, more than {gate.updated:.0%}: "
        yield "gate.updated", told + "a column may have changed its meaning."
    if standing >= gate.floor and _over(gate.grown, read, standing):
        yield "gate.grown", _grown(read, standing, "the table's")
    if read >= gate.floor:
        yield from _rejects(gate, school)
    yield from _counts(gate, school)


def _rejects(gate: Gate, school: SchoolChange) -> Iterator[tuple[str, str]]:
    read = school.read
    orphans = school.orphans > gate.few and _over(gate.orphans, school.orphans, read)
    if orphans:
        told = f"{_share(school.orphans, read)} have no parent row, more than {gate.orphans:.0%}: "
        yield "gate.orphans", told + "ids may have lost their leading zeros, or the parent data set is not loaded."
    elif school.new_codes > gate.few and _over(gate.codes, school.new_codes, read):
        told = f"{_share(school.new_codes, read)} hold a code that is new and unknown, more than {gate.codes:.0%}: "
        yield "gate.codes", told + "a slip in the SIS, or a code to map."
    if not orphans and _over(gate.rejected, school.rejected, read):
        told = f"{_share(school.rejected, read)} were rejected, more than {gate.rejected:.0%}; "
        yield "gate.rejected", told + "see the errors with the most rows first."


def _counts(gate: Gate, school: SchoolChange) -> Iterator[tuple[str, str]]:
    for before, share, when in (
        (school.usual, gate.count, "are usual in the last nights"),
        (school.last_year, gate.last_year, "came about this date last year"),
    ):
        if before >= gate.floor and _over(share, before - school.read, before):
            yield "gate.count", f"{school.read:,} rows came, and {before:,} {when}: more than {share:.0%} are missing."
            return


def _too_many_gone(gate: Gate, standing: int, gone: int) -> bool:
    if standing >= gate.floor:
        return _over(gate.withdrawn, gone, standing)
    # A few children leave a small school in one night; half a floor's worth, and with them all of it, do not.
    return gone == standing and 2 * gone >= gate.floor


def _over(share: float, part: int, whole: int) -> bool:
    """Whether a part is more than a share, as people write it: 29 of 100 are not more than 0.29."""
    return whole > 0 and part > Decimal(str(share)) * whole


def _gone(gate: Gate, standing: int, gone: int) -> str:
    return (
        f"{_share(gone, standing)} would be withdrawn, more than {gate.withdrawn:.0%}: the file may be cut short, or "
        "these rows missing from it."
    )


def _grown(read: int, before: int, whose: str) -> str:
    return f"{read:,} rows came, {read / before:.1f} times {whose} {before:,}."


def _all_rejected(district: SchoolChange) -> str:
    read = district.read
    if district.orphans == read:
        cause = "have no parent row"
    else:
        cause = "hold an unknown code" if district.unknown_codes == read else "were rejected"
    return f"all {read:,} rows {cause}. Mend the first error, then run it again."


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} rows ({part / whole:.1%})"
