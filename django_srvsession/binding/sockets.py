"""WebSockets of a site that binds sessions: no middleware sees them, so what serves them is wrapped in this."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from importlib import import_module
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest
from django.http.cookie import parse_cookie

from django_srvsession import conf
from django_srvsession.binding.guarding import DeviceGuard, end
from django_srvsession.clients import header
from django_srvsession.engine import SessionStore, cookies
from django_srvsession.engine.knowledge import NotNowError
from django_srvsession.records import SessionRecord
from django_srvsession.store import StoreUnavailableError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

TRY_AGAIN_LATER: Final = 1013
"""The code of a socket that cannot be judged now (RFC 6455, as IANA lists it); a server says 403 in its place."""


class BoundSockets:
    """Let an ASGI application see the session's cookie of a WebSocket only where the request may use the session.

    So it is with the key in the header that ``SRVSESSION_HEADER`` names. Else the application sees a request without
    either, and nobody is signed in. Where the store does not answer, or the browser
    could not renew, the socket is closed before it is accepted. All that is no WebSocket passes.
    """

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a connection."""
        if scope["type"] != "websocket" or conf.bind is None:
            await self.app(scope, receive, send)
            return
        request = _request_of(scope)
        try:
            headers = _with_cookie(scope["headers"], await _cookie_that_may_pass(request))
            if not await _header_may_pass(request):
                headers = _without_header(headers)
        except StoreUnavailableError:
            await receive()
            await send({"type": "websocket.close", "code": TRY_AGAIN_LATER})
            return
        await self.app({**scope, "headers": headers}, receive, send)


async def _cookie_that_may_pass(request: HttpRequest) -> str | None:
    """Return the session's key in the cookie of a handshake, if that may use the session."""
    if not cookies.settle(request):
        return None
    return await _key_that_may_pass(request, request.COOKIES.get(settings.SESSION_COOKIE_NAME))


async def _header_may_pass(request: HttpRequest) -> bool:
    """Tell whether the application may see the header for keys, which an app may send in the cookie's place.

    Several of them are one text here, with a comma: the key of nobody.
    """
    if not header.is_used(request):
        return True
    key = header.key_text_of(request)
    return key is None or await _key_that_may_pass(request, key) is not None


async def _key_that_may_pass(request: HttpRequest, key: str | None) -> str | None:
    """Return a key if the handshake may use its session, or where there is nothing to ask for."""
    engine = import_module(settings.SESSION_ENGINE).SessionStore
    if not issubclass(engine, SessionStore):
        return key
    session, guard = engine(key), DeviceGuard(request)
    session.note_guard(guard)
    try:
        await session.aload()
    except NotNowError:
        if guard.violated is not None:
            await _tell(request, guard.violated)
        raise
    await end(session.store().face(), guard)
    if guard.violated is not None:
        await _tell(request, guard.violated)
    return key if session.is_live else None


async def _tell(request: HttpRequest, record: SessionRecord) -> None:
    from django_srvsession.binding import violations  # Only while the apps are ready: asgi.py imports us before.

    await violations.atell(request, record)


def _request_of(scope: Scope) -> HttpRequest:
    """Return what is known of a handshake, as a request to a page would bring it."""
    request = HttpRequest()
    request.method, request.path = "GET", scope["path"]
    joined: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        joined.setdefault(name.decode("latin-1").upper().replace("-", "_"), []).append(value.decode("latin-1"))
    request.META = {f"HTTP_{name}": ("; " if name == "COOKIE" else ",").join(values) for name, values in joined.items()}
    request.META["REMOTE_ADDR"] = (scope.get("client") or ("",))[0]
    request.COOKIES = parse_cookie(request.META.get("HTTP_COOKIE", ""))
    return request


def _with_cookie(headers: Headers, key: str | None) -> list[tuple[bytes, bytes]]:
    """Return the headers with this session's cookie and no other that anybody could take for it."""
    kept = [(name, value) for name, value in headers if name.lower() != b"cookie"]
    sent = [value for name, value in headers if name.lower() == b"cookie"]
    pairs = [pair.strip(b" ") for value in sent for pair in value.split(b";")]
    pairs = [pair for pair in pairs if pair and not _looks_like_session(pair)]
    if key is not None:
        pairs.append(f"{settings.SESSION_COOKIE_NAME}={key}".encode("latin-1", "replace"))
    return [*kept, (b"cookie", b"; ".join(pairs))] if pairs else kept


def _without_header(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return the headers without the one for keys, in whichever way its name is spelt."""
    name = header.meta_name(conf.header or "")
    return [(one, value) for one, value in headers if header.meta_name(one.decode("latin-1")) != name]


def _looks_like_session(pair: bytes) -> bool:
    """Tell whether some parser reads the session's name: they strip blanks of all kinds, in some encoding."""
    name = bytes(letter for letter in pair.partition(b"=")[0] if 0x21 <= letter <= 0x7E)
    return name == str(settings.SESSION_COOKIE_NAME).encode()
