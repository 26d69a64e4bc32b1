"""Tasks and threads of one request that use its session at once."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.http import HttpRequest

from django_srvsession import services
from django_srvsession.engine import SessionStore
from django_srvsession.engine.turns import SessionBusyError
from django_srvsession.signals import session_ended, session_started
from tests.engine.every_store import on_every_store
from tests.engine.pages import Browser, at_once, login, put, read
from tests.engine.watched import WatchedStore

NUMBERS = range(4)


@pytest.fixture
def asgi_browser() -> Browser:
    return Browser(asgi=True)


async def set_at_once(request: HttpRequest) -> None:
    await asyncio.gather(*[request.session.aset(f"k{number}", number) for number in NUMBERS])


ALL = {f"k{number}": number for number in NUMBERS}


@on_every_store
def test_tasks_that_first_use_the_session_at_once_lose_nothing(
    asgi_browser: Browser, engine: Any, store: WatchedStore, transactional_db: None
) -> None:
    asgi_browser.visit(put(a=1))
    verbs = [asked.verb for asked in store.since(lambda: asgi_browser.visit(set_at_once))]
    assert verbs == ["load", "update"]
    assert asgi_browser.show(read) == {"a": 1, **ALL}


def test_stock_django_loses_what_tasks_assign_that_first_use_the_session_at_once(
    asgi_browser: Browser, stock: Callable[..., None], transactional_db: None
) -> None:
    stock("db")
    asgi_browser.visit(put(a=1))
    asgi_browser.visit(set_at_once)
    assert ALL.items() - asgi_browser.show(read).items()


@on_every_store
def test_threads_that_first_use_the_session_at_once_lose_nothing(
    browser: Browser, engine: Any, store: WatchedStore, transactional_db: None
) -> None:
    def view(request: HttpRequest) -> None:
        together = threading.Barrier(len(NUMBERS))

        def use(number: int) -> None:
            together.wait(30)
            request.session[f"k{number}"] = number

        at_once([lambda number=number: use(number) for number in NUMBERS])  # type: ignore[misc]

    browser.visit(put(a=1))
    store.before = lambda verb: threading.Event().wait(0.02) if verb == "load" else None
    verbs = [asked.verb for asked in store.since(lambda: browser.visit(view))]
    assert verbs == ["load", "update"]
    assert browser.show(read) == {"a": 1, **ALL}


@on_every_store
def test_counters_that_start_a_session_at_once_start_one(
    asgi_browser: Browser, engine: Any, transactional_db: None
) -> None:
    async def count(request: HttpRequest) -> None:
        await asyncio.gather(*[request.session.aincr("count") for _ in NUMBERS])

    asgi_browser.visit(count)
    assert asgi_browser.show(read) == {"count": len(NUMBERS)}
    assert len(list(services.live_sessions())) == 1


def test_what_is_assigned_while_a_save_is_under_way_is_saved_too(
    asgi_browser: Browser, store: WatchedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def view(request: HttpRequest) -> None:
        session = request.session
        await session.aset("a", 2)
        await session.aset("list", [1])
        await session.aset("gone", 1)
        reached, go_on = asyncio.Event(), asyncio.Event()
        face = type(store.inner.face())
        real = face.update

        async def slow(*args: Any) -> Any:
            reached.set()
            await go_on.wait()
            return await real(*args)

        with monkeypatch.context() as patch:
            patch.setattr(face, "update", slow)
            saving = asyncio.create_task(session.asave())
            await reached.wait()
            await session.aset("b", 1)
            await session.aset("a", 3)
            (await session.aget("list")).append(2)
            await session.apop("gone")
            go_on.set()
            await saving

    asgi_browser.visit(put(a=1))
    asgi_browser.visit(view)
    assert asgi_browser.show(read) == {"a": 3, "b": 1, "list": [1, 2]}


@pytest.mark.parametrize(
    "names",
    [
        ("asave", "asave"),
        ("acycle_key", "acycle_key"),
        ("acycle_key", "asave"),
        ("asave", "acycle_key"),
        ("acreate", "acreate"),
        ("atouch", "asave"),
        ("areload", "acycle_key"),
    ],
)
def test_what_runs_twice_at_once_leaves_one_session_whose_key_the_browser_has(
    names: tuple[str, str], asgi_browser: Browser
) -> None:
    async def view(request: HttpRequest) -> None:
        await request.session.aset("a", 2)
        if names[0] == "areload":
            await request.session.asave()
        await asyncio.gather(*[getattr(request.session, name)() for name in names])

    asgi_browser.visit(put(a=1))
    assert asgi_browser.visit(view).status_code == 200
    assert asgi_browser.show(read) == {"a": 2}


@pytest.mark.parametrize("names", [("aflush", "aflush"), ("aflush", "acycle_key")])
def test_a_flush_among_others_ends_the_session(names: tuple[str, str], asgi_browser: Browser, ann: Any) -> None:
    async def view(request: HttpRequest) -> None:
        await request.session.aget("a")
        await asyncio.gather(*[getattr(request.session, name)() for name in names])

    asgi_browser.visit(login(ann))
    old = asgi_browser.copy()
    assert asgi_browser.visit(view).status_code == 200
    assert (asgi_browser.user(), old.user()) == ("", "")
    assert list(services.sessions_of(ann)) == []


@pytest.mark.parametrize("is_async", [False, True])
def test_a_receiver_may_use_the_session_that_it_hears_of(is_async: bool, either_browser: Browser, ann: Any) -> None:
    sessions: list[Any] = []
    seen: list[Any] = []

    def hear(**kwargs: Any) -> None:
        sessions[0].modified = True
        sessions[0].save()
        seen.append(dict(sessions[0].items()).keys())

    async def ahear(**kwargs: Any) -> None:
        await sessions[0].aset("heard", 1)
        await sessions[0].asave()
        seen.append(dict(await sessions[0].aitems()).keys())

    def view(request: HttpRequest) -> None:
        sessions.append(request.session)
        login(ann)(request)

    async def aview(request: HttpRequest) -> None:
        await sync_to_async(view)(request)

    receiver = ahear if is_async else hear
    session_started.connect(receiver)
    try:
        response = either_browser.visit(aview if is_async else view)
    finally:
        session_started.disconnect(receiver)
    assert response.status_code == 200
    assert "_auth_user_id" in seen[0]


def test_a_thread_that_would_wait_for_a_task_which_may_wait_for_it_is_told_so(
    store: WatchedStore, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = engine.SessionStore()
    session["a"] = 1
    session.save()

    async def use() -> str:
        mine = engine.SessionStore(session.session_key)
        reached = asyncio.Event()
        face = type(store.inner.face())
        real = face.load

        async def slow(*args: Any) -> Any:
            reached.set()
            await asyncio.sleep(0.1)
            await sync_to_async(lambda: None)()  # The thread that waits below is the one that this needs.
            return await real(*args)

        with monkeypatch.context() as patch:
            patch.setattr(face, "load", slow)
            first = asyncio.create_task(mine.aget("a"))
            await reached.wait()
            try:
                await sync_to_async(mine.get)("a")
            except SessionBusyError as error:
                assert await first == 1
                return str(error)
            return "not told"

    assert "Await the task" in asyncio.run(use())


def test_a_turn_that_was_cancelled_is_given_up(
    store: WatchedStore, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = engine.SessionStore()
    session["a"] = 1
    session.save()

    async def use() -> Any:
        mine = engine.SessionStore(session.session_key)

        async def never(*args: Any) -> Any:
            await asyncio.Event().wait()

        with monkeypatch.context() as patch:
            patch.setattr(type(store.inner.face()), "load", never)
            first = asyncio.create_task(mine.aget("a"))
            await asyncio.sleep(0.01)
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
        return await asyncio.wait_for(mine.aget("a"), 30)

    assert asyncio.run(use()) == 1


def test_turns_of_one_session_do_not_hold_up_another(engine: Any) -> None:
    one, other = engine.SessionStore(), engine.SessionStore()
    done: list[str] = []

    def hear(**kwargs: Any) -> None:
        other["b"] = 1
        contextvars.Context().run(other.save)  # As a thread of one's own does, which knows of no turn.
        done.append("other")

    one["a"] = 1
    one.save()
    session_ended.connect(hear)
    try:
        one.flush()
    finally:
        session_ended.disconnect(hear)
    assert done == ["other"]
    assert isinstance(other, SessionStore)


def test_a_task_that_began_within_a_turn_waits_for_its_own_when_that_is_over(ann: Any, asgi_browser: Browser) -> None:
    asgi_browser.visit(login(ann))
    taken: list[bool] = []

    async def view(request: HttpRequest) -> None:
        turns, is_over = request.session._turns, asyncio.Event()

        async def later() -> None:
            await is_over.wait()
            taken.append(await turns.abegin())
            if taken[0]:
                turns.end()

        assert await turns.abegin()
        task = asyncio.create_task(later())  # As a receiver of a signal may do; it has the turn's context.
        turns.end()
        is_over.set()
        await task

    asgi_browser.visit(view)
    assert taken == [True]
