"""A write that may wait for so long only: for a lock that somebody holds, or for a server that is slow.

The site's own time-outs stay where they are shorter. What is set for the write is put back after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from django.db import Error, transaction

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

Limited = Callable[["BaseDatabaseWrapper", float], AbstractContextManager[None]]

# In a transaction, since what is set in it ends with it. A time-out of 0 is none.
_POSTGRESQL: Final = (
    "SELECT set_config('statement_timeout', least(%s, "
    "nullif(extract(epoch FROM current_setting('statement_timeout')::interval) * 1000, 0))::int::text, true)"
)


def limited(connection: BaseDatabaseWrapper, seconds: float) -> AbstractContextManager[None]:
    """Return a block in which a statement fails that waits for longer; for use outside of transactions."""
    return _BY_VENDOR.get(connection.vendor, _unlimited)(connection, seconds)


@contextmanager
def _unlimited(connection: BaseDatabaseWrapper, seconds: float) -> Iterator[None]:
    yield


@contextmanager
def _on_postgresql(connection: BaseDatabaseWrapper, seconds: float) -> Iterator[None]:
    with transaction.atomic(connection.alias):
        _ask(connection, _POSTGRESQL, [int(seconds * 1000)])
        yield


@contextmanager
def _on_sqlite(connection: BaseDatabaseWrapper, seconds: float) -> Iterator[None]:
    before = int(_ask(connection, "PRAGMA busy_timeout"))
    _ask(connection, f"PRAGMA busy_timeout = {min(before, int(seconds * 1000))}")
    try:
        yield
    finally:
        _put_back(connection, f"PRAGMA busy_timeout = {before}")


@contextmanager
def _on_mysql(connection: BaseDatabaseWrapper, seconds: float) -> Iterator[None]:
    # MySQL has no such limit for a write; it waits for locks in whole seconds.
    is_mariadb = getattr(connection, "mysql_is_mariadb", False)
    name, limit = ("max_statement_time", seconds) if is_mariadb else ("innodb_lock_wait_timeout", 1)
    before = _ask(connection, f"SELECT @@SESSION.{name}")
    _execute(connection, f"SET SESSION {name} = {min(float(before) or limit, limit) if is_mariadb else limit}")
    try:
        yield
    finally:
        _put_back(connection, f"SET SESSION {name} = {before}")


_BY_VENDOR: Final[dict[str, Limited]] = {
    "postgresql": _on_postgresql,
    "sqlite": _on_sqlite,
    "mysql": _on_mysql,
}


def _ask(connection: BaseDatabaseWrapper, sql: str, params: Any = None) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchone()[0]


def _execute(connection: BaseDatabaseWrapper, sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def _put_back(connection: BaseDatabaseWrapper, sql: str) -> None:
    if connection.connection is not None:
        with suppress(Error):  # A connection that is lost has lost its settings too.
            _execute(connection, sql)
