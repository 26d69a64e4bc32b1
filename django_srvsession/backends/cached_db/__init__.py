"""Sessions in the database, with copies in Redis that answer nearly every read.

A store made of two: ``backends.db`` decides and lists, and its table is the same. Redis may be lost at any time. A copy
is believed until its check is due (``SRVSESSION_CACHE_CHECK``); ``sessions`` says how one comes to be, and goes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import ClassVar

from django.conf import settings
from django.core.checks import CheckMessage
from django.db import connections

from django_srvsession import engine
from django_srvsession.backends.cached_db.copies import Copies
from django_srvsession.backends.cached_db.face import CachedFace
from django_srvsession.backends.cached_db.sessions import Sessions
from django_srvsession.backends.cached_db.transport import CacheTransport, for_a_loop, open_cache
from django_srvsession.backends.db import DatabaseStore
from django_srvsession.backends.redis.clock import RedisClock
from django_srvsession.backends.redis.keys import encoded
from django_srvsession.backends.redis.tenants import Tenants
from django_srvsession.backends.redis.transport import Transport
from django_srvsession.records import Delta, Ending, Loaded, SessionRecord, Tombstone, is_sid
from django_srvsession.store import GONE, Store, StoreUnavailableError, UpdateError
from django_srvsession.store.face import BlockingFace, Face, run_blocking
from django_srvsession.store.health import Finding, StorageInfo
from django_srvsession.store.listings import EVERYONE, Activity, Filter, Step
from django_srvsession.store.loops import OfEachLoop


class CachedDatabaseStore(Store):
    """Keep sessions in a table of the database, and copies of them in Redis.

    ``using`` is the alias of the database, as for ``DatabaseStore``; Redis is that of ``SESSION_CACHE_ALIAS``. A save
    goes on without Redis. An end that Redis cannot be told of raises ``StoreUnavailableError``, and has ended the
    session in the database: its ``ended`` says which.
    """

    settings_used: ClassVar[frozenset[str]] = DatabaseStore.settings_used | {
        "CACHES",
        "SESSION_CACHE_ALIAS",
        "SRVSESSION_REDIS_PREFIX",
    }
    has_device_index: ClassVar[bool] = DatabaseStore.has_device_index
    ends_at_once: ClassVar[int] = DatabaseStore.ends_at_once

    def __init__(self, using: str | None = None) -> None:
        self.database = DatabaseStore(using)
        self.clock = RedisClock()
        self.copies = Copies(self.clock)
        self.sessions = Sessions(self.database, self.copies, lambda: self.transport)
        self._tenants = Tenants(self.clock)
        self._face = BlockingFace(self)

    def on_database(self, using: str) -> CachedDatabaseStore:
        """Return a store like this one, of another database."""
        return type(self)(using)

    @classmethod
    def check(cls, deploy: bool) -> Sequence[CheckMessage]:
        """Return what is wrong with the cache alias, or, for a deployment, with its server."""
        from django_srvsession.backends.cached_db import checks

        return checks.messages(deploy)

    # Redis.

    @cached_property
    def transport(self) -> CacheTransport:
        """Return the threads' way to Redis."""
        return open_cache(settings.SESSION_CACHE_ALIAS)

    @cached_property
    def loops(self) -> OfEachLoop[Transport | None]:
        """Return what knows each event loop's own way there."""
        return OfEachLoop(partial(for_a_loop, self.transport))

    @cached_property
    def _prefixes(self) -> dict[str, bytes]:
        """Return what keys begin with, by database, as far as it is known for ever."""
        only, is_routed = self._tenants.only, bool(settings.DATABASE_ROUTERS)
        return {} if only is None or is_routed else {"": only.keys.copies(self.database.using)}

    def _prefix(self) -> bytes:
        """Return what keys of copies begin with: this tenant's, of this database."""
        using = self.database.using
        prefix = self._prefixes.get(using)
        if prefix is None:
            prefix = self._tenants.now().keys.copies(using)
            if self._tenants.only is not None:
                self._prefixes[using] = prefix
        return prefix

    def _key(self, sid: str) -> bytes:
        """Return the key of a session's copy."""
        return (self._prefixes.get("") or self._prefix()) + encoded(sid)

    async def akey(self, sid: str) -> bytes:
        """Do as :meth:`_key`; tenants and routers look in the thread of the site's sync code."""
        prefix = self._prefixes.get("")
        return await self.face().call(self._key, sid) if prefix is None else prefix + encoded(sid)

    # The verbs.

    def face(self) -> Face:
        """Return the verbs for event loops: Redis is asked on the loop, where it may have connections."""
        return CachedFace(self)

    def create(self, sid: str, verifier: str, delta: Delta) -> Loaded:
        """Store a new session, and a copy of it."""
        return self._create(sid, lambda: self.database.create(sid, verifier, delta))

    def restore(self, session: Loaded) -> Loaded:
        """Do as ``DatabaseStore`` does, and as :meth:`create`."""
        return self._create(session.record.sid, lambda: self.database.restore(session))

    def _create(self, sid: str, create: Callable[[], Loaded]) -> Loaded:
        return run_blocking(self.sessions.create(self.transport, self._face, self._key(sid), create))

    def load(self, sid: str) -> Loaded | Tombstone | None:
        """Read a session: its copy, if there is one that may be believed."""
        transactions, copies, to = self.sessions.transactions, self.copies, self.transport
        if transactions.are_any and transactions.wrote(connections[self.database.using], sid):
            return self.database.load(sid)
        key = self._key(sid)
        if not copies.breaker.is_closed or self.clock.needs_asking:
            found = run_blocking(copies.look(to, key, sid)) if is_sid(sid) else None
            return run_blocking(self.sessions.load(to, self._face, key, sid, found))
        # Every request does this, and it is read without asking first whether the connection still serves.
        try:
            value, run = to.look((("GET", key),))
        except StoreUnavailableError:
            copies.breaker.note_failure()
            return self.database.load(sid)
        if (session := copies.believed(key, sid, value, run)) is not None:
            return session
        found = run_blocking(copies.understood(to, key, sid, value, run)) if is_sid(sid) else None
        return run_blocking(self.sessions.load(to, self._face, key, sid, found))

    def update(self, sid: str, verifier: str, delta: Delta, base: Loaded | None = None) -> Loaded:
        """Change a session, in one statement if ``base`` still stands, between two round trips to Redis."""
        if not is_sid(sid):
            raise UpdateError(GONE)
        work = self.sessions.update(self.transport, self._face, self._key(sid), sid, verifier, delta, base)
        return run_blocking(work)

    def end(self, sid: str, ending: Ending) -> SessionRecord | None:
        """End a session, between two round trips to Redis; raises ``StoreUnavailableError`` without Redis."""
        if not is_sid(sid):
            return None
        return run_blocking(self.sessions.end(self.transport, self._face, self._key(sid), sid, ending))

    def end_many(self, sids: Sequence[str], ending: Ending) -> Sequence[SessionRecord]:
        """Do as :meth:`end` for all of them, in as many round trips."""
        known = list(filter(is_sid, sids))
        keys = [self._key(sid) for sid in known]
        return run_blocking(self.sessions.end_many(self.transport, self._face, keys, known, ending))

    def admit(self, user_id: str, sid: str, limit: int, policy: str) -> Sequence[str]:
        """Do as ``DatabaseStore`` does; no copy of the session is left."""
        key = self._key(sid)
        return run_blocking(self.sessions.admit(self.transport, self._face, key, user_id, sid, limit, policy))

    def ensure_listed(self) -> bool:
        """Return that lists miss nothing; raise ``StoreUnavailableError`` while Redis is not told of what has ended.

        Who signs somebody out everywhere once more finds nothing that is listed, and is not to be told that it is done.
        """
        run_blocking(self.sessions.tell_ends(self.transport))
        return False

    # What the database does alone.

    @property
    def namespace(self) -> str:
        """Return what the database store says: the same seals open here and there."""
        return self.database.namespace

    @property
    def clock_ms(self) -> int:
        """Return what is known of the database's clock."""
        return self.database.clock_ms

    def alive(self, sids: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Ask the database."""
        return self.database.alive(sids)

    def listen(self, heard: Callable[[Collection[str]], object], stopped: threading.Event) -> bool:
        """Listen to the database."""
        return self.database.listen(heard, stopped)

    def records(self, user_id: str | None = None) -> Sequence[SessionRecord]:
        """List the database's sessions."""
        return self.database.records(user_id)

    def records_from(self, user_id: str, after: tuple[int, str] | None, count: int) -> Sequence[SessionRecord]:
        """List the database's sessions."""
        return self.database.records_from(user_id, after, count)

    def walk(self, after: str = "", wanted: Filter = EVERYONE) -> Iterator[Step]:
        """Walk the database's sessions."""
        return self.database.walk(after, wanted)

    def activity(self) -> Activity:
        """Count the database's sessions."""
        return self.database.activity()

    def clear_expired(
        self,
        *,
        batch_size: int = 1000,
        dry_run: bool = False,
        on_ended: Callable[[SessionRecord], object] | None = None,
        on_progress: Callable[[int], object] | None = None,
        on_swept: Callable[[str, int], object] | None = None,
    ) -> int:
        """Clear the database: what is due is due by its copy, too, and Redis forgets that by itself."""
        return self.database.clear_expired(
            batch_size=batch_size, dry_run=dry_run, on_ended=on_ended, on_progress=on_progress, on_swept=on_swept
        )

    def storage_info(self) -> StorageInfo:
        """Return which database the sessions are in, and that Redis is before it."""
        info = self.database.storage_info()
        return info._replace(name=f"{info.name} + Redis")

    def examine(self) -> Iterator[Finding]:
        """Ask the database, and then Redis, what an operator should know."""
        from django_srvsession.backends.cached_db import health

        yield from self.database.examine()
        yield from health.findings(self.transport)

    @property
    def has_one_writer(self) -> bool:
        """Tell whether the database is SQLite."""
        return self.database.has_one_writer

    @property
    def clears_at_once(self) -> int:
        """Return how many rows a batch may have."""
        return self.database.clears_at_once

    @property
    def in_transaction(self) -> bool:
        """Tell whether the caller's ``atomic()`` may still undo a write made now."""
        return self.database.in_transaction

    def on_commit(self, function: Callable[[], object]) -> None:
        """Call ``function`` after the caller's ``atomic()`` has committed; at once outside of one."""
        self.database.on_commit(function)


class SessionStore(engine.SessionStore):
    """Be ``request.session``, kept in the database, with a copy in Redis."""

    store_class = CachedDatabaseStore
