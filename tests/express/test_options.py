"""The lines of docs/why/express.rst about options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpRequest
from django.test import RequestFactory

from django_srvsession.clients.address import client_of
from tests.engine.every_store import on_every_store
from tests.engine.pages import (
    Browser,
    count_view,
    deletes_cookie,
    flush,
    put,
    read,
    set_cookie,
    untouched,
    url_of,
    while_,
)
from tests.engine.watched import WatchedStore
from tests.express.asking import key_of, seconds_left, tombstone_of, writes

HOUR = 3600


# secret


def test_a_cookie_with_a_wrong_signature_is_no_session_and_is_not_looked_up(
    browser: Browser, store: WatchedStore
) -> None:
    browser.visit(put(a=1))
    assert browser.cookie is not None
    tampered = browser.cookie[:-1] + ("A" if browser.cookie[-1] != "A" else "B")
    loads = store.verbs.count("load")
    assert Browser(tampered).show(read) == {}
    assert store.verbs.count("load") == loads
    assert browser.show(read) == {"a": 1}


def test_a_key_signed_by_an_older_secret_is_signed_anew_by_the_next_answer_that_uses_it(
    browser: Browser, settings: Any, store: WatchedStore
) -> None:
    browser.visit(put(a=1))
    sid = key_of(browser).sid
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "a newer secret"
    assert browser.show(read) == {"a": 1}
    settings.SECRET_KEY_FALLBACKS = []  # And so the older secret can be given up.
    assert (browser.show(read), key_of(browser).sid) == ({"a": 1}, sid)


# resave, saveUninitialized


def test_a_request_that_only_reads_writes_nothing(browser: Browser, store: WatchedStore) -> None:
    browser.visit(put(a=1))
    before = writes(store)
    assert browser.show(read) == {"a": 1}
    assert writes(store) == before


@on_every_store
def test_two_requests_that_change_different_keys_both_win(browser: Browser) -> None:
    browser.visit(put(a=0, b=0))
    other = browser.copy()
    browser.visit(while_(put(a=1), lambda: other.visit(put(b=2)), untouched))
    assert browser.show(read) == {"a": 1, "b": 2}


def test_a_write_names_only_the_keys_that_changed(browser: Browser, store: WatchedStore) -> None:
    browser.visit(put(a=1, b=2))
    browser.visit(put(b=3))
    assert set(store.asked[-1].delta.changed) == {"b"}


def test_a_visitor_whose_session_nobody_touches_gets_no_cookie_and_no_record(
    browser: Browser, store: WatchedStore
) -> None:
    for view in (untouched, read):
        assert set_cookie(browser.visit(view)) is None
    assert not store.verbs
    assert set_cookie(browser.visit(put(a=1))) is not None
    assert writes(store) == ["create"]


# rolling


def test_without_rolling_record_and_cookie_end_together_after_the_last_change(
    browser: Browser, store: WatchedStore, let_pass: Callable[..., None], settings: Any
) -> None:
    settings.SESSION_COOKIE_AGE = HOUR
    browser.visit(put(a=1))
    let_pass(minutes=20)
    assert set_cookie(browser.visit(read)) is None
    assert seconds_left(browser, store) == pytest.approx(40 * 60, abs=3)
    assert set_cookie(browser.visit(put(a=2)))["max-age"] == pytest.approx(HOUR, abs=3)
    assert seconds_left(browser, store) == pytest.approx(HOUR, abs=3)


def test_save_every_request_sends_the_cookie_with_every_answer_and_extends_the_record(
    browser: Browser, store: WatchedStore, let_pass: Callable[..., None], settings: Any
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = True
    settings.SESSION_COOKIE_AGE = HOUR
    assert set_cookie(browser.visit(untouched)) is None  # There is no session to send a cookie for.
    browser.visit(put(a=1))
    let_pass(minutes=20)
    assert set_cookie(browser.visit(untouched))["max-age"] == pytest.approx(HOUR, abs=3)
    assert seconds_left(browser, store) == pytest.approx(HOUR, abs=3)
    assert not store.asked[-1].delta.writes_values


def test_an_idle_limit_extends_record_and_cookie_at_most_once_in_a_touch_interval(
    browser: Browser, store: WatchedStore, let_pass: Callable[..., None], settings: Any
) -> None:
    settings.SRVSESSION_IDLE_TIMEOUT = HOUR
    settings.SRVSESSION_TOUCH_INTERVAL = 60
    browser.visit(put(a=1))
    let_pass(seconds=50)
    assert set_cookie(browser.visit(read)) is None
    let_pass(seconds=50)
    assert set_cookie(browser.visit(read))["max-age"] == pytest.approx(HOUR, abs=3)
    assert seconds_left(browser, store) == pytest.approx(HOUR, abs=3)


# unset


def test_flush_ends_the_session_and_deletes_its_cookie(browser: Browser, store: WatchedStore) -> None:
    browser.visit(put(a=1))
    sid = key_of(browser).sid
    assert deletes_cookie(browser.visit(flush))
    assert tombstone_of(sid, store).reason == "replaced"


def test_del_and_none_change_one_value_and_keep_the_session(browser: Browser, store: WatchedStore) -> None:
    def forget_one(request: HttpRequest) -> None:
        del request.session["a"]
        request.session["b"] = None

    browser.visit(put(a=1, b=2, c=3))
    browser.visit(forget_one)
    assert browser.show(read) == {"b": None, "c": 3}


def test_reload_drops_what_the_request_changed_and_keeps_the_session(browser: Browser, store: WatchedStore) -> None:
    def change_and_regret(request: HttpRequest) -> Any:
        request.session["a"] = 2
        request.session.reload()
        return request.session["a"]

    browser.visit(put(a=1))
    before = writes(store)
    assert browser.show(change_and_regret) == 1
    assert (browser.show(read), writes(store)) == ({"a": 1}, before)


# genid


@on_every_store
def test_an_id_that_the_caller_or_the_client_made_up_is_never_a_session(engine: Any) -> None:
    session = engine.SessionStore("made-up-by-the-caller")
    session["a"] = 1
    session.save(must_create=True)
    assert engine.SessionStore(session.session_key).load() == {"a": 1}
    visitor = Browser("made-up-by-the-client")
    visitor.visit(put(a=1))
    assert visitor.show(read) == {"a": 1}
    for key in ("made-up-by-the-caller", "made-up-by-the-client"):
        assert key not in (session.session_key, visitor.cookie)
        assert engine.SessionStore(key).load() == {}


def test_the_sid_is_the_name_for_logs_and_opens_nothing(browser: Browser) -> None:
    browser.visit(put(a=1))
    sid, logged = browser.show(lambda request: [request.session.sid, repr(request.session)])
    assert sid == key_of(browser).sid
    assert sid in logged
    assert str(browser.cookie) not in logged
    assert Browser(sid).show(read) == {}


# name, proxy, store, cookie as a function


def test_the_cookie_has_the_name_of_the_setting(browser: Browser, settings: Any) -> None:
    settings.SESSION_COOKIE_NAME = "connect.sid"
    assert "connect.sid" in browser.visit(put(a=1)).cookies
    assert browser.show(read) == {"a": 1}


def test_a_secure_cookie_is_sent_whatever_the_connection_looks_like(browser: Browser, settings: Any) -> None:
    settings.SESSION_COOKIE_SECURE = True
    response = browser.visit(put(a=1))  # Over plain HTTP: a proxy may have taken the TLS off.
    assert set_cookie(response)["secure"] is True


def test_the_scheme_is_taken_from_a_proxy_only_where_the_setting_says_so(settings: Any) -> None:
    request = RequestFactory().get("/", HTTP_X_FORWARDED_PROTO="https")
    assert not request.is_secure()
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert request.is_secure()


def test_the_address_is_taken_from_a_proxy_only_where_the_setting_says_so(settings: Any) -> None:
    request = RequestFactory().get("/", REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR="203.0.113.5, 198.51.100.7")
    assert client_of(request).ip == "10.0.0.1"
    settings.SRVSESSION_TRUSTED_PROXIES = ["10.0.0.0/8"]
    assert client_of(request).ip == "198.51.100.7"


@on_every_store
def test_one_setting_chooses_the_store_and_the_views_stay_as_they_are(browser: Browser) -> None:
    assert [browser.show(count_view) for _ in range(3)] == [1, 2, 3]
    browser.visit(flush)
    assert browser.show(count_view) == 1


def test_the_lifetime_can_be_chosen_for_each_request(browser: Browser, store: WatchedStore) -> None:
    def keep_me_signed_in(request: HttpRequest) -> None:
        request.session.set_expiry(30 * 24 * HOUR if "remember" in request.GET else 0)

    browser.visit(put(a=1))
    response = browser.client.get(url_of(keep_me_signed_in) + "?remember")
    assert set_cookie(response)["max-age"] == pytest.approx(30 * 24 * HOUR, abs=3)
    assert set_cookie(browser.visit(keep_me_signed_in))["max-age"] == ""
