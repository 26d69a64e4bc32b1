"""Statements on the caller's own connection, and what their errors mean for a session.

A locked, lost or broken database is ``StoreUnavailableError``, never "gone". Inside the caller's ``atomic()`` nothing
is retried: only the caller can begin the transaction anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.db import (
    DEFAULT_DB_ALIAS,
    DataError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
    connections,
    transaction,
)
from django.db.transaction import TransactionManagementError

from django_srvsession.backends.db.waiting import limited
from django_srvsession.store import StoreUnavailableError, TooLargeError, waiting

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

T = TypeVar("T")

TRIES: Final = 3
"""How often a statement is sent that loses to another transaction (a deadlock, a failed serialization)."""

_PAUSE_S: Final = 0.02
_LOCK_TIMEOUT_S: Final = 10
_LOST_TO_ANOTHER: Final = frozenset({"40001", "40P01", "55P03", 1205, 1213, 1020})
_TOO_LARGE: Final = frozenset({1153, "54000"})
_NO_SUCH_TABLE: Final = ("no such table", "no such column")
_NO_SUCH_COLUMN: Final = 1054
_NO_PRIVILEGE: Final = "42501"  # PostgreSQL's; MariaDB and MySQL call it an operational error.
_HINT: Final = "The sessions' table is missing or old: run `manage.py migrate{}`."
_NO_ROOM: Final = (
    "The database has no room for a value ({}), and nothing was written: a column of srvsession_session is not as "
    "`manage.py migrate` makes it. Ask `manage.py doctorsessions_srv`."
)
_SILENCE: Final = "The database did not answer, or not in time."


def run(using: str, work: Callable[[BaseDatabaseWrapper], T], *, writes: bool = True) -> T:
    """Return ``work(connection)``; with errors that tell "the database did not answer" from all others.

    What rolled back because of another transaction is done again, up to ``TRIES`` times. What only reads is done once
    more on a new connection if the one at hand turns out to be dead; what writes is not, as it may have been done.

    A limit of waiting (``waiting.py``) holds outside of transactions, for one try.

    Raises ``StoreUnavailableError``; whether a write took effect is not known then. ``TooLargeError`` is no outage.
    """
    connection = connections[using]
    limit = waiting.limit() if writes else None
    for tries_left in reversed(range(TRIES if limit is None else 1)):
        try:
            if limit is not None and connection.get_autocommit():
                with limited(connection, limit):
                    return work(connection)
            return _attempt(connection, work, writes)
        except ProgrammingError as error:
            if code_of(error) == _NO_PRIVILEGE:
                raise StoreUnavailableError(f"The database refused it ({_NO_PRIVILEGE}: no privilege).") from error
            _add_hint(error, using)
            raise
        except DataError as error:
            raise StoreUnavailableError(_NO_ROOM.format(code_of(error))) from error
        except (OperationalError, InterfaceError, InternalError) as error:
            if _names_a_missing_table(error):
                _add_hint(error, using)
                raise
            if code_of(error) in _TOO_LARGE:
                raise TooLargeError(f"The database takes no statement of this size: {error}") from error
            may_repeat = _recover(connection, error, writes)
            if not (tries_left and may_repeat):
                raise StoreUnavailableError(f"{_SILENCE} ({code_of(error)})") from error
        time.sleep(random.uniform(0, _PAUSE_S) * (TRIES - tries_left))  # noqa: S311 - jitter
    raise AssertionError("unreachable")


def _attempt(connection: BaseDatabaseWrapper, work: Callable[[BaseDatabaseWrapper], T], writes: bool) -> T:
    # On PostgreSQL an error spoils the caller's transaction unless there is a savepoint to return to.
    if writes and connection.in_atomic_block and connection.vendor == "postgresql":
        with transaction.atomic(connection.alias):
            return work(connection)
    return work(connection)


def _recover(connection: BaseDatabaseWrapper, error: Exception, writes: bool) -> bool:
    """Leave a connection that the next statement can use, and tell whether this one may be sent again."""
    if connection.in_atomic_block:
        return False
    # Not close_if_unusable_or_obsolete(): with CONN_MAX_AGE = 0 that closes a healthy connection too, in mid-request.
    was_lost = connection.connection is not None and not connection.is_usable()
    if was_lost:
        connection.close()
    return _lost_to_another(error) or (was_lost and not writes)


def _lost_to_another(error: Exception) -> bool:
    return code_of(error) in _LOST_TO_ANOTHER


def code_of(error: Exception) -> object:
    """Return what the database calls an error: MariaDB's number, PostgreSQL's SQLSTATE; else its type's name.

    Each driver keeps it elsewhere: psycopg 3 in ``sqlstate``, psycopg 2 in ``pgcode``, those of MariaDB in ``args``.
    """
    if error.args and isinstance(error.args[0], int):
        return error.args[0]
    cause = error.__cause__
    return getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or type(error).__name__


def _names_a_missing_table(error: Exception) -> bool:
    # SQLite, MariaDB and MySQL call it an operational error.
    return str(error).startswith(_NO_SUCH_TABLE) or error.args[:1] == (_NO_SUCH_COLUMN,)


def _add_hint(error: Exception, using: str) -> None:
    if not isinstance(error, TransactionManagementError):
        error.add_note(_HINT.format("" if using == DEFAULT_DB_ALIAS else f" --database {using}"))


@contextlib.contextmanager
def serialized(connection: BaseDatabaseWrapper, what: str) -> Iterator[None]:
    """Run a transaction that no other one of the same name overlaps.

    In the caller's own transaction the lock is held to its end on PostgreSQL and SQLite. MariaDB and MySQL release it
    at the end of the block; there, rows locked in the block are what makes others wait.
    """
    digest = hashlib.sha256(f"srvsession:{connection.settings_dict['NAME']}:{what}".encode("utf-8", "replace"))
    if connection.vendor == "mysql":
        with _named_lock(connection, digest.hexdigest()[:60]), transaction.atomic(connection.alias):
            yield
        return
    with transaction.atomic(connection.alias):
        if connection.vendor == "postgresql":
            key = int.from_bytes(digest.digest()[:8], "big", signed=True)
            _value(connection, "SELECT pg_advisory_xact_lock(%(key)s)", {"key": key})
        yield


@contextlib.contextmanager
def _named_lock(connection: BaseDatabaseWrapper, name: str) -> Iterator[None]:
    wait = {"name": name, "timeout": _LOCK_TIMEOUT_S}
    if _value(connection, "SELECT GET_LOCK(%(name)s, %(timeout)s)", wait) != 1:
        raise StoreUnavailableError(_SILENCE)
    try:
        yield
    finally:
        # Through the driver's cursor: Django's refuses to work once the transaction is broken. A connection that was
        # lost has lost its locks too.
        if connection.connection is not None:
            with connection.wrap_database_errors, connection.connection.cursor() as cursor:
                cursor.execute("SELECT RELEASE_LOCK(%(name)s)", {"name": name})


def _value(connection: BaseDatabaseWrapper, sql: str, params: dict[str, Any]) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchone()[0]
