"""Sessions in this process's memory: for tests, development, and sites of one process that may forget at a restart.

All instances share one table, so a changed setting loses no session. ``SRVSESSION_MEMORY_MAX_SESSIONS`` bounds it, and
its tombstones too. When it is full, expired sessions go first, then anonymous ones, longest unseen first. A signed-in
session never makes room for an anonymous one: a tenth of the room is kept for anonymous sessions, so that visitors can
always begin one and sign in; signed-in ones that exceed the other nine tenths replace the longest unseen of their own,
first of an account that has more than a tenth of them: one account pushes nobody out.
What had to go has ended: ``session_ended`` is sent with reason "evicted", or the reason of its expiry.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, ParamSpec, TypeVar

from django.core.checks import CheckMessage

from django_srvsession import engine
from django_srvsession.backends.memory import checks as memory_checks
from django_srvsession.backends.memory import health as memory_health
from django_srvsession.backends.memory.table import Evicted, SessionTable
from django_srvsession.engine.ends import atell_ended, tell_ended
from django_srvsession.records import EXPIRED, Delta, Ending, Loaded, SessionRecord, Tombstone, new_session
from django_srvsession.store import Store, listings, rules
from django_srvsession.store.face import Face, ThreadFace
from django_srvsession.store.health import Finding
from django_srvsession.store.listings import EVERYONE, Filter, Step

P = ParamSpec("P")
T = TypeVar("T")


def now_ms() -> int:
    """Return the store's clock: milliseconds since 1970 UTC."""
    return int(time.time() * 1000)


