"""Admit a user's session under a limit: one short transaction, one at a time for each user."""

from __future__ import annotations

from collections.abc import Sequence

from django_srvsession.backends.db.connection import serialized
from django_srvsession.backends.db.format import version_step
from django_srvsession.backends.db.sql import Row
from django_srvsession.backends.db.table import Table
from django_srvsession.store import LimitReachedError


def admit(table: Table, user_id: str, sid: str, limit: int, policy: str) -> Sequence[str]:
    """Do as ``Store.admit``. What is handed out is marked, for a minute: the next caller does not count it."""
    step = version_step(table.connection.in_atomic_block)
    with serialized(table.connection, user_id):
        # The write comes first: it takes SQLite's lock.
        is_new = table.count(table.sql.bind, {"user_id": user_id, "sid": sid, "step": step})
        rows = table.rows(table.sql.admitted, {"user_id": user_id})
        if policy == "refuse":
            if is_new and _counted(rows, sid) >= limit:
                raise LimitReachedError
            return []
        return _hand_out(table, rows, sid, limit)


def _counted(rows: Sequence[Row], sid: str) -> int:
    return sum(1 for other, _, counts in rows if counts and other != sid)


def _hand_out(table: Table, rows: Sequence[Row], sid: str, limit: int) -> Sequence[str]:
    """Return, and mark, those unseen for longest. A ``sid`` that another caller was given, or has ended, is no more."""
    standing = [other for other, handed_out, _ in rows if not handed_out]
    surplus = [other for other in standing if other != sid][: max(len(standing) - limit, 0)]
    table.each("evict", surplus)
    return surplus
