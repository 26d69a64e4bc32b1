"""Who sends a key in a way that only the application understands is watched, too."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from django_srvsession.backends.memory import SessionStore
from django_srvsession.engine.keys import SessionKey
from django_srvsession.live import LiveSessions

HEADER = "X-Session-Token"


def octal(text: str) -> str:
    """Spell a text as a quoted cookie, which Django reads, and others do not."""
    return '"' + "".join(f"\\{ord(letter):03o}" for letter in text) + '"'


def handshakes(key: str, other: str) -> dict[str, list[tuple[bytes, bytes]]]:
    """Return headers by which an application of Channels, or of the site's own, finds the session of ``key``."""
    return {
        "the last of two cookies": [(b"cookie", f"sessionid={other}; sessionid={key}".encode())],
        "the first of two cookie headers": [
            (b"cookie", f"sessionid={key}".encode()),
            (b"cookie", f"sessionid={other}".encode()),
        ],
        "a cookie beside a token": [(b"cookie", f"sessionid={key}".encode()), (b"x-session-token", other.encode())],
        "a token beside a cookie": [(b"cookie", f"sessionid={other}".encode()), (b"x-session-token", key.encode())],
        "a name with a blank of Unicode": [(b"cookie", f"\xa0sessionid={key}".encode("latin-1"))],
        "a quoted value": [(b"cookie", f"sessionid={octal(key)}".encode())],
    }


@pytest.mark.parametrize("how", handshakes("", ""))
def test_a_second_key_or_another_spelling_keeps_no_socket_open(settings: Any, how: str) -> None:
    settings.SESSION_ENGINE = "django_srvsession.backends.memory"
    settings.SRVSESSION_HEADER = HEADER
    session = SessionStore()
    session["name"] = "value"
    session.save()
    key = session.session_key
    assert key is not None

    async def end_it() -> list[Any]:
        sent: list[Any] = []
        is_open, is_over = asyncio.Event(), asyncio.Event()

        async def receive() -> Any:
            await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            is_open.set()
            sent.append(await receive())

        headers = handshakes(key, SessionKey.generate().text)[how]
        scope = {"type": "websocket", "path": "/", "headers": headers}
        serving = asyncio.create_task(LiveSessions(app, every=0.05)(scope, receive, send))
        serving.add_done_callback(lambda _: is_over.set())
        await is_open.wait()
        await SessionStore(key).adelete()
        try:
            async with asyncio.timeout(10):
                await is_over.wait()
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
        return sent

    assert {message["type"] for message in asyncio.run(end_it())} == {"websocket.close", "websocket.disconnect"}
