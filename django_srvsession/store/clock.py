"""A server's clock as a client knows it without asking: learned from replies, in whole milliseconds since 1970 UTC."""

from __future__ import annotations

import time
from typing import Final

_TRUSTED_NS: Final = 60 * 1_000_000_000


class ServerClock:
    """Estimate a server's time from the local monotonic clock: never ahead, and behind by one reply's way at most.

    What lives and what has expired is *decided* by the server's own clock, in each write. Steps of the local wall clock
    do not matter. Shared by threads: a lost update costs a little precision.
    """

    def __init__(self) -> None:
        self._sample: tuple[int, int] | None = None

    def learn(self, server_ms: int) -> int:
        """Take note of a time that a reply has just told, and return it."""
        local_ns = time.monotonic_ns()
        offset_ns = server_ms * 1_000_000 - local_ns
        # Every offset is too small, by the time that its reply took: the greatest is the best, until it is old.
        if self._sample is None or offset_ns >= self._sample[0] or local_ns - self._sample[1] > _TRUSTED_NS:
            self._sample = offset_ns, local_ns
        return server_ms

    @property
    def needs_asking(self) -> bool:
        """Tell whether no reply has told the time within the last minute."""
        return self._sample is None or time.monotonic_ns() - self._sample[1] > _TRUSTED_NS

    @property
    def now_ms(self) -> int:
        """Return the time; 0 as long as no reply has told any."""
        return 0 if self._sample is None else (time.monotonic_ns() + self._sample[0]) // 1_000_000

    @property
    def score(self) -> float:
        """Return the time with microseconds, to put what happens within one millisecond in order."""
        return 0.0 if self._sample is None else (time.monotonic_ns() + self._sample[0]) // 1000 / 1000


class LocalClock(ServerClock):
    """Be the clock of a database in this very process."""

    needs_asking = False

    @property
    def now_ms(self) -> int:
        """Return the time."""
        return time.time_ns() // 1_000_000
