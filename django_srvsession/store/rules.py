"""What each verb does to a session at hand: for stores that read, change and write a session whole, under a lock.

Nothing here does I/O. ``current`` is what the store read under the lock that it writes under.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from hmac import compare_digest
from typing import Final

from django.conf import settings

from django_srvsession import conf
from django_srvsession.records import (
    LATEST_MS,
    MOVED,
    UNSET,
    Delta,
    Ending,
    Loaded,
    SessionRecord,
    Tombstone,
    conflicts,
    rotated,
    updated,
)
from django_srvsession.store.errors import ConflictError, CreateError, LimitReachedError, UpdateError

LEAVING_MS: Final = 60_000
"""How long a caller of ``admit`` has for ending what it was given, before others are given it, in milliseconds."""

Stored = Loaded | Tombstone | None


def kept_until_ms(ended_ms: int) -> int:
    """Return until when the tombstone of a session that ended then is kept (milliseconds).

    While the site moves from other sessions, until it has moved: what has ended must not be carried over once more. And
    until a signed cookie of that moment has expired, or it would be when the date is moved to a later one.
    """
    return max(ended_ms + _least_keep_ms(), conf.migrate_until_ms or 0)


def keep_ms() -> int:
    """Return how long the tombstone of a session that ends now is kept, in milliseconds; by this machine's clock."""
    if conf.migrate_until_ms is None:
        return conf.ended_keep_ms  # Every save asks.
    now_ms = time.time_ns() // 1_000_000
    return kept_until_ms(now_ms) - now_ms


def leaves_none_after_ms() -> int:
    """Return how long ago a session must have expired to leave no tombstone when it is cleared, in milliseconds."""
    is_moving = (conf.migrate_until_ms or 0) * 1_000_000 > time.time_ns()
    return LATEST_MS if is_moving else _least_keep_ms()


def _least_keep_ms() -> int:
    """Return how long a tombstone is kept at least, in milliseconds."""
    if conf.migrate_until_ms is None:
        return conf.ended_keep_ms
    return max(conf.ended_keep_ms, int(settings.SESSION_COOKIE_AGE * 1000))


def as_of(stored: Stored, now_ms: int) -> Stored:
    """Return what a store holds as of now: a tombstone that is past its time is nothing any more."""
    if isinstance(stored, Tombstone) and now_ms >= kept_until_ms(stored.ended_ms):
        return None
    return None if stored is None else stored._replace(now_ms=now_ms)


def already_created(current: Stored, verifier: str, now_ms: int) -> Loaded | None:
    """Return the session that a repeated ``create`` finds in place, or None when the sid is free.

    Raises ``CreateError`` if the sid is taken.
    """
    if current is None:
        return None
    if isinstance(current, Tombstone) or not _is_live(current, now_ms):
        raise CreateError("An ended session has this sid.")
    if not compare_digest(current.record.verifier, verifier):
        raise CreateError("Another session has this sid.")
    return current


def has_moved(stored: Stored) -> bool:
    """Tell whether this is what a session left that moved elsewhere: where it comes back to, it gives way."""
    return isinstance(stored, Tombstone) and stored.reason == MOVED


def changed(current: Stored, verifier: str, delta: Delta, now_ms: int) -> Loaded:
    """Return the session that ``update`` makes of ``current``: that very object when its key is changed already.

    Raises as ``Store.update``.
    """
    if not isinstance(current, Loaded) or not _is_live(current, now_ms):
        raise UpdateError("No live session has this sid.")
    if delta.new_verifier is None:
        if not current.record.accepts(verifier, now_ms):
            raise UpdateError("The session has another verifier.")
    elif compare_digest(current.record.verifier, delta.new_verifier):
        return current
    elif not compare_digest(current.record.verifier, verifier):
        raise UpdateError("The session's key was replaced by another request.")
    if delta.user_id is not UNSET and current.record.user_id not in (None, delta.user_id):
        raise UpdateError("The session belongs to another user.")
    if differing := conflicts(current.values, delta.expected):
        raise ConflictError(differing)
    after = updated(current, delta, now_ms)
    if delta.new_verifier is None:
        return after
    return rotated(after, delta.new_verifier, delta.final, delta.user_id is not UNSET)


