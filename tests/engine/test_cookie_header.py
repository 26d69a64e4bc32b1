"""The header ``Cookie`` under attack: names that only look like the session's, and two cookies of one name."""

from __future__ import annotations

import asyncio
import json
import logging
from io import BytesIO
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.core.handlers.wsgi import WSGIHandler
from django.http.cookie import parse_cookie
from django.test import AsyncRequestFactory, RequestFactory

from django_srvsession.engine.keys import SessionKey
from tests.engine.pages import (
    STOCK,
    Browser,
    View,
    count_view,
    deletes_cookie,
    login,
    logout,
    make_user,
    name_user,
    put,
    read,
    rotate,
    set_cookie,
    url_of,
)
from tests.engine.watched import WatchedStore

NAME = "__Host-sessionid"
BLANKS = {
    "U+2000": "\u2000",
    "U+00A0": "\u00a0",
    "U+0085": "\u0085",
    "U+3000": "\u3000",
    "U+2028": "\u2028",
    "U+FEFF": "\ufeff",
    "raw A0": b"\xa0",
    "raw 85": b"\x85",
    "vertical tab": "\x0b",
    "form feed": "\x0c",
    "unit separator": "\x1f",
}
SECURITY = "django.security.SuspiciousSession"


@pytest.fixture(autouse=True)
def _host_cookie(settings: Any) -> None:
    settings.SESSION_COOKIE_NAME, settings.SESSION_COOKIE_SECURE = NAME, True


