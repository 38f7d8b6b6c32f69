"""Partition keys: what is none is told with what there is."""

from __future__ import annotations

import pytest

from district.catalog import find_dataset
from district.partitions import UnknownPartition, check_partition
from district.settings import settings


def test_an_administration_that_is_none_is_told_with_those_that_are() -> None:
    scores = find_dataset("state_assessments", settings().dags_folder)
    known = [each.key for each in settings().district.administrations]
    assert [check_partition(scores, key) for key in known] == known
    with pytest.raises(UnknownPartition, match=f"'2024-25_sprng' is no administration .*; it knows {', '.join(known)}"):
        check_partition(scores, "2024-25_sprng")


@pytest.mark.parametrize("key", ["foo", "2026-13-45", "2026-02-30", "20261120", "2026-W47-5", "2026-11-20 ", ""])
def test_a_night_that_is_none_is_told_with_an_example(key: str) -> None:
    enrollment = find_dataset("enrollment", settings().dags_folder)
    assert check_partition(enrollment, "2026-11-20") == "2026-11-20"
    with pytest.raises(UnknownPartition, match=r"is no night; give a date such as 2026-11-20\."):
        check_partition(enrollment, key)
