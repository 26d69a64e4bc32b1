"""A view's own stream, which ends with its session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from typing import Any, Final, TypeVar

from django.http import HttpRequest

from django_srvsession.engine.keys import key_of
from django_srvsession.live.asgi import leave_alone
from django_srvsession.live.connections import last_event
from django_srvsession.live.watching import Watch, watcher

T = TypeVar("T")

_OVER: Final = object()


async def guard(
    request: HttpRequest, stream: AsyncIterable[T], *, every: float = 5, last: Callable[[str], Any] = last_event
) -> AsyncGenerator[T, None]:
    """Yield what ``stream`` yields, and end it at most ``every`` seconds after the request's session has ended.

    Then the stream is closed, and the last that is yielded is ``last(reason)``: an event ``session-ended``, or what
    suits another kind of stream (None: nothing). Works with and without ``LiveSessions``, which leaves this one alone.
    """
    leave_alone(getattr(request, "scope", {}))
    key = key_of(request.session.session_key)
    events: asyncio.Queue[Any] = asyncio.Queue()
    asked = asyncio.Semaphore(0)
    reasons: list[str] = []

    async def pump() -> None:
        # In one task, from the first event to the last: a generator may hold a time-out open across its events.
        try:
            async for event in stream:
                events.put_nowait(event)
                await asked.acquire()
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()
            events.put_nowait(_OVER)

    def end(reason: str) -> None:
        reasons.append(reason)
        events.put_nowait(_OVER)

    pumping, looking = asyncio.create_task(pump()), watcher(every)
    watch = None if key is None else Watch(key, end)
    try:
        if watch is not None:
            looking.add(watch)
        while (event := await events.get()) is not _OVER and not reasons:
            yield event
            asked.release()
        if not reasons:
            await pumping  # It raises what the stream has raised.
    finally:
        if watch is not None:
            looking.remove(watch)
        pumping.cancel()
        await asyncio.gather(pumping, return_exceptions=True)
    if reasons and (event := last(reasons[0])) is not None:
        yield event
