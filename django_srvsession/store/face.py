"""The store as procedures see it: its verbs as coroutines, whoever waits for the server.

The engine's procedures are written once, as ``async def`` over a :class:`Face`. Where the caller may block, the face
calls the store at once and nothing is ever suspended, so :func:`run_blocking` brings a procedure to its end in one go.
On an event loop the procedure is awaited.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from asgiref.sync import sync_to_async

from django_srvsession.records import Delta, Ending, Loaded, SessionRecord, Tombstone
from django_srvsession.store.listings import EVERYONE, Activity, Filter, Portion

if TYPE_CHECKING:
    from django_srvsession.store.interface import Store

P = ParamSpec("P")
T = TypeVar("T")


class Face:
    """Call the verbs of a store; see :class:`Store` for what each does, and raises."""

    blocks = False
    """Whether it calls the store at once, and nothing is ever suspended."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def call(self, verb: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method of the store."""
        raise NotImplementedError

    async def pause(self, seconds: float) -> None:
        """Wait before another try."""
        raise NotImplementedError

    async def create(self, sid: str, verifier: str, delta: Delta) -> Loaded:
        """Store a new session."""
        return await self.call(self.store.create, sid, verifier, delta)

    async def restore(self, session: Loaded) -> Loaded:
        """Store a session as it stood elsewhere."""
        return await self.call(self.store.restore, session)

    async def load(self, sid: str) -> Loaded | Tombstone | None:
        """Read a session."""
        return await self.call(self.store.load, sid)

    async def update(self, sid: str, verifier: str, delta: Delta, base: Loaded | None = None) -> Loaded:
        """Change a session, or its key too."""
        return await self.call(self.store.update, sid, verifier, delta, base)

    async def end(self, sid: str, ending: Ending) -> SessionRecord | None:
        """End a session."""
        return await self.call(self.store.end, sid, ending)

    async def end_many(self, sids: Sequence[str], ending: Ending) -> Sequence[SessionRecord]:
        """End sessions in as few steps as the store can."""
        return await self.call(self.store.end_many, sids, ending)

    async def alive(self, sids: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Say which of these sessions are live, and which verifiers they accept."""
        return await self.call(self.store.alive, sids)

    async def admit(self, user_id: str, sid: str, limit: int, policy: str) -> Sequence[str]:
        """Count a session among its user's."""
        return await self.call(self.store.admit, user_id, sid, limit, policy)

    async def records(self, user_id: str | None = None) -> Sequence[SessionRecord]:
        """List sessions, already fetched: whoever reads the answer waits for nothing."""
        return await self.call(lambda: list(self.store.records(user_id)))

    async def portion(self, wanted: Filter = EVERYONE, count: int = 100, after: str = "") -> Portion:
        """List the next sessions that are wanted."""
        return await self.call(self.store.portion, wanted, count, after)

    async def activity(self) -> Activity:
        """Count sessions."""
        return await self.call(self.store.activity)

    async def ensure_listed(self) -> bool:
        """See to it that lists miss no session."""
        return await self.call(self.store.ensure_listed)


class BlockingFace(Face):
    """Call the store at once, blocking the thread; no coroutine over it is ever suspended.

    What every request asks for goes without :meth:`call`, which is one coroutine more.
    """

    blocks = True

    async def create(self, sid: str, verifier: str, delta: Delta) -> Loaded:
        """Store a new session."""
        return self.store.create(sid, verifier, delta)

    async def load(self, sid: str) -> Loaded | Tombstone | None:
        """Read a session."""
        return self.store.load(sid)

    async def update(self, sid: str, verifier: str, delta: Delta, base: Loaded | None = None) -> Loaded:
        """Change a session, or its key too."""
        return self.store.update(sid, verifier, delta, base)

    async def end(self, sid: str, ending: Ending) -> SessionRecord | None:
        """End a session."""
        return self.store.end(sid, ending)

    async def call(self, verb: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method of the store."""
        return verb(*args, **kwargs)

    async def pause(self, seconds: float) -> None:
        """Wait, blocking the thread."""
        time.sleep(seconds)


class ThreadFace(Face):
    """Call the store in a thread, leaving the event loop to others."""

    async def call(self, verb: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method of the store."""
        return await sync_to_async(verb)(*args, **kwargs)

    async def pause(self, seconds: float) -> None:
        """Wait, leaving the loop to others."""
        await asyncio.sleep(seconds)


def run_blocking(procedure: Coroutine[Any, Any, T]) -> T:
    """Bring a procedure over a :class:`BlockingFace` to its end, and return its answer; raises what it raises."""
    try:
        procedure.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    procedure.close()
    raise RuntimeError("A procedure over a blocking store waited for an event loop.")
