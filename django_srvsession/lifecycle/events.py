"""Ending a session and saying so: the one place that sends ``session_ended``."""

from __future__ import annotations

from typing import Any

from django_srvsession.records import SessionRecord
from django_srvsession.signals import session_ended, session_started
from django_srvsession.steps import Call, Emit, Steps

sender: Any = None
"""The signals' sender: the engine's ``SessionStore``, which sets this when it is defined."""


def end_steps(sid: str, reason: str, by: str | None = None, *conditions: Any) -> Steps[SessionRecord | None]:
    """End a session and say so by signal; the record to the one caller that ended it, None to others."""
    record: SessionRecord | None = yield Call("end", (sid, reason, by, *conditions))
    if record is not None:
        yield ended(record, reason, by)
    return record


def expire_steps(sid: str) -> Steps[SessionRecord | None]:
    """End a session whose time is up and say so by signal; returns as :func:`end_steps`."""
    record: SessionRecord | None = yield Call("expire", (sid,))
    if record is not None:
        yield ended(record, record.expiry_reason, None)
    return record


def ended(record: SessionRecord, reason: str, by: str | None) -> Emit:
    """Return the step that tells the receivers of ``session_ended``."""
    return Emit(session_ended, sender, {"record": record, "reason": reason, "by": by})


def started(record: SessionRecord) -> Emit:
    """Return the step that tells the receivers of ``session_started``."""
    return Emit(session_started, sender, {"record": record})
