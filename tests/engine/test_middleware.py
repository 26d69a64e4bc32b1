"""The middleware beside others: stock engines, the stock middleware, test clients, plain dicts, and event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import asgiref.sync
import pytest
from django.conf import settings as django_settings
from django.contrib.sessions.backends.db import SessionStore as StockStore
from django.contrib.sessions.middleware import SessionMiddleware as StockMiddleware
from django.contrib.sessions.models import Session
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, AsyncRequestFactory, Client, RequestFactory

from django_srvsession import services
from django_srvsession.middleware import SessionMiddleware
from tests.engine.every_store import on_every_store
from tests.engine.pages import (
    Browser,
    View,
    count_view,
    deletes_cookie,
    flush,
    login,
    logout,
    name_user,
    put,
    raising,
    read,
    rotate,
    set_cookie,
    untouched,
    url_of,
    varies,
)
from tests.engine.watched import WatchedStore

OURS = "django_srvsession.middleware.SessionMiddleware"
THEIRS = "django.contrib.sessions.middleware.SessionMiddleware"


# The cookie.


@pytest.mark.parametrize("view", [put(a=1), rotate, flush])
def test_the_cookie_is_what_djangos_settings_say(view: View, either_browser: Browser, settings: Any) -> None:
    settings.SESSION_COOKIE_NAME = "__Secure-id"
    settings.SESSION_COOKIE_PATH = "/"
    settings.SESSION_COOKIE_DOMAIN = "example.org"
    settings.SESSION_COOKIE_SECURE = True
    settings.SESSION_COOKIE_HTTPONLY = True
    settings.SESSION_COOKIE_SAMESITE = "Strict"
    either_browser.cookie = Browser(asgi=False).visit(put(a=1)).cookies["__Secure-id"].value
    morsel = set_cookie(either_browser.visit(view))
    assert (morsel["path"], morsel["domain"], morsel["samesite"]) == ("/", "example.org", "Strict")
    assert (morsel["secure"], morsel["httponly"]) == (True, True)


def test_the_cookie_can_be_left_open_to_scripts(browser: Browser, settings: Any) -> None:
    settings.SESSION_COOKIE_HTTPONLY = False
    assert set_cookie(browser.visit(put(a=1)))["httponly"] == ""


@pytest.mark.parametrize("view", [put(a=1), count_view, login])
def test_a_cookie_is_shorter_than_four_kilobytes(view: View, browser: Browser, ann: Any) -> None:
    response = browser.visit(view(ann) if view is login else view)
    assert len(set_cookie(response).OutputString()) < 250


def test_an_error_page_saves_nothing_and_sets_no_cookie(either_browser: Browser, store: WatchedStore) -> None:
    response = either_browser.visit(raising(put(a=1)))
    assert response.status_code == 500
    assert set_cookie(response) is None
    assert not store.verbs
    either_browser.visit(put(a=1))
    either_browser.visit(raising(put(a=2)))
    assert either_browser.show(read) == {"a": 1}


# Other engines and the other middleware.


@on_every_store
def test_our_engines_work_with_the_stock_middleware(
    either_browser: Browser, engine: Any, settings: Any, ann: Any
) -> None:
    settings.MIDDLEWARE = [THEIRS if name == OURS else name for name in settings.MIDDLEWARE]
    browser = either_browser
    browser.visit(put(cart=[]))
    browser.visit(lambda request: request.session["cart"].append("tea"))
    assert browser.show(read) == {"cart": ["tea"]}
    browser.visit(login(ann))
    kept = browser.copy()
    assert browser.user() == "ann"
    assert len(services.sessions_of(ann)) == 1
    assert deletes_cookie(browser.visit(logout))
    assert kept.user() == ""


@pytest.mark.parametrize("name", ["db", "cache", "cached_db", "signed_cookies", "file"])
def test_our_middleware_with_a_stock_engine_does_what_djangos_does(
    name: str, either_browser: Browser, settings: Any, ann: Any, tmp_path: Any
) -> None:
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{name}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    browser = either_browser
    assert not varies(browser.visit(untouched))
    browser.visit(put(cart=["tea"]))
    assert browser.show(read) == {"cart": ["tea"]}
    browser.visit(login(ann))
    assert browser.user() == "ann"
    assert deletes_cookie(browser.visit(logout))
    assert browser.user() == ""


def test_with_a_stock_engine_a_late_save_is_interrupted_as_in_django(
    browser: Browser, settings: Any, transactional_db: None
) -> None:
    def delete_and_change(request: HttpRequest) -> None:
        request.session["a"] = 2
        Session.objects.all().delete()

    settings.SESSION_ENGINE = "django.contrib.sessions.backends.db"
    browser.visit(put(a=1))
    assert browser.visit(delete_and_change).status_code == 400


def test_a_view_may_replace_the_session_by_one_of_another_engine(transactional_db: None) -> None:
    def replace(request: HttpRequest) -> HttpResponse:
        request.session = StockStore()  # type: ignore[assignment]
        request.session["a"] = 1
        return HttpResponse()

    response = SessionMiddleware(replace)(RequestFactory().get("/"))
    assert StockStore(set_cookie(response).value)["a"] == 1


@pytest.mark.parametrize("contents", [{}, {"a": 1}])
def test_a_plain_dict_as_session_is_left_alone(contents: dict[str, int]) -> None:
    """Tests of other apps put one there."""

    def replace(request: HttpRequest) -> HttpResponse:
        request.session = contents  # type: ignore[assignment]
        return HttpResponse()

    response = SessionMiddleware(replace)(RequestFactory().get("/"))
    assert response.status_code == 200
    assert not response.cookies


def test_a_request_without_a_session_is_left_alone() -> None:
    request = RequestFactory().get("/")
    middleware = SessionMiddleware(lambda request: HttpResponse())
    assert middleware.process_response(request, HttpResponse()).status_code == 200


def test_its_phases_may_be_called_directly(store: WatchedStore) -> None:
    """As tests of other apps do."""
    middleware = SessionMiddleware(lambda request: HttpResponse())
    request = RequestFactory().get("/")
    middleware.process_request(request)
    assert not store.verbs
    request.session["a"] = 1
    response = middleware.process_response(request, HttpResponse())
    assert set_cookie(response).value == request.session.session_key


def test_the_answer_phase_twice_changes_nothing_more(store: WatchedStore) -> None:
    middleware = SessionMiddleware(lambda request: HttpResponse())
    request = RequestFactory().get("/")
    middleware.process_request(request)
    request.session["a"] = 1
    first, second = [middleware.process_response(request, HttpResponse()) for _ in range(2)]
    assert set_cookie(first).value == set_cookie(second).value
    assert store.verbs == ["create"]


def test_it_is_a_subclass_of_djangos_and_takes_no_more_than_it() -> None:
    assert issubclass(SessionMiddleware, StockMiddleware)
    with pytest.raises(ValueError, match="get_response"):
        SessionMiddleware(None)  # type: ignore[arg-type]


def test_a_session_object_is_made_without_io_and_of_its_key_alone(engine: Any, store: WatchedStore) -> None:
    for session in (engine.SessionStore(), engine.SessionStore("key"), engine.SessionStore(session_key="x" * 40)):
        assert session.accessed is False
        assert session.modified is False
    with pytest.raises(TypeError):
        engine.SessionStore("key", request=None)
    assert not store.verbs


# Django's test clients.


@on_every_store
def test_djangos_test_client_signs_in_and_out(engine: Any, ann: Any) -> None:
    client = Client()
    client.force_login(ann)
    assert client.get(url_of(name_user)).json()["shown"] == "ann"
    assert len(services.sessions_of(ann)) == 1
    client.logout()
    assert client.get(url_of(name_user)).json()["shown"] == ""
    assert len(services.sessions_of(ann)) == 0
    assert client.login(username="ann", password="secret")
    assert client.get(url_of(name_user)).json()["shown"] == "ann"


@on_every_store
def test_djangos_test_client_shows_and_changes_the_session(engine: Any, ann: Any) -> None:
    client = Client()
    session = client.session
    session["cart"] = ["tea"]
    session.save()
    assert client.get(url_of(read)).json()["shown"] == {"cart": ["tea"]}
    client.get(url_of(put(more=1)))
    assert client.session["more"] == 1
    client.force_login(ann)
    assert client.session["cart"] == ["tea"]


def test_djangos_async_test_client_signs_in_and_out(ann: Any) -> None:
    async def use() -> list[str]:
        client, seen = AsyncClient(), []
        await client.aforce_login(ann)
        seen.append((await client.get(url_of(name_user))).json()["shown"])
        session = await client.asession()
        await session.aset("a", 1)
        await session.asave()
        seen.append((await client.get(url_of(read))).json()["shown"]["a"])
        await client.alogout()
        seen.append((await client.get(url_of(name_user))).json()["shown"])
        return seen

    assert asyncio.run(use()) == ["ann", 1, ""]


# Event loops.


@pytest.fixture
def hops() -> Iterator[list[str]]:
    """The functions that were handed to a thread."""
    handed: list[str] = []
    call = asgiref.sync.SyncToAsync.__call__

    async def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
        handed.append(getattr(self.func, "__qualname__", repr(self.func)))
        return await call(self, *args, **kwargs)

    with mock.patch.object(asgiref.sync.SyncToAsync, "__call__", noted):
        yield handed


async def awrite(request: HttpRequest) -> HttpResponse:
    await request.session.aset("n", (await request.session.aget("n", 0)) + 1)
    return HttpResponse(str(await request.session.aget("n")))


async def aread(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(await request.session.aget("n")))


async def auntouched(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


async def arotate(request: HttpRequest) -> HttpResponse:
    await request.session.acycle_key()
    return HttpResponse()


async def aflush(request: HttpRequest) -> HttpResponse:
    await request.session.aflush()
    return HttpResponse()


@pytest.mark.parametrize("view", [awrite, aread, auntouched, arotate, aflush])
@pytest.mark.parametrize("every_request", [True, False])
def test_an_async_page_makes_no_thread_hop_for_its_session(
    view: View, every_request: bool, hops: list[str], settings: Any, browser: Browser, store: WatchedStore
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = every_request
    browser.visit(put(n=1))
    request = AsyncRequestFactory().get("/")
    request.COOKIES[django_settings.SESSION_COOKIE_NAME] = browser.cookie or ""
    hops.clear()
    response = asyncio.run(_answer(SessionMiddleware(view), request))
    assert response.status_code == 200
    assert hops == []


def test_stock_djangos_middleware_hops_twice_and_more(
    hops: list[str], stock: Callable[..., None], transactional_db: None
) -> None:
    stock("cache")
    asyncio.run(_answer(StockMiddleware(aread), AsyncRequestFactory().get("/")))
    assert len(hops) >= 2


async def _answer(middleware: Any, request: HttpRequest) -> Any:
    return await middleware(request)


def test_it_is_native_in_both_worlds() -> None:
    sync_one = SessionMiddleware(lambda request: HttpResponse("sync"))
    async_one = SessionMiddleware(auntouched)
    assert not asyncio.iscoroutinefunction(sync_one.get_response)
    assert sync_one(RequestFactory().get("/")).content == b"sync"
    assert asyncio.run(_answer(async_one, AsyncRequestFactory().get("/"))).status_code == 200
    assert SessionMiddleware.sync_capable
    assert SessionMiddleware.async_capable


def test_the_async_middleware_decides_as_the_sync_one_does(ann: Any) -> None:
    """Over ASGI with async pages, from the first visit to the logout."""

    async def sign_in(request: HttpRequest) -> None:
        from django.contrib.auth import alogin

        await alogin(request, ann, backend="django.contrib.auth.backends.ModelBackend")

    async def sign_out(request: HttpRequest) -> None:
        from django.contrib.auth import alogout

        await alogout(request)

    async def name(request: HttpRequest) -> str:
        return str((await request.auser()).get_username())

    browser = Browser(asgi=True)
    browser.visit(put(cart=["tea"]))
    attacker = browser.copy()
    browser.visit(sign_in)
    assert browser.show(name) == "ann"
    assert attacker.show(name) == ""
    kept = browser.copy()
    assert deletes_cookie(browser.visit(sign_out))
    assert kept.show(name) == ""
