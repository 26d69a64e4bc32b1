"""Ending a session and saying so: the one place that sends ``session_ended``, and tells the observer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from asgiref.sync import sync_to_async
from django.dispatch import Signal

from django_srvsession.engine.steps import Call, Emit, Steps
from django_srvsession.records import EXPIRED, Ending, SessionRecord
from django_srvsession.signals import session_ended, session_started
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

    def write(self, signal: Signal, told: Sequence[Mapping[str, Any]]) -> None:
        """Write down what was told: the arguments of each signal."""
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
                await sync_to_async(observer.write)(self.signal, [self.arguments])
        await super().arun(store)

    def _tell(self) -> None:
        if observer is not None:
            observer.log(self.signal, self.arguments)
            if observer.writes:
                observer.write(self.signal, [self.arguments])


class TellAll(Tell):
    """Tell of several sessions that ended for one reason; the observer writes them down at once."""

    def run(self, store: Store) -> None:
        """Tell now, or after the caller's transaction."""
        if is_observed():
            store.on_commit(self._tell)
        for one in self._each():
            one.run(store)

    async def arun(self, store: Store) -> None:
        """Tell now: an event loop is in no transaction."""
        each = self._each()
        if observer is not None and observer.is_awake:
            for one in each:
                observer.log(self.signal, one.arguments)
            if observer.writes:
                await sync_to_async(observer.write)(self.signal, [one.arguments for one in each])
        for one in each:
            await one.arun(store)

    def _tell(self) -> None:
        if observer is not None:
            told = [one.arguments for one in self._each()]
            for arguments in told:
                observer.log(self.signal, arguments)
            if observer.writes:
                observer.write(self.signal, told)

    def _each(self) -> list[Emit]:
        common = {name: value for name, value in self.arguments.items() if name != "records"}
        told = [{"record": record, **common} for record in self.arguments["records"]]
        return [Emit(self.signal, self.sender, arguments) for arguments in told]


def end_many_steps(sids: Sequence[str], reason: str, by: str | None = None) -> Steps[Sequence[SessionRecord]]:
    """End sessions in one step, and say so by signal; return the records of those that this call has ended."""
    if len(sids) == 1:
        record = yield from end_steps(sids[0], reason, by)
        return [] if record is None else [record]
    records: Sequence[SessionRecord] = yield Call("end_many", (sids, Ending(reason, by)))
    if records:
        yield TellAll(session_ended, sender, {"records": records, "reason": reason, "by": by})
    return records


def end_steps(sid: str, reason: str, by: str | None = None, *conditions: Any) -> Steps[SessionRecord | None]:
    """End a session and say so by signal; the record to the one caller that ended it, None to others.

    What is damaged opens for nobody, and is nothing to end.
    """
    try:
        record: SessionRecord | None = yield Call("end", (sid, Ending(reason, by, *conditions)))
    except CorruptSessionError:
        return None
    if record is not None:
        yield ended(record, reason, by)
    return record


def expire_steps(sid: str) -> Steps[SessionRecord | None]:
    """End a session whose time is up and say so by signal; returns as :func:`end_steps`."""
    record: SessionRecord | None = yield Call("end", (sid, EXPIRED))
    if record is not None:
        yield ended(record, record.expiry_reason, None)
    return record


def ended(record: SessionRecord, reason: str, by: str | None) -> Emit:
    """Return the step that tells the receivers of ``session_ended``."""
    return Tell(session_ended, sender, {"record": record, "reason": reason, "by": by})


def started(record: SessionRecord) -> Emit:
    """Return the step that tells the receivers of ``session_started``."""
    return Tell(session_started, sender, {"record": record})
