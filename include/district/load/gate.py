"""The gate: what no machine should wave through, judged before any row changes. Counts go in, reasons come out.

Schools first: one that trips is held with all it would change. Then the district, over the schools that are left.
What is held and why stands in ``docs/explanation/what-is-held.md``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields, replace
from decimal import Decimal

from district.dataset import Gate
from district.review.judgement import LEFT_OUT, PARENT_HELD, Judgement, Part, Reason, SchoolChange
from district.review.tables import UNLISTED, WHOLE


def judge(
    gate: Gate,
    schools: Collection[SchoolChange],
    *,
    own: Mapping[str, Gate] | None = None,
    parts: Collection[Part] = (),
    last_read: int = 0,
    listed: bool = False,
    stopping: Collection[Reason] = (),
    waiting: Collection[str] = (),
    approved: Collection[str] = (),
    left_out: Collection[str] = (),
) -> Judgement:
    """Judges each school by itself, and then the district over those that are left.

    ``own`` are the gates of schools that the calendar has at another place than the district. ``last_read`` are the
    rows of the last load; where schools are ``listed``, new rows of others are held. ``stopping`` is what else holds
    the delivery as a whole and nobody has let through, ``waiting`` the schools that a parent data set holds.
    ``approved`` names what a person has let through; in it, ``WHOLE`` stands for what its schools come to together.
    A parent's hold is not for the child to let through. The schools that are ``left_out`` by a decision are held,
    whether they would trip or not.
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
        elif school.school_id == UNLISTED:
            if listed and UNLISTED not in approved:
                reasons += _unlisted(gate, school)
        elif school.school_id not in (WHOLE, *approved):
            reasons += [
                Reason(school_id=school.school_id, rule_id=rule_id, text=text)
                for rule_id, text in _of_school(
                    own.get(school.school_id, gate) if own else gate, school, scopes.get(school.school_id, ())
                )
            ]
    held = frozenset(reason.school_id for reason in reasons)
    named = {school.school_id for school in schools} - {WHOLE, UNLISTED}
    told = []
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


def _unlisted(gate: Gate, others: SchoolChange) -> Iterator[Reason]:
    """Rows that appear under unknown numbers may be a school's own, which still stand under the number it had."""
    added = max(others.new, others.read - others.rejected - others.standing)
    if added >= gate.floor:
        text = (
            f"{added:,} new rows are of schools that the settings file does not list. List them, or ask what they are."
        )
        yield Reason(school_id=UNLISTED, rule_id="gate.unlisted", text=text)


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
    elsewhere = (
        ("gate.grown", "gate.codes")
        if any(school.school_id not in (WHOLE, UNLISTED) for school in schools)
        else ("gate.grown",)
    )
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
    # A few children leave a small school in one night; half a floor's worth, and with them nearly all of it, do not.
    return 10 * gone >= 9 * standing and 2 * gone >= gate.floor


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
