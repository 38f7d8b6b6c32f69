"""Which values of a school's column are schools, and may be told: a name may have slid into the column."""

from __future__ import annotations

from collections.abc import Mapping

from district.settings import settings

FEWEST_ROWS = 10
"""Fewer rows make no school of an id that no settings list; a student's number in the column has as few."""


def known_schools(rows: Mapping[str, int]) -> frozenset[str]:
    """The schools that the settings list, and of these ids, each with its count of rows, those that are like them.

    Like them is an id of digits, as long as a listed one where any is listed, that enough rows bear. That a value
    stands in the table says nothing: a name that slid into the column yesterday stands there today.
    """
    listed = {school.school_id for school in settings().district.schools}
    lengths = {len(school_id) for school_id in listed if _digits(school_id)}
    alike = {
        value
        for value, count in rows.items()
        if _digits(value) and count >= FEWEST_ROWS and (not listed or len(value) in lengths)
    }
    return frozenset(listed | alike)


def _digits(value: str) -> bool:
    return value.isascii() and value.isdigit()