def may_end(current: Stored, ending: Ending, now_ms: int) -> SessionRecord | None:
    """Return the record of the session that ``end`` may end, or None."""
    if not isinstance(current, Loaded) or _is_live(current, now_ms) is (ending.reason is None):
        return None
    if ending.version not in (None, current.record.version):
        return None
    accepted = ending.verifier is None or current.record.accepts(ending.verifier, now_ms)
    return current.record if accepted and not conflicts(current.values, ending.expected or {}) else None


def tombstone(record: SessionRecord, ending: Ending, now_ms: int) -> Tombstone:
    """Make what the session leaves when it is ended."""
    verifiers = (record.verifier,) if record.previous_verifier is None else (record.verifier, record.previous_verifier)
    reason = ending.reason or record.expiry_reason
    return Tombstone(record.sid, verifiers, reason, ending.by, ended_ms=now_ms, now_ms=now_ms, user_id=record.user_id)


def to_end(
    sid: str, live: Sequence[str], admitted: Collection[str], leaving: Collection[str], limit: int, policy: str
) -> list[str]:
    """Return the sids that admitting ``sid`` costs, of the user's ``live`` ones, newest activity first.

    ``leaving`` are those that another caller was given: they are on their way out and do not count, nor does ``sid`` if
    it is one of them, or has ended already. Under "refuse" only ``admitted`` ones count, else two logins that are
    under way would refuse each other.

    Raises ``LimitReachedError`` as ``Store.admit``.
    """
    if sid in admitted:
        return []
    others = [other for other in live if other != sid and other not in leaving]
    if policy == "refuse":
        if sum(other in admitted for other in others) >= limit:
            raise LimitReachedError(f"The user has {limit} sessions already.")
        return []
    takes_place = sid in live and sid not in leaving
    return others[max(limit - takes_place, 0) :]


class Admissions:
    """Remember of one user what ``admit`` has to: for stores that keep that in memory.

    ``admitted``: the sessions that have been counted. ``leaving``: those that a caller was given to end, since when.
    """

    __slots__ = ("admitted", "leaving")

    def __init__(self) -> None:
        self.admitted: set[str] = set()
        self.leaving: dict[str, int] = {}

    def admit(self, sid: str, live: Sequence[str], limit: int, policy: str, now_ms: int) -> list[str]:
        """Do as ``Store.admit``, of the user's ``live`` sessions, newest activity first; forget those that are not."""
        here = set(live)
        self.admitted &= here
        recently = {other: since for other, since in self.leaving.items() if now_ms - since < LEAVING_MS}
        self.leaving = {other: since for other, since in recently.items() if other in here}
        given = to_end(sid, live, self.admitted, self.leaving, limit, policy)
        self.admitted.difference_update(given)
        self.leaving.update(dict.fromkeys(given, now_ms))
        if sid in here and sid not in self.leaving:
            self.admitted.add(sid)
        return given


def _is_live(current: Loaded, now_ms: int) -> bool:
    return current.record.is_live(now_ms)


def hand_over(
    ended: Iterable[SessionRecord],
    batch_size: int,
    on_ended: Callable[[SessionRecord], object] | None,
    on_progress: Callable[[int], object] | None,
) -> int:
    """Hand each record, as it is ended, to ``on_ended``, and the total to ``on_progress`` after every batch; return it.

    ``ended`` is lazy: a callback that raises stops the ending too, and no ended record is lost.
    """
    total = 0
    for total, record in enumerate(ended, 1):
        if on_ended is not None:
            on_ended(record)
        if on_progress is not None and total % batch_size == 0:
            on_progress(total)
    if on_progress is not None and (total % batch_size or not total):
        on_progress(total)
    return total
