"""What nobody asked for, and no answer depends on: to note a use, to seal anew, to end what has run out.

A store that cannot write (a read-only database, a Redis that became a replica or is full, a lock that somebody holds)
must not withhold pages that only read. So this is tried briefly, given up, and not tried again for a while.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from django_srvsession.escaping import escaped
from django_srvsession.records import Delta, Ending, Loaded, SessionRecord, Tombstone
from django_srvsession.store import StoreUnavailableError
from django_srvsession.store.face import Face
from django_srvsession.store.waiting import at_most

T = TypeVar("T")

WAIT_SECONDS: Final = 0.2
"""How long each call of the store may take, if the store's own time-out is not shorter."""
PAUSE_SECONDS: Final = 5
"""How long after a failure nothing of it is tried in this process."""

log = logging.getLogger("django_srvsession")


class BriefFace(Face):
    """Call the verbs of another face, and have each call wait for :data:`WAIT_SECONDS` at most.

    The limit holds for each call alone: what runs between two of them, in this thread or task, waits as long as it may.
    """

    def __init__(self, face: Face) -> None:
        super().__init__(face.store)
        self.face, self.blocks = face, face.blocks

    async def pause(self, seconds: float) -> None:
        """Wait before another try."""
        await self.face.pause(seconds)

    async def create(self, sid: str, verifier: str, delta: Delta) -> Loaded:
        """Store a new session."""
        with at_most(WAIT_SECONDS):
            return await self.face.create(sid, verifier, delta)

    async def load(self, sid: str) -> Loaded | Tombstone | None:
        """Read a session."""
        with at_most(WAIT_SECONDS):
            return await self.face.load(sid)

    async def update(self, sid: str, verifier: str, delta: Delta, base: Loaded | None = None) -> Loaded:
        """Change a session, or its key too."""
        with at_most(WAIT_SECONDS):
            return await self.face.update(sid, verifier, delta, base)

    async def end(self, sid: str, ending: Ending) -> SessionRecord | None:
        """End a session."""
        with at_most(WAIT_SECONDS):
            return await self.face.end(sid, ending)


async def best_effort(face: Face, procedure: Callable[[Face], Awaitable[T]]) -> T | None:
    """Run a procedure briefly, unless the store has just failed at one; None if it was not done to its end."""
    store = face.store
    if time.monotonic() < store.bookkeeping_rests_until:
        return None
    try:
        done = await procedure(BriefFace(face))
    except StoreUnavailableError as error:
        store.bookkeeping_rests_until = time.monotonic() + PAUSE_SECONDS
        if not store.bookkeeping_fails:
            store.bookkeeping_fails = True
            log.warning("The use of sessions cannot be noted, and pages go out without: %s", escaped(error))
        return None
    if store.bookkeeping_fails:
        store.bookkeeping_fails = False
        log.info("The use of sessions is noted again.")
    return done
