"""The key in a header, for native apps: the same sessions, no cookie, no CSRF token; with a cookie beside, nobody's."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import alogin, alogout
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.test import AsyncClient, AsyncRequestFactory, Client, RequestFactory
from django.views.debug import ExceptionReporter

from django_srvsession import conf, services
from django_srvsession.checks.header import check_header, check_header_for_deployment
from django_srvsession.checks.settings import check_settings
from django_srvsession.clients.devices import device_kind
from django_srvsession.engine.keys import SessionKey
from django_srvsession.engine.naming import english_device_name_of
from django_srvsession.store.listings import Filter
from tests.app import HEADER, App
from tests.engine.every_store import on_every_store
from tests.engine.pages import (
    BACKEND,
    Browser,
    View,
    count_view,
    failing,
    flush,
    login,
    logout,
    make_user,
    name_user,
    put,
    raising,
    read,
    rotate,
    untouched,
    url_of,
    while_,
)
from tests.engine.test_reports import reports
from tests.engine.watched import WatchedStore

__all__ = ["reports"]

IPHONE = "MyApp/2.3 (iPhone; iOS 17.5; Scale/3.00)"
JUNK = ["abc", "A" * 40, "x" * 60_000, "\x80" * 40, "é", "new2", "NEW", "null", "\x00", '"quoted"', "a=b; c=d"]

NO_NAMES = [
    *("Cookie", "Accept", "Authorization", "X-Forwarded-For", "X-Real-IP", "X-CSRFToken", "X-Requested-With"),
    *("Session-Token", "X Session", "X-", "X", "", "X_Session", 1, ("X-A",)),
]


@pytest.fixture(autouse=True)
def _header(settings: Any) -> None:
    settings.SRVSESSION_HEADER = HEADER


@pytest.fixture(params=[False, True], ids=["wsgi", "asgi"])
def asgi(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def both(view: View, aview: View, asgi: bool) -> View:
    """Return the view of the kind that is asked for."""
    return aview if asgi else view


def sign_in(user: Any, asgi: bool) -> View:
    async def asign_in(request: HttpRequest) -> None:
        await alogin(request, user, backend=BACKEND)

    return both(login(user), asign_in, asgi)


async def asign_out(request: HttpRequest) -> None:
    await alogout(request)


def visit(app: App, view: View, method: str = "POST", **headers: str) -> Any:
    return app.ask(method, url_of(view), **headers)


def show(app: App, view: View, method: str = "POST") -> Any:
    answer = visit(app, view, method)
    assert answer.status_code == 200, answer.content
    return answer.json()["shown"]


def signed_in(user: Any, asgi: bool = False) -> App:
    app = App(asgi=asgi)
    show(app, sign_in(user, asgi))
    return app


def raw(view: View, headers: list[tuple[bytes, bytes]], asgi: bool) -> Any:
    """Have a page answer a GET with these header lines, as a server hands them on."""
    headers = [(b"host", b"testserver"), *headers]
    if asgi:
        scope = AsyncRequestFactory()._base_scope(path=url_of(view), method="GET")
        request = ASGIRequest({**scope, "headers": headers}, BytesIO())
        return asyncio.run(ASGIHandler().get_response_async(request))
    environ: dict[str, str] = {}
    for name, value in headers:  # Servers join lines of one name; PEP 3333 leaves them no choice.
        key = "HTTP_" + name.decode().upper().replace("-", "_")
        environ[key] = ",".join(filter(None, (environ.get(key), value.decode("latin1"))))
    return WSGIHandler().get_response(RequestFactory().get(url_of(view), **environ))


# The same sessions.


@on_every_store
def test_an_app_signs_in_acts_and_signs_out_by_the_header_alone(asgi: bool, ann: Any) -> None:
    app = App(asgi=asgi)
    assert show(app, put(a=1)) is None
    before = app.token
    assert SessionKey.parse(before) is not None
    show(app, sign_in(ann, asgi))
    assert app.token != before, "a sign-in changes the key"
    assert show(app, name_user) == "ann"
    assert show(app, read)["a"] == 1
    assert show(App(before, asgi), name_user) == "", "the key from before opens nothing"
    (record,) = services.sessions_of(ann)
    assert SessionKey.parse(app.token).sid == record.sid  # type: ignore[union-attr]
    show(app, both(logout, asign_out, asgi))
    assert app.token == ""
    assert len(services.sessions_of(ann)) == 0
    assert show(app, name_user) == ""


@on_every_store
def test_an_answer_brings_the_header_only_when_the_key_changes(asgi: bool, ann: Any) -> None:
    app = signed_in(ann, asgi)
    for view in (name_user, count_view, untouched):
        assert HEADER not in visit(app, view).headers
    token = app.token
    assert HEADER in visit(app, rotate).headers
    assert app.token != token
    assert show(app, name_user) == "ann"


def test_a_session_is_one_whether_its_key_comes_in_a_header_or_a_cookie(asgi: bool, ann: Any) -> None:
    app = signed_in(ann, asgi)
    assert Browser(app.token, asgi).user() == "ann"
    browser = Browser(asgi=asgi)
    browser.visit(sign_in(ann, asgi))
    assert show(App(browser.cookie or "", asgi), name_user) == "ann"


def test_who_has_no_token_asks_for_nothing_and_gets_nothing(asgi: bool, store: WatchedStore) -> None:
    for token in ("new", ""):
        app = App(token, asgi)
        assert store.since(lambda app=app: visit(app, read)) == []
        assert app.token == token


def test_the_use_of_a_session_is_recorded_and_its_token_stays(
    asgi: bool, ann: Any, settings: Any, store: WatchedStore
) -> None:
    settings.SRVSESSION_IDLE_TIMEOUT, settings.SRVSESSION_TOUCH_INTERVAL = timedelta(hours=1), 0
    app = signed_in(ann, asgi)
    (before,) = services.sessions_of(ann)
    assert HEADER not in visit(app, name_user).headers
    (record,) = services.sessions_of(ann)
    assert store.verbs[-2:] == ["load", "update"] or "update" in store.verbs
    assert record.expires_ms >= before.expires_ms and record.version > before.version


def test_a_new_secret_signs_the_token_anew(asgi: bool, ann: Any, settings: Any) -> None:
    app = signed_in(ann, asgi)
    token = app.token
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another secret " * 5
    assert show(app, name_user) == "ann"
    assert app.token != token
    settings.SECRET_KEY_FALLBACKS = []
    assert show(app, name_user) == "ann"


# Off.


def test_without_the_setting_the_header_is_passed_over(asgi: bool, ann: Any, settings: Any) -> None:
    app = signed_in(ann, asgi)
    settings.SRVSESSION_HEADER = None
    assert visit(app, put(a=1), "POST").status_code == 403, "a POST needs a CSRF token"
    answer = (
        app.client.get(url_of(name_user), headers={HEADER: app.token}) if not asgi else visit(app, name_user, "GET")
    )
    assert answer.json()["shown"] == ""
    assert "Vary" not in answer.headers or HEADER not in answer.headers["Vary"]


# A header and a cookie.


@pytest.mark.parametrize("accept", ["", "application/json", "*/*", "text/html", "text/plain"])
@pytest.mark.parametrize("token", ["new", "", "junk", "genuine"])
def test_with_a_session_cookie_beside_it_the_answer_is_400_and_the_store_is_not_asked(
    asgi: bool, ann: Any, store: WatchedStore, token: str, accept: str
) -> None:
    app = signed_in(ann, asgi)
    genuine, app.token = app.token, app.token if token == "genuine" else token
    for cookie in (genuine, "junk", ""):
        app.client.cookies[django_settings.SESSION_COOKIE_NAME] = cookie
        for method in ("GET", "POST"):
            count = len(store.asked)
            answer = visit(app, count_view, method, **({"Accept": accept} if accept else {}))
            assert answer.status_code == 400
            assert store.asked[count:] == []
            assert HEADER not in answer.headers
            assert genuine not in answer.content.decode()
            is_text = accept == "text/html"
            assert answer["Content-Type"].partition(";")[0] == ("text/plain" if is_text else "application/problem+json")
            assert "no-store" in answer["Cache-Control"]
    assert Browser(genuine, asgi).user() == "ann", "nobody is signed out by that"


def test_a_cookie_whose_name_only_looks_like_the_sessions_is_one_too_many(asgi: bool, ann: Any) -> None:
    token = signed_in(ann).token.encode()
    cookie = b"\xa0sessionid=abc" if asgi else "\u2000sessionid=abc".encode()  # What Django strips, each way.
    assert raw(name_user, [(b"x-session-token", token), (b"cookie", cookie)], asgi).status_code == 400
    assert raw(name_user, [(b"x-session-token", token), (b"cookie", b"other=abc")], asgi).status_code == 200


# CSRF.


def test_only_the_header_spares_an_app_the_csrf_token(asgi: bool, ann: Any) -> None:
    app = signed_in(ann, asgi)
    assert show(app, count_view) == 1
    client: Any = (AsyncClient if asgi else Client)(enforce_csrf_checks=True)
    client.cookies[django_settings.SESSION_COOKIE_NAME] = app.token
    answer = client.post(url_of(count_view))
    assert (asyncio.run(answer) if asgi else answer).status_code == 403, "the same key in a cookie"


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_of_the_middlewares_makes_no_difference(asgi: bool, ann: Any, settings: Any, order: int) -> None:
    ours, csrf = "django_srvsession.middleware.SessionMiddleware", "django.middleware.csrf.CsrfViewMiddleware"
    rest = [entry for entry in settings.MIDDLEWARE if entry not in (ours, csrf)]
    settings.MIDDLEWARE = [*[ours, csrf][::order], *rest]
    app = signed_in(ann, asgi)  # Which has Django make a new CSRF token; that no cookie is set, each request checks.
    assert show(app, count_view) == 1


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_where_an_app_says_it_comes_from_is_no_matter(asgi: bool, ann: Any, origin: str) -> None:
    app = signed_in(ann, asgi)
    assert visit(app, count_view, Origin=origin, Referer="https://evil.example/").status_code == 200


@pytest.mark.fence
def test_django_asks_for_no_csrf_token_where_a_request_says_so() -> None:
    request = RequestFactory().post("/")
    check = CsrfViewMiddleware(lambda request: HttpResponse())
    assert check.process_view(request, lambda request: HttpResponse(), (), {}) is not None
    request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]
    assert check.process_view(request, lambda request: HttpResponse(), (), {}) is None


# Ends.


def revoke(user: Any) -> None:
    assert services.revoke_all(user)


@on_every_store
@pytest.mark.parametrize("view", [name_user, read, failing(read, 404)])
def test_the_token_of_a_session_that_was_ended_elsewhere_is_taken_back(asgi: bool, ann: Any, view: View) -> None:
    app = signed_in(ann, asgi)
    revoke(ann)
    assert HEADER not in visit(app, untouched).headers, "nobody has looked"
    assert visit(app, view).headers[HEADER] == ""


def test_a_token_that_was_replaced_just_now_is_not_taken_back(asgi: bool, ann: Any) -> None:
    app = signed_in(ann, asgi)
    old = App(app.token, asgi)
    visit(app, rotate)
    assert show(old, name_user) == ""
    assert old.token != "", "the answer may come after the one that brought the new token"
    assert show(app, name_user) == "ann"


def test_an_app_whose_session_ended_signs_in_with_the_token_that_it_has(asgi: bool, ann: Any) -> None:
    app = signed_in(ann, asgi)
    revoke(ann)
    token = app.token
    show(app, sign_in(ann, asgi))
    assert app.token not in ("", token)
    assert show(app, name_user) == "ann"


@pytest.mark.parametrize("end", [flush, logout])
def test_who_ends_their_session_is_told_so_at_once(asgi: bool, ann: Any, end: View) -> None:
    app = signed_in(ann, asgi)
    assert visit(app, end).headers[HEADER] == ""


def test_what_was_ended_during_the_request_brings_no_key(asgi: bool, ann: Any) -> None:
    app = signed_in(ann, asgi)
    answer = visit(app, while_(count_view, lambda: revoke(ann), rotate))
    assert answer.headers.get(HEADER, "") == ""
    assert show(app, name_user) == ""


# Outages.


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html"])
def test_an_outage_is_503_and_the_token_stays(asgi: bool, ann: Any, store: WatchedStore, accept: str) -> None:
    app = signed_in(ann, asgi)
    token = app.token
    store.go_out()
    for view in (name_user, count_view, rotate, logout):
        answer = visit(app, view, Accept=accept)
        assert (answer.status_code, HEADER in answer.headers) == (503, False)
    store.come_back()
    assert (app.token, show(app, name_user)) == (token, "ann")


def test_a_key_that_the_store_had_taken_before_it_went_out_is_told(asgi: bool, ann: Any, store: WatchedStore) -> None:
    app = signed_in(ann, asgi)
    token = app.token
    answer = visit(app, while_(rotate, store.go_out, count_view))
    assert answer.status_code == 503
    assert app.token != token
    assert {"private", "no-store"} <= set(answer["Cache-Control"].split(", "))
    store.come_back()
    assert show(app, name_user) == "ann"


# Hostile values.


@pytest.mark.parametrize("junk", JUNK, ids=lambda junk: repr(junk[:9]))
@pytest.mark.parametrize("view", [read, logout, count_view, rotate])
def test_what_is_no_key_is_nobodys_and_the_app_is_told_to_drop_it(
    asgi: bool, store: WatchedStore, junk: str, view: View
) -> None:
    app = App(asgi=asgi)
    app.token = junk.encode().decode("latin1")
    count = len(store.asked)
    answer = visit(app, view)
    assert answer.status_code == 200
    assert "load" not in store.verbs[count:], "what this site did not sign does not get to the store"
    begins = view in (count_view, rotate)
    assert (SessionKey.parse(app.token) is not None) == begins
    assert begins or app.token == ""


def test_of_two_lines_none_counts(asgi: bool, ann: Any) -> None:
    one, two = signed_in(ann).token.encode(), signed_in(make_user("eve")).token.encode()
    for first, second in ((one, two), (two, one), (one, b"new"), (one, b""), (b"", one)):
        answer = raw(name_user, [(b"x-session-token", first), (b"x-session-token", second)], asgi)
        assert answer.status_code == 200
        shown = json.loads(answer.content)["shown"]
        assert shown == "" or (not asgi and b"" in (first, second)), "only an empty line is none to some servers"
    assert json.loads(raw(name_user, [(b"x-session-token", b" \t" + one + b" ")], asgi).content)["shown"] == "ann"


def test_under_asgi_a_name_with_underscores_is_another_one(ann: Any) -> None:
    token = signed_in(ann).token.encode()
    for name, user in ((b"x-session-token", "ann"), (b"x_session_token", ""), (b"x-session_token", "")):
        assert json.loads(raw(name_user, [(name, token)], True).content)["shown"] == user


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_name_that_something_else_uses_is_refused(settings: Any, name: Any) -> None:
    settings.SRVSESSION_HEADER = name
    with pytest.raises(ImproperlyConfigured, match="X-Session-Token"):
        conf.read("HEADER")
    assert {message.id for message in check_settings()} == {"srvsession.E002"}


# Caches.


def test_answers_depend_on_header_and_cookie_alike(asgi: bool, ann: Any) -> None:
    app = signed_in(ann, asgi)
    for answer in (visit(app, name_user), visit(App(asgi=asgi), name_user), visit(app, rotate)):
        assert {"Cookie", HEADER} <= set(answer["Vary"].split(", "))
    assert HEADER in Browser(asgi=asgi).visit(name_user)["Vary"]
    assert "Vary" not in Browser(asgi=asgi).visit(untouched).headers


def public(view: View) -> View:
    def shown_to_all(request: HttpRequest) -> HttpResponse:
        view(request)
        return HttpResponse("page", headers={"Cache-Control": "public, max-age=600"})

    return shown_to_all


def test_no_cache_keeps_an_answer_with_a_token(asgi: bool, ann: Any, settings: Any) -> None:
    cache = "django.middleware.cache."
    settings.MIDDLEWARE = [
        f"{cache}UpdateCacheMiddleware", *settings.MIDDLEWARE, f"{cache}FetchFromCacheMiddleware",
    ]  # fmt: skip
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "header"}}
    page = public(put(a=1))
    apps = [App(asgi=asgi), App(asgi=asgi)]
    for app in apps:
        answer = visit(app, page, "GET")
        assert {"private", "no-store"} <= set(answer["Cache-Control"].split(", "))
        assert "public" not in answer["Cache-Control"]
    assert apps[0].token != apps[1].token
    assert all(SessionKey.parse(app.token) for app in apps)


# What is listed, logged and shown.


@on_every_store
@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (IPHONE, "MyApp 2.3 on iPhone"),
        ("okhttp/4.12.0", "App"),
        ("", "App"),
        ("Mozilla/5.0 (Linux; Android 14) AppleWebKit/537 Chrome/126.0 Mobile Safari/537", "App on Android phone"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "App on Linux"),
        ("Googlebot/2.1 (+http://www.google.com/bot.html)", "Googlebot 2.1"),
    ],
)  # fmt: skip
def test_it_is_listed_as_an_app_on_every_store(ann: Any, agent: str, name: str) -> None:
    app = App(agent=agent)
    show(app, login(ann))
    visit(app, name_user)
    Browser().visit(login(ann))
    (found,) = services.portion_of_sessions(Filter(devices=frozenset({"app"}))).records
    assert found.sid == SessionKey.parse(app.token).sid  # type: ignore[union-attr]
    assert english_device_name_of(found) == name
    assert device_kind(found.client.user_agent) == "app"


def test_no_report_and_no_log_holds_the_token(
    asgi: bool, ann: Any, settings: Any, caplog: pytest.LogCaptureFixture, reports: list[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    app = signed_in(ann, asgi)
    for debug in (True, False):
        settings.DEBUG = debug
        token = app.token
        assert visit(app, raising(rotate)).status_code == 500
        assert len(reports) == 2
        for text in (*reports, caplog.text, repr(services.sessions_of(ann)[0])):
            assert token not in text
            assert HEADER.upper().replace("-", "_") in reports[0], "the header is in the report, and its value is not"
        reports.clear()


@pytest.mark.parametrize(("name", "is_shown"), [(HEADER, False), ("X-Auth", False), ("X-Session", True)])
def test_a_name_that_djangos_reports_do_not_hide_is_a_warning(settings: Any, name: str, is_shown: bool) -> None:
    settings.SRVSESSION_HEADER = name
    request = RequestFactory().get("/", headers={name: "secret-value"})
    text = ExceptionReporter(request, None, None, None).get_traceback_text()
    assert ("secret-value" in text) == is_shown
    assert [message.id for message in check_header()] == (["srvsession.W020"] if is_shown else [])


@pytest.mark.parametrize(
    ("cors", "found"),
    [
        ({}, []),
        ({"CORS_ALLOW_ALL_ORIGINS": True}, []),
        ({"CORS_ALLOW_ALL_ORIGINS": True, "CORS_ALLOW_HEADERS": ["accept", "x-session-token"]}, ["srvsession.W021"]),
        ({"CORS_ORIGIN_ALLOW_ALL": True, "CORS_ALLOW_HEADERS": (HEADER,)}, ["srvsession.W021"]),
        ({"CORS_ALLOWED_ORIGINS": ["https://app.example"], "CORS_ALLOW_HEADERS": (HEADER,)}, []),
    ],
)
def test_cors_that_lets_everybody_send_it_is_a_warning(settings: Any, cors: dict[str, Any], found: list[str]) -> None:
    for name, value in cors.items():
        setattr(settings, name, value)
    assert [message.id for message in check_header_for_deployment()] == found
    settings.SRVSESSION_HEADER = None
    assert check_header_for_deployment() == []


# New devices.


def test_a_sign_in_by_an_app_is_mailed_and_no_cookie_remembers_it(
    asgi: bool, ann: Any, settings: Any, mailoutbox: list[Any]
) -> None:
    settings.SRVSESSION_NOTIFY_NEW_DEVICE = True
    ann.email = "ann@example.com"
    ann.save()
    app = App(asgi=asgi, agent=IPHONE)
    show(app, login(ann))
    show(app, login(ann))
    assert len(mailoutbox) == 1
    assert "MyApp 2.3 on iPhone" in mailoutbox[0].body
