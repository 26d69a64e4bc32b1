"""The store interface: how sessions are kept, and the errors that say what is, and is not, known.

The docstrings here are the contract; ``django_srvsession.testing`` is the same contract as tests. To write a store,
subclass :class:`Store`, implement the seven verbs, and run that contract over it.

Three rules hold for every store:

* ``create`` and ``update`` are two verbs. **Update never creates and never revives**: that the session is live, the
  verifier is right and ``expected`` holds is checked in the same atomic step as the write, by the store's clock.
* A store writes only what the delta names (:func:`django_srvsession.records.updated` is the rule for merging).
* "Gone" is a value, or :class:`UpdateError`; "the store did not answer" is :class:`StoreUnavailableError`. A store
  that cannot tell says the latter, never the former.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import ClassVar

from django.core.checks import CheckMessage

from django_srvsession.records import UNSET, Delta, Ending, Loaded, SessionRecord, Tombstone
from django_srvsession.store import listings
from django_srvsession.store.errors import CorruptSessionError
from django_srvsession.store.face import Face, ThreadFace
from django_srvsession.store.listings import EVERYONE, LOOK_AT, Activity, Filter, Portion, Step


def created_and_sid(record: SessionRecord) -> tuple[int, str]:
    """Return a session's place in the order of creation."""
    return record.created_ms, record.sid


