"""How many sessions a user may have: one small document for each user, changed by compare-and-set."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from django_srvsession.backends.mongodb.format import check_user_id, new_nonce
from django_srvsession.backends.mongodb.pipelines import LIVE, NOW, literal
from django_srvsession.backends.mongodb.transport import SESSIONS, USERS, OvertakenError, Transport
from django_srvsession.store import StoreUnavailableError, rules

_TRIES: Final = 200
_LONGEST_PAUSE_S: Final = 0.05
_KEPT_MS: Final = 10 * rules.LEAVING_MS
"""How long a note stands after it was last needed: longer than a sign-in, and an end that was promised, take."""
_MOST: Final = 10_000


class _Live(NamedTuple):
    """Hold a user's live sessions, newest activity first, and those of them that signed in over a minute ago."""

    sids: list[str]
    settled: set[str]
    now_ms: int


async def admit(to: Transport, user_id: str, sid: str, limit: int, policy: str) -> Sequence[str]:
    """Do as ``Store.admit``: a look at the note, one at the sessions, and the note's next version.

    Who is overtaken looks again. A session that signed in more than a minute ago counts as admitted.
    """
    check_user_id(user_id)
    for attempt in range(_TRIES):
        noted = await to.aggregate(USERS, [{"$match": {"_id": user_id}}], 1)
        note: dict[str, Any] = noted[0] if noted else {"version": None, "admitted": [], "leaving": {}}
        live = await _live(to, user_id)
        leaving = {one: at for one, at in note["leaving"].items() if live.now_ms - at < rules.LEAVING_MS}
        admitted = live.settled.union(note["admitted"])
        out = rules.to_end(sid, live.sids, admitted, leaving, limit, policy)
        if not out and sid not in live.sids:
            return []
        if await _note(to, user_id, note["version"], _next(note, live, sid, leaving, out)):
            return out
        longest_s = min(0.002 * (attempt + 1), _LONGEST_PAUSE_S)
        await to.pause(random.uniform(0, longest_s))  # noqa: S311 - so as not to meet again.
    raise StoreUnavailableError("Too many sign-ins of one user at once.")


def _next(note: dict[str, Any], live: _Live, sid: str, leaving: dict[str, int], out: Sequence[str]) -> dict[str, Any]:
    """Return what is noted after this."""
    after = leaving | dict.fromkeys(out, live.now_ms)
    recent = [one for one in (*note["admitted"], sid) if one in live.sids and one not in live.settled]
    return {
        "version": new_nonce(),
        "admitted": sorted({one for one in recent if one not in after}),
        "leaving": {one: at for one, at in after.items() if one in live.sids},
    }


async def _live(to: Transport, user_id: str) -> _Live:
    order = {"$sort": {"seen": -1, "_id": -1}}
    found = await to.aggregate(
        SESSIONS,
        [{"$match": {"user_id": user_id, **LIVE}}, order, {"$project": {"signed_in": 1, "now": NOW}}],
        _MOST,
    )
    now_ms = int(found[0]["now"]) if found else 0
    settled = {one["_id"] for one in found if now_ms - (one.get("signed_in") or 0) > rules.LEAVING_MS}
    return _Live([one["_id"] for one in found], settled, now_ms)


async def _note(to: Transport, user_id: str, version: bytes | None, note: dict[str, Any]) -> bool:
    """Write the next version of a note, where this one still stands; tell whether it was written."""
    gone = {"$add": ["$$NOW", _KEPT_MS]}
    pipeline = [{"$set": {**{name: literal(value) for name, value in note.items()}, "gone": gone}}]
    try:
        return await to.change_one(USERS, {"_id": user_id, "version": version}, pipeline, upsert=version is None)
    except OvertakenError:
        return False
