"""Statements that PostgreSQL plans once for each connection instead of once for each request: the fence for psycopg.

To parse and plan the statement that reads a session takes PostgreSQL longer than to execute it. So what a connection
has been asked a few times it is made to prepare; a site that opens a connection for each request prepares nothing.
Each statement has a cursor of psycopg's that stays: it knows how to read the columns, and sends parameters beside the
statement, not written into it. What of psycopg is not public is in this module; without it nothing is prepared.

Poolers that give each transaction another server (PgBouncer) may not keep what was prepared. Django's setting for them,
``DISABLE_SERVER_SIDE_CURSORS``, keeps us from it too; and where it was forgotten, the first statement that is not found
ends it for this process, and is executed as it stands. A name is never used twice, so that no other client's statement
can be taken for ours.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from time import monotonic
from typing import Any, Final

try:
    import psycopg
    from psycopg._preparing import Prepare
except ImportError:  # Another driver, or a psycopg whose insides have changed.
    psycopg = None  # type: ignore[assignment]

AFTER_USES: Final = 5
"""How often a connection executes a statement as it stands."""
FOR_USES: Final = 1000
_FOR_S: Final = 60
"""When it is prepared anew: a plan that was made for a small table would read all of a large one."""

_MOST_STATEMENTS: Final = 32
_MOST_TYPES: Final = 8
"""For how many combinations of its parameters' types a statement is prepared: a number may take 2, 4 or 8 bytes."""
_CURSORS: Final = "_srvsession_cursors"
_NOT_FOUND: Final = frozenset({"26000", "0A000"})
"""No such statement; "cached plan must not change result type", after a migration. Nothing has been done then."""
_DJANGOS_OWN: Final = frozenset({"django.db.backends.postgresql.base"})


class Prepared:
    """Execute the statements of one database, prepared where that is possible."""

    def __init__(self) -> None:
        self._gave_up = psycopg is None

    def execute(self, connection: Any, sql: str, params: dict[str, Any]) -> Any | None:
        """Execute a statement and return its cursor, which is not to be closed; raises the driver's errors.

        Returns None where nothing was done, and the statement is to be executed in another way.
        """
        if not self._may_prepare(connection):
            return None
        cursors = vars(connection.connection).setdefault(_CURSORS, {})
        cursor = cursors.get(sql)
        if cursor is None:
            if len(cursors) >= _MOST_STATEMENTS:
                return None
            cursor = cursors[sql] = _Cursor(connection.connection)
        try:
            return cursor.execute_prepared(sql, params)
        except psycopg.Error as error:
            if error.sqlstate not in _NOT_FOUND:
                raise
            self._gave_up = True
            return None

    def _may_prepare(self, connection: Any) -> bool:
        raw = connection.connection
        return not (
            self._gave_up
            # Who listens at the driver's connection, or at its cursor, is to hear the statement itself.
            or type(raw) is not psycopg.Connection
            or raw.cursor_factory.__module__ not in _DJANGOS_OWN
            or connection.features.uses_server_side_binding  # The driver prepares by itself.
            or connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS")
            # In a transaction, also one that Django does not know of, an error would spoil all that was done in it.
            or raw.info.transaction_status != psycopg.pq.TransactionStatus.IDLE
            or not connection.autocommit
        )


class _Use:
    """Count how often a statement was executed; ``name`` is what the server knows it by, once it is prepared."""

    __slots__ = ("count", "name", "until_s")

    def __init__(self) -> None:
        self.count = 0
        self.name = b""
        self.until_s = 0.0

    def begin(self, name: bytes) -> None:
        self.count, self.name, self.until_s = 0, name, monotonic() + _FOR_S

    @property
    def is_old(self) -> bool:
        return self.count > FOR_USES or monotonic() >= self.until_s


if psycopg is not None:

    class _Cursor(psycopg.Cursor[Any]):
        """Keep one statement of one connection."""

        def __init__(self, connection: Any) -> None:
            super().__init__(connection)
            self._uses: dict[Any, _Use] = {}
            self._new: tuple[_Use, bytes] | None = None

        def execute_prepared(self, sql: str, params: dict[str, Any]) -> Any:
            """Execute the statement, prepared or not yet, and return this cursor."""
            self._new = None
            self.execute(sql, params, binary=True)
            if self._new is not None:
                use, name = self._new
                old = use.name
                use.begin(name)
                if old:
                    with suppress(psycopg.Error):  # A pooler that keeps statements for us forgets them by itself.
                        self.connection.execute(b"DEALLOCATE " + old)
            return self

        def _get_prepared(self, query: Any, prepare: bool | None = None) -> tuple[Prepare, bytes]:
            """Say whether the statement is to be prepared, and under which name; psycopg asks at each execution."""
            use = self._uses.get(query.types)
            if use is None:
                if len(self._uses) >= _MOST_TYPES:
                    return Prepare.NO, b""
                use = self._uses[query.types] = _Use()
            use.count += 1
            if use.name and not use.is_old:
                return Prepare.YES, use.name
            if not use.name and use.count <= AFTER_USES:
                return Prepare.NO, b""
            self._new = use, b"srvsession_" + secrets.token_hex(8).encode()
            return Prepare.SHOULD, self._new[1]
