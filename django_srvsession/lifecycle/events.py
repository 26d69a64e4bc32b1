"""Ending a session and saying so: the one place that sends ``session_ended``, and tells the observer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from asgiref.sync import sync_to_async
from django.dispatch import Signal

from django_srvsession.records import SessionRecord
from django_srvsession.signals import session_ended, session_started
from django_srvsession.steps import Call, Emit, Steps
from django_srvsession.store import CorruptSessionError, Store

sender: Any = None
"""The signals' sender: the engine's ``SessionStore``, which sets this when it is defined."""


class Observer(Protocol):
    """Hear of starts and ends beside the signals, without a thread hop on an event loop unless it writes."""

    @property
    def is_awake(self) -> bool:
        """Tell whether it wants to hear of anything now."""
        ...

    @property
    def writes(self) -> bool:
        """Tell whether it would write to a database now."""
        ...

    def log(self, signal: Signal, arguments: Mapping[str, Any]) -> None:
        """Take note, without waiting for anything."""
        ...

    def write(self, signal: Signal, arguments: Mapping[str, Any]) -> None:
        """Write it down."""
        ...


observer: Observer | None = None
"""Set by ``eventlog`` when the app is ready."""


def is_observed() -> bool:
    """Tell whether the observer wants to hear of anything now."""
    return observer is not None and observer.is_awake


class Tell(Emit):
    """Send the signal, and tell the observer; both once what was written so far is committed."""

    def run(self, store: Store) -> None:
        """Tell now, or after the caller's transaction."""
        if is_observed():
            store.on_commit(self._tell)
        super().run(store)

    async def arun(self, store: Store) -> None:
        """Tell now: an event loop is in no transaction."""
        if observer is not None and observer.is_awake:
            observer.log(self.signal, self.arguments)
            if observer.writes:
                await sync_to_async(observer.write)(self.signal, self.arguments)
        await super().arun(store)

    def _tell(self) -> None:
        if observer is not None:
            observer.log(self.signal, self.arguments)
            if observer.writes:
                observer.write(self.signal, self.arguments)


def end_steps(sid: str, reason: str, by: str | None = None, *conditions: Any) -> Steps[SessionRecord | None]:
    """End a session and say so by signal; the record to the one caller that ended it, None to others.

    What is damaged opens for nobody, and is nothing to end.
    """
    try:
        record: SessionRecord | None = yield Call("end", (sid, reason, by, *conditions))
    except CorruptSessionError:
        return None
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
    return Tell(session_ended, sender, {"record": record, "reason": reason, "by": by})


def started(record: SessionRecord) -> Emit:
    """Return the step that tells the receivers of ``session_started``."""
    return Tell(session_started, sender, {"record": record})
