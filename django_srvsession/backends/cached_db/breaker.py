"""When Redis is asked at all, and which copies are believed after it was not."""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

RETRY_S: Final = 1.0
"""How long Redis is left alone after a failure, in seconds; then one request tries it."""
MARGIN_MS: Final = 500
"""For less than so long, in milliseconds, the answer that Redis is well is on its way, and changes are not told."""

log = logging.getLogger("django_srvsession")


class Breaker:
    """Leave a Redis alone that has failed, and have one request at a time see whether it is back.

    While it is open all others go to the database at once, so that few requests wait for a server that hangs. After it
    was open no copy is believed that was taken before: sessions may have changed, or ended, that Redis was not told of.
    So whoever could not tell Redis of a change has nothing to remember. One for each store, shared by its threads.
    """

    def __init__(self) -> None:
        self.is_closed = True
        """Whether Redis is asked."""
        self.trusted_from_ms = 0
        """Since when, by Redis' clock, copies were taken that are believed."""
        self._try_from = 0.0
        self._lock = threading.Lock()

    def may_try(self) -> bool:
        """Tell whether the caller, and nobody else for a while, is to see whether Redis is back."""
        with self._lock:
            now = time.monotonic()
            if now < self._try_from:
                return False
            self._try_from = now + RETRY_S
            return True

    def note_failure(self) -> None:
        """Take note that Redis has failed."""
        with self._lock:
            was_closed, self.is_closed = self.is_closed, False
            self._try_from = time.monotonic() + RETRY_S
        if was_closed:
            log.warning("Redis does not do what it is asked: the database serves all sessions.")

    def note_recovery(self, now_ms: int) -> None:
        """Take note that Redis is well, and of its clock."""
        with self._lock:
            was_closed = self.is_closed
            if not was_closed:
                # First this: a change that Redis was not told of was made while the breaker was open.
                self.trusted_from_ms = now_ms + MARGIN_MS
                self.is_closed = True
        if not was_closed:
            log.warning("Redis does what it is asked again, and serves sessions.")
