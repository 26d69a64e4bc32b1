"""The cursors that statements run on.

Django's cursor tells ``DEBUG``, wrappers and tracers of each statement, and takes a tenth of the time that PostgreSQL
needs to read a session. Where nobody listens, statements go to the driver's own cursor, with Django's checks.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

from django.db.backends import utils
from django.db.backends.utils import CursorWrapper

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

_DJANGOS_OWN: Final = frozenset({"django.db.backends.postgresql.base", "django.contrib.gis.db.backends.postgis.base"})
"""Other databases' cursors translate parameters; other people's backends may do what they like."""

_KEPT: Final = "_srvsession_cursor"

_execute: Final = CursorWrapper.execute
_is_djangos: Final = getattr(_execute, "__globals__", None) is vars(utils)
"""False where a tracer was there before us."""


def open_cursor(connection: BaseDatabaseWrapper) -> AbstractContextManager[Any]:
    """Return a cursor to be used with ``with``, within ``connection.wrap_database_errors``.

    Raises what ``connection.cursor()`` raises.
    """
    if not _nobody_listens(connection):
        return connection.cursor()
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    connection.validate_thread_sharing()
    connection.validate_no_broken_transaction()
    driver_connection = connection.connection
    return _KeptCursor(driver_connection) if hasattr(driver_connection, "__dict__") else driver_connection.cursor()


class _KeptCursor:
    """Lend out the one cursor that stays with a driver's connection, or a new one while that is in use.

    A new one finds out anew, each time, how to read and write each type: a tenth of what a load takes.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._cursor = vars(connection).pop(_KEPT, None) or connection.cursor()

    def __enter__(self) -> Any:
        return self._cursor

    def __exit__(self, error_type: type[BaseException] | None, *error: object) -> None:
        # Taken out while it is lent, so that nobody ever reads another one's rows; not kept once it has failed.
        if error_type is None:
            vars(self._connection)[_KEPT] = self._cursor
        else:
            self._cursor.close()


def _nobody_listens(connection: BaseDatabaseWrapper) -> bool:
    return not (
        type(connection).__module__ not in _DJANGOS_OWN
        or connection.queries_logged
        or connection.execute_wrappers
        # Tracers put functions of theirs in the place of these, on the class or on one connection.
        or CursorWrapper.execute is not _execute
        or not _is_djangos
        or "cursor" in vars(connection)
    )
