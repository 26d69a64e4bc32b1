"""One at a time: what tasks and threads of one request do to their session object at once.

A session object remembers what it has loaded and which key it has. Two procedures that overlap (two first uses, two
saves, a save and a rotation) would overwrite what the other one has learnt. So each takes its turn. What only reads or
assigns values that are there already needs none.
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextvars import ContextVar
from typing import Final

_POLL_SECONDS: Final = 0.001
_PATIENCE_SECONDS: Final = 1
_PATIENCE_WITH_THREADS_SECONDS: Final = 30

_held: ContextVar[tuple[object, ...]] = ContextVar("srvsession_turns", default=())


class SessionBusyError(RuntimeError):
    """Report that a thread would have had to wait for a task that may be waiting for this very thread."""


class Turns:
    """Let one procedure run at a time, of all threads and tasks; what a procedure calls itself runs within its turn.

    Who was given a turn, by True, calls :meth:`end` at last. No context manager: every use of a session pays for this.
    """

    __slots__ = ("_is_held_by_task", "_lock", "_outer", "_turn")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_held_by_task = False
        self._outer: tuple[object, ...] = ()
        self._turn: object = None  # Of this turn alone: what began within it may still run when it is over.

    def begin(self) -> bool:
        """Wait for the turn, blocking the thread; False within a turn of the caller's own.

        Raises :class:`SessionBusyError` when a task of an event loop holds it for a second: the store of that task may
        need this thread.
        """
        held = _held.get()
        if self._turn is not None and self._turn in held:
            return False
        if not self._lock.acquire(False):
            self._wait()
        self._outer, self._turn = held, object()
        _held.set((*held, self._turn))
        return True

    async def abegin(self) -> bool:
        """Do as :meth:`begin`, leaving the event loop to others."""
        held = _held.get()
        if self._turn is not None and self._turn in held:
            return False
        while not self._lock.acquire(False):
            await asyncio.sleep(_POLL_SECONDS)
        self._is_held_by_task = True
        self._outer, self._turn = held, object()
        _held.set((*held, self._turn))
        return True

    def end(self) -> None:
        """Let the next one begin."""
        _held.set(self._outer)
        self._is_held_by_task, self._turn = False, None
        self._lock.release()

    def _wait(self) -> None:
        began = time.monotonic()
        while not self._lock.acquire(timeout=0 if _is_in_loop() else _POLL_SECONDS):
            patience = _PATIENCE_SECONDS if self._is_held_by_task else _PATIENCE_WITH_THREADS_SECONDS
            if _is_in_loop() or time.monotonic() - began > patience:
                raise SessionBusyError(
                    "Another task or thread of this request is using this session, and may be waiting for this one. "
                    "Await the task first, or give the thread the values that it needs."
                )


def _is_in_loop() -> bool:
    """Tell whether an event loop runs in this thread: to wait would keep it from all else."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
