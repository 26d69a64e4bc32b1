"""Cookies that this site did not make: they cost no access to the store, raise nothing, and never become a key."""

from __future__ import annotations

import base64
import hashlib
import random
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest
from django.test import RequestFactory, override_settings

from django_srvsession.engine.keys import SessionKey
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
    read,
    rotate,
    set_cookie,
    untouched,
    url_of,
    varies,
)
from tests.engine.watched import WatchedStore
from tests.trust import rounds

FUZZED = rounds(10_000)


def genuine() -> str:
    return SessionKey.generate().text


def foreign() -> str:
    """Return a key of another site."""
    with override_settings(SECRET_KEY="another site's secret"):
        return genuine()


def unsigned() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(30)).decode()


def zeroed() -> str:
    return base64.urlsafe_b64encode(base64.urlsafe_b64decode(genuine())[:25] + bytes(5)).decode()


ODD: dict[str, Callable[[], str]] = {
    "unsigned": unsigned,
    "without its signature": zeroed,
    "foreign": foreign,
    "truncated": lambda: genuine()[:39],
    "lengthened": lambda: genuine() + "A",
    "upper case": lambda: genuine().upper() if genuine() != genuine().upper() else "A" * 40,
    "padded": lambda: genuine() + "==",
    "with a space": lambda: genuine() + " ",
    "quoted": lambda: f'"{genuine()[:38]}"',
    "standard base64": lambda: genuine()[:38] + "+/",
    "with a NUL": lambda: genuine()[:39] + "\x00",
    "octal NUL": lambda: '"' + genuine()[:36] + '\\000"',
    "a new line": lambda: genuine()[:39] + "\n",
    "full width": lambda: "\uff21" + genuine()[1:],
    "emoji": lambda: "\U0001f36a" * 40,
    "surrogates": lambda: "\udcff" * 40,
    "64 kB": lambda: "a" * 65_536,
    "empty": lambda: "",
    "one character": lambda: "a",
    "stock Django": lambda: "abcdefghijklmnopqrstuvwxyz012345",
    "two keys": lambda: genuine() + genuine(),
    "null": lambda: "null",
}


def visit_with(cookie: str, view: View) -> Any:
    """Have a page answer a request whose cookie was parsed to exactly this text."""
    request = RequestFactory().get(url_of(view))
    request.COOKIES[settings.SESSION_COOKIE_NAME] = cookie
    handler = WSGIHandler()
    return handler.get_response(request)


@pytest.mark.parametrize("view", [read, name_user, logout, flush, untouched])
@pytest.mark.parametrize("cookie", ODD)
def test_an_odd_cookie_costs_no_store_access_and_no_error(cookie: str, view: View, store: WatchedStore) -> None:
    response = visit_with(ODD[cookie](), view)
    assert response.status_code == 200
    assert not store.verbs


@pytest.mark.parametrize("view", [count_view, put(a=1), rotate])
@pytest.mark.parametrize("cookie", ODD)
def test_an_odd_cookie_never_becomes_a_key(cookie: str, view: View, store: WatchedStore) -> None:
    text = ODD[cookie]()
    response = visit_with(text, view)
    assert response.status_code == 200
    assert store.verbs == ["create"]
    assert set_cookie(response).value != text
    assert SessionKey.parse(set_cookie(response).value) is not None


@pytest.mark.parametrize("cookie", ODD)
def test_an_odd_cookie_that_was_read_is_deleted(cookie: str) -> None:
    response = visit_with(ODD[cookie](), read)
    assert deletes_cookie(response)
    assert varies(response)


@pytest.mark.parametrize("cookie", ODD)
def test_an_odd_cookie_on_a_page_that_does_not_use_it_changes_nothing(cookie: str) -> None:
    text = ODD[cookie]()
    response = visit_with(text, untouched)
    # Django's own setter drops what is shorter than 8 characters: the cookie is known to be useless, and is deleted.
    assert (set_cookie(response) is None) is (len(text) >= 8)
    assert varies(response) is (set_cookie(response) is not None)


def test_the_cookie_of_an_unused_page_is_not_even_parsed(monkeypatch: pytest.MonkeyPatch, browser: Browser) -> None:
    browser.visit(put(a=1))
    monkeypatch.setattr(SessionKey, "parse", lambda text: pytest.fail("parsed"))
    assert browser.visit(untouched).status_code == 200


@pytest.mark.parametrize("cookie", ODD)
@pytest.mark.parametrize(
    "use",
    [
        lambda session: session.load(),
        lambda session: session.get("a"),
        lambda session: session.exists(session.session_key),
        lambda session: session.delete(),
        lambda session: session.delete(session.session_key),
        lambda session: session.touch(),
        lambda session: session.flush(),
    ],
)
def test_the_engine_itself_asks_nothing_for_an_odd_key(
    use: Callable[[Any], Any], cookie: str, engine: Any, store: WatchedStore
) -> None:
    session = engine.SessionStore(ODD[cookie]())
    use(session)
    assert session.sid is None
    assert not store.verbs


