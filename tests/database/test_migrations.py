"""Migrations: they make the tables that the code declares, comments and defaults included."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from district.review import tables as review_tables  # noqa: F401 - they join the metadata
from district.tables import DISTRICT, IMPORT_LOG, metadata


def test_they_make_what_is_declared(database_url: str) -> None:
    # The role's own schema has its name; unqualified, its tables would be taken for others.
    engine = create_engine(database_url, connect_args={"options": "-c search_path=public"})
    with engine.connect() as connection:
        options = {
            "include_schemas": True,
            "include_name": lambda name, kind, _: kind != "schema" or name in (IMPORT_LOG, DISTRICT),
            "compare_server_default": True,
        }
        differences = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    engine.dispose()
    assert [difference for difference in differences if "alembic_version" not in str(difference)] == []