class MemoryStore(Store):
    """Keep sessions in a table of this process, bounded; every verb takes a lock for microseconds.

    Never raises ``StoreUnavailableError``.
    """

    ends_at_once: ClassVar[int] = 100  # Keeps the lock for some tenths of a millisecond.
    table: ClassVar[SessionTable] = SessionTable()
    lock: ClassVar[threading.Lock] = threading.Lock()
    listeners: ClassVar[list[Callable[[Collection[str]], object]]] = []

    @classmethod
    def check(cls, deploy: bool) -> Sequence[CheckMessage]:
        """Warn, for a deployment, that one process is the limit."""
        return memory_checks.messages() if deploy else ()

    # Verbs that may need room.

    def create(self, sid: str, verifier: str, delta: Delta) -> Loaded:
        """Do as :meth:`Store.create`; may end other sessions to make room."""
        return self._tell(*self._create(new_session(sid, verifier, delta, now_ms())))

    def restore(self, session: Loaded) -> Loaded:
        """Do as :meth:`Store.restore`; may end other sessions to make room."""
        return self._tell(*self._restore(session))

    def _restore(self, session: Loaded) -> tuple[Loaded, list[Evicted]]:
        with self.lock:
            if rules.has_moved(self.table.tombstones.get(session.record.sid)):
                del self.table.tombstones[session.record.sid]
        return self._create(session._replace(now_ms=now_ms()))

    def _create(self, new: Loaded) -> tuple[Loaded, list[Evicted]]:
        with self.lock:
            found = self.table.find(new.record.sid, new.now_ms)
            existing = rules.already_created(found, new.record.verifier, new.now_ms)
            return (existing, []) if existing else self._put(new)

    def update(self, sid: str, verifier: str, delta: Delta, base: Loaded | None = None) -> Loaded:
        """Do as :meth:`Store.update`; a sign-in may end other sessions to make room."""
        return self._tell(*self._update(sid, verifier, delta))

    def _update(self, sid: str, verifier: str, delta: Delta) -> tuple[Loaded, list[Evicted]]:
        with self.lock:
            now = now_ms()
            current = self.table.find(sid, now)
            session = rules.changed(current, verifier, delta, now)
            return (session, []) if session is current else self._put(session)

    def _put(self, session: Loaded) -> tuple[Loaded, list[Evicted]]:
        return self.table.put(session), list(self.table.make_room(session.now_ms))

    def _tell(self, session: Loaded, gone: Iterable[Evicted]) -> Loaded:
        """Send the signals of sessions that made room; without the lock, since receivers may use sessions."""
        for record, reason in gone:
            tell_ended(self, record, reason)
        return session

    # The others.

    @property
    def clock_ms(self) -> int:
        """Return the store's clock."""
        return now_ms()

    def load(self, sid: str) -> Loaded | Tombstone | None:
        """Do as :meth:`Store.load`; the values cannot be changed, and are shared."""
        with self.lock:
            return self.table.find(sid, now_ms())

    def end(self, sid: str, ending: Ending) -> SessionRecord | None:
        """End a session."""
        with self.lock:
            return self._end(sid, ending, now_ms())

    def _end(self, sid: str, ending: Ending, now: int) -> SessionRecord | None:
        record = rules.may_end(self.table.find(sid, now), ending, now)
        if record is not None:
            self.table.bury(record, ending, now)
            for heard in self.listeners:
                heard((sid,))
        return record

    def end_many(self, sids: Sequence[str], ending: Ending) -> Sequence[SessionRecord]:
        """End sessions, all at one moment."""
        with self.lock:
            now = now_ms()
            records = [self._end(sid, ending, now) for sid in sids]
        return [record for record in records if record is not None]

    def alive(self, sids: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Return those that are live, and what opens them, all as of one moment."""
        with self.lock:
            now = now_ms()
            records = [one.record for sid in sids if (one := self.table.session(sid)) is not None]
            return {record.sid: record.openers(now) for record in records if record.is_live(now)}

    def listen(self, heard: Callable[[Collection[str]], object], stopped: threading.Event) -> bool:
        """Do as :meth:`Store.listen`; ``heard`` is called under the lock."""
        with self.lock:
            self.listeners.append(heard)
        heard(())
        stopped.wait()
        with self.lock:
            self.listeners.remove(heard)
        return False

    def admit(self, user_id: str, sid: str, limit: int, policy: str) -> Sequence[str]:
        """Do as :meth:`Store.admit`; a sid that is not one of the user's live sessions does not count."""
        with self.lock:
            now = now_ms()
            user = self.table.users.get(user_id)
            if user is None:
                return []
            live = [record.sid for record in self._records(user_id, now)]
            return user.admissions.admit(sid, live, limit, policy, now)

    def walk(self, after: str = "", wanted: Filter = EVERYONE) -> Iterator[Step]:
        """Walk the sessions as of this moment."""
        return listings.walk(self.records(), after)

    def records(self, user_id: str | None = None) -> Sequence[SessionRecord]:
        """Do as :meth:`Store.records`; a list as of this moment."""
        with self.lock:
            return self._records(user_id, now_ms())

    def _records(self, user_id: str | None, now: int) -> list[SessionRecord]:
        sessions: Iterable[Loaded]
        if user_id is None:
            sessions = self.table.sessions()
        else:
            user = self.table.users.get(user_id)
            sessions = () if user is None else [self.table.signed_in[sid] for sid in user.sids]
        live = [session.record for session in sessions if session.record.is_live(now)]
        return sorted(live, key=lambda record: record.last_seen_ms, reverse=True)

    def clear_expired(
        self,
        *,
        batch_size: int = 1000,
        dry_run: bool = False,
        on_ended: Callable[[SessionRecord], object] | None = None,
        on_progress: Callable[[int], object] | None = None,
        on_swept: Callable[[str, int], object] | None = None,
    ) -> int:
        """Do as :meth:`Store.clear_expired`; the lock is taken for one session at a time."""
        now = now_ms()
        if dry_run:
            with self.lock:
                return self.table.count_due(now)
        with self.lock:
            forgotten = self.table.forget_tombstones(now)
        if on_swept and forgotten:
            on_swept("tombstones", forgotten)
        return rules.hand_over(self._expire_all(now), batch_size, on_ended, on_progress)

    def _expire_all(self, now: int) -> Iterator[SessionRecord]:
        """End what is due at ``now``, one by one as it is asked for."""
        while True:
            with self.lock:
                record = self.table.next_due(now)
                if record is None:
                    return
                self.table.bury(record, EXPIRED, now)
            yield record

    def examine(self) -> Iterator[Finding]:
        """Say whose sessions these are, and tell of several workers as far as the environment tells."""
        return memory_health.findings()

    def face(self) -> Face:
        """Return the verbs as coroutines that wait for nothing: a thread would be the larger cost."""
        return MemoryFace(self)


class MemoryFace(ThreadFace):
    """Call the verbs at once, on the event loop."""

    store: MemoryStore

    async def call(self, verb: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method of the store."""
        return verb(*args, **kwargs)

    async def create(self, sid: str, verifier: str, delta: Delta) -> Loaded:
        """Do as :meth:`MemoryStore.create`, and await the receivers of the signals."""
        return await self._tell(*self.store._create(new_session(sid, verifier, delta, now_ms())))

    async def restore(self, session: Loaded) -> Loaded:
        """Do as :meth:`MemoryStore.restore`, and await the receivers of the signals."""
        return await self._tell(*self.store._restore(session))

    async def update(self, sid: str, verifier: str, delta: Delta, base: Loaded | None = None) -> Loaded:
        """Do as :meth:`MemoryStore.update`, and await the receivers of the signals."""
        return await self._tell(*self.store._update(sid, verifier, delta))

    async def _tell(self, session: Loaded, gone: Iterable[Evicted]) -> Loaded:
        for record, reason in gone:
            await atell_ended(self, record, reason)
        return session


class SessionStore(engine.SessionStore):
    """Be the session engine ``django_srvsession.backends.memory``."""

    store_class = MemoryStore
