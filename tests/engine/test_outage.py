"""An outage is not a logout: wherever in a request it comes up, the answer is 503 and the cookie stays."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib import messages
from django.contrib.auth import alogout
from django.core.cache.backends.locmem import LocMemCache
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template import engines

from django_srvsession import services
from django_srvsession.middleware import unavailable
from django_srvsession.store import StoreUnavailableError
from tests.engine.pages import (
    Browser,
    View,
    deletes_cookie,
    login,
    logout,
    name_user,
    put,
    read,
    rotate,
    set_cookie,
    untouched,
    varies,
)
from tests.engine.watched import WatchedStore


def assert_unavailable(response: Any) -> None:
    """Check that an answer is a 503 that says nothing of cookies."""
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert not response.cookies
    assert response.headers["Cache-Control"] == "no-store"


def signed_in(browser: Browser, user: Any) -> Browser:
    browser.visit(login(user))
    browser.visit(put(cart=["tea"]))
    return browser


def assert_still_signed_in(browser: Browser, store: WatchedStore) -> None:
    store.come_back()
    assert browser.user() == "ann"
    assert browser.show(read)["cart"] == ["tea"]


# Where the outage comes up.


def swallow(request: HttpRequest) -> str:
    try:
        return str(request.session.get("cart"))
    except Exception:  # noqa: BLE001 - what this test is about
        return "empty cart"


def template(request: HttpRequest) -> HttpResponse:
    text = "{% if user.is_authenticated and 1 %}{{ user }}{% else %}Please sign in{% endif %}"
    return HttpResponse(engines["django"].from_string(text).render({}, request))


def save_now(request: HttpRequest) -> None:
    request.session["cart"] = ["coffee"]
    request.session.save()


def increment(request: HttpRequest) -> Any:
    return request.session.incr("number")


def touch(request: HttpRequest) -> None:
    request.session.touch()


def reload(request: HttpRequest) -> None:
    request.session.reload()


def exists(request: HttpRequest) -> bool:
    return bool(request.session.exists(request.session.session_key))


def list_own(request: HttpRequest) -> int:
    return len(services.sessions_of(request.user))


async def aread(request: HttpRequest) -> dict[str, Any]:
    return dict(await request.session.aitems())


async def aswallow(request: HttpRequest) -> str:
    try:
        return str(await request.session.aget("cart"))
    except Exception:  # noqa: BLE001 - what this test is about
        return "empty cart"


async def auser(request: HttpRequest) -> str:
    return str((await request.auser()).get_username())


async def atemplate(request: HttpRequest) -> HttpResponse:
    return await sync_to_async(template)(request)


async def asave_now(request: HttpRequest) -> None:
    await request.session.aset("cart", ["coffee"])
    await request.session.asave()


async def aput(request: HttpRequest) -> None:
    await request.session.aset("cart", ["coffee"])


async def asign_out(request: HttpRequest) -> None:
    await alogout(request)


SYNC_VIEWS = [read, name_user, swallow, template, save_now, put(cart=[]), increment, touch, reload, exists, list_own]
ASYNC_VIEWS = [aread, aswallow, auser, atemplate, asave_now, aput]


@pytest.mark.parametrize("view", [*SYNC_VIEWS, *ASYNC_VIEWS])
def test_an_outage_in_a_view_is_503_and_keeps_the_cookie(
    view: View, either_browser: Browser, ann: Any, store: WatchedStore
) -> None:
    browser = signed_in(either_browser, ann)
    cookie = browser.cookie
    store.go_out()
    assert_unavailable(browser.visit(view))
    assert browser.cookie == cookie
    assert_still_signed_in(browser, store)


@pytest.mark.parametrize("view", [put(cart=[]), save_now, increment, touch, rotate, aput, asave_now])
@pytest.mark.parametrize("verbs", [{"update", "rotate"}])
def test_an_outage_between_load_and_save_is_503_and_keeps_the_cookie(
    view: View, verbs: set[str], either_browser: Browser, ann: Any, store: WatchedStore
) -> None:
    browser = signed_in(either_browser, ann)
    store.out = verbs
    assert_unavailable(browser.visit(view))
    assert_still_signed_in(browser, store)


@pytest.mark.parametrize("view", [put(cart=[]), save_now, aput, asave_now])
def test_a_save_whose_answer_is_lost_is_503_and_keeps_the_cookie(
    view: View, either_browser: Browser, ann: Any, store: WatchedStore
) -> None:
    browser = signed_in(either_browser, ann)
    store.lost = {"update"}
    assert_unavailable(browser.visit(view))
    store.come_back()
    assert browser.user() == "ann"


@pytest.mark.parametrize("view", [put(cart=[]), save_now, increment, rotate, aput])
def test_an_outage_when_a_visitor_would_get_a_session_is_503_without_a_cookie(
    view: View, either_browser: Browser, store: WatchedStore
) -> None:
    store.out = {"create"}
    assert_unavailable(either_browser.visit(view))
    assert either_browser.cookie is None


def phases(get_response: Callable[[HttpRequest], Any]) -> Any:
    """Make a middleware that uses the session where a header asks it to."""

    class Phases:
        def __call__(self, request: HttpRequest) -> Any:
            response = get_response(request)
            if request.headers.get("Use") == "response":
                request.session.get("cart")
            if request.headers.get("Use") == "write":
                request.session["cart"] = ["coffee"]
            return response

        def process_view(self, request: HttpRequest, view: View, args: Any, kwargs: Any) -> None:
            if request.headers.get("Use") == "view":
                request.session.get("cart")

    return Phases()


@pytest.mark.parametrize("phase", ["view", "response", "write"])
def test_an_outage_in_another_middleware_is_503_and_keeps_the_cookie(
    phase: str, either_browser: Browser, ann: Any, store: WatchedStore, middleware: Callable[[Any], None]
) -> None:
    middleware(phases)
    browser = signed_in(either_browser, ann)
    store.go_out()
    assert_unavailable(browser.visit(untouched, headers={"use": phase}))
    assert browser.visit(untouched).status_code == 200
    assert_still_signed_in(browser, store)


def test_an_outage_that_only_messages_meet_is_503_and_keeps_the_cookie(
    either_browser: Browser, ann: Any, store: WatchedStore, settings: Any
) -> None:
    def greet(request: HttpRequest) -> str:
        messages.success(request, "Hello")
        return "ok"

    settings.MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
    browser = signed_in(either_browser, ann)
    store.go_out()
    assert_unavailable(browser.visit(greet))
    assert_still_signed_in(browser, store)


def test_an_outage_of_session_tokens_against_forgery_is_503(
    either_browser: Browser, ann: Any, store: WatchedStore, settings: Any
) -> None:
    settings.CSRF_USE_SESSIONS = True
    browser = signed_in(either_browser, ann)
    store.go_out()
    assert_unavailable(browser.visit(untouched))
    assert_still_signed_in(browser, store)


# Logout.


@pytest.mark.parametrize("view", [logout, asign_out])
@pytest.mark.parametrize("verbs", [{"end"}, {"load"}, {"load", "end"}], ids=lambda verbs: ",".join(sorted(verbs)))
def test_a_logout_during_an_outage_is_503_and_the_user_is_still_signed_in(
    view: View, verbs: set[str], either_browser: Browser, ann: Any, store: WatchedStore
) -> None:
    browser = signed_in(either_browser, ann)
    store.out = verbs
    assert_unavailable(browser.visit(view))
    assert_still_signed_in(browser, store)
    assert deletes_cookie(browser.visit(view))
    assert browser.user() == ""


def test_nothing_of_a_request_is_saved_once_its_logout_has_failed(
    either_browser: Browser, ann: Any, store: WatchedStore
) -> None:
    def log_out_anyway(request: HttpRequest) -> None:
        request.session["cart"] = ["coffee"]
        try:
            logout(request)
        except StoreUnavailableError:
            request.session["cart"] = ["water"]

    browser = signed_in(either_browser, ann)
    store.out = {"end"}
    assert_unavailable(browser.visit(log_out_anyway))
    assert_still_signed_in(browser, store)


# What the store has acknowledged, the browser learns.


def test_a_rotation_that_was_acknowledged_before_the_outage_still_sends_its_cookie(
    either_browser: Browser, ann: Any, store: WatchedStore
) -> None:
    def rotate_then_lose_the_store(request: HttpRequest) -> None:
        request.session.cycle_key()
        store.go_out()
        request.session["cart"] = ["coffee"]

    browser = signed_in(either_browser, ann)
    old = browser.cookie
    response = browser.visit(rotate_then_lose_the_store)
    assert response.status_code == 503
    assert set_cookie(response) is not None
    assert browser.cookie != old
    assert_still_signed_in(browser, store)


def test_a_creation_that_was_acknowledged_before_the_outage_still_sends_its_cookie(
    either_browser: Browser, store: WatchedStore
) -> None:
    def create_then_lose_the_store(request: HttpRequest) -> None:
        request.session["cart"] = ["tea"]
        request.session.create()
        store.go_out()
        request.session["late"] = 1

    response = either_browser.visit(create_then_lose_the_store)
    assert response.status_code == 503
    assert set_cookie(response) is not None
    store.come_back()
    assert either_browser.show(read) == {"cart": ["tea"]}


def test_a_rotation_whose_answer_was_lost_sends_no_cookie(
    either_browser: Browser, ann: Any, store: WatchedStore
) -> None:
    browser = signed_in(either_browser, ann)
    store.lost = {"rotate"}
    assert_unavailable(browser.visit(rotate))


# The answer.


def test_a_page_that_does_not_touch_the_session_works_during_an_outage(
    either_browser: Browser, ann: Any, store: WatchedStore
) -> None:
    browser = signed_in(either_browser, ann)
    store.go_out()
    assert browser.show(untouched) == "nothing"


def test_a_view_that_dealt_with_the_outage_keeps_its_answer(
    either_browser: Browser, ann: Any, store: WatchedStore
) -> None:
    def do_without(request: HttpRequest) -> str:
        try:
            return str(request.session["cart"])
        except StoreUnavailableError:
            request.session.acknowledge_outage()
            return "your cart is back soon"

    browser = signed_in(either_browser, ann)
    cookie = browser.cookie
    store.go_out()
    response = browser.visit(do_without)
    assert (response.status_code, response.json()["shown"]) == (200, "your cart is back soon")
    assert not response.cookies
    assert browser.cookie == cookie
    assert_still_signed_in(browser, store)


def test_json_clients_get_json_and_others_a_page(either_browser: Browser, ann: Any, store: WatchedStore) -> None:
    browser = signed_in(either_browser, ann)
    store.go_out()
    page = browser.visit(read)
    assert page.headers["Content-Type"].startswith("text/html")
    assert b"<html" in page.content
    problem = browser.visit(read, headers={"accept": "application/json"})
    assert_unavailable(problem)
    assert problem.headers["Content-Type"] == "application/problem+json"
    assert problem.json()["status"] == 503


def test_a_503_depends_on_the_cookie_and_is_logged_once(
    browser: Browser, ann: Any, store: WatchedStore, caplog: pytest.LogCaptureFixture
) -> None:
    signed_in(browser, ann)
    store.go_out()
    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert varies(browser.visit(read))
    ours = [record for record in caplog.records if record.name == "django_srvsession"]
    assert len(ours) == 1
    assert ours[0].levelno == logging.ERROR
    assert browser.cookie is not None
    assert browser.cookie not in caplog.text


def test_an_outage_in_a_stream_that_has_begun_breaks_the_stream_only(
    browser: Browser, ann: Any, store: WatchedStore
) -> None:
    def stream(request: HttpRequest) -> StreamingHttpResponse:
        def chunks() -> Any:
            yield "first"
            yield str(request.session["cart"])

        return StreamingHttpResponse(chunks())

    signed_in(browser, ann)
    store.go_out()
    response = browser.visit(stream)
    assert response.status_code == 200
    with pytest.raises(StoreUnavailableError):
        b"".join(response.streaming_content)
    assert_still_signed_in(browser, store)


def test_a_failed_save_leaves_the_session_object_as_it_was(ann: Any, engine: Any, store: WatchedStore) -> None:
    session = engine.SessionStore()
    session["a"] = 1
    session.save()
    key = session.session_key
    session["a"] = 2
    store.go_out()
    for action in (session.save, session.cycle_key, session.flush, session.touch, session.delete, session.reload):
        with pytest.raises(StoreUnavailableError):
            action()
        assert (session.session_key, session["a"]) == (key, 2)
    store.come_back()
    session.save()
    assert engine.SessionStore(key)["a"] == 2


# Stock Django, for comparison.


def test_stock_django_signs_people_out_during_an_outage(
    browser: Browser, ann: Any, stock: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stock("cache")
    signed_in(browser, ann)
    monkeypatch.setattr(LocMemCache, "get", refuse)
    response = browser.visit(name_user)
    assert (response.status_code, response.json()["shown"]) == (200, "")
    assert deletes_cookie(response)


def test_stock_django_acknowledges_a_logout_that_did_not_happen(
    browser: Browser, ann: Any, stock: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stock("cache")
    signed_in(browser, ann)
    kept = browser.copy()
    with monkeypatch.context() as outage:
        outage.setattr(LocMemCache, "get", refuse)
        response = browser.visit(logout)
    assert response.status_code == 200
    assert deletes_cookie(response)
    assert kept.user() == "ann"


def refuse(*args: Any, **kwargs: Any) -> None:
    raise ConnectionError


def test_a_site_without_djangos_templates_answers_an_outage_in_plain_text(rf: Any, settings: Any) -> None:
    settings.TEMPLATES = []
    response = unavailable(rf.get("/"))
    assert response.status_code == 503
    assert response["Content-Type"] == "text/plain"
    assert response["Retry-After"]
