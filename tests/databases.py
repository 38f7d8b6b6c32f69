"""Databases for tests, copied from one that is ready, which takes a tenth of making it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager

from district.demo.postgres import Server

TEMPLATE = "district"
"""The role that owns them all, and the migrated, empty database."""
_numbers = itertools.count(1)


@contextmanager
def copied_database(server: Server, original: str) -> Iterator[str]:
    """The URL of a copy, as its owner sees it; dropped afterwards."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    copy_database(server, original, name)
    try:
        yield server.url(name, role=TEMPLATE)
    finally:
        _execute(server, f'drop database "{name}" with (force)')


def copy_database(server: Server, original: str, name: str) -> None:
    """Makes a database that holds what another does."""
    _execute(server, f'create database "{name}" template "{original}" owner "{TEMPLATE}"')


def leave(server: Server, name: str) -> None:
    """Ends the sessions that a library keeps open in a database, so that it can be copied."""
    _execute(server, f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'")


def checkpoint(server: Server) -> None:
    """Writes everything down, as a crash test must after a copy.

    A copied sequence believes that its next values are logged already, and they are not in the copy: after a crash
    it would give the same numbers again.
    """
    _execute(server, "checkpoint")


def _execute(server: Server, statement: str) -> None:
    import psycopg2

    connection = psycopg2.connect(host=str(server.socket), user="postgres", dbname="postgres")
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()
