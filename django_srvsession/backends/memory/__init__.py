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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import ClassVar

from django.core.checks import CheckMessage, Warning

from django_srvsession import engine
from django_srvsession.backends.memory import health as memory_exam
from django_srvsession.backends.memory.table import Ended, Table
from django_srvsession.engine.signalling import ended
from django_srvsession.records import Delta, Loaded, SessionRecord, Tombstone, new_session
from django_srvsession.store import Store, rules
from django_srvsession.store.health import Finding


def now_ms() -> int:
    """Return the store's clock: milliseconds since 1970 UTC."""
    return int(time.time() * 1000)


class MemoryStore(Store):
    """Keep sessions in a table of this process, bounded; every verb takes a lock for microseconds.

    Never raises ``StoreUnavailableError``.
    """

    table: ClassVar[Table] = Table()
    lock: ClassVar[threading.Lock] = threading.Lock()

    @classmethod
    def check(cls, deploy: bool) -> Sequence[CheckMessage]:
        """Warn, for a deployment, that one process is the limit."""
        text = "The memory session engine serves one process, and forgets all sessions when that ends."
        hint = "Set SESSION_ENGINE to django_srvsession.backends.db or .redis."
        return [Warning(text, hint=hint, id="srvsession.W105")] if deploy else []

    # Verbs that may need room.

    def create(self, sid: str, verifier: str, delta: Delta) -> Loaded:
        """Do as :meth:`Store.create`; may end other sessions to make room."""
        return self._tell(*self._create(sid, verifier, delta))

    async def acreate(self, sid: str, verifier: str, delta: Delta) -> Loaded:
        """Do as :meth:`create`."""
        return await self._atell(*self._create(sid, verifier, delta))

    def _create(self, sid: str, verifier: str, delta: Delta) -> tuple[Loaded, list[Ended]]:
        with self.lock:
            now = now_ms()
            existing = rules.already_created(self.table.find(sid, now), verifier, now)
            return (existing, []) if existing else self._put(new_session(sid, verifier, delta, now))

    def update(self, sid: str, verifier: str, delta: Delta, base: Loaded | None = None) -> Loaded:
        """Do as :meth:`Store.update`; a sign-in may end other sessions to make room."""
        return self._tell(*self._update(sid, verifier, delta))

    async def aupdate(self, sid: str, verifier: str, delta: Delta, base: Loaded | None = None) -> Loaded:
        """Do as :meth:`update`."""
        return await self._atell(*self._update(sid, verifier, delta))

    def _update(self, sid: str, verifier: str, delta: Delta) -> tuple[Loaded, list[Ended]]:
        with self.lock:
            now = now_ms()
            return self._put(rules.changed(self.table.find(sid, now), verifier, delta, now))

    def rotate(
        self,
        sid: str,
        verifier: str,
        new_verifier: str,
        delta: Delta,
        base: Loaded | None = None,
        final: bool = True,
    ) -> Loaded:
        """Do as :meth:`Store.rotate`; a sign-in may end other sessions to make room."""
        return self._tell(*self._rotate(sid, verifier, new_verifier, delta, final))

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
        return await self._atell(*self._rotate(sid, verifier, new_verifier, delta, final))

    def _rotate(
        self, sid: str, verifier: str, new_verifier: str, delta: Delta, final: bool
    ) -> tuple[Loaded, list[Ended]]:
        with self.lock:
            now = now_ms()
            current = self.table.find(sid, now)
            session = rules.turned(current, verifier, new_verifier, delta, final, now)
            return (session, []) if session is current else self._put(session)

    def _put(self, session: Loaded) -> tuple[Loaded, list[Ended]]:
        return self.table.put(session), list(self.table.make_room(session.now_ms))

    def _tell(self, session: Loaded, gone: Iterable[Ended]) -> Loaded:
        """Send the signals of sessions that made room; without the lock, since receivers may use sessions."""
        for record, reason in gone:
            ended(record, reason, None).run(self)
        return session

    async def _atell(self, session: Loaded, gone: Iterable[Ended]) -> Loaded:
        for record, reason in gone:
            await ended(record, reason, None).arun(self)
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

    def end(
        self,
        sid: str,
        reason: str,
        by: str | None = None,
        verifier: str | None = None,
        expected: Mapping[str, bytes | None] | None = None,
    ) -> SessionRecord | None:
        """Do as :meth:`Store.end`."""
        with self.lock:
            now = now_ms()
            record = rules.may_end(self.table.find(sid, now), verifier, expected, now)
            if record is not None:
                self.table.bury(record, reason, by, now)
            return record

    def expire(self, sid: str) -> SessionRecord | None:
        """Do as :meth:`Store.expire`."""
        with self.lock:
            now = now_ms()
            record = rules.may_expire(self.table.find(sid, now), now)
            if record is not None:
                self.table.bury(record, record.expiry_reason, None, now)
            return record

    def admit(self, user_id: str, sid: str, limit: int, policy: str) -> Sequence[str]:
        """Do as :meth:`Store.admit`; a sid that is not one of the user's live sessions does not count."""
        with self.lock:
            now = now_ms()
            user = self.table.users.get(user_id)
            if user is None:
                return []
            leaving = {other for other, since in user.leaving.items() if now - since < rules.LEAVING_MS}
            live = [record.sid for record in self._records(user_id, now)]
            given = rules.to_end(sid, live, user.admitted, leaving, limit, policy)
            user.admitted -= set(given)
            user.leaving.update(dict.fromkeys(given, now))
            if sid in live and sid not in leaving:
                user.admitted.add(sid)
            return given

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
                self.table.bury(record, record.expiry_reason, None, now)
            yield record

    def examine(self) -> Iterator[Finding]:
        """Say whose sessions these are, and tell of several workers as far as the environment tells."""
        return memory_exam.findings()

    # Async twins: nothing here waits, so a thread hop would be the larger cost.

    async def aload(self, sid: str) -> Loaded | Tombstone | None:
        """Do as :meth:`load`."""
        return self.load(sid)

    async def aend(
        self,
        sid: str,
        reason: str,
        by: str | None = None,
        verifier: str | None = None,
        expected: Mapping[str, bytes | None] | None = None,
    ) -> SessionRecord | None:
        """Do as :meth:`end`."""
        return self.end(sid, reason, by, verifier, expected)

    async def aexpire(self, sid: str) -> SessionRecord | None:
        """Do as :meth:`expire`."""
        return self.expire(sid)

    async def aadmit(self, user_id: str, sid: str, limit: int, policy: str) -> Sequence[str]:
        """Do as :meth:`admit`."""
        return self.admit(user_id, sid, limit, policy)

    async def arecords(self, user_id: str | None = None) -> Sequence[SessionRecord]:
        """Do as :meth:`records`."""
        return self.records(user_id)


class SessionStore(engine.SessionStore):
    """Be the session engine ``django_srvsession.backends.memory``."""

    store_class = MemoryStore
