"""What nothing can be cheaper than: COPY of the file as it is."""

from __future__ import annotations

import psycopg2
from job import KEY, Job, create_table


def raw(job: Job) -> None:
    """COPY into an unlogged table of text columns: the floor that everything is a multiple of."""
    with job.file.open(encoding="utf-8") as file:
        width = file.readline().count("\t") + 1
    columns = ", ".join(f"c{number} text" for number in range(width))
    copy(job, f"CREATE UNLOGGED TABLE raw ({columns})", "raw")


def lines(job: Job) -> None:
    """COPY of whole lines into one text column, for a file of more columns than a table may have (1,600)."""
    copy(job, "CREATE UNLOGGED TABLE raw (line text)", "raw", delimiter="\\x01")


def typed(job: Job) -> None:
    """COPY into a logged table of typed columns, and its primary key built afterwards: the harder floor.

    In one transaction, as PostgreSQL's documentation advises under "Populating a Database".
    """
    copy(
        job,
        create_table(key=False, unused=True),
        "attendance",
        f"ALTER TABLE attendance ADD PRIMARY KEY ({', '.join(KEY)})",
    )


def copy(job: Job, create: str, table: str, afterwards: str = "", delimiter: str = "\\t") -> None:
    """Creates the table and fills it from the file."""
    connection = psycopg2.connect(job.url)
    with connection, connection.cursor() as cursor, job.file.open("rb") as file:
        cursor.execute(create)
        cursor.copy_expert(f"COPY {table} FROM STDIN (FORMAT csv, DELIMITER E'{delimiter}', HEADER)", file)
        if afterwards:
            cursor.execute(afterwards)
    connection.close()
