"""psycopg2: ``extras.execute_values``, its documentation's fast way to insert, as an upsert ("Fast execution helpers").

``page_size`` is raised from 100 to 1,000 rows a statement.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator

import psycopg2
from job import COLUMNS, KEY, UNUSED, Job, create_table
from psycopg2.extras import execute_values


def prepare(job: Job) -> None:
    """An empty table with a key."""
    with psycopg2.connect(job.url) as connection, connection.cursor() as cursor:
        cursor.execute(create_table(key=True))


def load(job: Job) -> None:
    """Inserts what is new and overwrites what is there; a row that is gone from the file stays."""
    rest = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name not in KEY)
    insert = (
        f"INSERT INTO attendance ({', '.join(COLUMNS)}) VALUES %s ON CONFLICT ({', '.join(KEY)}) DO UPDATE SET {rest}"
    )
    with psycopg2.connect(job.url) as connection, connection.cursor() as cursor:
        execute_values(cursor, insert, rows(job), page_size=1_000)


def rows(job: Job) -> Iterator[list[str | None]]:
    """The kept columns, an empty field as NULL; PostgreSQL turns texts into types."""
    with job.file.open(encoding="utf-8", newline="") as file:
        lines = csv.reader(file, delimiter="\t")
        next(lines)
        for line in lines:
            yield [field or None for field in line[: -len(UNUSED)]]
