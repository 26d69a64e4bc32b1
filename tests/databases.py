"""Add databases to a running Django, and empty them between tests."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.core.management.color import no_style
from django.db import connections

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


def empty_database(alias: str) -> None:
    """Delete all rows that tests may have written."""
    connection = connections[alias]
    if connection.connection is not None and not connection.is_usable():
        connection.close()  # the test crashed the server
    tables = set(connection.introspection.django_table_names(only_existing=True)) - KEPT_TABLES
    statements = connection.ops.sql_flush(no_style(), sorted(tables), allow_cascade=False)
    connection.ops.execute_sql_flush(statements)
