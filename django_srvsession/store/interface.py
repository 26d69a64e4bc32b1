"""The store interface: how sessions are kept, and the errors that say what is, and is not, known.

The docstrings here are the contract; ``tests/backends/contract.py`` is the same contract as tests. To write a store,
subclass :class:`Store`, implement the nine verbs, and run that contract over it.

Three rules hold for every store:

* ``create`` and ``update`` are two verbs. **Update never creates and never revives**: that the session is live, the
  verifier is right and ``expected`` holds is checked in the same atomic step as the write, by the store's clock.
* A store writes only what the delta names (:func:`django_srvsession.records.updated` is the rule for merging).
* "Gone" is a value, or :class:`UpdateError`; "the store did not answer" is :class:`StoreUnavailableError`. A store
  that cannot tell says the latter, never the former.
"""

from __future__ import annotations

import functools
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from asgiref.sync import sync_to_async
from django.core.checks import CheckMessage

from django_srvsession.records import Delta, Loaded, SessionRecord, Tombstone
from django_srvsession.store import listings
from django_srvsession.store.listings import EVERYONE, LOOK_AT, Activity, Filter, Portion, Step


def created_and_sid(record: SessionRecord) -> tuple[int, str]:
    """Return a session's place in the order of creation."""
    return record.created_ms, record.sid


