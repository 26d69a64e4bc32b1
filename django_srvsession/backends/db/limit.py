"""Admit a user's session under a limit: one short transaction, one at a time for each user."""

from __future__ import annotations

from collections.abc import Sequence

from django_srvsession.backends.db.connection import serialized
from django_srvsession.backends.db.database import Runner
from django_srvsession.backends.db.format import version_step
from django_srvsession.store import rules


def admit(table: Runner, user_id: str, sid: str, limit: int, policy: str) -> Sequence[str]:
    """Do as ``Store.admit``. What is handed out is marked, for a minute: the next caller does not count it."""
    step = version_step(table.connection.in_atomic_block)
    with serialized(table.connection, user_id):
        # The write comes first: it takes SQLite's lock.
        is_new = table.count(table.sql.bind, {"user_id": user_id, "sid": sid, "step": step})
        rows = table.rows(table.sql.admitted, {"user_id": user_id})
        if policy == "refuse" and not is_new:
            return []
        live = [other for other, _, _ in reversed(rows)]
        leaving = {other for other, handed_out, _ in rows if handed_out}
        admitted = {other for other, _, counts in rows if counts and other != sid}
        surplus = rules.to_end(sid, live, admitted, leaving, limit, policy)
        table.each("evict", sorted(surplus))
        return surplus
