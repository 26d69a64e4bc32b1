"""Which server the Sentinels call the primary: asked in time, and by few.

By itself redis-py asks when it makes a connection. Where those that it has stay open, they may lead for ever to a
server that the Sentinels have given up: sessions that were ended at the new primary would open there.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any, Final

from redis.exceptions import RedisError

from django_srvsession.backends.redis.transport.redis_py import ask_sentinels

_ASK_EVERY_S: Final = 1.0
_ASKING_TAKES_S: Final = 10.0
_ASKING_COSTS: Final = 0.1
"""How much of the time the Sentinels are asked, at most: where they hang, few requests wait for them."""


class Sentinels:
    """Have a Sentinel's pool learn within a second that another server is the primary."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._next = 0.0
        self.address: tuple[str, int] | None = None
        """Where the primary is, by the last answer."""

    @property
    def is_due(self) -> bool:
        """Tell whether nobody has asked lately."""
        return time.monotonic() >= self._next

    def forget(self) -> None:
        """Have the next one ask: what is known may be wrong."""
        self._next = 0.0

    def ask_now_and_then(self) -> tuple[str, int] | None:
        """Ask who the primary is, if nobody has lately. While no Sentinel answers, what is known serves."""
        if self.is_due:
            with suppress(RedisError, OSError):
                self.ask()
        return self.address

    def ask(self) -> tuple[str, int]:
        """Ask who the primary is; where it is another, the pool closes what is idle. Raises what redis-py raises."""
        began = time.monotonic()
        self._next = began + _ASKING_TAKES_S  # Others do not wait for the answer.
        try:
            self.address = ask_sentinels(self._pool)
            return self.address
        finally:
            ended = time.monotonic()
            self._next = ended + max(_ASK_EVERY_S, (ended - began) / _ASKING_COSTS)