class Store(ABC):
    """Keep sessions: create, load, update, rotate, end, list.

    Instances are shared by all threads of a process and by all its event loops, so they hold no request's state.
    Construction does no I/O. Every verb may raise :class:`StoreUnavailableError`.
    """

    settings_used: ClassVar[frozenset[str]] = frozenset()
    """Names of Django settings that the instance was built from: a change of one in a test builds a new instance."""

    compress_from_bytes: ClassVar[int] = 4096
    """Values of this size are compressed before they are stored: where a store's own cost begins to exceed zlib's."""

    ends_at_once: ClassVar[int] = 1
    """How many sessions one call of :meth:`end_many` should be given, at most."""

    has_device_index: ClassVar[bool] = False
    """Whether :meth:`walk` finds the sessions of some families of devices without looking at all the others."""

    bookkeeping_rests_until: float = 0.0
    """Until when, by ``time.monotonic()``, the engine writes nothing here that nobody asked for."""
    bookkeeping_fails: bool = False
    """Whether the last such write failed."""

    @property
    def has_one_writer(self) -> bool:
        """Tell whether a write keeps all others waiting, so that long work must leave gaps for them."""
        return False

    @property
    def clears_at_once(self) -> int:
        """Return how many sessions :meth:`clear_expired` should end in one step, at most, unless told otherwise."""
        return 500

    @classmethod
    def check(cls, deploy: bool) -> Sequence[CheckMessage]:
        """Return what is wrong with the settings that this store uses; with ``deploy``, for serving a real site.

        Called by ``manage.py check`` and ``check --deploy``; only the latter may ask a server.
        """
        return ()

    # The nine verbs.

    @abstractmethod
    def create(self, sid: str, verifier: str, delta: Delta) -> Loaded:
        """Store a new session and return it; on return it is listed for its user.

        ``delta`` names its values (``changed``), ``lifetime_ms`` (required) and, where known, ``user_id``, ``client``
        and ``deadline_ms``. Creating what is already stored with the same sid *and* verifier succeeds (a retry after
        an unknown outcome).

        Raises ``CreateError`` if the sid is taken, by a live, an expired or an ended session.
        """

    @abstractmethod
    def load(self, sid: str) -> Loaded | Tombstone | None:
        """Return the session, the tombstone of an ended one, or None; one round trip, changing nothing.

        A session whose time is up but which nobody has ended yet is returned as :class:`Loaded` (its
        ``record.expires_ms`` is not after ``now_ms``): the caller ends it with :meth:`expire`. The *caller* compares
        the verifier.

        Raises :class:`CorruptSessionError` when what stands there is no session of ours.
        """

    @abstractmethod
    def update(self, sid: str, verifier: str, delta: Delta, base: Loaded | None = None) -> Loaded:
        """Apply ``delta`` to a live session and return the session after it.

        The verifier must be accepted (``SessionRecord.accepts``). ``base`` is what the caller loaded, or got from its
        last write: a store that writes sessions whole uses it to save a read, and never trusts it (a version check
        decides). Where the store need not read the session, the returned values are ``base`` with the delta applied.

        Raises ``UpdateError`` if no live session has that sid and verifier, or if ``delta.user_id`` names another
        user than the session's (a sid belongs to at most one user in its life); :class:`ConflictError` if
        ``delta.expected`` does not hold. After either nothing was written.
        """

    @abstractmethod
    def rotate(
        self,
        sid: str,
        verifier: str,
        new_verifier: str,
        delta: Delta,
        base: Loaded | None = None,
        final: bool = True,
    ) -> Loaded:
        """Apply ``delta`` and replace the verifier, in one atomic step that exactly one caller wins.

        ``verifier`` must be the session's *current* one. The old one is kept as ``previous_verifier``. Rotating to
        the verifier that already stands succeeds, and applies nothing (a retry after an unknown outcome).

        Raises as :meth:`update`; the loser of a race gets ``UpdateError``.
        """

    @abstractmethod
    def end(
        self,
        sid: str,
        reason: str,
        by: str | None = None,
        verifier: str | None = None,
        expected: Mapping[str, bytes | None] | None = None,
    ) -> SessionRecord | None:
        """End a session for good: its values go, a tombstone stays for ``SRVSESSION_ENDED_KEEP``.

        With ``verifier`` only if that is accepted, with ``expected`` only if those sealed bytes stand. Returns the
        record as it was to exactly one caller, None to all others and when there was nothing to end. A session whose
        time is up counts as nothing to end here (:meth:`expire` ends it).
        """

    def end_many(self, sids: Sequence[str], reason: str, by: str | None = None) -> Sequence[SessionRecord]:
        """End live sessions, as :meth:`end` does, and return the records of those that this call has ended.

        Here one by one; a store that can do it in one step overrides this, and says by ``ends_at_once`` how many it is
        given. What was ended before an error stays ended: who asks again ends the rest.
        """
        records = (self.end(sid, reason, by) for sid in sids)
        return [record for record in records if record is not None]

    @abstractmethod
    def expire(self, sid: str) -> SessionRecord | None:
        """End a session whose time is up by the store's clock, with ``record.expiry_reason``; returns as :meth:`end`.

        Does nothing, and returns None, when another request has extended the session meanwhile.
        """

    @abstractmethod
    def admit(self, user_id: str, sid: str, limit: int, policy: str) -> Sequence[str]:
        """Count ``sid`` among the user's sessions and return the sids to end so that at most ``limit`` stay.

        ``policy`` "end_oldest" picks those unseen for longest, never ``sid`` itself, and no sid for two callers;
        the caller ends them. Atomic on the user's index: of any number of parallel callers, ``limit`` sessions stay
        once each has ended what it was given. Admitting a sid again changes nothing.

        Raises :class:`LimitReachedError` under "refuse" when ``limit`` other live sessions are admitted already.
        """

    @abstractmethod
    def records(self, user_id: str | None = None) -> Sequence[SessionRecord]:
        """Return the live sessions, of one user or of all, newest activity first, as a lazy sequence.

        Slices are cheap; ``len()`` may be approximate for all, and for a user with more than 500, whose order may be a
        second coarse. Every session that opens is in it, also one whose login is under way; what is damaged opens for
        nobody, and is logged and left out. Reading it changes nothing but index entries that are past their time.
        """

    @abstractmethod
    def clear_expired(
        self,
        *,
        batch_size: int = 1000,
        dry_run: bool = False,
        on_ended: Callable[[SessionRecord], object] | None = None,
        on_progress: Callable[[int], object] | None = None,
        on_swept: Callable[[str, int], object] | None = None,
    ) -> int:
        """End all sessions whose time is up, and forget old tombstones, in batches; return how many were ended.

        ``on_ended`` gets each ended record, once, whoever else is clearing; ``on_progress`` gets the total so far
        after every batch, and may wait there, or raise to stop. ``on_swept`` gets what else was removed, and how many:
        "tombstones", "index entries" that pointed nowhere, "leftovers" of killed writers. ``dry_run`` counts and
        changes nothing. Safe beside users, and to interrupt and repeat.
        """

    # Stores whose lists are apart from their sessions, and may lose entries.

    def ensure_listed(self) -> bool:
        """See to it that :meth:`records` misses no live session, whatever a server lost; tell whether to read again.

        "Sign out everywhere" calls it when it has ended what was listed. False where nothing can be missing: a list
        that was read before needs no second look. Sessions that are stored while this runs are listed by who does it.
        """
        return False

    def relist(self, on_batch: Callable[[], object] | None = None) -> int:
        """Look at all sessions, list each live one that a list lacks, and return how many those were.

        In batches, beside users; ``on_batch`` is called after each, and may wait there, or raise to stop.
        """
        return 0

    def records_from(self, user_id: str, after: tuple[int, str] | None, count: int) -> Sequence[SessionRecord]:
        """Return a user's next ``count`` live sessions, latest created first, from behind one on.

        ``after`` is when that was created (ms), and its sid. An order by what never changes, so that a session that is
        used while somebody turns pages is on exactly one. Here it reads all sessions of the user.
        """
        ordered = sorted(self.records(user_id), key=created_and_sid, reverse=True)
        return [record for record in ordered if after is None or created_and_sid(record) < after][:count]

    # For administrators: lists that stay fast however many sessions there are. A store with an index overrides `walk`.

    def walk(self, after: str = "", wanted: Filter = EVERYONE) -> Iterator[Step]:
        """Walk the live sessions, newest activity first, from behind a place on, reading them as they are asked for.

        Each step says at which place it ends. Sessions that are not ``wanted`` may be left out, where the store can
        tell by itself, or be on the way. A session that is used meanwhile moves to the front and may be passed over.
        Here it goes through :meth:`records`, which is for stores that hold few.

        Raises ``ValueError``, at the latest at the first step, for what is no place of this store's.
        """
        return listings.walk(self.records(), after)

    def portion(self, wanted: Filter = EVERYONE, count: int = 100, after: str = "") -> Portion:
        """Return the next ``count`` of the wanted sessions from behind a place on; raises as :meth:`walk`.

        Looks at a bounded number of sessions: fewer than asked for, with a place to go on from, are no end.
        """
        return listings.gather(self.walk(after, wanted), wanted, count)

    def activity(self) -> Activity:
        """Say how many sessions are live, and how many were last used in each minute of the last hour.

        Bounded: it says so where it counted only the newest, or an index that may run ahead.
        """
        return listings.activity_of(self.portion(count=LOOK_AT))

    @property
    def clock_ms(self) -> int:
        """Return what is known of the store's clock without asking it, in milliseconds since 1970 UTC.

        Never ahead of it; before its first answer, this machine's clock.
        """
        return time.time_ns() // 1_000_000

    # Transactions of the caller: only stores on the caller's own database connection have any.

    @property
    def in_transaction(self) -> bool:
        """Tell whether a write made now may still be rolled back by the caller's transaction."""
        return False

    def on_commit(self, function: Callable[[], object]) -> None:
        """Call ``function`` once the writes made so far are final: at once, except inside a transaction."""
        function()

    # Async twins: one thread hop each here; a store that needs none overrides them.

    async def acreate(self, sid: str, verifier: str, delta: Delta) -> Loaded:
        """Do as :meth:`create`."""
        return await sync_to_async(self.create)(sid, verifier, delta)

    async def aload(self, sid: str) -> Loaded | Tombstone | None:
        """Do as :meth:`load`."""
        return await sync_to_async(self.load)(sid)

    async def aupdate(self, sid: str, verifier: str, delta: Delta, base: Loaded | None = None) -> Loaded:
        """Do as :meth:`update`."""
        return await sync_to_async(self.update)(sid, verifier, delta, base)

    async def arotate(
        self,
        sid: str,
        verifier: str,
        new_verifier: str,
        delta: Delta,
        base: Loaded | None = None,
        final: bool = True,
    ) -> Loaded:
        """Do as :meth:`rotate`."""
        return await sync_to_async(self.rotate)(sid, verifier, new_verifier, delta, base, final)

    async def aend(
        self,
        sid: str,
        reason: str,
        by: str | None = None,
        verifier: str | None = None,
        expected: Mapping[str, bytes | None] | None = None,
    ) -> SessionRecord | None:
        """Do as :meth:`end`."""
        return await sync_to_async(self.end)(sid, reason, by, verifier, expected)

    async def aend_many(self, sids: Sequence[str], reason: str, by: str | None = None) -> Sequence[SessionRecord]:
        """Do as :meth:`end_many`."""
        return await sync_to_async(self.end_many)(sids, reason, by)

    async def aexpire(self, sid: str) -> SessionRecord | None:
        """Do as :meth:`expire`."""
        return await sync_to_async(self.expire)(sid)

    async def aadmit(self, user_id: str, sid: str, limit: int, policy: str) -> Sequence[str]:
        """Do as :meth:`admit`."""
        return await sync_to_async(self.admit)(user_id, sid, limit, policy)

    async def arecords(self, user_id: str | None = None) -> Sequence[SessionRecord]:
        """Do as :meth:`records`, with the sessions already fetched."""
        return await sync_to_async(lambda: list(self.records(user_id)))()

    async def aensure_listed(self) -> bool:
        """Do as :meth:`ensure_listed`."""
        return await sync_to_async(self.ensure_listed)()

    async def aportion(self, wanted: Filter = EVERYONE, count: int = 100, after: str = "") -> Portion:
        """Do as :meth:`portion`."""
        return await sync_to_async(self.portion)(wanted, count, after)

    async def aactivity(self) -> Activity:
        """Do as :meth:`activity`."""
        return await sync_to_async(self.activity)()

    async def aclear_expired(self, **options: Any) -> int:
        """Do as :meth:`clear_expired`."""
        return await sync_to_async(functools.partial(self.clear_expired, **options))()
