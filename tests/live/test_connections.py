"""One connection, its session and its client: whichever goes first, nothing fails."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from django_srvsession.engine import current_store
from django_srvsession.engine.keys import SessionKey
from django_srvsession.live import LiveSessions
from django_srvsession.records import Ending
from django_srvsession.testing.sessions import new_delta
from tests.memory import memory_store_fixture

__all__ = ["memory_store_fixture"]

pytestmark = pytest.mark.usefixtures("store")


def scope_of(key: SessionKey) -> dict[str, Any]:
    return {"type": "websocket", "path": "/", "headers": [(b"cookie", f"sessionid={key.text}".encode())]}


def new_session() -> SessionKey:
    key = SessionKey.generate()
    current_store().create(key.sid, key.verifier, new_delta())
    return key


def test_a_client_that_hangs_up_while_its_session_ends_is_no_error() -> None:
    key, told, messages = new_session(), [], asyncio.Queue()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        told.append((await receive())["code"])

    async def send(message: Any) -> None:
        if message["type"] == "websocket.close":
            raise OSError("The client has gone.")

    async def story() -> None:
        serving = asyncio.create_task(LiveSessions(app, every=0.01)(scope_of(key), messages.get, send))
        await asyncio.sleep(0.05)
        current_store().end(key.sid, Ending("revoked"))
        await serving

    asyncio.run(story())
    assert told == [4401]


def test_a_store_that_cannot_be_asked_is_logged_once(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    key, asked, messages = new_session(), [], asyncio.Queue()

    def fail(sids: Any) -> Any:
        asked.append(sids)
        raise ValueError("for the test")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()

    async def story() -> None:
        serving = asyncio.create_task(LiveSessions(app, every=0.01)(scope_of(key), messages.get, messages.put))
        while len(asked) < 3:
            await asyncio.sleep(0.01)
        await messages.put({"type": "websocket.disconnect", "code": 1001})
        await serving

    monkeypatch.setattr(current_store(), "alive", fail, raising=False)
    with caplog.at_level(logging.ERROR, "django_srvsession"):
        asyncio.run(story())
    assert [record.message for record in caplog.records] == ["Live connections could not be checked."]
