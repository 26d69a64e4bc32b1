"""The verbs for event loops: a long-lived loop asks Redis itself, and the database from a thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from django_srvsession.records import Delta, Ending, Loaded, SessionRecord, Tombstone, is_sid
from django_srvsession.store.face import ThreadFace

if TYPE_CHECKING:
    from django_srvsession.backends.cached_db import CachedDatabaseStore


class CachedFace(ThreadFace):
    """Do each verb on the running loop's own connections to Redis, where it may have some; else in a thread."""

    store: CachedDatabaseStore

    async def create(self, sid: str, verifier: str, delta: Delta) -> Loaded:
        """Store a new session."""
        store, to = self.store, await self.store.loops.get()
        if to is None:
            return await super().create(sid, verifier, delta)
        key = await store.akey(sid)
        return await store.sessions.create(to, self, key, lambda: store.database.create(sid, verifier, delta))

    async def load(self, sid: str) -> Loaded | Tombstone | None:
        """Read a session."""
        store, to = self.store, await self.store.loops.get()
        if to is None or not is_sid(sid):
            return await super().load(sid)
        key = await store.akey(sid)
        return await store.sessions.load(to, self, key, sid, await store.copies.look(to, key, sid))

    async def update(self, sid: str, verifier: str, delta: Delta, base: Loaded | None = None) -> Loaded:
        """Change a session, or its key too."""
        to = await self.store.loops.get()
        if to is None or not is_sid(sid):
            return await super().update(sid, verifier, delta, base)
        return await self.store.sessions.update(to, self, await self.store.akey(sid), sid, verifier, delta, base)

    async def end(self, sid: str, ending: Ending) -> SessionRecord | None:
        """End a session."""
        to = await self.store.loops.get()
        if to is None or not is_sid(sid):
            return await super().end(sid, ending)
        return await self.store.sessions.end(to, self, await self.store.akey(sid), sid, ending)

    async def end_many(self, sids: Sequence[str], ending: Ending) -> Sequence[SessionRecord]:
        """End sessions in as few steps as the store can."""
        known, to = list(filter(is_sid, sids)), await self.store.loops.get()
        if to is None:
            return await super().end_many(known, ending)
        keys = [await self.store.akey(sid) for sid in known]
        return await self.store.sessions.end_many(to, self, keys, known, ending)
