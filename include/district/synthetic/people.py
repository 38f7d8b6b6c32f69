"""The invented children of one school: numbers, names that no child has, birth dates, grades, and when they arrive."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import numpy as np

from district.synthetic.plan import GRADES, DistrictPlan, School
from district.synthetic.sheet import Quota

_FIRST_NAMES = (
    "Aspen",
    "Basalt",
    "Birch",
    "Cobalt",
    "Clover",
    "Dahlia",
    "Ember",
    "Fern",
    "Flint",
    "Garnet",
    "Hazel",
    "Indigo",
    "Iris",
    "Jasper",
    "Juniper",
    "Kestrel",
    "Larch",
    "Linden",
    "Maple",
    "Marigold",
    "Nettle",
    "Oak",
    "Onyx",
    "Opal",
    "Pebble",
    "Quartz",
    "Reed",
    "Rowan",
    "Sage",
    "Sorrel",
    "Tansy",
    "Thistle",
    "Umber",
    "Willow",
    "Yarrow",
)
_LAST_NAMES = (
    "Testerson",
    "Sampleton",
    "Mockridge",
    "Fakename",
    "Placeholder",
    "Exampler",
    "Demoval",
    "Synthwood",
    "Fixturelli",
    "Dummyfield",
    "Stubbs-Test",
    "Mockingham",
    "Samplesmith",
    "Testwell",
    "Invented",
    "Madeup",
    "Nochild",
    "Pretend-Lee",
    "Simulacra",
    "Standin",
)
# Names that careless imports lose or break; the second last holds a delimiter and therefore stands in quotes.
_HARD_NAMES = ("Null", "NA", "None", "True", "Muñoz-Sample", "O'Mock", '"Sample, Jr."', "Østergård-Test")
_HARD_SHARE = 0.01
_MOVES_AT_TURN = 0.01
"""Children who come with a new term, besides those of any night."""
# Free by direct certification, free by application, and reduced price: their shares of the children in need.
_MEALS = (("FDC", 0.42), ("F", 0.44), ("R", 0.14))
_NEED = (0.25, 0.75)
"""From the best-off school to the poorest."""
_NO_MEAL_CODE = 0.05


@dataclass(frozen=True, kw_only=True)
class Students:
    """The children of one school, by index; ``arrives`` is the first night on which each is in the extract."""

    ids: list[str]
    state_ids: list[str]
    last_names: list[str]
    first_names: list[str]
    births: list[datetime.date]
    grades: np.ndarray
    meals: list[str]
    """What each pays for school meals, in the SIS's codes."""
    arrives: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


def invent_students(plan: DistrictPlan, school: School, newcomers: Quota) -> Students:
    """The school's children of the first night and those who arrive on later ones."""
    rng = np.random.default_rng([plan.seed, school.index, 1])
    arrives = [0] * school.students
    for night in range(1, plan.regular):
        coming = max(0, newcomers.due(school.students))
        newcomers.given += coming
        if night == plan.turn:
            coming += round(_MOVES_AT_TURN * school.students)
        arrives += [night] * coming
    numbers = [school.first_student + index for index in range(len(arrives))]
    grades = GRADES[school.kind]
    # Few children are in the grades before kindergarten.
    weights = np.array([1.0 if grade >= 0 else 0.15 for grade in grades])
    chosen = rng.choice(np.array(grades), len(arrives), p=weights / weights.sum())
    return _born(
        rng,
        numbers,
        grades=chosen,
        # A multiplication modulo a prime: scattered, and no two alike.
        state_ids=[str(1_000_000_000 + number * 48_271 % 2_147_483_647) for number in numbers],
        meals=_meals(plan, school, len(arrives)),
        arrives=np.array(arrives, dtype=np.int64),
        begin=plan.year.first_day.year,
    )


def invent_kindergartners(plan: DistrictPlan, school: School, count: int) -> Students:
    """Children who start kindergarten in the year after: without a state id or a lunch status yet."""
    rng = np.random.default_rng([plan.seed, school.index, 10])
    last = plan.schools[-1]
    # Behind the numbers of all who are here, as far apart as theirs.
    first = school.first_student + last.first_student + 2 * last.students - plan.schools[0].first_student
    return _born(
        rng,
        [first + index for index in range(count)],
        grades=np.zeros(count, dtype=np.int64),
        state_ids=[""] * count,
        meals=[""] * count,
        arrives=np.zeros(count, dtype=np.int64),
        begin=plan.year.first_day.year + 1,
    )


def _born(
    rng: np.random.Generator,
    numbers: list[int],
    *,
    grades: np.ndarray,
    state_ids: list[str],
    meals: list[str],
    arrives: np.ndarray,
    begin: int,
) -> Students:
    """Children with names and birth dates for their grades in the school year that starts in ``begin``."""
    count = len(numbers)
    hard = rng.random(count) < _HARD_SHARE
    last = rng.integers(0, len(_LAST_NAMES), count)
    odd = rng.integers(0, len(_HARD_NAMES), count)
    first = rng.integers(0, len(_FIRST_NAMES), count)
    offsets = rng.integers(0, 365, count)
    return Students(
        ids=[f"{number:07d}" for number in numbers],
        state_ids=state_ids,
        last_names=[_HARD_NAMES[o] if h else _LAST_NAMES[n] for n, o, h in zip(last, odd, hard, strict=True)],
        first_names=[_FIRST_NAMES[name] for name in first],
        # A cohort is born from September to August, five years before it starts kindergarten.
        births=[
            datetime.date(begin - 6 - int(grade), 9, 2) + datetime.timedelta(days=int(offset))
            for grade, offset in zip(grades, offsets, strict=True)
        ],
        grades=grades,
        meals=meals,
        arrives=arrives,
    )


def _meals(plan: DistrictPlan, school: School, count: int) -> list[str]:
    """Codes of the lunch status: schools differ in how many of their families are in need."""
    rng = np.random.default_rng([plan.seed, school.index, 8])
    need = rng.uniform(*_NEED)
    paying = (1 - need) * (1 - _NO_MEAL_CODE)
    shares = [*(need * share for _, share in _MEALS), paying, 1 - need - paying]
    return [str(code) for code in rng.choice([*(code for code, _ in _MEALS), "P", ""], count, p=shares)]
