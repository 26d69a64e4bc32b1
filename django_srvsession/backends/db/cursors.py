"""The cursors that statements run on.

Django's cursor tells ``DEBUG``, wrappers and tracers of each statement, and takes a tenth of the time that PostgreSQL
needs to read a session. Where nobody listens, statements go to the driver's own cursor, with Django's checks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.db.backends import utils
from django.db.backends.utils import CursorWrapper

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

_DJANGOS_OWN: Final = frozenset({"django.db.backends.postgresql.base", "django.contrib.gis.db.backends.postgis.base"})
"""Other databases' cursors translate parameters; other people's backends may do what they like."""

_execute: Final = CursorWrapper.execute
_is_djangos: Final = getattr(_execute, "__globals__", None) is vars(utils)
"""False where a tracer was there before us."""


def open_cursor(connection: BaseDatabaseWrapper) -> Any:
    """Return a cursor to be used within ``connection.wrap_database_errors``, and to be closed.

    Raises what ``connection.cursor()`` raises.
    """
    if not _nobody_listens(connection):
        return connection.cursor()
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    connection.validate_thread_sharing()
    connection.validate_no_broken_transaction()
    return connection.connection.cursor()


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
