"""Counts in sentences, as people say them."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """``1 row``, ``1,200 rows``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def are(count: int, noun: str) -> str:
    """``1 row is``, ``1,200 rows are``."""
    return f"{counted(count, noun)} {'is' if count == 1 else 'are'}"
