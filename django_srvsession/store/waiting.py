"""How long the store may be waited for, where that is less than what the site has set.

Stores read the limit where they wait: for a lock, for a server. It holds for the code that set it, and for the threads
and tasks that this code waits for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_seconds: ContextVar[float | None] = ContextVar("srvsession_waiting", default=None)


def limit() -> float | None:
    """Return the limit in seconds, or None: as the site has set it."""
    return _seconds.get()


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Let stores wait for so many seconds at most for what is done in the block."""
    before = _seconds.get()
    _seconds.set(seconds)
    try:
        yield
    finally:
        _seconds.set(before)