@pytest.fixture(params=[False, True], ids=["wsgi", "asgi"])
def asgi(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def raw(text: str | bytes) -> str:
    """Return bytes, or a text in UTF-8, as a server hands them on: decoded from Latin-1."""
    return (text.encode() if isinstance(text, str) else text).decode("latin1")


def visit(view: View, header: str, asgi: bool = False) -> Any:
    """Have a page answer a request with this header."""
    if not asgi:
        return WSGIHandler().get_response(RequestFactory().get(url_of(view), headers={"cookie": header}))
    scope = AsyncRequestFactory()._base_scope(path=url_of(view), method="GET")
    headers = [(b"host", b"testserver"), (b"cookie", header.encode("latin1"))]
    request = ASGIRequest({**scope, "headers": headers}, BytesIO())
    return asyncio.run(ASGIHandler().get_response_async(request))


def user_of(header: str, asgi: bool = False) -> str:
    response = visit(name_user, header, asgi)
    assert response.status_code == 200
    return str(json.loads(response.content)["shown"])


@pytest.fixture
def ann(transactional_db: None) -> str:
    """The key of ann's session."""
    return key_of(make_user("ann"))


@pytest.fixture
def eve(transactional_db: None) -> str:
    """The key of eve's session, which eve would have ann use."""
    return key_of(make_user("eve"))


def key_of(user: Any) -> str:
    browser = Browser()
    browser.visit(login(user))
    assert browser.cookie is not None
    return browser.cookie


# Names that only look like the session's.


@pytest.mark.parametrize("blank", BLANKS)
def test_a_name_behind_a_strange_blank_is_not_the_sessions(blank: str, asgi: bool, ann: str, eve: str) -> None:
    forged = f"{raw(BLANKS[blank])}{NAME}={eve}"
    assert user_of(forged, asgi) == ""
    for header in (f"{NAME}={ann}; {forged}", f"{forged}; {NAME}={ann}", f"a=b;{NAME}={ann};{forged}"):
        assert user_of(header, asgi) == "ann"
    behind = f"{NAME}{raw(BLANKS[blank])}={eve}"
    assert user_of(behind, asgi) == ""
    assert user_of(f"{NAME}={ann}; {behind}", asgi) == "ann"


def test_django_by_itself_takes_such_a_name_for_the_sessions() -> None:
    assert parse_cookie(f"{NAME}=good; \u2000{NAME}=evil")[NAME] == "evil"


@pytest.mark.parametrize("view", [read, logout])
def test_a_cookie_under_a_forged_name_is_not_deleted_and_costs_no_store_access(
    view: View, asgi: bool, store: WatchedStore
) -> None:
    response = visit(view, raw(f"\u2000{NAME}=") + SessionKey.generate().text, asgi)
    assert response.status_code == 200
    assert set_cookie(response) is None
    assert not store.verbs


def test_a_forged_name_is_logged_without_its_value(caplog: pytest.LogCaptureFixture) -> None:
    key = SessionKey.generate().text
    visit(read, raw(f"\u2000{NAME}={key}"))
    (record,) = (record for record in caplog.records if record.name == SECURITY)
    assert key not in record.getMessage()


@pytest.mark.parametrize(
    "header", ["{0}={1}", " {0}={1}", "\t{0}\t=\t{1} ", "a=b;{0}={1};c=d", '{0}="{1}"', "é=ß; {0}={1}"]
)
def test_what_the_standard_allows_around_name_and_value_is_as_before(header: str, asgi: bool, ann: str) -> None:
    assert user_of(raw(header.format(NAME, ann)), asgi) == "ann"


@pytest.mark.parametrize("other", [f"x{NAME}", f"{NAME}_devices", f"{NAME}2", f'"{NAME}"', f"{NAME},"])
def test_names_that_contain_the_sessions_are_other_names(other: str, asgi: bool, ann: str, eve: str) -> None:
    assert user_of(f"{NAME}={ann}; {other}={eve}", asgi) == "ann"
    assert user_of(f"{other}={eve}; {NAME}={ann}", asgi) == "ann"
    assert user_of(f"{other}={eve}", asgi) == ""


# Two of one name.


def test_two_genuine_keys_of_one_name_are_nobodys(asgi: bool, ann: str, eve: str) -> None:
    for one, two in ((ann, eve), (eve, ann)):
        assert user_of(f"{NAME}={one}; {NAME}={two}", asgi) == ""
        assert user_of(f"{NAME}={one}; a=b; {NAME}={two}; {NAME}={one}", asgi) == ""
    assert user_of(f"{NAME}={ann}; {NAME}={ann}", asgi) == "ann"


@pytest.mark.parametrize("view", [read, logout, count_view, rotate, put(a=1)])
def test_what_is_nobodys_is_left_alone_in_browser_and_store(
    view: View, asgi: bool, ann: str, eve: str, store: WatchedStore
) -> None:
    verbs = [asked.verb for asked in store.since(lambda: visit(view, f"{NAME}={ann}; {NAME}={eve}", asgi))]
    assert verbs == []
    response = visit(view, f"{NAME}={ann}; {NAME}={eve}", asgi)
    assert response.status_code == 200
    assert set_cookie(response) is None, "deleting one of them would leave the browser with the other"
    assert (user_of(f"{NAME}={ann}"), user_of(f"{NAME}={eve}")) == ("ann", "eve")


def test_who_signs_in_nevertheless_gets_a_session_of_their_own(asgi: bool, ann: str, eve: str) -> None:
    bob = make_user("bob")

    async def asign_in(request: Any) -> None:
        from asgiref.sync import sync_to_async

        await sync_to_async(login(bob))(request)

    response = visit(asign_in if asgi else login(bob), f"{NAME}={ann}; {NAME}={eve}", asgi)
    assert user_of(f"{NAME}={set_cookie(response).value}") == "bob"
    assert (user_of(f"{NAME}={ann}"), user_of(f"{NAME}={eve}")) == ("ann", "eve")


def test_two_genuine_keys_are_logged_by_their_sids(ann: str, eve: str, caplog: pytest.LogCaptureFixture) -> None:
    visit(read, f"{NAME}={ann}; {NAME}={eve}")
    (record,) = (record for record in caplog.records if record.name == SECURITY)
    assert record.levelno == logging.WARNING
    for key in (ann, eve):
        parsed = SessionKey.parse(key)
        assert parsed is not None and parsed.sid in record.getMessage()
        assert key not in record.getMessage()


@pytest.mark.parametrize("junk", ["", "abc", "A" * 40, '"\\101"', "abcdefghijklmnopqrstuvwxyz012345", "é"])
def test_what_another_application_set_under_the_name_shadows_nobody(junk: str, asgi: bool, ann: str) -> None:
    for header in (f"{NAME}={junk}; {NAME}={ann}", f"{NAME}={ann}; {NAME}={junk}"):
        assert user_of(raw(header), asgi) == "ann"


def test_junk_alone_is_deleted_as_before(asgi: bool) -> None:
    assert deletes_cookie(visit(read, f"{NAME}=abc", asgi))
    assert deletes_cookie(visit(read, f"{NAME}=abc; {NAME}=def", asgi))


# Where it does not apply, and what it costs.


def test_a_cookie_that_the_site_put_there_itself_counts(ann: str) -> None:
    for header in ("", "a=b", raw("name=Zoë")):
        request = RequestFactory().get(url_of(name_user), headers={"cookie": header})
        request.COOKIES[NAME] = ann
        assert b'"ann"' in WSGIHandler().get_response(request).content


def test_another_engine_is_left_as_django_does_it(settings: Any, transactional_db: None) -> None:
    settings.SESSION_ENGINE = f"{STOCK}.backends.db"
    key = key_of(make_user("ann"))
    assert user_of(f"{NAME}=abc; {NAME}={key}") == "ann"
    assert user_of(f"{NAME}={key}; {NAME}=abc") == ""


def test_the_everyday_header_is_not_split(monkeypatch: pytest.MonkeyPatch, ann: str) -> None:
    def fail(*args: Any) -> Any:
        raise AssertionError("the header was split")

    monkeypatch.setattr("django_srvsession.engine.cookies.values_of", fail)
    assert user_of(f"csrftoken={'a' * 64}; {django_settings.SESSION_COOKIE_NAME}={ann}; a=b") == "ann"
