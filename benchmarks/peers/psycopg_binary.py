"""psycopg 3: binary COPY, row by row ("Using COPY TO and COPY FROM": "Writing data row-by-row", "Binary copy")."""

from __future__ import annotations

import csv
import datetime
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg
from job import COLUMNS, UNUSED, Job, create_table

CAST = {"text": str, "integer": int, "date": datetime.date.fromisoformat, "numeric": Decimal}


def prepare(job: Job) -> None:
    """An empty table with a key."""
    with psycopg.connect(job.url) as connection:
        connection.execute(create_table(key=True))


def load(job: Job) -> None:
    """Types are made in Python: a binary COPY casts nothing, so the types are set, as the page says."""
    kinds = [kind for _, kind in COLUMNS.values()]
    statement = f"COPY attendance ({', '.join(COLUMNS)}) FROM STDIN (FORMAT BINARY)"
    with psycopg.connect(job.url) as connection, connection.cursor().copy(statement) as copy:
        copy.set_types(["int4" if kind == "integer" else kind for kind in kinds])
        for row in rows(job, [CAST[kind] for kind in kinds]):
            copy.write_row(row)


def rows(job: Job, casts: list[Any]) -> Iterator[list[Any]]:
    """The kept columns with their types, an empty field as NULL."""
    with job.file.open(encoding="utf-8", newline="") as file:
        lines = csv.reader(file, delimiter="\t")
        next(lines)
        for line in lines:
            fields = line[: -len(UNUSED)]
            yield [cast(field) if field else None for cast, field in zip(casts, fields, strict=True)]
