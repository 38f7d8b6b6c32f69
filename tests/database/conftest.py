"""A place to import into, with or without a night already loaded; each on a database of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from databases import TEMPLATE, copied_database, copy_database
from district.demo.postgres import Server
from importing import Place, children, csv_bytes, working_in

FIRST_NIGHT = "first_night"
# So that its failing asserts show both sides.
pytest.register_assert_rewrite("shaping")


@pytest.fixture
def place(migrated: Server, database_url: str, tmp_path: Path) -> Iterator[Place]:
    """An empty district."""
    with working_in(Place(folder=tmp_path, url=database_url, server_log=migrated.running.log)) as place:
        yield place


@pytest.fixture(scope="session")
def first_night(migrated: Server, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A district after its first night: forty children of two schools. Tests work on copies of it."""
    copy_database(migrated, TEMPLATE, FIRST_NIGHT)
    url = migrated.url(FIRST_NIGHT, role=TEMPLATE)
    folder = tmp_path_factory.mktemp(FIRST_NIGHT)
    with working_in(Place(folder=folder, url=url, server_log=migrated.running.log)) as place:
        outcome = place.night(csv_bytes(children()), age=86_400, night="2026-11-18")
        assert outcome.state == "loaded", outcome.message
    return place


@pytest.fixture
def loaded(migrated: Server, first_night: Place, tmp_path: Path) -> Iterator[Place]:
    """A copy of the district after its first night."""
    with copied_database(migrated, FIRST_NIGHT) as url:
        place = Place(folder=tmp_path, url=url, server_log=migrated.running.log)
        for name in ("drop", "landed"):
            shutil.copytree(first_night.folder / name, tmp_path / name, dirs_exist_ok=True)
        with working_in(place):
            yield place
