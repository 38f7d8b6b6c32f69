"""What tests share: one throw-away PostgreSQL a session, and a fresh district database for each test that asks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from databases import TEMPLATE, copied_database
from district.demo.postgres import Server, ensure_database, throwaway_server

LIVE = "tests/end_to_end/"


class NightsTogether(LoadFileScheduling):
    """Gives each worker whole files, and one of them all nights of the running district, which follow each other."""

    def _split_scope(self, nodeid: str) -> str:
        scope: str = super()._split_scope(nodeid)
        return LIVE if scope.startswith(LIVE) else scope


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> NightsTogether:
    """What shares the tests out where there are several workers."""
    return NightsTogether(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lets the running district begin: its nights take longest."""
    items.sort(key=lambda item: not item.nodeid.startswith(LIVE))


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
