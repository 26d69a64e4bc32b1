"""How many sessions a user may have: ``Store.admit`` in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django_srvsession.backends.redis.clock import RedisClock
from django_srvsession.backends.redis.commands import evalsha, listed_record
from django_srvsession.backends.redis.format import is_tombstone
from django_srvsession.backends.redis.keys import Keys, decoded
from django_srvsession.backends.redis.record_reading import record_replies
from django_srvsession.backends.redis.scripts import ADMIT, ADMITTED_MARK, CONDEMNED_MARK, MARGIN_MS
from django_srvsession.backends.redis.transport import Transport
from django_srvsession.backends.redis.transport.replies import checked, checked_index
from django_srvsession.records import SessionRecord
from django_srvsession.store import LimitReachedError

_MARKS: Final = (ADMITTED_MARK, CONDEMNED_MARK)


class Limit:
    """Keep to a limit, among the users of one tenant."""

    def __init__(self, keys: Keys, clock: RedisClock) -> None:
        self._keys = keys
        self._clock = clock

    async def admit(self, to: Transport, user_id: str, sid: str, limit: int, policy: str) -> Sequence[str]:
        """Look at the user's sessions, then decide in one script on the user's index; returns as ``Store.admit``.

        What the look finds may be old when the script decides: it counts only what the index still holds, and who has
        been admitted since.
        """
        user_key = self._keys.user(user_id)
        reply, time = await to.call([("ZRANGE", user_key, 0, -1), ("TIME",)])
        now_ms = self._clock.learn_from_time(checked(time))
        sids = list({sid, *(_sid(decoded(member)) for member in checked_index(reply))})
        replies = await record_replies(to, [self._keys.session(known) for known in sids])
        arguments = _arguments(user_id, now_ms, dict(zip(sids, replies, strict=True)))
        (reply,) = await to.call([evalsha(ADMIT, [user_key], sid, limit, policy, *arguments)])
        status, told_ms, *ending = checked_index(reply)
        self._clock.learn(told_ms)
        if status == b"limit":
            raise LimitReachedError("The user has as many sessions as allowed.")
        return [decoded(given) for given in ending[0]]


def _sid(member: str) -> str:
    return member[len(ADMITTED_MARK) :] if member.startswith(_MARKS) else member


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
