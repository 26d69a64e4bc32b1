"""The ASGI middleware: it finds the connections that stand for a session, and has them watched."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http.cookie import parse_cookie

from django_srvsession import conf
from django_srvsession.engine.cookies import values_of
from django_srvsession.engine.keys import SessionKey, key_of
from django_srvsession.live.connections import Connection, HTTPAnswer, Message, Receive, Send, WebSocket
from django_srvsession.live.watching import watcher

Application = Callable[[Message, Receive, Send], Awaitable[None]]
OnEnd = Callable[[Message, str], Any]

_CONNECTION: Final = "srvsession.live"
_KINDS: Final[dict[str, type[Connection]]] = {"http": HTTPAnswer, "websocket": WebSocket}

log = logging.getLogger("django_srvsession")


class LiveSessions:
    """Close WebSockets and event streams whose session has ended, at most ``every`` seconds after its end.

    Wrap it around the whole ASGI application. A WebSocket is closed with code 4401 and the reason, an answer of type
    ``text/event-stream`` gets a last event, ``session-ended``. ``on_end(scope, reason)`` is called, and awaited if it
    is a coroutine function, after each. The application is told of a disconnect.

    A connection without a genuine key of a session is left alone; one with several ends with the first session that
    does. An outage of the store closes nothing.
    """

    def __init__(self, app: Application, *, every: float = 5, on_end: OnEnd | None = None) -> None:
        if every <= 0:
            raise ValueError(f"every is {every!r}; it must be a number of seconds above 0.")
        self.app = app
        self.every = every
        self.on_end = on_end

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        kind = _KINDS.get(scope["type"])
        keys = [] if kind is None else _keys_of(scope)
        if kind is None or not keys:
            await self.app(scope, receive, send)
            return
        connection = kind(keys, watcher(self.every), receive, send, functools.partial(self._tell, scope))
        if isinstance(connection, WebSocket):
            connection.begin()
        try:
            await self.app({**scope, _CONNECTION: connection}, connection.receive, connection.send)
        finally:
            await connection.finish()

    async def _tell(self, scope: Message, reason: str) -> None:
        if self.on_end is None:
            return
        try:
            done = self.on_end(scope, reason)
            if inspect.isawaitable(done):
                await done
        except Exception:  # The site's own code; the connection is closed already.
            log.exception("What is called after a live connection ended has failed.")


def leave_alone(scope: Message) -> None:
    """Let this connection go on, whatever becomes of its session."""
    connection = scope.get(_CONNECTION)
    if isinstance(connection, Connection):
        connection.leave_alone()


def unguarded(view_or_app: Any) -> Any:
    """Let the streams of a view, or the connections of an ASGI application, go on after their sessions have ended.

    For what everybody may see. Decorates a view, sync or async, or what a Channels consumer's ``as_asgi()`` returns.
    """

    def settle(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        first = args[0] if args else kwargs.get("scope", kwargs.get("request"))
        scope = first if isinstance(first, dict) else getattr(first, "scope", None)
        if scope is not None:
            leave_alone(scope)

    @functools.wraps(view_or_app)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        settle(args, kwargs)
        return view_or_app(*args, **kwargs)

    return markcoroutinefunction(wrapper) if iscoroutinefunction(view_or_app) else wrapper


def _keys_of(scope: Message) -> list[SessionKey]:
    """Return the genuine keys by which some reader may find this connection's session; no I/O, and few at most.

    The session middleware takes the one genuine key. Django's own parser takes other spellings, and the last cookie;
    Channels does so with the first header of cookies. All of them count: nobody is to choose one that is not watched.
    """
    header = None if conf.header is None else conf.header.lower().encode()
    sent = [value.decode("latin-1") for name, value in scope["headers"] if name == b"cookie"]
    tokens = [value.decode("latin-1").strip(" \t") for name, value in scope["headers"] if name == header]
    joined, name = "; ".join(sent), settings.SESSION_COOKIE_NAME
    exact = dict.fromkeys(values_of(joined, name))
    if len(exact) > 1:
        genuine = [text for text in exact if key_of(text) is not None]
        exact = dict.fromkeys(genuine if len(genuine) == 1 else ())
    # Nearly always there is one header, and one text in it.
    parsed = [parse_cookie(text).get(name) for text in dict.fromkeys((joined, *sent[:1]))]
    texts = dict.fromkeys([*exact, *parsed, *tokens[:1], *tokens[-1:]])
    return [key for key in map(key_of, texts) if key is not None]
