"""The district's PostgreSQL: engine, migrations, the tables that follow from a data set, and clean errors."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, Select, Table, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.schema import CreateIndex, CreateTable

from district.calendar.rows import calendar_rows
from district.dataset import Dataset
from district.run import ImportStopped
from district.settings import SettingsError, settings
from district.tables import CALENDAR, DISTRICT, target_table

MIGRATIONS = Path(__file__).parent / "migrations"
OLDEST_SERVER = 17


@lru_cache(maxsize=8)
def engine_for(url: str) -> Engine:
    """An engine that keeps no connection open between tasks and shows no parameter in an error."""
    return create_engine(
        url,
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={
            "application_name": "district-imports",
            "connect_timeout": 10,
            # Statements of a second or two are over before compiling them or starting workers for them has paid.
            # Of a large table few rows are asked for by their key, and its keys are in memory.
            "options": "-c jit=off -c max_parallel_workers_per_gather=0 -c random_page_cost=1.1",
        },
    )


def engine() -> Engine:
    """The engine of DISTRICT_DATABASE_URL."""
    url = settings().database_url.get_secret_value()
    if not url:
        raise SettingsError(
            "DISTRICT_DATABASE_URL is not set; give the SQLAlchemy URL of the district's PostgreSQL, "
            "such as postgresql+psycopg2://loader:password@host/district."
        )
    return engine_for(url)


def migrate(url: str | None = None) -> None:
    """Brings the import log's tables to the newest revision; safe to repeat."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    chosen = engine_for(url) if url else engine()
    with chosen.begin() as connection:
        version = int((connection.dialect.server_version_info or (0,))[0])
        if version < OLDEST_SERVER:
            raise SettingsError(f"PostgreSQL {version} is too old; version {OLDEST_SERVER} or newer is needed.")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def prepare_alone(connection: Connection) -> None:
    """Waits until no other run prepares tables, calendar or crosswalk; until the transaction ends, none begins to."""
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('district.prepare'))"))


def ensure_target(connection: Connection, dataset: Dataset) -> Table:
    """The data set's table, created or widened by new columns; never narrowed.

    A column that is no longer required, or no longer declared, may be empty from now on.

    Raises:
        ImportStopped: the declaration changed the key, or the type of a column that already holds data.
    """
    table = target_table(dataset)
    inspector = inspect(connection)
    if not inspector.has_table(table.name, schema=DISTRICT):
        connection.execute(CreateTable(table))
        for index in table.indexes:
            connection.execute(CreateIndex(index))
        return table
    stored = {column["name"]: column for column in inspector.get_columns(table.name, schema=DISTRICT)}
    keys = inspector.get_unique_constraints(table.name, schema=DISTRICT)
    preparer = connection.dialect.identifier_preparer
    alter = f"ALTER TABLE {preparer.format_table(table)}"
    added = {
        column.name: f"ADD COLUMN {preparer.quote(column.name)} {column.type.compile(connection.dialect)}"
        for column in table.columns
        if column.name not in stored
    }
    name = f"{dataset.name}_key"
    kept = next((key["column_names"] for key in keys if key["name"] == name), [])
    if set(kept) != set(dataset.key):
        key = ", ".join(preparer.quote(column) for column in dataset.key)
        rebuilt = f"DROP CONSTRAINT IF EXISTS {name}, ADD CONSTRAINT {name} UNIQUE ({key})"
        steps = ", ".join([*(added[column] for column in dataset.key if column in added), rebuilt])
        raise ImportStopped(
            f"Data set {dataset.name}: its key is declared ({key}) and stored ({', '.join(kept)}). "
            f"Put the old key back, or let IT staff rebuild it: {alter} {steps};"
        )
    for column in table.columns:
        wanted = column.type.compile(connection.dialect)
        if column.name in stored and stored[column.name]["type"].compile(connection.dialect) != wanted:
            raise ImportStopped(
                f"Data set {dataset.name}: column {column.name} is declared {wanted} and stored otherwise; "
                "declare it under a new name, or migrate the table first."
            )
    bound = [name for name, column in stored.items() if not column["nullable"]]
    relaxed = [name for name in bound if name not in table.columns or table.columns[name].nullable]
    changes = [*added.values(), *(f"ALTER COLUMN {preparer.quote(name)} DROP NOT NULL" for name in relaxed)]
    if changes:
        connection.execute(text(f"{alter} {', '.join(changes)}"))
    return table


def sync_calendar(connection: Connection) -> None:
    """Makes the calendar's tables equal to the settings file, for rules in SQL; touches only what differs."""
    wanted = calendar_rows(settings().district)
    for table in CALENDAR:
        rows = wanted[table.name]
        current = {tuple(row) for row in connection.execute(table.select())}
        if current != {tuple(row[column.name] for column in table.columns) for row in rows}:
            connection.execute(table.delete())
            if rows:
                connection.execute(table.insert(), rows)


def copy_csv(connection: Connection, table: Table, columns: list[str], source: Any) -> None:
    """COPY of CSV bytes (a binary file object) into a table that this transaction created.

    An empty unquoted field is null. Rows are written frozen, so that no later scan has to mark them as committed.
    """
    preparer = connection.dialect.identifier_preparer
    names = ", ".join(preparer.quote(name) for name in columns)
    statement = f"COPY {preparer.format_table(table)} ({names}) FROM STDIN (FORMAT csv, FREEZE)"
    with raw_cursor(connection) as cursor:
        cursor.copy_expert(statement, source, size=1 << 18)


def create_temporary(connection: Connection, name: str, query: Select[Any]) -> int:
    """Keeps a query's rows in a temporary table until the transaction ends; returns how many there are."""
    body = query.compile(connection, compile_kwargs={"literal_binds": True})
    connection.exec_driver_sql(f"DROP TABLE IF EXISTS pg_temp.{name}")
    made = connection.exec_driver_sql(f"CREATE TEMPORARY TABLE {name} ON COMMIT DROP AS {body}")
    connection.exec_driver_sql(f"ANALYZE {name}")
    return made.rowcount


def analyse(connection: Connection, table: Table) -> None:
    """Gives the planner a rough idea of a table that was just filled; a wrong one doubles what a rule costs."""
    connection.execute(text("SET LOCAL default_statistics_target = 10"))
    connection.execute(text(f"ANALYZE {connection.dialect.identifier_preparer.format_table(table)}"))


def raw_cursor(connection: Connection) -> Any:
    """A psycopg2 cursor in the connection's transaction, for COPY."""
    driver: Any = connection.connection.driver_connection
    return driver.cursor()


def clean_error(error: BaseException) -> str:
    """What may be said of a database error: its class and SQLSTATE, never its text, which can hold a value."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    state = getattr(cause, "pgcode", None)
    kind = type(cause).__name__
    if isinstance(error, SQLAlchemyError | OSError) or state:
        return f"{kind}{f' (SQLSTATE {state})' if state else ''}"
    return kind
