"""What tests share: one throw-away PostgreSQL a session, and a fresh district database for each test that asks."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import pytest

from district.demo.postgres import Server, ensure_database, throwaway_server

_numbers = itertools.count(1)
TEMPLATE = "district"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """The embedded PostgreSQL, started once."""
    with throwaway_server() as server:
        yield server


@pytest.fixture(scope="session")
def migrated(postgres_server: Server) -> Server:
    """The server, with a database at the newest migration to copy from."""
    from district.database import migrate

    ensure_database(postgres_server, TEMPLATE)
    migrate(postgres_server.url(TEMPLATE, role=TEMPLATE))
    return postgres_server


@pytest.fixture
def database_url(migrated: Server) -> Iterator[str]:
    """A fresh, migrated, empty district database, as its owner sees it; dropped afterwards."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    _execute(migrated, f'create database "{name}" template "{TEMPLATE}" owner "{TEMPLATE}"')
    yield migrated.url(name, role=TEMPLATE)
    _execute(migrated, f'drop database "{name}" with (force)')


@pytest.fixture
def district_database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The same, and the settings of this process point to it."""
    from district.settings import settings

    monkeypatch.setenv("DISTRICT_DATABASE_URL", database_url)
    settings.cache_clear()
    yield database_url
    settings.cache_clear()


def _execute(server: Server, statement: str) -> None:
    import psycopg2

    connection = psycopg2.connect(host=str(server.socket), user="postgres", dbname="postgres")
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()
