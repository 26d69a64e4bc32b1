"""Clear the sessions whose time is up, and old tombstones, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.db import transaction

from django_srvsession.backends.db.statements import Row, record_of
from django_srvsession.backends.db.table import Table
from django_srvsession.records import SessionRecord

_ENDED: Final = 0
_NOW: Final = 1
_SID: Final = 2
_EXPIRES: Final = 3
_RECORD: Final = 4


class Clearing:
    """Walk along the index of expiries, from where the last batch ended.

    Each batch is a transaction that locks its rows and steps over those that others have locked, so that two clearers
    share the work and each session is ended by one. What is behind is not looked at again: PostgreSQL keeps deleted
    rows in its index for a while, and would step over all of them for every batch. The records are read only
    ``with_records``, which takes most of the time.
    """

    def __init__(self, batch_size: int, keep_ms: int, with_records: bool) -> None:
        self._batch_size = batch_size
        self._keep_ms = keep_ms
        self._with_records = with_records
        self._bound = 0
        self._live: Sequence[Row] = ()
        self.is_done = False
        self.ended = 0
        """How many sessions the last batch has ended."""
        self.forgotten = 0
        """How many tombstones the last batch has deleted."""

    def batch(self, table: Table) -> None:
        """Clear one batch."""
        burial = {"keep_ms": self._keep_ms, "nothing": b""}
        due = table.sql.due if self._with_records else table.sql.due_briefly
        with transaction.atomic(table.connection.alias):
            table.take_lock()
            rows = table.rows_in_order_of_index(due, {"bound": self._bound, "limit": self._batch_size})
            live = [row for row in rows if row[_ENDED] is None]
            recent = [row[_SID] for row in live if not self._is_long_past(row)]
            table.each("expire", recent, burial)
            table.each("delete", sorted({row[_SID] for row in rows}.difference(recent)))
        self._live, self.ended, self.forgotten = live, len(live), len(rows) - len(live)
        self.is_done = len(rows) < self._batch_size
        if rows:
            self._bound = rows[-1][_EXPIRES]

    def records(self) -> list[SessionRecord]:
        """Return the sessions that the last batch has ended, as they were."""
        return [record_of(row[_RECORD:]) for row in self._live] if self._with_records else []

    def _is_long_past(self, row: Row) -> bool:
        return bool(row[_EXPIRES] + self._keep_ms <= row[_NOW])
