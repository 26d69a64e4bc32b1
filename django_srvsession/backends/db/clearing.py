"""Clear the sessions whose time is up, and old tombstones, batch by batch."""

from __future__ import annotations

from typing import Final

from django_srvsession.backends.db import clearing_in_one
from django_srvsession.backends.db.clearing_walk import Batch, RowsWalk, Walk
from django_srvsession.backends.db.database import Runner

_MOST: Final = {"sqlite": 500, "postgresql": 20_000}
_LOCKED_S: Final = {"sqlite": 0.01, "mysql": 0.01}
_FIRST: Final = 100


def most_at_once(vendor: str) -> int:
    """Return how many sessions a batch has at most, unless told otherwise."""
    return _MOST.get(vendor, 1000)


class Clearing:
    """Clear by the way that suits the database, in batches that keep their locks for a few milliseconds.

    A batch has ``most`` sessions at most, and fewer where it would take longer: 50 ms, 10 on MariaDB and on SQLite,
    whose lock keeps every writer waiting. The records are read only ``with_records``, which takes most of the time.
    """

    def __init__(self, most: int, keep_ms: int, with_records: bool) -> None:
        self._most = most
        self._size = min(most, _FIRST)
        self._keep_ms = keep_ms
        self._with_records = with_records
        self._walk: Walk | None = None
        self.is_done = False

    def batch(self, table: Runner) -> Batch:
        """Clear one batch."""
        walk = self._walk = self._walk or self._first_walk(table)
        batch = walk.batch(table, self._size)
        self._learn(batch.locked_s, _LOCKED_S.get(table.database.vendor, 0.05))
        if walk.is_done:
            self._walk = walk.further
            self.is_done = self._walk is None
        return batch

    def _first_walk(self, table: Runner) -> Walk:
        if table.database.vendor == "postgresql":
            return clearing_in_one.first_walk(table, self._most, self._keep_ms, self._with_records)
        return RowsWalk(self._keep_ms, self._with_records)

    def _learn(self, took_s: float, should_s: float) -> None:
        """Make batches larger or smaller, by half or to the double at most."""
        factor = min(max(should_s / max(took_s, 1e-6), 0.5), 2.0)
        self._size = min(max(int(self._size * factor), 1), self._most)
