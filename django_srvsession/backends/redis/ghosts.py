"""Entries of the lists of everybody that point nowhere: a few go whenever some sessions have been listed.

Redis drops a session by its TTL, and what lists it stays until somebody clears. Where nobody does, the lists would grow
for ever. So whoever lists sessions looks at twice as many entries, of one shard after the other, picked at random: of
what a long list holds, about half points nowhere at most. (The oldest entries will not do. They may all be of sessions
that live long, with others that have gone behind them.)
"""

from __future__ import annotations

import itertools
import random
from contextlib import suppress
from typing import Final

from django_srvsession.backends.redis.clock import RedisClock
from django_srvsession.backends.redis.commands import scored
from django_srvsession.backends.redis.keys import SHARDS, Keys
from django_srvsession.backends.redis.scripts import MARGIN_MS
from django_srvsession.backends.redis.transport import Transport
from django_srvsession.backends.redis.transport.replies import checked_index
from django_srvsession.store import StoreUnavailableError

_EVERY: Final = 32
_LOOKED_AT: Final = 2 * _EVERY


class Ghosts:
    """Count what is listed, and now and then look at some entries."""

    def __init__(self, clock: RedisClock) -> None:
        self._clock = clock
        self._listed = itertools.count(_first())

    async def note_listed(self, to: Transport, keys: Keys, kind: str) -> None:
        """Take note that a session was listed; every 32nd time in this process, look: three round trips."""
        turn, rest = divmod(next(self._listed), _EVERY)
        if rest == _EVERY - 1:
            with suppress(StoreUnavailableError):  # What was to be done is done.
                await self._look(to, keys, keys.live(kind, SHARDS[turn % len(SHARDS)]))

    async def _look(self, to: Transport, keys: Keys, live: str) -> None:
        (reply,) = await to.call([("ZRANDMEMBER", live, _LOOKED_AT, "WITHSCORES")])
        # One without a session may be a login under way.
        old = [sid for sid, score in scored(checked_index(reply)) if score < self._clock.now_ms - MARGIN_MS]
        replies = await to.call([("EXISTS", keys.session(sid)) for sid in old]) if old else []
        gone = [sid for sid, found in zip(old, replies, strict=True) if found == 0]
        if gone:
            await to.call([("ZREM", live, *gone)])


def _first() -> int:
    """Return where a process begins to count: at random, for one that soon makes way for another would never look."""
    return random.randrange(_EVERY * len(SHARDS))  # noqa: S311 - no secret
