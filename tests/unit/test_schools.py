"""Which values of a school's column are told as schools."""

from __future__ import annotations

from collections import Counter

from district.load.schools import FEWEST_ROWS, known_schools
from district.rollover.checks import Counted
from district.settings import settings

# A school that is not listed yet, a small one, a name, a child's number.
NOT_ASCII = "\u0660\u0661\u0667\u0667"
ROWS = {"0177": FEWEST_ROWS, "0178": FEWEST_ROWS - 1, "Quexaro": 500, "7000001": 300, NOT_ASCII: 40, "": 20}


def test_only_listed_schools_and_ids_like_theirs_are_told() -> None:
    listed = {school.school_id for school in settings().district.schools}
    assert listed
    assert known_schools(ROWS) == listed | {"0177"}
    assert known_schools({}) == listed


def test_the_readiness_tells_no_other() -> None:
    found = Counted(sent=Counter(ROWS), coming=Counter(ROWS), rows=Counter({"Quexaro": 1}))
    assert {"Quexaro", "7000001", ""}.isdisjoint(found.schools)
    assert {"0177", "0178"} <= found.schools
