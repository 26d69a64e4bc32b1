"""One connection as the application sees it: it is told of a disconnect when the session ends, and sends no more.

The server hears that first: for a WebSocket a close with a code and the reason, for an event stream a last event.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

from django_srvsession.engine.keys import SessionKey
from django_srvsession.live.watching import Watch, Watcher

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

ENDED_CODE: Final = 4401
"""With which code a WebSocket is closed whose session has ended."""


def last_event(reason: str) -> str:
    """Return the last event of a stream whose session has ended; the blank lines end what is half written."""
    return f"\n\nevent: session-ended\ndata: {json.dumps({'reason': reason})}\n\n"


class Connection(ABC):
    """Stand between a server and an application, for one connection that has a session's key, or several.

    ``receive`` and ``send`` are for the application. ``on_closed`` is called with the reason once the server was told.
    """

    def __init__(
        self,
        keys: Iterable[SessionKey],
        watcher: Watcher,
        receive: Receive,
        send: Send,
        on_closed: Callable[[str], Awaitable[None]],
    ) -> None:
        self._watches = [Watch(key, self._end) for key in keys]
        self._watcher = watcher
        self._receive = receive
        self._send = send
        self._on_closed = on_closed
        self._reason: str | None = None
        self._is_unguarded = False
        self._receivers: set[asyncio.Task[Any]] = set()
        self._sending = asyncio.Lock()
        self._closing: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Watch the session from now on, unless the connection is to be left alone."""
        if not self._is_unguarded:
            for watch in self._watches:
                self._watcher.add(watch)

    def leave_alone(self) -> None:
        """Let the connection go on, whatever becomes of the session."""
        self._is_unguarded = True
        self._stop_watching()

    async def finish(self) -> None:
        """Watch no more, and let the server be told what it is being told."""
        self._stop_watching()
        if self._closing is not None:
            await self._closing

    def _stop_watching(self) -> None:
        for watch in self._watches:
            self._watcher.remove(watch)

    def _end(self, reason: str) -> None:
        if self._reason is not None:
            return  # Another of its sessions has ended before.
        self._reason = reason
        self._closing = asyncio.get_running_loop().create_task(self._close(reason))
        for task in self._receivers:
            task.cancel()  # `receive` makes a disconnect of it.

    async def _close(self, reason: str) -> None:
        try:
            async with self._sending:
                was_open = await self._tell_server(reason)
        except (OSError, RuntimeError):  # What servers raise where the client has gone meanwhile.
            was_open = False
        if was_open:
            await self._on_closed(reason)

    @abstractmethod
    async def _tell_server(self, reason: str) -> bool:
        """End the connection; return whether there was something to end."""

    @abstractmethod
    def _disconnect(self, reason: str) -> Message:
        """Return what tells the application."""

    async def receive(self) -> Message:
        """Return what the server has for the application, or that it is disconnected."""
        if self._reason is not None:
            return self._disconnect(self._reason)
        task = asyncio.current_task()
        if task is None:
            return await self._receive()
        cancelled_before = task.cancelling()
        self._receivers.add(task)
        try:
            return await self._receive()
        except asyncio.CancelledError:
            # As `asyncio.timeout` does: only our own cancelling is taken back.
            if self._reason is None or task.uncancel() > cancelled_before:
                raise
            return self._disconnect(self._reason)
        finally:
            self._receivers.discard(task)

    async def send(self, message: Message) -> None:
        """Pass on what the application says, as long as it may say something."""
        async with self._sending:
            if self._reason is None:
                self._note(message)
                await self._send(message)

    @abstractmethod
    def _note(self, message: Message) -> None:
        """Take note of what the application is about to send."""


class WebSocket(Connection):
    """Close with :data:`ENDED_CODE` and the reason."""

    _is_closed = False

    async def _tell_server(self, reason: str) -> bool:
        if self._is_closed:
            return False
        await self._send({"type": "websocket.close", "code": ENDED_CODE, "reason": reason})
        return True

    def _disconnect(self, reason: str) -> Message:
        return {"type": "websocket.disconnect", "code": ENDED_CODE, "reason": reason}

    def _note(self, message: Message) -> None:
        if message["type"] == "websocket.close":
            self._is_closed = True


class HTTPAnswer(Connection):
    """Watch an answer that is an event stream, and end it with a last event; let all others pass."""

    _is_complete = False
    _is_encoded = False

    async def _tell_server(self, reason: str) -> bool:
        if self._is_complete:
            return False
        # In a compressed stream nothing can be said any more.
        body = b"" if self._is_encoded else last_event(reason).encode()
        await self._send({"type": "http.response.body", "body": body, "more_body": False})
        return True

    def _disconnect(self, reason: str) -> Message:
        return {"type": "http.disconnect"}

    def _note(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = {name.lower(): value for name, value in message.get("headers", ())}
            self._is_encoded = b"content-encoding" in headers
            if headers.get(b"content-type", b"").lower().startswith(b"text/event-stream"):
                self.begin()
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            self._is_complete = True
