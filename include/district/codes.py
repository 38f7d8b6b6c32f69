"""Codes: the crosswalk from a source's local codes to standard ones, dated by school year."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert

from district.dataset import Dataset
from district.run import ImportStopped
from district.tables import crosswalk

OPEN_FROM, OPEN_TO = 0, 9999
_HEADER = ["source_system", "school_year_from", "school_year_to", "local_code", "standard_code", "description"]


def seed_crosswalk(connection: Connection, folder: Path) -> int:
    """Adds the entries of ``folder/*.csv`` that the crosswalk table does not have yet; returns how many.

    The table is the live crosswalk: an entry that a person changed there is not changed back.

    Raises:
        ImportStopped: a file is not what a crosswalk file is.
    """
    entries = [entry for path in sorted(folder.glob("*.csv")) for entry in _entries(path)]
    if not entries:
        return 0
    statement = insert(crosswalk).on_conflict_do_nothing(
        index_elements=["code_set", "source_system", "local_code", "school_year_from"]
    )
    before = connection.execute(select(func.count()).select_from(crosswalk)).scalar_one()
    connection.execute(statement, entries)
    return int(connection.execute(select(func.count()).select_from(crosswalk)).scalar_one() - before)


def _entries(path: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    line = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            if next(rows, None) != _HEADER:
                raise ImportStopped(f"Crosswalk {path.name} must have the header {','.join(_HEADER)}.")
            for row in rows:
                line = rows.line_num
                if row:
                    entries.append(_entry(path.stem, *row))
    except UnicodeDecodeError:
        raise ImportStopped(f"Crosswalk {path.name} is not UTF-8; save it as UTF-8.") from None
    except (csv.Error, ValueError, TypeError):
        message = "it needs six fields, whole numbers for years, a local and a standard code."
        raise ImportStopped(f"Crosswalk {path.name}, line {line}: {message}") from None
    return entries


def _entry(
    code_set: str, source: str, year_from: str, year_to: str, local: str, standard: str, description: str
) -> dict[str, Any]:
    if not (source and local and standard):
        raise ValueError
    return {
        "code_set": code_set,
        "source_system": source,
        "school_year_from": int(year_from or OPEN_FROM),
        "school_year_to": int(year_to or OPEN_TO),
        "local_code": local,
        "standard_code": standard,
        "description": description,
        "decided_by": "seed",
    }


def crosswalk_version(connection: Connection, dataset: Dataset) -> str:
    """A digest of the entries that the data set's codes can meet."""
    code_sets = sorted({column.code_set for column in dataset.coded if column.code_set})
    columns = [crosswalk.c[name] for name in ("code_set", "source_system", "local_code", "standard_code")]
    columns += [crosswalk.c.school_year_from, crosswalk.c.school_year_to]
    rows = connection.execute(select(*columns).where(crosswalk.c.code_set.in_(code_sets)).order_by(*columns)).all()
    return hashlib.sha256(repr([tuple(row) for row in rows]).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class CodeSet:
    """A source's codes of one code set: (local code, first school year, last school year, standard code)."""

    entries: tuple[tuple[str, int, int, str], ...]

    def in_year(self, year: int) -> dict[str, str]:
        """The standard code of each local code that is mapped in a school year."""
        return {local: standard for local, first, last, standard in self.entries if first <= year <= last}


def read_codes(connection: Connection, dataset: Dataset, source: str) -> dict[str, CodeSet]:
    """The code set of each coded column of the data set, as the source system uses it."""
    found: dict[str, CodeSet] = {}
    for column in dataset.coded:
        columns = (
            crosswalk.c.local_code,
            crosswalk.c.school_year_from,
            crosswalk.c.school_year_to,
            crosswalk.c.standard_code,
        )
        query = select(*columns).where(crosswalk.c.code_set == column.code_set, crosswalk.c.source_system == source)
        # Where two entries overlap, the one that begins later is in force.
        rows = connection.execute(query.order_by(crosswalk.c.school_year_from)).all()
        found[column.name] = CodeSet(entries=tuple((row[0], row[1], row[2], row[3]) for row in rows))
    return found
