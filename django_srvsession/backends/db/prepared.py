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
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from django.db.backends.utils import CursorWrapper

if TYPE_CHECKING:
    from django_srvsession.backends.db.sql import Params

AFTER_USES: Final = 5
"""How often a connection executes a statement as it stands."""

_MOST: Final = 32
_USES: Final = "_srvsession_uses"
_NOT_FOUND: Final = frozenset({"26000", "0A000"})
"""No such statement; "cached plan must not change result type", after a migration. Nothing has been done then."""
_PREPARED_BEFORE: Final = "42P05"
_WRONG: Final = "42"
"""What begins with it says that the statement cannot be prepared."""
_IDLE: Final = 0  # libpq's PQTRANS_IDLE
_DJANGOS_OWN: Final = frozenset({"django.db.backends.postgresql.base"})
_PARAMETER: Final = re.compile(r"%\((\w+)\)s|%%")

FOR_USES: Final = 1000
_FOR_S: Final = 60
"""When it is prepared anew: a plan that was made for a small table would read all of a large one."""


class Use:
    """Count how often a connection has executed a statement; ``prepared`` is what executes it, once it is prepared."""

    __slots__ = ("count", "prepared", "until_s")

    def __init__(self) -> None:
        self.count = 0
        self.prepared = ""
        self.until_s = 0.0


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
        if not self._may_prepare(connection, cursor):
            return None
        uses: dict[str, Use] = vars(connection.connection).setdefault(_USES, {})
        use = uses.get(sql)
        if use is None:
            if len(uses) >= _MOST:
                return None
            use = uses[sql] = Use()
        use.count += 1
        if use.prepared and use.count <= FOR_USES and monotonic() < use.until_s:
            return use.prepared
        if not use.prepared and use.count <= AFTER_USES:
            return None
        return self._anew(connection, cursor, sql, use)

    def _anew(self, connection: Any, cursor: Any, sql: str, use: Use) -> str | None:
        before, use.prepared = use.prepared, ""  # Whatever happens: it may be gone already when preparing fails.
        try:
            use.prepared = _prepare(connection, cursor, sql, is_known=bool(before))
        except connection.Database.Error as error:
            code = _code(error) or ""
            if code not in _NOT_FOUND and not code.startswith(_WRONG):
                raise  # It was not sent, or waited in vain: nothing was done.
            self._gave_up = True
            return None
        use.count, use.until_s = 0, monotonic() + _FOR_S
        return use.prepared

    def _may_prepare(self, connection: Any, cursor: Any) -> bool:
        return not (
            self._gave_up
            # Who listens, at Django's cursor or at the driver's, is to hear the statement itself.
            or isinstance(cursor, CursorWrapper)
            or type(cursor).__module__ not in _DJANGOS_OWN
            or connection.features.uses_server_side_binding  # The driver prepares by itself.
            or connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS")
            # In a transaction, also one that Django does not know of, an error would spoil all that was done in it.
            or connection.connection.pgconn.transaction_status != _IDLE
            or not connection.autocommit
        )


def _prepare(connection: Any, cursor: Any, sql: str, *, is_known: bool) -> str:
    """Have the connection prepare a statement, anew if it ``is_known``; return what executes it with its parameters."""
    numbers: dict[str, int] = {}

    def numbered(parameter: re.Match[str]) -> str:
        name = parameter[1]
        return "%" if name is None else f"${numbers.setdefault(name, len(numbers) + 1)}"

    text = _PARAMETER.sub(numbered, sql)
    # Whoever has prepared something of this name on the same server has prepared the same.
    name = f"srvsession_{hashlib.sha256(text.encode()).hexdigest()[:24]}"
    if is_known:
        cursor.execute(f"DEALLOCATE {name}")
    try:
        cursor.execute(f"PREPARE {name} AS {text}")
    except connection.Database.Error as error:
        if _code(error) != _PREPARED_BEFORE:
            raise
    return f"EXECUTE {name} ({', '.join(f'%({each})s' for each in numbers)})"


def _code(error: Exception) -> str | None:
    """Return the SQLSTATE of an error of psycopg, 3 or 2."""
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
