"""The readiness in words: one point is told as one."""

from __future__ import annotations

import datetime

import pytest

from district.rollover.checks import Counted
from district.rollover.readiness import PARTS, Line, Readiness
from district.rollover.show import as_markdown, as_text, headline


def found(*missing: int) -> Readiness:
    """A readiness of schools that lack so many rows each."""
    lines = [
        Line(
            school_id=f"01{number:02d}",
            check=part,
            part=part,
            share=float(not rows or part != "sent"),
            missing=rows if part == "sent" else 0,
            what="Enroll them.",
            owner="data_person",
        )
        for number, rows in enumerate(missing)
        for part in PARTS
    ]
    return Readiness(school_year=2028, night=datetime.date(2027, 6, 1), lines=tuple(lines), counted=Counted())


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ((5, 0), "1 of 2 schools has everything, 1 point is open."),
        ((5, 5, 0, 0), "2 of 4 schools have everything, 2 points are open."),
        ((0,), "1 of 1 school has everything, 0 points are open."),
    ],
)
def test_the_headline_counts_as_people_do(missing: tuple[int, ...], said: str) -> None:
    assert headline(found(*missing)).endswith(said)


def test_what_is_left_out_is_counted_as_people_do() -> None:
    two, three = found(5, 5), found(5, 5, 5)
    assert as_text(two, 1).endswith("and 1 more point: `district readiness`")
    assert as_text(three, 1).endswith("and 2 more points: `district readiness`")
    assert "and 1 more school\n" in as_markdown(two, 1)
