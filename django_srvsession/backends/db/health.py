"""What an operator should know of the database that sessions are in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from django_srvsession.backends.db import schema
from django_srvsession.backends.db.database import Runner
from django_srvsession.backends.db.format import clock_said
from django_srvsession.store.health import Finding, Level, StorageInfo, clock_finding

_LEAST_MS: Final = 5000


def findings(table: Runner) -> list[Finding]:
    """Return what there is to say; raises errors of ``django.db``."""
    of_server = _sqlite(table) if table.database.vendor == "sqlite" else _clock(table)
    return [*of_server, *schema.findings(table)]


def storage_info(table: Runner) -> StorageInfo:
    """Return which database it is, and on PostgreSQL how much the sessions take; raises errors of ``django.db``."""
    connection = table.connection
    name = "MariaDB" if getattr(connection, "mysql_is_mariadb", False) else connection.display_name
    used = int(table.rows(table.database.lists.table_bytes, {})[0][0]) if connection.vendor == "postgresql" else None
    return StorageInfo(name, connection.alias, used)


def _clock(table: Runner) -> Iterator[Finding]:
    before_ns = time.time_ns()
    ((said,),) = table.rows(table.sql.ask_clock, {})
    ours_ms = (before_ns + time.time_ns()) / 2_000_000
    yield clock_finding(clock_said(said) - ours_ms, "The database's")


def _sqlite(table: Runner) -> Iterator[Finding]:
    ((mode,),) = table.rows("PRAGMA journal_mode", {})
    text = f"SQLite's journal_mode is {mode}"
    if str(mode).lower() in ("wal", "memory"):
        yield Finding(Level.OK, "journal", f"{text}.")
    else:
        advice = 'Set "init_command": "PRAGMA journal_mode=WAL" in OPTIONS of DATABASES.'
        yield Finding(Level.WARNING, "journal", f"{text}: who reads keeps writers waiting.", advice)
    ((timeout_ms,),) = table.rows("PRAGMA busy_timeout", {})
    if timeout_ms < _LEAST_MS:
        advice = 'Set "timeout" to 5 (seconds) or more in OPTIONS of DATABASES.'
        text = f"A write waits {timeout_ms} ms for another one, and fails then."
        yield Finding(Level.WARNING, "timeout", text, advice)
