"""Saying that sessions started and ended: by signal to the site's receivers, and to observers of our own.

All are told once what was written so far is committed: on an event loop at once, since it is in no transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from asgiref.sync import sync_to_async
from django.dispatch import Signal

from django_srvsession.records import SessionRecord
from django_srvsession.signals import session_ended, session_started
from django_srvsession.store import Store
from django_srvsession.store.face import Face

Told = Sequence[Mapping[str, Any]]
"""The arguments of a signal, for each session that it is about."""


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

    def write(self, signal: Signal, told: Told) -> None:
        """Write down what was told: the arguments of each signal."""
        ...


_observers: list[Observer] = []


def observe(observer: Observer) -> None:
    """Have an observer hear of all starts and ends from now on; once, however often this is called."""
    if observer not in _observers:
        _observers.append(observer)


def is_heard(signal: Signal, sender: Any) -> bool:
    """Tell whether anybody wants to hear of this signal now."""
    return bool(_awake()) or signal.has_listeners(sender)


async def tell_started(face: Face, sender: Any, record: SessionRecord) -> None:
    """Say that a session started, or that somebody signed in to it."""
    if is_heard(session_started, sender):
        await _tell(face, session_started, sender, [{"record": record}])


async def tell_ended(
    face: Face, sender: Any, records: Sequence[SessionRecord], reason: str, by: str | None = None
) -> None:
    """Say that sessions ended, all for one reason."""
    if is_heard(session_ended, sender):
        await _tell(face, session_ended, sender, [{"record": record, "reason": reason, "by": by} for record in records])


async def _tell(face: Face, signal: Signal, sender: Any, told: Told) -> None:
    if face.blocks:
        _tell_after_commit(face.store, signal, sender, told)
        return
    for observer in _awake():
        for arguments in told:
            observer.log(signal, arguments)
        if observer.writes:
            await sync_to_async(observer.write)(signal, told)
    if signal.has_listeners(sender):
        for arguments in told:
            await signal.asend_robust(sender, **arguments)


def _tell_after_commit(store: Store, signal: Signal, sender: Any, told: Told) -> None:
    def tell_observers() -> None:
        for observer in _awake():
            for arguments in told:
                observer.log(signal, arguments)
            if observer.writes:
                observer.write(signal, told)

    def send() -> None:
        for arguments in told:
            signal.send_robust(sender, **arguments)

    if _awake():
        store.on_commit(tell_observers)
    if signal.has_listeners(sender):
        store.on_commit(send)


def _awake() -> list[Observer]:
    return [observer for observer in _observers if observer.is_awake]
