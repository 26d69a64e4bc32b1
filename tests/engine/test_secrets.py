"""A new ``SECRET_KEY`` with the old one as fallback: nobody is signed out, nothing is lost, no session is doubled."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.http import HttpRequest

from django_srvsession import services
from django_srvsession.engine.keys import SessionKey
from django_srvsession.engine.seal import is_current
from tests.engine.pages import (
    Browser,
    View,
    at_once,
    count_view,
    failing,
    login,
    make_user,
    name_user,
    put,
    read,
    rotate,
    set_cookie,
    untouched,
)
from tests.engine.watched import WatchedStore
from tests.patience import patient

REQUESTS = 16
with_real_database = pytest.mark.parametrize("database_alias", ["sqlite"], indirect=True)


def new_secret(settings: Any, name: str = "new") -> None:
    """Make another secret the site's, and the one before its fallback."""
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = f"{name} secret, {name} secret, {name} secret, {name} secret"


def key_of(browser: Browser) -> SessionKey:
    key = SessionKey.parse(browser.cookie)
    assert key is not None
    return key


def all_at_once(browser: Browser) -> list[Browser]:
    """Send 16 requests with one cookie, which have all loaded the session before any goes on to its user."""
    loaded = threading.Barrier(REQUESTS)

    def page(number: int) -> View:
        def name_user_and_write(request: HttpRequest) -> str:
            assert request.session.get("cart") == ["tea"]
            loaded.wait(patient(30))
            request.session[f"key{number}"] = number
            return str(request.user.get_username())

        return name_user_and_write

    browsers = [browser.copy() for _ in range(REQUESTS)]
    visits = [functools.partial(each.visit, page(number)) for number, each in enumerate(browsers)]
    assert [(answer.status_code, answer.json()["shown"]) for answer in at_once(visits)] == [(200, "ann")] * REQUESTS
    return browsers


def assert_one_session(browsers: list[Browser], sid: str) -> None:
    """Check that all 16 browsers are in one session, which holds what all of them wrote."""
    assert [record.sid for record in services.live_sessions()] == [sid]
    for browser in browsers:
        assert browser.user() == "ann"
        contents = browser.show(read)
        assert {f"key{number}": number for number in range(REQUESTS)}.items() <= contents.items()


# One request.


def test_a_key_of_the_old_secret_is_signed_anew_by_the_page_that_reads_it(
    either_browser: Browser, settings: Any
) -> None:
    browser = either_browser
    browser.visit(put(a=1))
    old = key_of(browser)
    new_secret(settings)
    assert browser.show(read) == {"a": 1}
    new = key_of(browser)
    assert (new.sid, new.verifier) == (old.sid, old.verifier)
    assert new.text != old.text
    assert new.is_current


def test_a_page_that_does_not_touch_the_session_signs_nothing_anew(browser: Browser, settings: Any) -> None:
    browser.visit(put(a=1))
    new_secret(settings)
    assert set_cookie(browser.visit(untouched)) is None


def test_the_values_are_sealed_anew_by_the_page_that_reads_the_session(
    either_browser: Browser, settings: Any, store: WatchedStore, ann: Any
) -> None:
    browser = either_browser
    browser.visit(login(ann))
    browser.visit(put(a=[1], b="x" * 5000))
    new_secret(settings)
    assert store.since(lambda: browser.visit(name_user))[-1].verb == "update"
    assert all(map(is_current, store.inner.load(key_of(browser).sid).values.values()))  # type: ignore[union-attr]
    assert "update" not in [asked.verb for asked in store.since(lambda: browser.visit(name_user))]


@pytest.mark.parametrize("first", [read, name_user, count_view, put(a=2), rotate])
def test_once_a_session_was_seen_the_old_secret_can_be_dropped(
    first: View, either_browser: Browser, settings: Any, ann: Any
) -> None:
    browser = either_browser
    browser.visit(login(ann))
    browser.visit(put(a=1))
    new_secret(settings)
    browser.visit(first)
    browser.visit(name_user)
    settings.SECRET_KEY_FALLBACKS = []
    assert browser.user() == "ann"
    assert browser.show(read)["a"] in (1, 2)


