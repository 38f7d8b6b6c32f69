"""What people are shown of a run before they answer: an answer counts for this alone."""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import Connection, Row, select

from district.issues import rules_of
from district.review.holds import changes_of
from district.tables import delivery


def shown_of(connection: Connection, run: Row[Any]) -> str:
    """A digest of a run's delivery, of what judged it, of its issues, and of what its load would do to each school."""
    told = (run.id, sha256_of(connection, run), run.versions, rules_of(connection, run.id))
    return hashlib.sha256(repr((*told, changes_of(connection, run.id))).encode()).hexdigest()


def sha256_of(connection: Connection, run: Row[Any]) -> str:
    """The checksum of a run's delivery."""
    query = select(delivery.c.sha256).where(delivery.c.id == run.delivery_id)
    sha256: str = connection.execute(query).scalar_one()
    return sha256
