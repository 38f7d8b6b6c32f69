"""Mishaps: what goes wrong in one school on one night, and right again on the next, for gates and reviews to find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from district.synthetic.defects import equals
from district.synthetic.plan import DistrictPlan
from district.synthetic.sheet import Sheet

_FOLLOWERS = ("attendance", "transcripts")
"""The data sets that hold a school's rows on a night on which its enrollment is held."""
_MISSING_DAYS = 3


@dataclass(frozen=True, kw_only=True)
class Mishap:
    """A kind of mishap, the school that it strikes, and the number of the night, counted from 1."""

    kind: str
    school_id: str
    night: int

    @classmethod
    def read(cls, text: str) -> Mishap:
        """From ``night:kind:school``, such as ``2:half_missing:0101``; ValueError says so where it is not."""
        night, _, rest = text.partition(":")
        kind, _, school_id = rest.partition(":")
        if not (night.isdigit() and kind and school_id):
            raise ValueError(f"{text!r} is no mishap; give night:kind:school, such as 2:half_missing:0101.")
        return cls(kind=kind, school_id=school_id, night=int(night))


@dataclass(frozen=True, kw_only=True)
class MishapKind:
    """What happens to a school's rows of a data set: other texts where ``texts`` has some, else they are not sent."""

    dataset: str
    texts: dict[str, str] = field(default_factory=dict)
    rule_id: str = ""
    """The rule that rejects the rows; empty where they load."""
    where: Callable[[Sheet], np.ndarray] | None = None
    share: float = 1.0
    held: bool = True
    """Whether a night's gate must hold the school; the others are for the stricter suite of a semester change."""


@dataclass(frozen=True, kw_only=True)
class Strike:
    """A mishap of one data set; ``night`` is counted from 0, as in sheets."""

    kind: MishapKind
    school_id: str
    night: int

    def rows(self, sheet: Sheet, present: np.ndarray) -> np.ndarray:
        """Mask of the rows that it strikes: the last ones, as when a file's end is missing."""
        mask = present & equals("school_id", self.school_id)(sheet)
        candidates = np.flatnonzero(mask & self.kind.where(sheet) if self.kind.where else mask)
        struck = np.zeros(len(sheet), dtype=bool)
        struck[candidates[len(candidates) - round(self.kind.share * len(candidates)) :]] = True
        return struck


def mishap_kinds(plan: DistrictPlan) -> dict[str, MishapKind]:
    """The mishaps that there are, by name; those of a semester change only where the nights hold one."""
    kinds = {
        "lunch_code_typo": MishapKind(
            dataset="enrollment",
            texts={"meal_eligibility_code": "FRE"},
            rule_id="enrollment.meal_eligibility_code.code",
        ),
        "half_missing": MishapKind(dataset="enrollment", share=0.5),
        "school_missing": MishapKind(dataset="enrollment"),
    }
    ended = plan.ended_term
    if ended is None:
        return kinds
    following = plan.year.terms[plan.year.terms.index(ended) + 1].code
    last_days = [day.isoformat() for day in plan.days if day <= ended.end][-_MISSING_DAYS:]
    this_year = equals("school_year", str(plan.year.end_year))

    def finals(sheet: Sheet) -> np.ndarray:
        mask: np.ndarray = this_year(sheet) & equals("term_code", ended.code)(sheet)
        return mask

    return kinds | {
        "new_mark_codes": MishapKind(
            dataset="transcripts", texts={"result_code": "CR"}, rule_id="transcripts.result_code.code", where=finals
        ),
        # Deleted instead of ended: everything that the term brought.
        "marks_deleted": MishapKind(dataset="transcripts", where=this_year),
        "marks_incomplete": MishapKind(dataset="transcripts", where=finals, share=0.2, held=False),
        "early_attendance": MishapKind(
            dataset="attendance", texts={"session": following}, where=equals("event_date", last_days[-1]), held=False
        ),
        "days_missing": MishapKind(dataset="attendance", where=equals("event_date", *last_days), held=False),
    }


class Mishaps:
    """The mishaps of a district's nights, by data set."""

    def __init__(self, plan: DistrictPlan, mishaps: tuple[Mishap, ...]) -> None:
        kinds = mishap_kinds(plan)
        for mishap in mishaps:
            _check(plan, kinds, mishap)
        self._strikes = [
            Strike(kind=kinds[each.kind], school_id=each.school_id, night=each.night - 1) for each in mishaps
        ]
        self.schools = frozenset(each.school_id for each in mishaps)

    def strikes(self, dataset: str) -> tuple[Strike, ...]:
        """What strikes a data set's rows."""
        return tuple(strike for strike in self._strikes if strike.kind.dataset == dataset)

    def held(self, dataset: str) -> dict[int, frozenset[str]]:
        """The schools that must be held, by night: those struck, and those whose enrollment is held."""
        causes = {dataset, "enrollment"} if dataset in _FOLLOWERS else {dataset}
        holding = [strike for strike in self._strikes if strike.kind.held and strike.kind.dataset in causes]
        return {
            night: frozenset(strike.school_id for strike in holding if strike.night == night)
            for night in {strike.night for strike in holding}
        }


def _check(plan: DistrictPlan, kinds: dict[str, MishapKind], mishap: Mishap) -> None:
    if mishap.kind not in kinds:
        around = "" if plan.ended_term else ", and more where the nights hold a change of term"
        raise ValueError(f"There is no mishap {mishap.kind} on these nights; use {', '.join(kinds)}{around}.")
    if mishap.school_id not in {school.school_id for school in plan.schools}:
        raise ValueError(f"The synthetic district has no school {mishap.school_id}.")
    if not 2 <= mishap.night <= len(plan.nights):
        raise ValueError(f"A mishap strikes one of the nights 2 to {len(plan.nights)}: the first has none before it.")
