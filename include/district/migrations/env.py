"""Alembic's entry: runs the revisions on the connection that ``district.database.migrate`` hands over."""

from alembic import context
from sqlalchemy import text

from district.review import tables as review_tables  # noqa: F401 - they join the metadata
from district.tables import DISTRICT, IMPORT_LOG, STAGING, metadata

connection = context.config.attributes["connection"]
for schema in (IMPORT_LOG, STAGING, DISTRICT):
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {schema}"))
context.configure(
    connection=connection, target_metadata=metadata, version_table_schema=IMPORT_LOG, include_schemas=True
)
with context.begin_transaction():
    context.run_migrations()