def test_one_page_that_only_reads_is_enough_for_an_anonymous_session(
    either_browser: Browser, settings: Any, store: WatchedStore
) -> None:
    browser = either_browser
    browser.visit(put(a=[1], b="x" * 5000))
    new_secret(settings)
    assert [asked.verb for asked in store.since(lambda: browser.visit(read))] == ["load", "update"]
    assert [asked.verb for asked in store.since(lambda: browser.visit(read))] == ["load"]
    settings.SECRET_KEY_FALLBACKS = []
    assert browser.show(read)["a"] == [1]


def test_a_session_that_was_not_seen_ends_with_the_old_secret_and_costs_no_store_access(
    browser: Browser, settings: Any, ann: Any, store: WatchedStore
) -> None:
    browser.visit(login(ann))
    new_secret(settings)
    settings.SECRET_KEY_FALLBACKS = []
    count = len(store.asked)
    assert browser.user() == ""
    assert len(store.asked) == count


def test_a_value_written_by_another_request_meanwhile_is_not_sealed_over(browser: Browser, settings: Any) -> None:
    browser.visit(put(a="old"))
    new_secret(settings)
    beside = browser.copy()

    def read_slowly(request: HttpRequest) -> str:
        value = str(request.session["a"])
        beside.visit(put(a="new"))
        return value

    assert browser.show(read_slowly) == "old"
    assert browser.show(read)["a"] == "new"


def test_two_rotations_of_the_secret_one_after_the_other_lose_nothing(
    browser: Browser, settings: Any, ann: Any
) -> None:
    browser.visit(login(ann))
    browser.visit(put(a=1))
    for name in ("second", "third", "fourth"):
        new_secret(settings, name)
        assert browser.user() == "ann"
        settings.SECRET_KEY_FALLBACKS = []
        assert browser.show(read)["a"] == 1


# Sixteen at once.


@with_real_database
def test_sixteen_requests_across_a_new_secret_leave_one_session_and_lose_no_write(
    database_alias: str, browser: Browser, settings: Any
) -> None:
    browser.visit(login(make_user()))
    browser.visit(put(cart=["tea"]))
    sid = key_of(browser).sid
    new_secret(settings)
    browsers = all_at_once(browser)
    assert len({each.cookie for each in browsers}) == 1
    settings.SECRET_KEY_FALLBACKS = []
    assert_one_session(browsers, sid)


@with_real_database
@pytest.mark.parametrize("first", [read, put(other=1), count_view, failing(read), failing(name_user), untouched])
def test_it_is_the_same_when_a_page_that_does_not_ask_for_the_user_was_first(
    first: View, database_alias: str, browser: Browser, settings: Any
) -> None:
    """The first page signs the key anew; the auth hash is still one of the old secret when the sixteen come."""
    browser.visit(login(make_user()))
    browser.visit(put(cart=["tea"]))
    sid = key_of(browser).sid
    new_secret(settings)
    browser.visit(first)
    browsers = all_at_once(browser)
    settings.SECRET_KEY_FALLBACKS = []
    assert_one_session(browsers, sid)


@with_real_database
def test_stock_django_makes_sixteen_sessions_of_one(
    database_alias: str, browser: Browser, settings: Any, stock: Callable[..., None]
) -> None:
    stock("db")
    browser.visit(login(make_user()))
    browser.visit(put(cart=["tea"]))
    assert Session.objects.count() == 1
    new_secret(settings)
    browsers = all_at_once(browser)
    assert Session.objects.count() == REQUESTS
    # Each holds what its own request wrote, and nothing of the others.
    assert all(len([name for name in each.show(read) if name.startswith("key")]) == 1 for each in browsers)


@with_real_database
def test_a_real_rotation_while_the_old_secret_is_a_fallback_still_ends_the_old_key(
    database_alias: str, browser: Browser, settings: Any
) -> None:
    """A step-up view asks for its user first, as every view behind a sign-in does, and then gives the key up."""

    def step_up(request: HttpRequest) -> str:
        name = str(request.user.get_username())
        request.session.cycle_key()
        return name

    browser.visit(login(make_user()))
    stolen = browser.copy()
    new_secret(settings)
    assert browser.show(step_up) == "ann"
    assert browser.user() == "ann"
    assert stolen.user() == ""
