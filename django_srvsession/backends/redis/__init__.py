"""Sessions in Redis, one string each, through django-redis: the engine and its store.

Each verb is written once, as steps: a generator that yields the commands of one round trip and is sent their replies.
Threads run it over the cache alias's pool, a long-lived event loop over a pool of its own.

The indexes are supersets of the live sessions, by the order of awaited steps: what lists a session is written before
the session, and removed after it. Readers skip what is gone. ``keys.Keys`` describes the keys, ``tenants`` says whose
they are. Needs Redis 6.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TypeVar

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.checks import CheckMessage

from django_srvsession import conf, engine
from django_srvsession.backends.redis import checks as redis_checks
from django_srvsession.backends.redis import health as redis_exam
from django_srvsession.backends.redis import listing as redis_lists
from django_srvsession.backends.redis.alias import open_wire
from django_srvsession.backends.redis.audit import IndexAudit
from django_srvsession.backends.redis.clearing import Sweep
from django_srvsession.backends.redis.clock import RedisClock
from django_srvsession.backends.redis.cluster_wire import ClusterWire
from django_srvsession.backends.redis.completeness import Completeness
from django_srvsession.backends.redis.limit import admit_steps
from django_srvsession.backends.redis.listing import AllRecords
from django_srvsession.backends.redis.loops import LoopWires
from django_srvsession.backends.redis.tenants import Tenants
from django_srvsession.backends.redis.wire import Steps, Wire, arun, run
from django_srvsession.records import Delta, Ending, Loaded, SessionRecord, Tombstone
from django_srvsession.store import Store, created_and_sid
from django_srvsession.store.face import Face, ThreadFace
from django_srvsession.store.health import Finding, IndexHealth, StorageInfo
from django_srvsession.store.listings import EVERYONE, Activity, Filter, Step
from django_srvsession.store.user_records import UserRecords

T = TypeVar("T")


class RedisStore(Store):
    """Keep each session in one string, changed by one script on one key; see :class:`Store` for the verbs."""

    compress_from_bytes = 16 * 1024
    ends_at_once = 500
    settings_used = frozenset({"CACHES", "SESSION_CACHE_ALIAS", "SRVSESSION_REDIS_PREFIX"})

    def __init__(self) -> None:
        self._clock = RedisClock()
        self._tenants = Tenants(self._clock)
        self._loops = LoopWires()

    @classmethod
    def check(cls, deploy: bool) -> Sequence[CheckMessage]:
        """Return what is wrong with the cache alias, or, for a deployment, with its server."""
        return redis_checks.messages(deploy)

    @cached_property
    def _wire(self) -> Wire | ClusterWire:
        return open_wire(settings.SESSION_CACHE_ALIAS)

    def _run(self, steps: Steps[T]) -> T:
        return run(steps, self._wire.call)

    async def _arun(self, steps: Steps[T]) -> T:
        wire = await self._loops.get(self._wire.pool)
        return await (arun(steps, wire.call) if wire is not None else sync_to_async(self._run)(steps))

    @property
    def clock_ms(self) -> int:
        """Return what is known of Redis' clock."""
        return self._clock.now_ms or super().clock_ms

    # The verbs, for threads and for event loops.

    def create(self, sid: str, verifier: str, delta: Delta) -> Loaded:
        """Store a new session: its indexes and itself, in this order; on one server in one round trip."""
        steps, wire = self._tenants.now().steps, self._wire
        if self._clock.needs_asking or not wire.is_one_server:
            return self._run(steps.create(sid, verifier, delta, wire.is_one_server))
        # Without the driver of steps, as in `load` and `update`.
        new, command = steps.creation.new(sid, verifier, delta)
        is_stored = steps.creation.was_stored(wire.call([command])[0])
        return new if is_stored else self._run(steps.created_before(sid, verifier))

    def load(self, sid: str) -> Loaded | Tombstone | None:
        """Read the session."""
        steps = self._tenants.now().steps
        if self._clock.needs_asking:
            return self._run(steps.load(sid))
        # Every request does this: without the driver of steps.
        return steps.loaded(sid, self._wire.read(steps.load_command(sid)))

    def update(self, sid: str, verifier: str, delta: Delta, base: Loaded | None = None) -> Loaded:
        """Change a session in one round trip; a sign-in takes three."""
        steps = self._tenants.now().steps
        if base is not None and steps.is_save(verifier, delta, base):
            # Nearly every write is this: without the driver of steps.
            saved = steps.saved(sid, delta, base, self._wire.call(steps.save_commands(sid, delta, base)))
            if saved is not None:
                return saved
        return self._run(steps.write(sid, verifier, delta.new_verifier, delta.final, delta, base))

    def end(self, sid: str, ending: Ending) -> SessionRecord | None:
        """Put a tombstone in a session's place, then take it out of the indexes: two round trips."""
        return self._run(self._tenants.now().steps.end(sid, ending))

    def end_many(self, sids: Sequence[str], ending: Ending) -> Sequence[SessionRecord]:
        """Do as :meth:`end` for all of them, in two round trips; on a cluster in two to each node."""
        if ending.reason is None:
            return super().end_many(sids, ending)
        return self._run(self._tenants.now().steps.end_many(sids, ending.reason, ending.by))

    def admit(self, user_id: str, sid: str, limit: int, policy: str) -> Sequence[str]:
        """Decide by one script on the user's index.

        A sid that was given to a caller who did not end it within a minute counts again, and may be given again.
        """
        return self._run(admit_steps(self._tenants.now().keys, self._clock, user_id, sid, limit, policy))

    def records(self, user_id: str | None = None) -> Sequence[SessionRecord]:
        """List a user's sessions, read at once when first looked at, or everybody's, read page by page."""
        lists, run = self._tenants.now().lists, self._run
        if user_id is None:
            return AllRecords(lists, run)
        return UserRecords(
            lambda: run(lists.sids_of(user_id)),
            lambda sids: run(lists.by_last_use(sids)),
            lambda sids: run(lists.those_of(user_id, sids)),
        )

    def records_from(self, user_id: str, after: tuple[int, str] | None, count: int) -> Sequence[SessionRecord]:
        """Do as the interface says; no list is in that order, so all records of the user are read."""
        ordered = sorted(self._run(self._tenants.now().lists.user(user_id)), key=created_and_sid, reverse=True)
        return [record for record in ordered if after is None or created_and_sid(record) < after][:count]

    def walk(self, after: str = "", wanted: Filter = EVERYONE) -> Iterator[Step]:
        """Walk the entries of the lists of last uses, whose order is a second coarse; each kind has its own lists."""
        return redis_lists.walk(self._tenants.now().lists, self._run, after, wanted.signed_in)

    def activity(self) -> Activity:
        """Count the entries of the lists, which may run ahead of the sessions: two round trips."""
        return self._run(self._tenants.now().lists.activity())

    def face(self) -> Face:
        """Return the verbs as coroutines that wait for Redis on the event loop."""
        return RedisFace(self)

    def storage_info(self) -> StorageInfo:
        """Return which server the sessions are in, and how full it is: one round trip."""
        return redis_exam.storage_info(self._wire, settings.SESSION_CACHE_ALIAS)

    def examine(self) -> Iterator[Finding]:
        """Ask the server, or each primary node of the cluster, what an operator should know of it."""
        return redis_exam.findings(self._wire)

    def check_index(self, *, repair: bool = False) -> IndexHealth:
        """Compare the indexes with the sessions, both ways, in batches; ``repair``: list what is not listed."""
        return IndexAudit(self._wire, self._tenants.now().keys, self._clock).run(repair)

    @property
    def _completeness(self) -> Completeness:
        keys = self._tenants.now().keys
        return Completeness(self._wire, keys, IndexAudit(self._wire, keys, self._clock))

    def ensure_listed(self) -> bool:
        """Ask each primary whether it is what it was when the lists were last complete; if not, look at all sessions.

        Two round trips on one server.
        """
        completeness = self._completeness
        if not completeness.is_known():
            completeness.restore()
        return True

    def relist(self, on_batch: Callable[[], object] | None = None) -> int:
        """Look at all sessions, in batches of two round trips each."""
        return self._completeness.restore(on_batch)

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
        sweep, total = Sweep(self._wire, self._tenants.now().keys, self._clock, batch_size), 0
        for due in sweep.due(forget=not dry_run):
            ended = [] if dry_run else sweep.expire(due, conf.ended_keep_ms)
            for record in ended:
                (on_ended or _nobody)(record)
            sweep.forget(ended)
            total += len(due) if dry_run else len(ended)
            if on_progress:
                on_progress(total)
        if not dry_run:
            sweep.forget_of_users()
            if on_swept and sweep.removed:
                on_swept("index entries", sweep.removed)
        return total


