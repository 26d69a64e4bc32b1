"""The verbs for event loops: a long-lived loop talks to MongoDB itself; any other goes through a thread."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from django_srvsession.backends.mongodb import listing, sessions
from django_srvsession.backends.mongodb.limit import admit
from django_srvsession.backends.mongodb.listing import Lists
from django_srvsession.backends.mongodb.transport import Transport
from django_srvsession.records import Delta, Ending, Loaded, SessionRecord, Tombstone
from django_srvsession.store.face import ThreadFace, run_blocking
from django_srvsession.store.listings import Activity

if TYPE_CHECKING:
    from django_srvsession.backends.mongodb import MongoStore

T = TypeVar("T")

Procedure = Callable[[Transport], Coroutine[Any, Any, T]]


class MongoFace(ThreadFace):
    """Do each verb over the running loop's own client, where it may have one."""

    store: MongoStore

    async def _do(self, procedure: Procedure[T]) -> T:
        to = await self.store.loops.get()
        if to is None:
            return await self.call(lambda: run_blocking(procedure(self.store.transport)))
        return await procedure(to)

    async def create(self, sid: str, verifier: str, delta: Delta) -> Loaded:
        """Store a new session."""
        return self.store.learn(await self._do(lambda to: sessions.create(to, sid, verifier, delta)))

    async def restore(self, session: Loaded) -> Loaded:
        """Store a session as it stood elsewhere."""
        known = session._replace(now_ms=self.store.clock_ms)
        return await self._do(lambda to: sessions.restore(to, known))

    async def load(self, sid: str) -> Loaded | Tombstone | None:
        """Read a session."""
        return self.store.learn(await self._do(lambda to: sessions.load(to, sid)))

    async def update(self, sid: str, verifier: str, delta: Delta, base: Loaded | None = None) -> Loaded:
        """Change a session, or its key too."""
        return await self._do(lambda to: sessions.update(to, sid, verifier, delta, base))

    async def end(self, sid: str, ending: Ending) -> SessionRecord | None:
        """End a session."""
        return await self._do(lambda to: sessions.end(to, sid, ending))

    async def end_many(self, sids: Sequence[str], ending: Ending) -> Sequence[SessionRecord]:
        """End sessions in two commands."""
        return await self._do(lambda to: sessions.end_many(to, sids, ending))

    async def alive(self, sids: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Say which of these sessions are live, and which verifiers they accept."""
        return await self._do(lambda to: sessions.alive(to, sids))

    async def admit(self, user_id: str, sid: str, limit: int, policy: str) -> Sequence[str]:
        """Count a session among its user's."""
        return await self._do(lambda to: admit(to, user_id, sid, limit, policy))

    async def records(self, user_id: str | None = None) -> Sequence[SessionRecord]:
        """List sessions, already fetched."""
        return await self._do(lambda to: Lists(user_id).all(to))

    async def activity(self) -> Activity:
        """Count sessions."""
        return await self._do(listing.activity)
