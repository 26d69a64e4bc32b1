"""The way of a statement to the driver: the fence for Django's cursors.

Django's cursor tells ``DEBUG``, wrappers and tracers of each statement. Where nobody listens, SQLite's statements go to
the driver's own cursor, and those that PostgreSQL has prepared to the cursor that is kept for them, with Django's
checks. What of Django's connections is not documented is used in this module only.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.db.backends import utils
from django.db.backends.utils import CursorWrapper

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from django_srvsession.backends.db.prepared import Prepared

T = TypeVar("T")

_DJANGOS_OWN: Final = frozenset(
    {
        "django.db.backends.postgresql.base",
        "django.contrib.gis.db.backends.postgis.base",
        "django.db.backends.sqlite3.base",
        "django.contrib.gis.db.backends.spatialite.base",
    }
)
"""Other people's backends may do what they like."""

_execute: Final = CursorWrapper.execute
_is_djangos: Final = getattr(_execute, "__globals__", None) is vars(utils)
"""False where a tracer was there before us."""


def execute(
    connection: BaseDatabaseWrapper,
    sql: str,
    params: dict[str, Any],
    read: Callable[[Any], T],
    prepared: Prepared | None = None,
) -> T:
    """Execute a statement and return what ``read`` makes of its cursor; raises errors of ``django.db``.

    ``prepared`` is given for statements that many requests need.
    """
    with connection.wrap_database_errors:
        is_sqlite = connection.vendor == "sqlite"
        if (is_sqlite or prepared is not None) and _nobody_listens(connection):
            connection.close_if_health_check_failed()
            connection.ensure_connection()
            connection.validate_thread_sharing()
            connection.validate_no_broken_transaction()
            if is_sqlite:
                return read(connection.connection.execute(_named(sql), params))
            if prepared is not None and (kept := prepared.execute(connection, sql, params)) is not None:
                return read(kept)
        with connection.cursor() as cursor:
            cursor.execute(sql, params)
            return read(cursor)


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


class _Names(dict[str, str]):
    """Spell parameters as SQLite does."""

    def __missing__(self, name: str) -> str:
        return f":{name}"


@lru_cache(maxsize=256)
def _named(sql: str) -> str:
    """Return a statement with its parameters spelt as SQLite does."""
    return sql % _Names()
