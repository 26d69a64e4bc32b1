"""Walk along the index of expiries and clear what is due, a batch at a time."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence

from django.db import transaction

from django_srvsession.backends.db.database import Runner
from django_srvsession.backends.db.format import records_of
from django_srvsession.backends.db.sql import Params, Row
from django_srvsession.records import SessionRecord
from django_srvsession.store import rules


class Batch:
    """Hold what a batch has done: how many it ended and forgot, and, if they were asked for, the ended ones' rows."""

    def __init__(self, ended: int, forgotten: int, rows: Sequence[Row], locked_s: float) -> None:
        self.ended = ended
        self.forgotten = forgotten
        """How many tombstones were deleted."""
        self.locked_s = locked_s
        """For how many seconds others may have waited."""
        self._rows = rows

    def records(self) -> list[SessionRecord]:
        """Return the sessions that were ended, as they were, in the order of their expiry, without damaged ones."""
        return sorted(records_of(self._rows), key=lambda record: record.expires_ms)


class Walk(ABC):
    """Go through all that is due; each batch is one transaction.

    ``further`` is the walk that should come after this one, if any.
    """

    further: Walk | None = None

    def __init__(self, keep_ms: int, with_records: bool) -> None:
        self.keep_ms = keep_ms
        self.past_ms = rules.leaves_none_after_ms()
        self.burial: Params = {"keep_ms": keep_ms, "past_ms": self.past_ms, "nothing": b""}
        self.with_records = with_records
        self.is_done = False

    @abstractmethod
    def batch(self, table: Runner, size: int) -> Batch:
        """Clear about ``size`` sessions."""


class IndexWalk(Walk):
    """Go from expiry to expiry, from where the last batch ended.

    Each batch locks its rows and steps over those that others have locked, so that two clearers share the work and each
    session is ended by one. What is behind is not looked at again: PostgreSQL keeps deleted rows in its index for a
    while, and would step over all of them for every batch.
    """

    def __init__(self, keep_ms: int, with_records: bool) -> None:
        super().__init__(keep_ms, with_records)
        self.bound = 0

    def advance(self, looked_at: int, size: int, bound: int | None) -> None:
        """Go on from here; fewer than asked for are the last ones."""
        self.is_done = looked_at < size
        if bound is not None:
            self.bound = bound


class RowsWalk(IndexWalk):
    """Clear by one statement that finds, one that ends and one that deletes: what every database can do."""

    _ENDED, _NOW, _SID, _EXPIRES, _RECORD = range(5)

    def batch(self, table: Runner, size: int) -> Batch:
        """Clear ``size`` sessions at most."""
        due = table.database.lists.due if self.with_records else table.database.lists.due_briefly
        with transaction.atomic(table.connection.alias):
            table.take_lock()
            began = time.monotonic()
            rows = table.rows_in_order_of_index(due, {"bound": self.bound, "limit": size})
            live = [row for row in rows if row[self._ENDED] is None]
            recent = [row[self._SID] for row in live if not self._is_long_past(row)]
            table.each("expire", recent, self.burial)
            table.each("delete", sorted({row[self._SID] for row in rows}.difference(recent)))
        locked_s = time.monotonic() - began
        self.advance(len(rows), size, rows[-1][self._EXPIRES] if rows else None)
        ended = [row[self._RECORD :] for row in live] if self.with_records else ()
        return Batch(len(live), len(rows) - len(live), ended, locked_s)

    def _is_long_past(self, row: Row) -> bool:
        return bool(row[self._EXPIRES] + self.past_ms <= row[self._NOW])