class Store(ABC):
    """Keep sessions: create, load, update, end, list.

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
    def namespace(self) -> str:
        """Return what sets these sessions apart from others of a site with the same ``SECRET_KEY``: a tenant's name.

        Seals hold it, so that a session which is copied from one tenant to another opens for nobody there. Asked for
        often, on event loops too, without I/O. Empty: there is one tenant only.
        """
        return ""

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

    # The seven verbs.

    @abstractmethod
    def create(self, sid: str, verifier: str, delta: Delta) -> Loaded:
        """Store a new session and return it; on return it is listed for its user.

        ``delta`` names its values (``changed``), ``lifetime_ms`` (required) and, where known, ``user_id``, ``client``,
        ``deadline_ms`` and ``details``. Creating what is already stored with the same sid *and* verifier succeeds (a
        retry after an unknown outcome).

        Raises ``CreateError`` if the sid is taken, by a live, an expired or an ended session.
        """

    @abstractmethod
    def load(self, sid: str) -> Loaded | Tombstone | None:
        """Return the session, the tombstone of an ended one, or None; one round trip, changing nothing.

        A session whose time is up but which nobody has ended yet is returned as :class:`Loaded` (its
        ``record.expires_ms`` is not after ``now_ms``): the caller ends it with ``EXPIRED``. The *caller* compares
        the verifier.

        Raises :class:`CorruptSessionError` when what stands there is no session of ours.
        """

    @abstractmethod
    def update(self, sid: str, verifier: str, delta: Delta, base: Loaded | None = None) -> Loaded:
        """Apply ``delta`` to a live session and return the session after it.

        The verifier must be accepted (``SessionRecord.accepts``). ``base`` is what the caller loaded, or got from its
        last write: a store that writes sessions whole uses it to save a read, and never trusts it (a version check
        decides). Where the store need not read the session, the returned values are ``base`` with the delta applied.

        ``delta.new_verifier`` takes the verifier's place, in the same atomic step, which exactly one caller wins
        (``records.rotated`` is the rule). ``verifier`` must be the session's *current* one then. The old one is kept as
        ``previous_verifier``. If the new one stands already this succeeds and applies nothing (a retry after an
        unknown outcome).

        Raises ``UpdateError`` if no live session has that sid and verifier, or if ``delta.user_id`` names another
        user than the session's (a sid belongs to at most one user in its life); :class:`ConflictError` if
        ``delta.expected`` does not hold. After either nothing was written.
        """

    @abstractmethod
    def end(self, sid: str, ending: Ending) -> SessionRecord | None:
        """End a session for good: its values go, a tombstone stays for ``SRVSESSION_ENDED_KEEP``.

        Returns the record as it was to exactly one caller, None to all others and when there was nothing to end: no
        session, or one for which the conditions of ``ending`` do not hold. With a reason a live session is ended, and
        one whose time is up is nothing to end. Without one (``records.EXPIRED``) it is the other way round, by the
        store's clock: nothing happens when another request has extended the session meanwhile.
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
    def walk(self, after: str = "", wanted: Filter = EVERYONE) -> Iterator[Step]:
        """Walk the live sessions, newest activity first, from behind a place on, reading them as they are asked for.

        Each step says at which place it ends. Sessions that are not ``wanted`` may be left out, where the store can
        tell by itself, or be on the way. A session that is used meanwhile moves to the front and may be passed over.
        What is damaged opens for nobody, and is logged and left out. For a store that holds few, ``listings.walk`` does
        it.

        Raises ``ValueError``, at the latest at the first step, for what is no place of this store's.
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

    # What follows from the verbs; a store that can do better overrides it.

    def restore(self, session: Loaded) -> Loaded:
        """Store a session as it stood elsewhere, with all its instants; return and raise as :meth:`create`.

        The tombstone of one that moved away from here (``rules.has_moved``) gives way to it.

        Here it is created anew: the instants are those of this call, and it expires no later than it would have. A
        store from which, or to which, sites are to move overrides this.
        """
        record, left_ms = session.record, max(session.record.expires_ms - session.now_ms, 0)
        return self.create(
            record.sid,
            record.verifier,
            Delta(
                changed=session.values,
                user_id=UNSET if record.user_id is None else record.user_id,
                client=record.client,
                lifetime_ms=min(record.lifetime_ms, left_ms),
                deadline_ms=record.deadline_ms,
                details=record.details,
            ),
        )

    def end_many(self, sids: Sequence[str], ending: Ending) -> Sequence[SessionRecord]:
        """End sessions, as :meth:`end` does, and return the records of those that this call has ended.

        Here one by one; a store that can do it in one step overrides this, and says by ``ends_at_once`` how many it is
        given. What was ended before an error stays ended: who asks again ends the rest. ``ending`` names no conditions.
        """
        records = (self.end(sid, ending) for sid in sids)
        return [record for record in records if record is not None]

    def alive(self, sids: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Return those of these sessions that are live, each with the verifiers that it accepts now.

        That is ``SessionRecord.openers``. Here one by one.
        """
        return {sid: verifiers for sid in sids if (verifiers := self._openers_of(sid))}

    def _openers_of(self, sid: str) -> tuple[str, ...]:
        try:
            found = self.load(sid)
        except CorruptSessionError:
            return ()  # It opens for nobody.
        if isinstance(found, Loaded) and found.record.is_live(found.now_ms):
            return found.record.openers(found.now_ms)
        return ()

    def records(self, user_id: str | None = None) -> Sequence[SessionRecord]:
        """Return the live sessions, of one user or of all, newest activity first, as a lazy sequence.

        Slices are cheap; ``len()`` may be approximate for all, and for a user with more than 500, whose order may be a
        second coarse. Every session that opens is in it, also one whose login is under way; what is damaged opens for
        nobody, and is logged and left out. Reading it changes nothing but index entries that are past their time.

        Here all sessions are read, by :meth:`walk`: a store whose walk may pass over one that is used meanwhile must
        override this.
        """
        everyone = (step.record for step in self.walk())
        return [record for record in everyone if record is not None and user_id in (None, record.user_id)]

    def records_from(self, user_id: str, after: tuple[int, str] | None, count: int) -> Sequence[SessionRecord]:
        """Return a user's next ``count`` live sessions, latest created first, from behind one on.

        ``after`` is when that was created (ms), and its sid. An order by what never changes, so that a session that is
        used while somebody turns pages is on exactly one. Here it reads all sessions of the user.
        """
        ordered = sorted(self.records(user_id), key=created_and_sid, reverse=True)
        return [record for record in ordered if after is None or created_and_sid(record) < after][:count]

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

    # Stores whose lists are apart from their sessions, and may lose entries.

    def ensure_listed(self) -> bool:
        """See to it that :meth:`records` misses no live session, whatever a server lost; tell whether to read again.

        "Sign out everywhere" calls it when it has ended what was listed. False where nothing can be missing: a list
        that was read before needs no second look. Sessions that are stored while this runs are listed by who does it.

        Raises ``StoreUnavailableError`` also while a part of the store has not been told of what has ended.
        """
        return False

    def relist(self, on_batch: Callable[[], object] | None = None) -> int:
        """Look at all sessions, list each live one that a list lacks, and return how many those were.

        In batches, beside users; ``on_batch`` is called after each, and may wait there, or raise to stop.
        """
        return 0

    # Telling of ends.

    def listen(self, heard: Callable[[Collection[str]], object], stopped: threading.Event) -> bool:
        """Call ``heard`` with the sids of sessions that end, in whichever process, until ``stopped`` is set.

        Blocks, and looks at ``stopped`` once a second. Calls ``heard(())`` when it begins to hear: any session
        may have ended before. A hint only: it may come too often, or be lost. Returns whether to call it again; False
        where there is nothing to hear, at once. Raises :class:`StoreUnavailableError` when the server is out of reach.
        """
        return False

    # Time, event loops, and transactions of the caller.

    def face(self) -> Face:
        """Return the verbs as coroutines, for callers on an event loop.

        Here each goes to a thread; a store that can wait for its server on the loop overrides this.
        """
        return ThreadFace(self)

    @property
    def clock_ms(self) -> int:
        """Return what is known of the store's clock without asking it, in milliseconds since 1970 UTC.

        Never ahead of it; before its first answer, this machine's clock.
        """
        return time.time_ns() // 1_000_000

    @property
    def in_transaction(self) -> bool:
        """Tell whether a write made now may still be rolled back by the caller's transaction.

        Only stores on the caller's own database connection have any.
        """
        return False

    def on_commit(self, function: Callable[[], object]) -> None:
        """Call ``function`` once the writes made so far are final: at once, except inside a transaction."""
        function()
