"""The lines of docs/why/express.rst about ``req.session`` and the store's methods."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from django_srvsession import services
from django_srvsession.store import UpdateError
from tests.engine.every_store import on_every_store
from tests.engine.pages import (
    Browser,
    at_once,
    count_view,
    deletes_cookie,
    flush,
    login,
    logout,
    put,
    read,
    rotate,
    while_,
)
from tests.engine.watched import WatchedStore
from tests.every_store import MONGODB
from tests.express.asking import key_of, seconds_left, tombstone_of, writes

DAY = 24 * 3600


# Values.


def test_a_change_inside_a_list_or_a_dict_is_saved_by_itself(browser: Browser) -> None:
    def add_to_basket(request: HttpRequest) -> None:
        request.session["basket"]["items"].append("tea")

    browser.visit(put(basket={"items": []}))
    browser.visit(add_to_basket)
    assert browser.show(read) == {"basket": {"items": ["tea"]}}


def test_names_become_text_as_in_json(browser: Browser) -> None:
    def put_number(request: HttpRequest) -> None:
        request.session[1] = "one"

    browser.visit(put_number)
    assert browser.show(read) == {"1": "one"}


@pytest.mark.parametrize("engine", ["memory", "redis", "file", *MONGODB], indirect=True)
def test_incr_counts_every_one_of_many_parallel_requests(browser: Browser) -> None:
    browser.visit(put(views=0))
    at_once([lambda: browser.copy().show(lambda request: request.session.incr("views"))] * 8)
    assert browser.show(read) == {"views": 8}


def test_change_computes_a_value_from_the_one_that_stands_now(browser: Browser) -> None:
    def add(item: str) -> Callable[[HttpRequest], Any]:
        return lambda request: request.session.change("basket", lambda basket: [*basket, item], default=[])

    browser.visit(put(a=1))
    other = browser.copy()
    browser.visit(while_(read, lambda: other.show(add("tea")), add("cup")))
    assert browser.show(read) == {"a": 1, "basket": ["tea", "cup"]}


# regenerate, destroy


@on_every_store
def test_flush_then_a_value_starts_a_new_session_under_a_new_sid(browser: Browser, engine: Any) -> None:
    def regenerate(request: HttpRequest) -> None:
        request.session.flush()
        request.session["b"] = 2

    browser.visit(put(a=1))
    old, old_sid = browser.copy(), key_of(browser).sid
    browser.visit(regenerate)
    assert (browser.show(read), old.show(read)) == ({"b": 2}, {})
    assert key_of(browser).sid != old_sid


@on_every_store
def test_cycle_key_changes_the_key_and_keeps_sid_and_contents(browser: Browser, engine: Any) -> None:
    browser.visit(put(a=1))
    old = browser.copy()
    browser.visit(rotate)
    assert browser.cookie != old.cookie
    assert key_of(browser).sid == key_of(old).sid
    assert (browser.show(read), old.show(read)) == ({"a": 1}, {})


@on_every_store
def test_signing_in_changes_the_key_by_itself(browser: Browser, ann: Any) -> None:
    browser.visit(put(a=1))
    old = browser.copy()
    browser.visit(login(ann))
    assert (browser.user(), browser.show(read)["a"]) == ("ann", 1)
    assert (old.user(), old.show(read)) == ("", {})


@on_every_store
def test_logout_ends_the_session_on_the_server_and_deletes_the_cookie(
    browser: Browser, ann: Any, store: WatchedStore
) -> None:
    browser.visit(login(ann))
    stolen, sid = browser.copy(), key_of(browser).sid
    assert deletes_cookie(browser.visit(logout))
    assert tombstone_of(sid, store).reason == "logout"
    assert (browser.cookie, stolen.user()) == (None, "")


@on_every_store
def test_a_request_that_is_still_running_does_not_bring_an_ended_session_back(browser: Browser, ann: Any) -> None:
    browser.visit(login(ann))
    other = browser.copy()
    browser.visit(while_(count_view, lambda: other.visit(logout), put(late=1)))
    assert (browser.user(), list(services.sessions_of(ann))) == ("", [])


# reload, save, touch


def test_reload_reads_what_others_have_written(browser: Browser) -> None:
    def look_again(request: HttpRequest) -> Any:
        request.session.reload()
        return request.session["a"]

    browser.visit(put(a=1))
    other = browser.copy()
    assert browser.show(while_(read, lambda: other.visit(put(a=2)), look_again)) == 2


@pytest.mark.parametrize("name", ["reload", "touch", "save"])
def test_reload_touch_and_save_report_a_session_that_is_gone(browser: Browser, name: str) -> None:
    def attempt(request: HttpRequest) -> str:
        request.session["b"] = 1
        with pytest.raises(UpdateError):
            getattr(request.session, name)()
        return "told"

    browser.visit(put(a=1))
    other = browser.copy()
    assert browser.show(while_(read, lambda: other.visit(flush), attempt)) == "told"


def test_save_stores_now_and_the_end_of_the_request_does_not_store_again(browser: Browser, store: WatchedStore) -> None:
    def save_early(request: HttpRequest) -> Any:
        request.session["a"] = 2
        request.session.save()
        return Browser(request.session.session_key).show(read)

    browser.visit(put(a=1))
    before = writes(store)
    assert browser.show(save_early) == {"a": 2}
    assert writes(store) == [*before, "update"]


def test_the_session_is_stored_before_a_redirect_is_sent(browser: Browser, store: WatchedStore) -> None:
    def change_and_redirect(request: HttpRequest) -> HttpResponse:
        request.session["a"] = 2
        return redirect("/")

    browser.visit(put(a=1))
    assert browser.visit(change_and_redirect).status_code == 302
    assert writes(store) == ["create", "update"]
    assert browser.show(read) == {"a": 2}


def test_touch_starts_the_lifetime_anew_and_writes_no_contents(
    browser: Browser, store: WatchedStore, let_pass: Callable[..., None], settings: Any
) -> None:
    settings.SESSION_COOKIE_AGE = DAY
    browser.visit(put(a=1))
    let_pass(hours=20)
    browser.visit(lambda request: request.session.touch())
    assert seconds_left(browser, store) == pytest.approx(DAY, abs=3)
    assert not store.asked[-1].delta.writes_values


def test_each_method_can_be_awaited(engine: Any) -> None:
    async def use() -> dict[str, Any]:
        session = engine.SessionStore()
        await session.aset("a", 1)
        await session.asave()
        await session.aincr("views")
        await session.achange("views", lambda views: views + 1)
        await session.atouch()
        await session.areload()
        await session.acycle_key()
        contents = dict(await session.aitems())
        await session.aflush()
        return contents

    assert asyncio.run(use()) == {"a": 1, "views": 2}


# id, sessionID, sessionStore


def test_the_sid_stays_the_same_at_sign_in_and_cannot_be_assigned(browser: Browser, ann: Any, engine: Any) -> None:
    browser.visit(put(a=1))
    sid = browser.show(lambda request: request.session.sid)
    browser.visit(login(ann))
    assert browser.show(lambda request: request.session.sid) == sid
    with pytest.raises(AttributeError):
        engine.SessionStore(browser.cookie).sid = "another"


def test_a_session_key_is_known_only_after_the_first_write(engine: Any) -> None:
    session = engine.SessionStore()
    assert (session.session_key, session.sid) == (None, None)
    session["a"] = 1
    session.save()
    assert len(session.session_key) == 40
    assert len(session.sid) == 18
