"""Statements that PostgreSQL plans once for each connection instead of once for each request.

To parse and plan the statement that reads a session takes PostgreSQL longer than to execute it. What a connection has
been asked a few times it is made to prepare; so a site that opens a connection for each request prepares nothing.

Poolers that give each transaction another server (PgBouncer) cannot keep what was prepared. Django's setting for them,
``DISABLE_SERVER_SIDE_CURSORS``, keeps us from it too; and where it was forgotten, the first statement that is not found
ends it for this process, and is executed as it stands.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Final

from django.db.backends.utils import CursorWrapper

if TYPE_CHECKING:
    from django_srvsession.backends.db.statements import Params

AFTER_USES: Final = 5
"""How often a connection executes a statement as it stands."""

_MOST: Final = 32
_USES: Final = "_srvsession_uses"
_NOT_FOUND: Final = frozenset({"26000", "0A000"})
"""No such statement; "cached plan must not change result type", after a migration. Nothing has been done then."""
_PREPARED_BEFORE: Final = "42P05"
_PARAMETER: Final = re.compile(r"%\((\w+)\)s|%%")

Uses = dict[str, "int | str"]
"""By statement: how often a connection has executed it, or what executes it as it was prepared."""


class Prepared:
    """Execute the statements of one alias, prepared where that is possible."""

    def __init__(self) -> None:
        self._gave_up = False

    def execute(self, connection: Any, cursor: Any, sql: str, params: Params) -> None:
        """Execute a statement on a cursor; raises the driver's errors."""
        prepared = self._prepared(connection, cursor, sql)
        if prepared is None:
            cursor.execute(sql, params)
            return
        try:
            cursor.execute(prepared, params)
        except connection.Database.Error as error:
            if _code(error) not in _NOT_FOUND:
                raise
            self._gave_up = True
            cursor.execute(sql, params)

    def _prepared(self, connection: Any, cursor: Any, sql: str) -> str | None:
        """Return what executes a statement that this connection has prepared, or prepares now; else None."""
        uses = self._uses(connection, cursor)
        if uses is None:
            return None
        known = uses.get(sql, 0)
        if isinstance(known, str):
            return known
        if known < AFTER_USES or len(uses) > _MOST:
            uses[sql] = known + 1
            return None
        try:
            uses[sql] = prepared = _prepare(connection, cursor, sql)
        except connection.Database.Error:
            self._gave_up = True  # The statement as it stands says what is wrong, if anything is.
            return None
        return prepared

    def _uses(self, connection: Any, cursor: Any) -> Uses | None:
        """Return what is known of a connection's statements; None where none is to be prepared."""
        if (
            self._gave_up
            or connection.vendor != "postgresql"
            or isinstance(cursor, CursorWrapper)  # Who listens is to hear the statement.
            or connection.in_atomic_block  # There, one that is not found would spoil the transaction.
            or not connection.autocommit
            or connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS")
            or connection.features.uses_server_side_binding  # The driver prepares by itself.
        ):
            return None
        kept = getattr(connection.connection, "__dict__", None)
        return None if kept is None else kept.setdefault(_USES, {})


def _prepare(connection: Any, cursor: Any, sql: str) -> str:
    """Have the connection prepare a statement, and return what executes it, with the same parameters."""
    numbers: dict[str, int] = {}

    def numbered(parameter: re.Match[str]) -> str:
        name = parameter[1]
        return "%" if name is None else f"${numbers.setdefault(name, len(numbers) + 1)}"

    text = _PARAMETER.sub(numbered, sql)
    # Whoever has prepared something of this name on the same server has prepared the same.
    name = f"srvsession_{hashlib.sha256(text.encode()).hexdigest()[:24]}"
    try:
        cursor.execute(f"PREPARE {name} AS {text}")
    except connection.Database.Error as error:
        if _code(error) != _PREPARED_BEFORE:
            raise
    return f"EXECUTE {name} ({', '.join(f'%({each})s' for each in numbers)})"


def _code(error: Exception) -> str | None:
    """Return the SQLSTATE of an error of psycopg, 3 or 2."""
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
