"""The verbs for event loops: a long-lived loop talks to Redis itself; any other goes through a thread."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from django_srvsession.backends.redis.tenants import Tenant
from django_srvsession.backends.redis.transport import Transport
from django_srvsession.records import Delta, Ending, Loaded, SessionRecord, Tombstone
from django_srvsession.store.face import ThreadFace, run_blocking
from django_srvsession.store.listings import Activity

if TYPE_CHECKING:
    from django_srvsession.backends.redis import RedisStore

T = TypeVar("T")

Procedure = Callable[[Tenant, Transport], Coroutine[Any, Any, T]]


class RedisFace(ThreadFace):
    """Do each verb on the running loop's own connections, where it may have some."""

    store: RedisStore

    async def _do(self, procedure: Procedure[T]) -> T:
        tenant = await self.store.tenants.anow()
        to = await self.store.loops.get()
        if to is None:
            return await self.call(lambda: run_blocking(procedure(tenant, self.store.transport)))
        return await procedure(tenant, to)

    async def create(self, sid: str, verifier: str, delta: Delta) -> Loaded:
        """Store a new session."""
        return await self._do(lambda of, to: of.sessions.create(to, sid, verifier, delta))

    async def restore(self, session: Loaded) -> Loaded:
        """Store a session as it stood elsewhere."""
        return await self._do(lambda of, to: of.sessions.restore(to, session))

    async def load(self, sid: str) -> Loaded | Tombstone | None:
        """Read a session."""
        return await self._do(lambda of, to: of.sessions.load(to, sid))

    async def update(self, sid: str, verifier: str, delta: Delta, base: Loaded | None = None) -> Loaded:
        """Change a session, or its key too."""
        return await self._do(lambda of, to: of.sessions.update(to, sid, verifier, delta, base))

    async def end(self, sid: str, ending: Ending) -> SessionRecord | None:
        """End a session."""
        return await self._do(lambda of, to: of.sessions.end(to, sid, ending))

    async def end_many(self, sids: Sequence[str], ending: Ending) -> Sequence[SessionRecord]:
        """End sessions in two round trips."""
        return await self._do(lambda of, to: of.sessions.end_many(to, sids, ending))

    async def alive(self, sids: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Say which of these sessions are live, and which verifiers they accept."""
        return await self._do(lambda of, to: of.sessions.alive(to, sids))

    async def admit(self, user_id: str, sid: str, limit: int, policy: str) -> Sequence[str]:
        """Count a session among its user's."""
        return await self._do(lambda of, to: of.limit.admit(to, user_id, sid, limit, policy))

    async def records(self, user_id: str | None = None) -> Sequence[SessionRecord]:
        """List sessions, already fetched."""
        if user_id is None:
            return await self._do(lambda of, to: of.lists.everyone(to))
        return await self._do(lambda of, to: of.lists.user(to, user_id))

    async def activity(self) -> Activity:
        """Count sessions."""
        return await self._do(lambda of, to: of.lists.activity(to))
