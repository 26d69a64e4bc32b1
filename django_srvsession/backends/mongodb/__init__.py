"""Sessions in MongoDB, one document each: the engine and its store.

Each verb is one coroutine (``sessions``, ``limit``, ``listing``) over a way to MongoDB (``transport``): threads bring
it to its end at once, over one client for each process; a long-lived event loop awaits it, over a client of its own.

``format`` describes the documents, ``pipelines`` says the rules of sessions in MongoDB's language, ``indexes`` what
lists need. Needs MongoDB 5.0, and PyMongo 4.13.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import ClassVar, TypeVar

from django.core.checks import CheckMessage

from django_srvsession import engine
from django_srvsession.backends.mongodb import listing, sessions
from django_srvsession.backends.mongodb.configuration import Configuration, configuration
from django_srvsession.backends.mongodb.limit import admit
from django_srvsession.backends.mongodb.listing import Lists, Records
from django_srvsession.backends.mongodb.transport import Transport
from django_srvsession.backends.mongodb.transport.loops import LoopTransport
from django_srvsession.backends.mongodb.transport.threads import ThreadTransport
from django_srvsession.records import Delta, Ending, Loaded, SessionRecord, Tombstone
from django_srvsession.store import Store
from django_srvsession.store.clock import ServerClock
from django_srvsession.store.face import Face, run_blocking
from django_srvsession.store.health import Finding, StorageInfo
from django_srvsession.store.listings import EVERYONE, Activity, Filter, Step
from django_srvsession.store.loops import Close, OfEachLoop

S = TypeVar("S", Loaded, Loaded | Tombstone | None)


class MongoStore(Store):
    """Keep each session in one document, changed by one command; see :class:`Store` for the verbs."""

    ends_at_once: ClassVar[int] = 500
    settings_used: ClassVar[frozenset[str]] = frozenset({"SRVSESSION_MONGODB", "DATABASES"})

    def __init__(self) -> None:
        self.loops: OfEachLoop[Transport] = OfEachLoop(self._for_a_loop)
        self._clock = ServerClock()

    @classmethod
    def check(cls, deploy: bool) -> Sequence[CheckMessage]:
        """Return what is wrong with the settings, or, for a deployment, with the server and its indexes."""
        from django_srvsession.backends.mongodb import checks

        return checks.messages(deploy)

    @cached_property
    def configuration(self) -> Configuration:
        """Return where the sessions are; raises ``ImproperlyConfigured``."""
        return configuration()

    @cached_property
    def transport(self) -> ThreadTransport:
        """Return the threads' way to MongoDB."""
        return ThreadTransport(self.configuration)

    def _for_a_loop(self) -> tuple[Transport, Close]:
        transport = LoopTransport(self.configuration)
        return transport, transport.close

    def face(self) -> Face:
        """Return the verbs for event loops: over a client of its own, where a loop may have one."""
        from django_srvsession.backends.mongodb.face import MongoFace

        return MongoFace(self)

    @property
    def clock_ms(self) -> int:
        """Return what is known of MongoDB's clock."""
        return self._clock.now_ms or super().clock_ms

    def learn(self, found: S) -> S:
        """Take note of the server's time, which a reply has told."""
        if found is not None:
            self._clock.learn(found.now_ms)
        return found

    def create(self, sid: str, verifier: str, delta: Delta) -> Loaded:
        """Store a new session, in one command.

        Raises ``ValueError`` for a user's id that BSON cannot write, and ``TooLargeError`` for more than 16 MiB. So do
        the other writes.
        """
        return self.learn(run_blocking(sessions.create(self.transport, sid, verifier, delta)))

    def restore(self, session: Loaded) -> Loaded:
        """Store a session as it stood elsewhere, in one command; raises as :meth:`create`."""
        return run_blocking(sessions.restore(self.transport, session._replace(now_ms=self.clock_ms)))

    def load(self, sid: str) -> Loaded | Tombstone | None:
        """Read the session."""
        return self.learn(run_blocking(sessions.load(self.transport, sid)))

    def update(self, sid: str, verifier: str, delta: Delta, base: Loaded | None = None) -> Loaded:
        """Change a session in one command; with a ``base`` its contents are not sent back."""
        return run_blocking(sessions.update(self.transport, sid, verifier, delta, base))

    def end(self, sid: str, ending: Ending) -> SessionRecord | None:
        """Put a tombstone in a session's place, in one command."""
        return run_blocking(sessions.end(self.transport, sid, ending))

    def end_many(self, sids: Sequence[str], ending: Ending) -> Sequence[SessionRecord]:
        """Do as :meth:`end` for all of them, in two commands."""
        return run_blocking(sessions.end_many(self.transport, sids, ending))

    def alive(self, sids: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Look at all of them in one command."""
        return run_blocking(sessions.alive(self.transport, sids))

    def admit(self, user_id: str, sid: str, limit: int, policy: str) -> Sequence[str]:
        """Decide by a note on the user, which is changed by compare-and-set: three commands, if nobody overtakes.

        A sid that was given to a caller who did not end it within a minute counts again, and may be given again. A
        session that signed in more than a minute ago counts as admitted, also from before there was a limit.
        """
        return run_blocking(admit(self.transport, user_id, sid, limit, policy))

    def records(self, user_id: str | None = None) -> Sequence[SessionRecord]:
        """Do as the interface says; ``len()`` counts exactly, which for all sessions reads a whole index."""
        return Records(Lists(user_id), self.transport)

    def records_from(self, user_id: str, after: tuple[int, str] | None, count: int) -> Sequence[SessionRecord]:
        """Do as the interface says, in one command; MongoDB sorts the user's sessions for it."""
        return run_blocking(Lists(user_id).created_before(self.transport, after, count))

    def walk(self, after: str = "", wanted: Filter = EVERYONE) -> Iterator[Step]:
        """Walk by the index of last uses; a kind, or an address, is looked for in windows of it."""
        return listing.walk(self.transport, after, wanted)

    def activity(self) -> Activity:
        """Count in two commands: exactly up to 100,000 sessions, and 10,000 by their minute."""
        return run_blocking(listing.activity(self.transport))

    def storage_info(self) -> StorageInfo:
        """Return where the sessions are, and what they take: two commands."""
        from django_srvsession.backends.mongodb import health

        return health.storage_info(self.transport)

    def examine(self) -> Iterator[Finding]:
        """Ask the server what an operator should know of it, and of the indexes."""
        from django_srvsession.backends.mongodb import health

        return health.findings(self.transport)

    def prepare(self) -> Iterator[Finding]:
        """Make the indexes that are missing."""
        from django_srvsession.backends.mongodb import health

        return health.prepare(self.transport)

    def clear_expired(
        self,
        *,
        batch_size: int = 1000,
        dry_run: bool = False,
        on_ended: Callable[[SessionRecord], object] | None = None,
        on_progress: Callable[[int], object] | None = None,
        on_swept: Callable[[str, int], object] | None = None,
    ) -> int:
        """Do as the interface says, in two commands for each batch, after which ``on_ended`` is called.

        The records of a batch go to nobody if the process dies, or ``on_ended`` raises, before they are all handed
        over.
        """
        from django_srvsession.backends.mongodb.clearing import Clearing

        clearing, total = Clearing(self.transport, batch_size), 0
        if dry_run:
            return clearing.count()
        for ended in clearing.batches():
            for record in ended:
                (on_ended or _nobody)(record)
            total += len(ended)
            if on_progress:
                on_progress(total)
        forgotten = clearing.forget()
        if on_swept and forgotten:
            on_swept("tombstones", forgotten)
        return total


def _nobody(record: SessionRecord) -> None:
    """Take no note."""


class SessionStore(engine.SessionStore):
    """Be the engine that ``SESSION_ENGINE = "django_srvsession.backends.mongodb"`` names."""

    store_class = MongoStore
