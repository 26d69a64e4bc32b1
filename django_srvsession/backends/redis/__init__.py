"""Sessions in Redis, one string each, through django-redis: the engine and its store.

Each verb is one coroutine (``sessions``, ``limit``, ``listing``) over a way to Redis (``transport``): threads bring it
to its end at once, over the cache alias's pool; a long-lived event loop awaits it, over connections of its own.

``keys.Keys`` describes the keys, ``format`` what a session's key holds, ``tenants`` whose they are. Needs Redis 6.2.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property, partial

from django.conf import settings
from django.core.checks import CheckMessage

from django_srvsession import engine
from django_srvsession.backends.redis import checks as redis_checks
from django_srvsession.backends.redis import health as redis_health
from django_srvsession.backends.redis import listing as redis_listing
from django_srvsession.backends.redis.alias import open_transport
from django_srvsession.backends.redis.audit import IndexAudit
from django_srvsession.backends.redis.clearing import Clearing
from django_srvsession.backends.redis.clock import RedisClock
from django_srvsession.backends.redis.completeness import Completeness
from django_srvsession.backends.redis.face import RedisFace
from django_srvsession.backends.redis.hearing import listen
from django_srvsession.backends.redis.tenants import Tenant, Tenants
from django_srvsession.backends.redis.transport import BlockingTransport, Transport
from django_srvsession.backends.redis.transport.loops import for_a_loop
from django_srvsession.records import Delta, Ending, Loaded, SessionRecord, Tombstone
from django_srvsession.store import Store, created_and_sid
from django_srvsession.store.face import Face, run_blocking
from django_srvsession.store.health import Finding, IndexHealth, StorageInfo
from django_srvsession.store.listings import EVERYONE, Activity, Filter, Step
from django_srvsession.store.loops import OfEachLoop
from django_srvsession.store.user_records import UserRecords


class RedisStore(Store):
    """Keep each session in one string, changed by one script on one key; see :class:`Store` for the verbs."""

    compress_from_bytes = 16 * 1024
    ends_at_once = 500
    settings_used = frozenset({"CACHES", "SESSION_CACHE_ALIAS", "SRVSESSION_REDIS_PREFIX"})

    def __init__(self) -> None:
        self.clock = RedisClock()
        self.tenants = Tenants(self.clock)

    @property
    def namespace(self) -> str:
        """Return the tenant's prefix, where ``SRVSESSION_REDIS_PREFIX`` is a function."""
        return self.tenants.namespace()

    @classmethod
    def check(cls, deploy: bool) -> Sequence[CheckMessage]:
        """Return what is wrong with the cache alias, or, for a deployment, with its server."""
        return redis_checks.messages(deploy)

    @cached_property
    def _only(self) -> Tenant | None:
        return self.tenants.only

    def _tenant(self) -> Tenant:
        return self._only or self.tenants.now()

    @cached_property
    def transport(self) -> BlockingTransport:
        """Return the threads' way to the cache alias's server, or to its cluster."""
        return open_transport(settings.SESSION_CACHE_ALIAS)

    @cached_property
    def loops(self) -> OfEachLoop[Transport | None]:
        """Return what knows each event loop's own way there."""
        return OfEachLoop(partial(for_a_loop, self.transport))

    def face(self) -> Face:
        """Return the verbs for event loops: on connections of their own, where a loop may have some."""
        return RedisFace(self)

    @property
    def clock_ms(self) -> int:
        """Return what is known of Redis' clock."""
        return self.clock.now_ms or super().clock_ms

    def create(self, sid: str, verifier: str, delta: Delta) -> Loaded:
        """Store a new session: its indexes and itself, in this order; on one server in one round trip."""
        return run_blocking(self._tenant().sessions.create(self.transport, sid, verifier, delta))

    def restore(self, session: Loaded) -> Loaded:
        """Do as :meth:`create` with a session as it stood elsewhere."""
        return run_blocking(self._tenant().sessions.restore(self.transport, session))

    def load(self, sid: str) -> Loaded | Tombstone | None:
        """Read the session."""
        sessions = self._tenant().sessions
        if self.clock.needs_asking:
            return run_blocking(sessions.load(self.transport, sid))
        # Every request does this, and it is read without asking first whether the connection still serves.
        return sessions.loaded(sid, self.transport.read(sessions.load_command(sid)))

    def update(self, sid: str, verifier: str, delta: Delta, base: Loaded | None = None) -> Loaded:
        """Change a session in one round trip; a sign-in takes three."""
        return run_blocking(self._tenant().sessions.update(self.transport, sid, verifier, delta, base))

    def end(self, sid: str, ending: Ending) -> SessionRecord | None:
        """Put a tombstone in a session's place and take it out of the indexes: one round trip, or two."""
        return run_blocking(self._tenant().sessions.end(self.transport, sid, ending))

    def end_many(self, sids: Sequence[str], ending: Ending) -> Sequence[SessionRecord]:
        """Do as :meth:`end` for all of them, in two round trips."""
        return run_blocking(self._tenant().sessions.end_many(self.transport, sids, ending))

    def alive(self, sids: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Look at all of them in one round trip."""
        return run_blocking(self._tenant().sessions.alive(self.transport, sids))

    def listen(self, heard: Callable[[Collection[str]], object], stopped: threading.Event) -> bool:
        """Do as the interface says; the tenants of a site are not listened to."""
        if self._only is None:
            return False
        return listen(settings.SESSION_CACHE_ALIAS, self._only.keys.ended, heard, stopped)

    def admit(self, user_id: str, sid: str, limit: int, policy: str) -> Sequence[str]:
        """Decide by one script on the user's index.

        A sid that was given to a caller who did not end it within a minute counts again, and may be given again.
        """
        return run_blocking(self._tenant().limit.admit(self.transport, user_id, sid, limit, policy))

    def records(self, user_id: str | None = None) -> Sequence[SessionRecord]:
        """List a user's sessions, read at once when first looked at, or everybody's, read page by page."""
        lists, to = self._tenant().lists, self.transport
        if user_id is None:
            return redis_listing.EverySession(lists, to)
        return UserRecords(
            lambda: run_blocking(lists.sids_of(to, user_id)),
            lambda sids: run_blocking(lists.by_last_use(to, sids)),
            lambda sids: run_blocking(lists.those_of(to, user_id, sids)),
        )

    def records_from(self, user_id: str, after: tuple[int, str] | None, count: int) -> Sequence[SessionRecord]:
        """Do as the interface says; no list is in that order, so all records of the user are read."""
        found = run_blocking(self._tenant().lists.user(self.transport, user_id))
        ordered = sorted(found, key=created_and_sid, reverse=True)
        return [record for record in ordered if after is None or created_and_sid(record) < after][:count]

    def walk(self, after: str = "", wanted: Filter = EVERYONE) -> Iterator[Step]:
        """Walk the entries of the lists of last uses, whose order is a second coarse; each kind has its own lists."""
        return redis_listing.walk(self._tenant().lists, self.transport, after, wanted.signed_in)

    def activity(self) -> Activity:
        """Count the entries of the lists, which may run ahead of the sessions: two round trips."""
        return run_blocking(self._tenant().lists.activity(self.transport))

    def storage_info(self) -> StorageInfo:
        """Return which server the sessions are in, and how full it is: one round trip."""
        return redis_health.storage_info(self.transport, settings.SESSION_CACHE_ALIAS)

    def examine(self) -> Iterator[Finding]:
        """Ask the server, or each primary node of the cluster, what an operator should know of it."""
        return redis_health.findings(self.transport)

    def check_index(self, *, repair: bool = False) -> IndexHealth:
        """Compare the indexes with the sessions, both ways, in batches; ``repair``: list what is not listed."""
        return IndexAudit(self.transport, self._tenant().keys, self.clock).run(repair)

    @property
    def completeness(self) -> Completeness:
        """Return what is known of whether the lists have every session."""
        keys = self._tenant().keys
        return Completeness(self.transport, keys, IndexAudit(self.transport, keys, self.clock))

    def ensure_listed(self) -> bool:
        """Ask each primary whether it is what it was when the lists were last complete; if not, look at all sessions.

        Two round trips on one server.
        """
        completeness = self.completeness
        if not completeness.is_known():
            completeness.restore()
        return True

    def relist(self, on_batch: Callable[[], object] | None = None) -> int:
        """Look at all sessions, in batches of two round trips each."""
        return self.completeness.restore(on_batch)

    def clear_expired(
        self,
        *,
        batch_size: int = 1000,
        dry_run: bool = False,
        on_ended: Callable[[SessionRecord], object] | None = None,
        on_progress: Callable[[int], object] | None = None,
        on_swept: Callable[[str, int], object] | None = None,
    ) -> int:
        """End what is due; Redis itself forgets tombstones, and sessions that nobody cleared for as long.

        Goes through all live sessions, in batches of two round trips; does not block Redis.
        """
        clearing, total = Clearing(self.transport, self._tenant().keys, self.clock, batch_size), 0
        for due in clearing.due(forget=not dry_run):
            ended = [] if dry_run else clearing.expire(due)
            for record in ended:
                (on_ended or _nobody)(record)
            clearing.forget(ended)
            total += len(due) if dry_run else len(ended)
            if on_progress:
                on_progress(total)
        if not dry_run:
            clearing.forget_of_users()
            if on_swept and clearing.removed:
                on_swept("index entries", clearing.removed)
        return total


def _nobody(record: SessionRecord) -> None:
    """Take no note."""


class SessionStore(engine.SessionStore):
    """Be the engine that ``SESSION_ENGINE = "django_srvsession.backends.redis"`` names."""

    store_class = RedisStore
