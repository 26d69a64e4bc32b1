"""The example project as an ASGI application, with a WebSocket at ``/ws/`` that says who is signed in."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http.cookie import parse_cookie

from django_srvsession.binding.sockets import BoundSockets

pages = get_asgi_application()


async def say_who(scope: Any, receive: Any, send: Any) -> None:
    """Accept a socket, and look at its session's cookie as code that serves sockets does."""
    header = b"; ".join(value for name, value in scope["headers"] if name == b"cookie").decode("latin-1")
    session = import_module(settings.SESSION_ENGINE).SessionStore(parse_cookie(header).get("sessionid"))
    user_id = await session.aget("_auth_user_id")
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": f"user {user_id}"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


sockets = BoundSockets(say_who)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Serve pages and sockets."""
    await (sockets if scope["type"] == "websocket" else pages)(scope, receive, send)
