"""The throwaway server's settings, and databases that come and go on it."""

from __future__ import annotations

import psycopg2

from district.demo.postgres import Server, ensure_database

# As PostgreSQL's documentation advises for a server that loads: room for the rows, and no checkpoint amid a load.
SERVER = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "1GB", "max_wal_size": "8GB"}


class database:  # noqa: N801 - read as a word
    """A fresh database while it lasts; the dropped one leaves a server with nothing to do."""

    def __init__(self, server: Server, name: str) -> None:
        self.server, self.name = server, name

    def __enter__(self) -> str:
        self.__exit__()
        ensure_database(self.server, self.name)
        return self.server.url(self.name).replace("postgresql+psycopg2", "postgresql")

    def __exit__(self, *_: object) -> None:
        connection = psycopg2.connect(host=str(self.server.socket), user="postgres", dbname="postgres")
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")
            cursor.execute("CHECKPOINT")
        connection.close()


def count_rows(url: str, table: str) -> int | None:
    """How many rows the table of that name has, in whatever schema; None where there is none."""
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT schemaname FROM pg_tables WHERE tablename = %s ORDER BY schemaname", (table,))
        schema = cursor.fetchone()
        if schema is not None:
            cursor.execute(f'SELECT count(*) FROM "{schema[0]}"."{table}"')
        found = cursor.fetchone() if schema is not None else None
    connection.close()
    return int(found[0]) if found else None
