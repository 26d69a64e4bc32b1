"""Rows of the event log, as tests write them."""

from __future__ import annotations

import time
from typing import Any

from django_srvsession.models import SessionEvent
from django_srvsession.services import user_id_of

SECOND_MS, DAY_MS = 1000, 86_400_000


def now_ms() -> int:
    """Return this machine's clock."""
    return time.time_ns() // 1_000_000


def write(user: Any, *, ago_ms: int = 0, kind: str = "ended", at_ms: int | None = None, **fields: Any) -> SessionEvent:
    """Write down that something happened to a session of a user, so long ago or at a moment."""
    at_ms = now_ms() - ago_ms if at_ms is None else at_ms
    return SessionEvent.objects.create(
        **{"at_ms": at_ms, "kind": kind, "sid": "5" * 18, "user_id": user_id_of(user), **fields}
    )
