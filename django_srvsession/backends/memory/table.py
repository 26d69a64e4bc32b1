"""The memory store's data: sessions, tombstones, and the orders that make eviction and expiry cheap.

Nothing here is thread-safe: the store holds its lock.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterator
from types import MappingProxyType
from typing import Final, NamedTuple

from django_srvsession import conf
from django_srvsession.records import EXPIRED, Ending, Loaded, SessionRecord, Tombstone
from django_srvsession.store import rules

USER_SHARE: Final = 10
"""Who has more than one in so many of the places for signed-in sessions makes room before anybody else does."""

ANONYMOUS_SHARE: Final = 10
"""One in so many places is kept for anonymous sessions: every sign-in begins as one."""


class Evicted(NamedTuple):
    """Hold a session that had to make room, and why it ended."""

    record: SessionRecord
    reason: str


class User:
    """Hold the sids of one user, the longest unseen first, and what ``admit`` remembers of them."""

    __slots__ = ("admissions", "sids")

    def __init__(self) -> None:
        self.sids: OrderedDict[str, None] = OrderedDict()
        self.admissions = rules.Admissions()


class SessionTable:
    """Keep sessions by sid, by last use, by expiry and by user.

    Every step costs O(log n) at most, on average. ``sessions`` are in two orders of last use, least recent first.
    """

    def __init__(self) -> None:
        self.anonymous: OrderedDict[str, Loaded] = OrderedDict()
        self.signed_in: OrderedDict[str, Loaded] = OrderedDict()
        self.tombstones: OrderedDict[str, Tombstone] = OrderedDict()
        self.users: dict[str, User] = {}
        self._crowding: set[str] = set()
        """Users who have, or had, more than their share; no more of them than there are shares, but for stale ones."""
        self._due: list[tuple[int, str]] = []
        """A heap with an entry for each session, never later than its expiry; entries of gone sessions are left in."""

    def __len__(self) -> int:
        return len(self.anonymous) + len(self.signed_in)

    def sessions(self) -> Iterator[Loaded]:
        """Return all sessions, the most recently used of each kind first."""
        yield from reversed(self.signed_in.values())
        yield from reversed(self.anonymous.values())

    def session(self, sid: str) -> Loaded | None:
        """Return the session of a sid, also one whose time is up."""
        return self.signed_in.get(sid) or self.anonymous.get(sid)

    def find(self, sid: str, now_ms: int) -> Loaded | Tombstone | None:
        """Return what stands under a sid, as of ``now_ms``."""
        return rules.as_of(self.session(sid) or self.tombstones.get(sid), now_ms)

    def put(self, session: Loaded) -> Loaded:
        """Store a session, as the most recently used one, and return it as it is stored."""
        record = session.record
        if not isinstance(session.values, MappingProxyType):
            session = session._replace(values=MappingProxyType(session.values))
        known = self.signed_in.get(record.sid) or self.anonymous.pop(record.sid, None)
        order = self.anonymous if record.user_id is None else self.signed_in
        order[record.sid] = session
        order.move_to_end(record.sid)
        if record.user_id is not None:
            self._note_use(record.user_id, record.sid)
        if known is None:
            self.tombstones.pop(record.sid, None)
        if known is None or record.expires_ms < known.record.expires_ms:
            self._note_expiry(record)
        return session

    def _note_use(self, user_id: str, sid: str) -> None:
        user = self.users.setdefault(user_id, User())
        user.sids[sid] = None
        user.sids.move_to_end(sid)
        if len(user.sids) > _share_of_one():
            self._crowding.add(user_id)

    def remove(self, record: SessionRecord) -> None:
        """Drop a session."""
        (self.anonymous if record.user_id is None else self.signed_in).pop(record.sid, None)
        user = None if record.user_id is None else self.users.get(record.user_id)
        if user is not None and record.user_id is not None:
            user.sids.pop(record.sid, None)
            if not user.sids:
                del self.users[record.user_id]

    def bury(self, record: SessionRecord, ending: Ending, now_ms: int) -> None:
        """Replace a session by its tombstone; tombstones are forgotten when they are old, or as many as sessions."""
        self.remove(record)
        self.tombstones[record.sid] = rules.tombstone(record, ending, now_ms)
        self.forget_tombstones(now_ms)

    def forget_tombstones(self, now_ms: int) -> int:
        """Drop the tombstones that are past their time or above their number, oldest first; return how many."""
        before = len(self.tombstones)
        while self.tombstones:
            ended = next(iter(self.tombstones.values()))
            if len(self.tombstones) <= conf.memory_max_sessions and rules.as_of(ended, now_ms) is not None:
                break
            self.tombstones.popitem(last=False)
        return before - len(self.tombstones)

    # What is due.

    def _note_expiry(self, record: SessionRecord) -> None:
        if len(self._due) > 2 * len(self) + 64:  # Sessions that ended early must not pile up until their time is up.
            self._due = [(session.record.expires_ms, session.record.sid) for session in self.sessions()]
            heapq.heapify(self._due)
        else:
            heapq.heappush(self._due, (record.expires_ms, record.sid))

    def next_due(self, now_ms: int) -> SessionRecord | None:
        """Return the record of a session whose time is up, or None."""
        while self._due and self._due[0][0] <= now_ms:
            sid = self._due[0][1]
            session = self.session(sid)
            if session is not None and not session.record.is_live(now_ms):
                return session.record
            if session is None:
                heapq.heappop(self._due)
            else:
                heapq.heapreplace(self._due, (session.record.expires_ms, sid))
        return None

    def count_due(self, now_ms: int) -> int:
        """Return how many sessions' time is up."""
        return sum(not session.record.is_live(now_ms) for session in self.sessions())

    # Making room.

    def make_room(self, now_ms: int) -> Iterator[Evicted]:
        """End what is above the bounds: expired sessions first, then those unseen for longest.

        Of signed-in ones first those of a user who has more than a tenth of the places: one account pushes nobody out.

        A live session that was just stored is never taken: it is the most recently used, and there is room for one.
        An evicted session leaves no tombstone, so that its browser may start a new one at once.
        """
        most, most_signed_in = _places()
        while len(self) > most or len(self.signed_in) > most_signed_in:
            due = self.next_due(now_ms)
            if due is not None:
                self.bury(due, EXPIRED, now_ms)
                yield Evicted(due, due.expiry_reason)
                continue
            record = self._longest_unseen(signed_in=len(self.signed_in) > most_signed_in)
            self.remove(record)
            yield Evicted(record, "evicted")

    def _longest_unseen(self, *, signed_in: bool) -> SessionRecord:
        """Return the session that makes room: of signed-in ones one of a user who crowds the others out, if any."""
        if not signed_in:
            return next(iter(self.anonymous.values())).record
        most = _share_of_one()
        self._crowding = {each for each in self._crowding if each in self.users and len(self.users[each].sids) > most}
        if self._crowding:
            user_id = max(self._crowding, key=lambda each: len(self.users[each].sids))
            return self.signed_in[next(iter(self.users[user_id].sids))].record
        return next(iter(self.signed_in.values())).record


def _places() -> tuple[int, int]:
    """Return how many places there are, and how many of them are for signed-in sessions."""
    most = max(conf.memory_max_sessions, 2)
    return most, most - max(most // ANONYMOUS_SHARE, 1)


def _share_of_one() -> int:
    return max(_places()[1] // USER_SHARE, 1)
