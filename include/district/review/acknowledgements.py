"""Acknowledgements: warnings that a person knows of, with a reason, until a day and up to a number of rows."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Row, cast, exists, func, insert, select
from sqlalchemy.dialects.postgresql import distinct_on

from district import import_log
from district.database import engine
from district.dataset import Dataset
from district.review import words
from district.review.tables import acknowledgement
from district.run import NotAllowed
from district.settings import roles_for, settings
from district.tables import import_issue, import_run

LONGEST = datetime.timedelta(days=366)
# By so many per cent, or so few rows, may a warning that the last load had grow and still be the same.
GROWTH = 20
FEW = 5
MOST_ROWS = 1_000_000_000
"""No table has so many; a ceiling above it would be none."""


@dataclass(frozen=True, kw_only=True)
class NewWarning:
    """A warning of a run that nobody has acknowledged, or no longer, or not for so many rows."""

    rule_id: str
    title: str
    fix: str
    rows: int
    why: str
    """A sentence: why it counts as new."""


def new_warnings(connection: Connection, dataset: Dataset, run: Row[Any]) -> tuple[NewWarning, ...]:
    """The warnings of a run that must be acknowledged, those with the most rows first.

    An acknowledgement counts until its day and up to its ceiling. Without one, a warning that the last load had too is
    known already, unless it has grown.
    """
    last = import_log.last_loaded(connection, dataset, run.partition, run.scope)
    before = [] if last is None or last.id == run.id else _warnings(connection, last.id)
    known = {row.rule_id: row.rows for row in before}
    acknowledged = {row.rule_id: row for row in _newest(connection, dataset)}
    found = []
    for warning in _warnings(connection, run.id):
        earlier = acknowledged.get(warning.rule_id)
        if earlier is None:
            why = _why_new(warning.rows, known.get(warning.rule_id, 0))
        elif earlier.expires_on < run.night:
            why = f"{earlier.person} acknowledged it until {earlier.expires_on}."
        elif warning.rows > earlier.ceiling:
            why = f"{earlier.person} acknowledged it for up to {earlier.ceiling:,} rows."
        else:
            why = ""
        if why:
            found.append(NewWarning(**warning._mapping, why=why))
    return tuple(found)


def _why_new(rows: int, before: int) -> str:
    """Why a warning that nobody acknowledged counts as new, with as many rows in the last load ``before``."""
    if not before:
        return "The last load did not have it."
    grown = rows - before > max(FEW, before * GROWTH // 100)
    return f"The last load had it in {before:,} rows." if grown else ""


def acknowledged_by(connection: Connection, dataset: Dataset, run: Row[Any]) -> dict[str, str]:
    """Who has acknowledged which warning of a run, by rule id."""
    told = {warning.rule_id for warning in _warnings(connection, run.id)}
    return {row.rule_id: row.person for row in _newest(connection, dataset) if row.rule_id in told}


def acknowledge(
    dataset: Dataset,
    rule_id: str,
    *,
    person: str,
    role: str,
    reason: str,
    expires_on: datetime.date,
    ceiling: int,
) -> None:
    """Records that a person knows of a warning, up to as many rows as ``ceiling``: those that were shown, or some more.

    Raises:
        NotAllowed: the role may not acknowledge, a name or reason does not do, the day lies in the past or
            more than a year ahead, or no run of the data set had such a warning.
    """
    person = words.name(person)
    if role not in (roles := roles_for(dataset.owner)):
        raise NotAllowed(f"{person} may not acknowledge warnings of {dataset.name}: it needs {' or '.join(roles)}.")
    reason = words.reason(reason, f"Give a reason for {rule_id}: why may these rows load as they are?")
    if not 0 <= ceiling <= MOST_ROWS:
        raise NotAllowed(f"The ceiling is a number of rows, from 0 to {MOST_ROWS:,}.")
    today = settings().district.today()
    if not today <= expires_on <= today + LONGEST:
        raise NotAllowed(f"{rule_id} cannot be acknowledged until {expires_on}: give a day from today, within a year.")
    with engine().begin() as connection:
        if not connection.execute(select(_known(dataset, rule_id))).scalar():
            raise NotAllowed(f"No run of {dataset.name} had the warning {rule_id}; `district status` names them.")
        values = {
            "dataset": dataset.name,
            "rule_id": rule_id,
            "person": person,
            "role": role,
            "reason": reason,
            "ceiling": ceiling,
            "expires_on": expires_on,
        }
        connection.execute(insert(acknowledgement).values(values))


def _known(dataset: Dataset, rule_id: str) -> ColumnElement[bool]:
    """Whether a run of the data set had such a warning."""
    return exists().where(
        import_run.c.id == import_issue.c.import_run_id,
        import_run.c.dataset == dataset.name,
        import_issue.c.rule_id == rule_id,
        import_issue.c.severity == "warning",
    )


def _newest(connection: Connection, dataset: Dataset) -> list[Row[Any]]:
    """The newest acknowledgement of each rule: a later one replaces an earlier."""
    query = select(acknowledgement).where(acknowledgement.c.dataset == dataset.name)
    newest = query.ext(distinct_on(acknowledgement.c.rule_id)).order_by(
        acknowledgement.c.rule_id, acknowledgement.c.id.desc()
    )
    return list(connection.execute(newest))


def _warnings(connection: Connection, run_id: int) -> list[Row[Any]]:
    """A run's warnings, one row per rule."""
    rows = cast(func.sum(import_issue.c.rows), BigInteger).label("rows")
    query = (
        select(
            import_issue.c.rule_id,
            func.min(import_issue.c.title).label("title"),
            func.min(import_issue.c.fix).label("fix"),
            rows,
        )
        .where(import_issue.c.import_run_id == run_id, import_issue.c.severity == "warning")
        .group_by(import_issue.c.rule_id)
        .order_by(rows.desc(), import_issue.c.rule_id)
    )
    return list(connection.execute(query))
