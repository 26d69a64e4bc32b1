"""How many sessions a user may have: the steps of ``Store.admit`` in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django_srvsession.backends.redis.clock import RedisClock
from django_srvsession.backends.redis.codec import Command, evalsha, listed_record
from django_srvsession.backends.redis.format import is_tombstone
from django_srvsession.backends.redis.keys import KINDS, Keys, decoded
from django_srvsession.backends.redis.looks import look_at
from django_srvsession.backends.redis.scripts import ADMIT, MARGIN_MS
from django_srvsession.backends.redis.wire import Steps, checked, checked_index
from django_srvsession.records import SessionRecord
from django_srvsession.store import LimitReachedError

_MARKS = ("a:", "x:")


def admit_steps(keys: Keys, clock: RedisClock, user_id: str, sid: str, limit: int, policy: str) -> Steps[Sequence[str]]:
    """Look at the user's sessions, then decide in one script on the user's index; returns as ``Store.admit``.

    What the look finds may be old when the script decides: it counts only what the index still holds, and who has been
    admitted since.
    """
    user_key = keys.user(user_id)
    reply, time = yield [("ZRANGE", user_key, 0, -1), ("TIME",)]
    now_ms = clock.learn_from_time(checked(time))
    sids = list({sid, *(_sid(decoded(member)) for member in checked_index(reply))})
    replies = yield from look_at([keys.session(known) for known in sids])
    arguments = _arguments(user_id, now_ms, dict(zip(sids, replies, strict=True)))
    (reply,) = yield [evalsha(ADMIT, user_key, sid, limit, policy, *arguments)]
    status, told_ms, *ending = checked_index(reply)
    clock.learn(told_ms)
    if status == b"limit":
        raise LimitReachedError("The user has as many sessions as allowed.")
    return [decoded(given) for given in ending[0]]


def forget_commands(keys: Keys, sid: str, user_id: str | None) -> list[Command]:
    """Make the commands that take an ended session, and what is marked of it, out of every index."""
    listed: list[Command] = [("ZREM", keys.live_of(kind, sid), sid) for kind in KINDS]
    if user_id is None:
        return listed
    return [*listed, ("ZREM", keys.user(user_id), sid, *(mark + sid for mark in _MARKS))]


def _sid(member: str) -> str:
    return member[2:] if member.startswith(_MARKS) else member


def _arguments(user_id: str, now_ms: int, replies: dict[str, Any]) -> list[Any]:
    """Sort sessions into live and dead ones; what is neither (absent, not signed in yet) may be a login under way."""
    live: list[SessionRecord] = []
    dead: list[str] = []
    for sid, reply in replies.items():
        record = listed_record(sid, reply)
        if record is None:
            if is_tombstone(reply):
                dead.append(sid)
        elif not record.is_live(now_ms) or record.user_id not in (None, user_id):
            dead.append(sid)
        elif record.user_id == user_id:
            live.append(record)
    live.sort(key=lambda record: (record.last_seen_ms, record.sid))
    return [len(live), *(part for record in live for part in (record.sid, _counts_anyway(record, now_ms))), *dead]


def _counts_anyway(record: SessionRecord, now_ms: int) -> int:
    """Tell whether a session counts though it was not admitted: it signed in before there was a limit."""
    return int(record.signed_in_ms is None or now_ms - record.signed_in_ms > MARGIN_MS)
