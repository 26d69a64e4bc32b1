"""Many WebSockets of one browser, each with the session of its scope, as Channels gives it.

Reported: what one consumer has kept is gone when another one saves, "self.scope['session'] doesn't save the data", data
"randomly" back at an older state; and sockets that stay open go on saving a session that its person has signed out of.
Each socket has loaded the session when it was opened, maybe hours ago, and Django's engine saves all of that. Right is:
each socket's values are kept, however many save at once, also of tasks that share one scope; after a sign-out each save
says that the session is gone (``UpdateError``), and nothing brings it back; a new key is no reason to lose anything.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.conf import settings as site_settings
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.base import UpdateError
from django.db import connections

from django_srvsession import services
from tests.engine.pages import Browser, login, make_user, put, read
from tests.patience import patient
from tests.reports.stores import on_stores

channels_auth = pytest.importorskip("channels.auth")

SOCKETS = 20
everywhere = on_stores("sqlite", "redis")


async def consumer(scope: Any, receive: Any, send: Any) -> None:
    """Do what each message asks for, and say what came of it."""
    session = scope["session"]

    async def put(name: str, value: Any) -> None:
        await session.aset(name, value)
        await session.asave()

    async def share(name: str, value: Any) -> None:
        """Save from many tasks of one scope at once."""
        await asyncio.gather(*(put(f"{name}{number}", value) for number in range(SOCKETS)))

    async def count(name: str, value: int) -> None:
        await session.aincr(name, value)

    async def log_out(name: str, value: Any) -> None:
        await channels_auth.logout(scope)

    acts: dict[str, Callable[..., Awaitable[None]]] = {"put": put, "share": share, "count": count, "log_out": log_out}
    await receive()
    await session.aget("load")
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        act, *arguments = json.loads(message["text"])
        try:
            await acts[act](*arguments)
        except UpdateError:
            await send({"type": "websocket.send", "text": "gone"})
        else:
            await send({"type": "websocket.send", "text": "done"})


class Sockets:
    """Some sockets of one browser."""

    def __init__(self, browser: Browser, count: int = SOCKETS) -> None:
        headers = [(b"cookie", f"{site_settings.SESSION_COOKIE_NAME}={browser.cookie}".encode())]
        scope = {"type": "websocket", "path": "/ws/", "headers": headers, "client": ("127.0.0.1", 1)}
        app = channels_auth.AuthMiddlewareStack(consumer)
        self.opened = [ApplicationCommunicator(app, dict(scope)) for _ in range(count)]

    async def __aenter__(self) -> Sockets:
        await asyncio.gather(*(self._open(one) for one in self.opened))
        return self

    async def _open(self, one: Any) -> None:
        await one.send_input({"type": "websocket.connect"})
        assert (await one.receive_output(patient(20)))["type"] == "websocket.accept"

    async def __aexit__(self, *exc_info: object) -> None:
        for one in self.opened:
            await one.send_input({"type": "websocket.disconnect", "code": 1000})
            await one.wait(patient(20))

    async def ask(self, number: int, *words: Any) -> str:
        """Send a message on one socket, and return what it says."""
        one = self.opened[number]
        await one.send_input({"type": "websocket.receive", "text": json.dumps(words)})
        return str((await one.receive_output(patient(20)))["text"])

    async def ask_all(self, act: str, name: str, value: Any, but: int | None = None) -> set[str]:
        """Send a message on each socket at once, with a name of its own if the name ends with a dot."""
        names = {n: f"{name}{n}" if name.endswith(".") else name for n in range(len(self.opened)) if n != but}
        return set(await asyncio.gather(*(self.ask(n, act, names[n], value) for n in names)))


def in_loop(work: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine in an event loop, and close what its threads opened."""

    async def run() -> None:
        await work()

    async_to_sync(run)()
    connections.close_all()


@pytest.fixture
def browser(every_store: str) -> Browser:
    """A browser in which ann is signed in."""
    browser = Browser()
    browser.visit(login(make_user()))
    browser.visit(put(basket=["tea"]))
    return browser


@everywhere
def test_what_each_of_many_sockets_saves_is_kept(browser: Browser) -> None:
    async def work() -> None:
        async with Sockets(browser) as sockets:
            for turn in range(2):
                assert await sockets.ask_all("put", "value.", turn) == {"done"}
                assert await sockets.ask_all("count", "count", 1) == {"done"}

    in_loop(work)
    shown = browser.show(read)
    assert [shown.get(f"value.{number}") for number in range(SOCKETS)] == [1] * SOCKETS
    assert (shown["count"], shown["basket"]) == (2 * SOCKETS, ["tea"])


@everywhere
def test_what_tasks_of_one_scope_save_at_once_is_kept_beside_what_other_sockets_save(browser: Browser) -> None:
    async def work() -> None:
        async with Sockets(browser, 3) as sockets:
            assert await sockets.ask_all("share", "shared.", "x") == {"done"}

    in_loop(work)
    shown = browser.show(read)
    assert sum(name.startswith("shared.") for name in shown) == 3 * SOCKETS


@everywhere
def test_after_one_socket_has_signed_out_every_other_says_that_the_session_is_gone_and_nothing_brings_it_back(
    browser: Browser,
) -> None:
    async def work() -> None:
        async with Sockets(browser) as sockets:
            assert await sockets.ask_all("put", "value.", 1) == {"done"}
            assert await sockets.ask(7, "log_out", "", "") == "done"
            for act in ("put", "count", "put"):
                assert await sockets.ask_all(act, "late", 1, but=7) == {"gone"}

    in_loop(work)
    assert browser.user() == ""
    assert browser.show(read) == {}
    assert len(list(services.live_sessions())) == 0


@everywhere
def test_a_sign_out_among_many_saves_ends_the_session_whatever_comes_first(browser: Browser) -> None:
    async def work() -> None:
        async with Sockets(browser) as sockets:
            said = await asyncio.gather(
                sockets.ask_all("put", "value.", 1, but=0), sockets.ask(0, "log_out", "", ""), return_exceptions=True
            )
            assert said[0] <= {"done", "gone"}  # type: ignore[operator]
            assert said[1] == "done"

    in_loop(work)
    assert browser.user() == ""
    assert len(list(services.live_sessions())) == 0


@everywhere
def test_sockets_from_before_a_new_sign_in_save_nothing_and_new_ones_find_all_that_was_kept(browser: Browser) -> None:
    async def before() -> None:
        async with Sockets(browser, 5) as sockets:
            assert await sockets.ask_all("put", "value.", 1) == {"done"}
            await sync_to_async(browser.visit)(login(await get_user_model().objects.aget()))
            assert await sockets.ask_all("put", "value.", 2) == {"gone"}

    async def after() -> None:
        async with Sockets(browser, 1) as sockets:
            assert await sockets.ask(0, "put", "value.new", 3) == "done"

    in_loop(before)
    in_loop(after)
    shown = browser.show(read)
    assert [shown[f"value.{number}"] for number in (*range(5), "new")] == [1] * 5 + [3]
    assert browser.user() == "ann"


def test_stock_django_keeps_what_one_of_many_sockets_has_saved(stock: Any, transactional_db: None) -> None:
    stock("db")
    browser = Browser()
    browser.visit(login(make_user()))

    async def work() -> None:
        async with Sockets(browser) as sockets:
            assert await sockets.ask_all("put", "value.", 1) == {"done"}

    in_loop(work)
    assert sum(name.startswith("value.") for name in browser.show(read)) == 1