@pytest.mark.parametrize("cookie", ["unsigned", "foreign", "upper case", "64 kB"])
def test_clear_then_write_with_an_odd_cookie_starts_a_session(cookie: str, store: WatchedStore) -> None:
    def begin_anew(request: HttpRequest) -> None:
        request.session.clear()
        request.session["a"] = 1

    text = ODD[cookie]()
    response = visit_with(text, begin_anew)
    assert store.verbs == ["create"]
    assert Browser(set_cookie(response).value).show(read) == {"a": 1}


def test_a_genuine_key_of_no_session_is_asked_for_once_and_never_adopted(
    browser: Browser, store: WatchedStore, ann: Any
) -> None:
    for view in (count_view, login(ann)):
        cookie = browser.cookie = genuine()
        response = browser.visit(view)
        assert response.status_code == 200
        assert browser.cookie != cookie
        assert store.inner.load(SessionKey.parse(cookie).sid) is None  # type: ignore[union-attr]


def test_neither_the_sid_nor_the_verifier_opens_a_session(
    browser: Browser, ann: Any, engine: Any, store: WatchedStore
) -> None:
    browser.visit(login(ann))
    key = SessionKey.parse(browser.cookie)
    assert key is not None
    for text in (key.sid, key.verifier, key.verifier[:40], key.sid + key.verifier[:22]):
        assert Browser(text).user() == ""


def test_who_reads_the_store_and_knows_the_secret_key_opens_no_session(
    browser: Browser, ann: Any, store: WatchedStore
) -> None:
    browser.visit(login(ann))
    record = store.inner.load(SessionKey.parse(browser.cookie).sid).record  # type: ignore[union-attr]
    sid, verifier = bytes.fromhex(record.sid), bytes.fromhex(record.verifier)
    for secret in (verifier[:16], verifier[16:], bytes(16), hashlib.sha256(verifier).digest()[:16]):
        forged = SessionKey._signed(sid + secret).text
        assert [asked.verb for asked in store.since(lambda cookie=forged: Browser(cookie).user())] == ["load"]
        assert Browser(forged).user() == ""
    assert browser.user() == "ann"


def test_a_key_that_is_not_in_the_cookie_opens_nothing(browser: Browser, ann: Any, store: WatchedStore) -> None:
    browser.visit(login(ann))
    name, key = settings.SESSION_COOKIE_NAME, browser.cookie
    headers = {"Authorization": f"Bearer {key}", "X-Session-Id": key, "X-Sessionid": key, "Cookie2": f"{name}={key}"}
    count = len(store.asked)
    for ask in (Browser().client.get, Browser().client.post):
        for sent in ({"headers": headers}, {"data": {name: key, "session_key": key}}, {"query_params": {name: key}}):
            assert ask(url_of(name_user), **sent).json() == {"shown": ""}
    assert len(store.asked) == count
    assert browser.user() == "ann"


def test_every_bit_of_a_key_counts(browser: Browser, ann: Any, store: WatchedStore) -> None:
    browser.visit(login(ann))
    raw = bytearray(base64.urlsafe_b64decode(browser.cookie or ""))
    count = len(store.asked)
    for bit in range(len(raw) * 8):
        raw[bit // 8] ^= 1 << bit % 8
        assert Browser(base64.urlsafe_b64encode(raw).decode()).user() == ""
        raw[bit // 8] ^= 1 << bit % 8
    assert len(store.asked) == count
    assert browser.user() == "ann"


def test_ten_thousand_fuzzed_cookies_cost_no_store_access_and_no_5xx(store: WatchedStore) -> None:
    """Send raw headers, as a server hands them on: what Django's parser makes of them is part of the test."""
    handler, factory, url = WSGIHandler(), RequestFactory(), url_of(read)
    for header in fuzzed_headers(random.Random(20261121)):
        response = handler.get_response(_request(factory, url, header))
        assert response.status_code in (200, 400), header
    assert not store.verbs


def _request(factory: RequestFactory, url: str, header: str) -> HttpRequest:
    request = factory.get(url)
    request.META["HTTP_COOKIE"] = header.encode("utf-8", "surrogateescape").decode("latin-1")  # As WSGI does.
    return request


def fuzzed_headers(dice: random.Random) -> Iterator[str]:
    """Yield headers around genuine-looking keys: flipped, cut, joined, escaped, and plain noise."""
    alphabet = "".join(map(chr, range(256))) + "\u2000\u3000\uff21\U0001f36a\udcff"
    name = settings.SESSION_COOKIE_NAME
    for number in range(FUZZED):
        key = list(unsigned() if number % 2 else foreign()) if number % 4 else list(unsigned()) * dice.randint(0, 30)
        for _ in range(dice.randint(0, 4)):
            place = dice.randint(0, len(key))
            key[place : place + dice.randint(0, 3)] = dice.choices(alphabet, k=dice.randint(0, 3))
        value = "".join(key)
        form = dice.choice(["{n}={v}", '{n}="{v}"', "a=b; {n}={v}; {n}={v}", '{n}="{v}\\000"', "{n} = {v}", "{v}"])
        yield form.format(n=name, v=value)


def test_stock_django_asks_its_store_for_every_cookie(stock: Callable[..., None], transactional_db: None) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    stock("db")
    with CaptureQueriesContext(connection) as queries:
        visit_with(unsigned(), read)
    assert len(queries) == 1
