"""The verbs on sessions that Redis has copies of: what each says to Redis and to the database, in which order.

The database decides. Redis is told twice of a write: before it, so that nobody reads what is about to change, and after
it, when nobody can read what it was.

=====  =========================================================================
read   the copy; else take a lease, read the database, store a copy in its place
write  put up a guard, write the database, store a copy in its place
end    put up a guard, write the database, remove what stands there
create take a lease, write the database, store a copy in its place
=====  =========================================================================

A copy takes the place of that very lease or guard only: so nobody has begun to write since before the database was
asked. A writer whose guard has gone removes what stands there instead. One who dies leaves a guard, which goes in half
a minute. Who cannot tell Redis finds the breaker open, or opens it (``breaker``).

Each procedure is a coroutine over a transport and a face, in whose thread the database's connection is. Inside the
caller's transaction nothing is stored, and copies are removed once more at its commit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

from django.db import connections

from django_srvsession.backends.cached_db.copies import Copies
from django_srvsession.backends.cached_db.format import Generation
from django_srvsession.backends.cached_db.transactions import Transactions, is_open
from django_srvsession.backends.db import DatabaseStore
from django_srvsession.backends.redis.transport import Transport
from django_srvsession.records import UNSET, Delta, Ending, Loaded, SessionRecord, Tombstone
from django_srvsession.store import StoreUnavailableError
from django_srvsession.store.face import Face, run_blocking

P = ParamSpec("P")
T = TypeVar("T")

_UNTOLD = "Redis cannot be told that a session has ended: a copy of it may open until its check is due. Try it again."


class Sessions:
    """Do what :class:`django_srvsession.store.Store` says, to a database and to the copies of its sessions.

    ``transport`` gives the way of threads to Redis, for when a transaction has committed.
    """

    def __init__(self, database: DatabaseStore, copies: Copies, transport: Callable[[], Transport]) -> None:
        self._database = database
        self._copies = copies
        self._transport = transport
        self.transactions = Transactions()

    async def load(
        self, to: Transport, face: Face, key: bytes, sid: str, found: Loaded | Generation | None
    ) -> Loaded | Tombstone | None:
        """Return what was found in Redis; else what the database has, of which a copy takes the place of what was."""
        if isinstance(found, Loaded):
            return found
        stored, is_final = await face.call(self._read, sid)
        if found is not None and is_final and isinstance(stored, Loaded):
            await self._copies.fill(to, key, found, stored)
        return stored

    async def create(self, to: Transport, face: Face, key: bytes, create: Callable[[], Loaded]) -> Loaded:
        """Store a new session, whether or not Redis answers."""
        lease = await self._copies.lease(to, key)
        session, is_final = await face.call(self._created, create)
        if is_final and lease is not None:
            await self._copies.fill(to, key, lease, session)
        return session

    async def update(
        self, to: Transport, face: Face, key: bytes, sid: str, verifier: str, delta: Delta, base: Loaded | None
    ) -> Loaded:
        """Change a session, whether or not Redis answers."""
        guards = await self._copies.guard(to, [key])
        try:
            after, is_final = await face.call(
                self._written,
                [sid],
                [key],
                self._database.update,
                sid,
                verifier,
                delta,
                base,
            )
        except StoreUnavailableError:
            # Nobody was told of the write, if there was one: pages that only read go on as before.
            if guards and delta.new_verifier is None and delta.user_id is UNSET:
                await self._copies.restore(to, key, guards[0])
            raise
        except Exception:  # It was refused, by what is not as the caller, and perhaps the copy, had it.
            await self._copies.drop(to, [key])
            raise
        if is_final:
            await self._copies.settle(to, key, guards[0] if guards else None, after)
        return after

    async def end(self, to: Transport, face: Face, key: bytes, sid: str, ending: Ending) -> SessionRecord | None:
        """End a session; it has ended, too, where ``StoreUnavailableError`` says that Redis cannot be told."""
        guards = await self._copies.guard(to, [key])
        record, is_final = await face.call(self._written, [sid], [key], self._database.end, sid, ending)
        is_told = await self._copies.drop(to, [key]) if is_final else guards is not None
        # What is due is due by its copy, too.
        if is_told or ending.reason is None or (record is None and await self._lives(face, sid)):
            return record
        raise self._owing([] if record is None else [record])

    async def end_many(
        self, to: Transport, face: Face, keys: Sequence[bytes], sids: Sequence[str], ending: Ending
    ) -> Sequence[SessionRecord]:
        """Do as :meth:`end` for all of them."""
        guards = await self._copies.guard(to, keys)
        records, is_final = await face.call(self._written, sids, keys, self._database.end_many, sids, ending)
        is_told = await self._copies.drop(to, keys) if is_final else guards is not None
        if is_told or ending.reason is None:
            return records
        raise self._owing(records)

    async def tell_ends(self, to: Transport) -> None:
        """Tell Redis of ends that it was not told of; raises ``StoreUnavailableError`` while it cannot be told."""
        if not await self._copies.tell_ends(to):
            raise StoreUnavailableError(_UNTOLD)

    def _owing(self, ended: Sequence[SessionRecord]) -> StoreUnavailableError:
        self._copies.owe_ends()
        error = StoreUnavailableError(_UNTOLD)
        error.ended = ended
        return error

    async def admit(
        self, to: Transport, face: Face, key: bytes, user_id: str, sid: str, limit: int, policy: str
    ) -> Sequence[str]:
        """Count a session among its user's, which may make it the user's."""
        await self._copies.guard(to, [key])
        try:
            given, _ = await face.call(
                self._written,
                [sid],
                [key],
                self._database.admit,
                user_id,
                sid,
                limit,
                policy,
            )
        finally:
            await self._copies.drop(to, [key])
        return given

    async def _lives(self, face: Face, sid: str) -> bool:
        """Tell whether an ending has ended nothing because its conditions did not hold."""
        stored = await face.call(self._database.load, sid)
        return isinstance(stored, Loaded) and stored.record.is_live(stored.now_ms)

    # In the thread of the database's connection.

    def _read(self, sid: str) -> tuple[Loaded | Tombstone | None, bool]:
        """Read a session, and tell whether others see the same."""
        return self._database.load(sid), not is_open(connections[self._database.using])

    def _created(self, create: Callable[[], Loaded]) -> tuple[Loaded, bool]:
        """Store a new session, and tell whether that is final."""
        return create(), not is_open(connections[self._database.using])

    def _written(
        self, sids: Sequence[str], keys: Sequence[bytes], write: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> tuple[T, bool]:
        """Write sessions, and tell whether that is final; if it is not, have their copies removed once it is."""
        connection = connections[self._database.using]
        if not is_open(connection):
            return write(*args, **kwargs), True
        self.transactions.note(connection, sids)
        if connection.in_atomic_block:
            self._database.on_commit(lambda: run_blocking(self._copies.drop(self._transport(), keys)))
        return write(*args, **kwargs), False
