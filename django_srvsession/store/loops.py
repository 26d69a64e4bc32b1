"""What each long-lived event loop has of its own, and how it is closed with the loop: clients, pools of connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, Generic, TypeVar

from asgiref.sync import AsyncToSync

T = TypeVar("T")

Close = Callable[[], Coroutine[Any, Any, None]]


def loop_is_short_lived() -> bool:
    """Tell whether the running loop was made by ``async_to_sync`` for one call, as a WSGI server does per request."""
    # Not an API of asgiref's. Without it each such loop would open connections, and close them at its end.
    return asyncio.get_running_loop() in getattr(AsyncToSync, "loop_thread_executors", ())


class OfEachLoop(Generic[T]):
    """Make one thing for each long-lived event loop, when it is first asked for, and close it with the loop.

    ``make`` returns the thing and what closes it. It is called in the loop, and waits for nothing.
    """

    def __init__(self, make: Callable[[], tuple[T, Close]]) -> None:
        self._make = make
        self._made: dict[asyncio.AbstractEventLoop, tuple[T, AsyncGenerator[None, None]]] = {}

    async def get(self) -> T | None:
        """Return the running loop's own, or None when the loop has to go through a thread."""
        loop = asyncio.get_running_loop()
        known = self._made.get(loop)
        if known is not None:
            return known[0]
        if loop_is_short_lived():
            return None
        self._forget_closed()
        made, close = self._make()
        closing = _close_with_loop(close)
        self._made[loop] = made, closing
        await anext(closing)
        return made

    def _forget_closed(self) -> None:
        # Not a WeakKeyDictionary: connections refer to their loop, so that its entry would never go.
        for loop in [loop for loop in self._made if loop.is_closed()]:
            self._made.pop(loop, None)


async def _close_with_loop(close: Close) -> AsyncGenerator[None, None]:
    # asyncio.run() and its like close the generators that are still open before they close the loop; and a generator
    # that is collected, with the store that it belonged to, is closed by the loop that it was started in.
    try:
        yield
    finally:
        await close()