class RedisFace(ThreadFace):
    """Run the verbs' steps on the event loop."""

    store: RedisStore

    async def create(self, sid: str, verifier: str, delta: Delta) -> Loaded:
        """Store a new session."""
        store = self.store
        steps = (await store._tenants.anow()).steps
        return await store._arun(steps.create(sid, verifier, delta, store._wire.is_one_server))

    async def load(self, sid: str) -> Loaded | Tombstone | None:
        """Read a session."""
        return await self.store._arun((await self.store._tenants.anow()).steps.load(sid))

    async def update(self, sid: str, verifier: str, delta: Delta, base: Loaded | None = None) -> Loaded:
        """Change a session, or its key too."""
        return await self.store._arun((await self.store._tenants.anow()).steps.update(sid, verifier, delta, base))

    async def end(self, sid: str, ending: Ending) -> SessionRecord | None:
        """End a session."""
        return await self.store._arun((await self.store._tenants.anow()).steps.end(sid, ending))

    async def end_many(self, sids: Sequence[str], ending: Ending) -> Sequence[SessionRecord]:
        """End sessions in two round trips."""
        if ending.reason is None:
            return await super().end_many(sids, ending)
        steps = (await self.store._tenants.anow()).steps
        return await self.store._arun(steps.end_many(sids, ending.reason, ending.by))

    async def admit(self, user_id: str, sid: str, limit: int, policy: str) -> Sequence[str]:
        """Count a session among its user's."""
        keys = (await self.store._tenants.anow()).keys
        return await self.store._arun(admit_steps(keys, self.store._clock, user_id, sid, limit, policy))

    async def records(self, user_id: str | None = None) -> Sequence[SessionRecord]:
        """List sessions, already fetched."""
        lists = (await self.store._tenants.anow()).lists
        return await self.store._arun(lists.everyone() if user_id is None else lists.user(user_id))

    async def activity(self) -> Activity:
        """Count sessions."""
        return await self.store._arun((await self.store._tenants.anow()).lists.activity())


def _nobody(record: SessionRecord) -> None:
    """Take no note."""


class SessionStore(engine.SessionStore):
    """Be the engine that ``SESSION_ENGINE = "django_srvsession.backends.redis"`` names."""

    store_class = RedisStore
