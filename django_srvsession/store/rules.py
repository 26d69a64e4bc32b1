"""What each verb does to a session at hand: for stores that read, change and write a session whole, under a lock.

Nothing here does I/O. ``current`` is what the store read under the lock that it writes under.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from hmac import compare_digest
from typing import Final

from django_srvsession.records import (
    UNSET,
    Delta,
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


def changed(current: Stored, verifier: str, delta: Delta, now_ms: int) -> Loaded:
    """Return the session that ``update`` makes of ``current``; raises as ``Store.update``."""
    if not (isinstance(current, Loaded) and _is_live(current, now_ms) and current.record.accepts(verifier, now_ms)):
        raise UpdateError("No live session has this sid and verifier.")
    if delta.user_id is not UNSET and current.record.user_id not in (None, delta.user_id):
        raise UpdateError("The session belongs to another user.")
    if differing := conflicts(current.values, delta.expected):
        raise ConflictError(differing)
    return updated(current, delta, now_ms)


def turned(current: Stored, verifier: str, new_verifier: str, delta: Delta, final: bool, now_ms: int) -> Loaded:
    """Return the session that ``rotate`` makes of ``current``: that very object when it is rotated already.

    Raises as ``Store.rotate``.
    """
    if isinstance(current, Loaded) and _is_live(current, now_ms):
        if compare_digest(current.record.verifier, new_verifier):
            return current
        if not compare_digest(current.record.verifier, verifier):
            raise UpdateError("The session's key was replaced by another request.")
    return rotated(changed(current, verifier, delta, now_ms), new_verifier, final, delta.user_id is not UNSET)


def may_end(
    current: Stored, verifier: str | None, expected: Mapping[str, bytes | None] | None, now_ms: int
) -> SessionRecord | None:
    """Return the record of the live session that ``end`` may end, or None."""
    if not isinstance(current, Loaded) or not _is_live(current, now_ms):
        return None
    accepted = verifier is None or current.record.accepts(verifier, now_ms)
    return current.record if accepted and not conflicts(current.values, expected or {}) else None


def may_expire(current: Stored, now_ms: int) -> SessionRecord | None:
    """Return the record of the session that ``expire`` may end, or None."""
    return current.record if isinstance(current, Loaded) and not _is_live(current, now_ms) else None


def tombstone(record: SessionRecord, reason: str, by: str | None, now_ms: int) -> Tombstone:
    """Make what the session leaves when it is ended."""
    verifiers = (record.verifier,) if record.previous_verifier is None else (record.verifier, record.previous_verifier)
    return Tombstone(record.sid, verifiers, reason, by, ended_ms=now_ms, now_ms=now_ms, user_id=record.user_id)


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
