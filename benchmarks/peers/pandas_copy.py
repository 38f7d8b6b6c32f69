"""pandas: ``to_sql`` with a callable that COPYs, the example of the IO guide's section "Insertion method"."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from io import StringIO
from typing import Any

import psycopg2
from job import Job, create_table
from sqlalchemy import create_engine

from peers.frame import read


def prepare(job: Job) -> None:
    """An empty table with a key."""
    with psycopg2.connect(job.url) as connection, connection.cursor() as cursor:
        cursor.execute(create_table(key=True))


def load(job: Job) -> None:
    """Into the table with the key."""
    read(job.file).to_sql("attendance", create_engine(job.sqlalchemy_url), index=False, if_exists="append", method=copy)


def copy(table: Any, connection: Any, keys: list[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Writes the rows as CSV into memory and COPYs them."""
    buffer = StringIO()
    csv.writer(buffer).writerows(rows)
    buffer.seek(0)
    with connection.connection.cursor() as cursor:
        cursor.copy_expert(f"COPY {table.name} ({', '.join(keys)}) FROM STDIN WITH CSV", buffer)
