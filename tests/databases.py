"""Add databases to a running Django, and empty them between tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import connections
from django.test import TransactionTestCase

# What `migrate` fills, and tests only read.
KEPT_TABLES = {"django_migrations", "django_content_type", "auth_permission"}


class SendEverythingTo:
    """Route every model to one database: the whole project lives there."""

    def __init__(self, alias: str) -> None:
        self.alias = alias

    def db_for_read(self, model: object, **hints: object) -> str:
        """Return the database."""
        return self.alias

    db_for_write = db_for_read


def sqlite_file_settings(path: object) -> dict[str, Any]:
    """Return a ``DATABASES`` entry as a careful site would write it for SQLite."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
        },
    }


def add_database(alias: str, entry: dict[str, Any]) -> None:
    """Make ``connections[alias]`` work from now on, in every thread, and migrate the database."""
    configured = connections.configure_settings({"default": connections.settings["default"], alias: entry})
    connections.settings[alias] = configured[alias]
    call_command("migrate", database=alias, verbosity=0)


def remove_database(alias: str) -> None:
    """Have no ``connections[alias]`` any more in this thread: later tests look at all databases that there are."""
    connections[alias].close()
    del connections[alias]
    del connections.settings[alias]


@contextmanager
def lent(kind: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """Lend a test the database of a kind, empty, with its server running; yields its alias.

    Both are seen to before the test too: what an earlier test could not put right broke that test, and no other.
    """
    alias = request.getfixturevalue(f"{kind}_alias")
    server = None if kind == "sqlite" else request.getfixturevalue(f"{kind}_server")
    with request.getfixturevalue("django_db_blocker").unblock():
        if server:
            server.ensure()
        # Django keeps its own tests from other databases by these, and leaves them in a shape that is a tracer's.
        for name in ("connect", "temporary_connection", "cursor", "chunked_cursor"):
            vars(connections[alias]).pop(name, None)
        if alias in _used:
            empty_database(alias)
        _used.add(alias)
        yield alias
        if server:
            server.ensure()
        empty_database(alias)
        _used.remove(alias)


_used: set[str] = set()
"""Databases in which a test may have left something."""


def forget_connections() -> None:
    """Close this thread's connections to databases that are lent: what a test that failed had set on them goes too."""
    for alias in _used:
        connections[alias].close()


def empty_database(alias: str) -> None:
    """Delete all rows that tests may have written."""
    connection = connections[alias]
    if connection.connection is not None and not connection.is_usable():
        connection.close()  # the test crashed the server
    tables = set(connection.introspection.django_table_names(only_existing=True)) - KEPT_TABLES
    if connection.vendor == "postgresql" and _are_small(connection, tables):
        # TRUNCATE makes new files for each table and index, which takes longer than most tests.
        statements = [f"DELETE FROM {connection.ops.quote_name(table)}" for table in sorted(tables)]
    else:
        statements = connection.ops.sql_flush(no_style(), sorted(tables), allow_cascade=False)
    connection.ops.execute_sql_flush(statements)


def _are_small(connection: Any, tables: set[str]) -> bool:
    """Tell whether what is left of deleted rows is so little that no later test will notice it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(pg_relation_size(oid)) FROM pg_class WHERE relname = ANY(%s)", [list(tables)])
        return bool(cursor.fetchone()[0] <= 65_536)


def empty_between_tests() -> None:
    """Have Django empty the databases of its transactional tests so: ``flush`` makes all permissions anew each time."""

    def empty(case: Any) -> None:
        for alias in case._databases_names(include_mirrors=False):
            empty_database(alias)

    TransactionTestCase._fixture_teardown = empty  # type: ignore[attr-defined]
