"""Clear the sessions whose time is up, and old tombstones, batch by batch."""

from __future__ import annotations

from typing import Final

from django.db import transaction

from django_srvsession.backends.db.statements import RECORD_COLUMNS, Row
from django_srvsession.backends.db.table import Table

_EXPIRES: Final = RECORD_COLUMNS.index("expires_ms")
_ENDED: Final = len(RECORD_COLUMNS)


class Clearing:
    """Walk along the index of expiries, from where the last batch ended.

    Each batch is a transaction that locks its rows and steps over those that others have locked, so that two clearers
    share the work and each session is ended by one. What is behind is not looked at again: PostgreSQL keeps deleted
    rows in its index for a while, and would step over all of them for every batch.
    """

    def __init__(self, batch_size: int, keep_ms: int) -> None:
        self._batch_size = batch_size
        self._keep_ms = keep_ms
        self._bound = 0
        self.is_done = False

    def batch(self, table: Table) -> list[Row]:
        """Clear one batch and return the rows of the sessions that it ended, as they were."""
        burial = {"keep_ms": self._keep_ms, "nothing": b""}
        with transaction.atomic(table.connection.alias):
            table.take_lock()
            rows = table.rows(table.sql.due, {"bound": self._bound, "limit": self._batch_size})
            live = [row for row in rows if row[_ENDED] is None]
            recent = [row[0] for row in live if not self._is_long_past(row)]
            table.each("expire", recent, burial)
            table.each("delete", sorted({row[0] for row in rows}.difference(recent)))
        self.is_done = len(rows) < self._batch_size
        if rows:
            self._bound = rows[-1][_EXPIRES]
        return live

    def _is_long_past(self, row: Row) -> bool:
        return bool(row[_EXPIRES] + self._keep_ms <= row[-1])
