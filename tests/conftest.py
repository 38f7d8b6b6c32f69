"""What tests share: one throw-away PostgreSQL a session, and a fresh district database for each test that asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from databases import TEMPLATE, copied_database
from district.demo.postgres import Server, ensure_database, throwaway_server


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lets one worker have the nights of the running district, which follow each other, and begin with them.

    The other worker takes the other files, each of them whole, so that what a file sets up is set up once.
    """
    items.sort(key=lambda item: not _is_live(item))
    for item in items:
        item.add_marker(pytest.mark.xdist_group("live" if _is_live(item) else str(item.path)))


def _is_live(item: pytest.Item) -> bool:
    return item.path.is_relative_to(Path(__file__).parent / "end_to_end")


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
    with copied_database(migrated, TEMPLATE) as url:
        yield url


@pytest.fixture
def district_database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The same, and the settings of this process point to it."""
    from district.settings import settings

    monkeypatch.setenv("DISTRICT_DATABASE_URL", database_url)
    monkeypatch.setenv("DISTRICT_FIRST_LOAD", "load")
    settings.cache_clear()
    yield database_url
    settings.cache_clear()
