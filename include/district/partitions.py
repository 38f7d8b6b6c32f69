"""Partition keys: which night or administration a run is for, checked alike on the command line and in Airflow."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable

from district.dataset import Dataset
from district.settings import settings


class UnknownPartition(ValueError):
    """A partition key that is none; says which there are."""


def check_partition(dataset: Dataset, key: str) -> str:
    """The key, where a run of the data set can be for it; UnknownPartition says what to give instead."""
    if dataset.partition == "night":
        check_night(key)
    elif dataset.partition == "administration":
        check_administration(key, (each.key for each in settings().district.administrations))
    return key


def check_night(key: str) -> None:
    """UnknownPartition unless the key is a day of the calendar, written as 2026-11-20."""
    try:
        datetime.date.fromisoformat(key)
        # Python takes 20261120 for a date as well, and two spellings of a night would be two partitions.
        known = re.fullmatch(r"\d{4}-\d{2}-\d{2}", key)
    except ValueError:
        known = None
    if not known:
        raise UnknownPartition(f"{key!r} is no night; give a date such as 2026-11-20.")


def check_administration(key: str, known: Iterable[str]) -> None:
    """UnknownPartition unless the key is one of those that the settings file names."""
    listed = tuple(known)
    if key not in listed:
        there_are = ", ".join(listed) or "none yet"
        raise UnknownPartition(f"{key!r} is no administration of the settings file; it knows {there_are}.")
