"""The API with the key in a header: an app signs in, is listed, ends sessions and is ended; no cookie, no CSRF."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client

from django_srvsession import services
from django_srvsession.engine.keys import SessionKey
from tests.api.client import Api, problem, url
from tests.app import HEADER, App
from tests.engine.every_store import on_every_store
from tests.engine.watched import WatchedStore
from tests.later import Later

pytestmark = pytest.mark.django_db(transaction=True)

PIXEL = "MyApp 2.3 on Pixel 8"


@pytest.fixture(autouse=True)
def _header(settings: Any) -> None:
    settings.SRVSESSION_HEADER = HEADER


def sign_in(app: App, name: str = "ann", password: str = "", **members: Any) -> Any:
    return app.ask("POST", url("login"), {"username": name, "password": password or f"pass-{name}", **members})


def signed_in(name: str = "ann", **options: Any) -> App:
    app = App(**options)
    answer = sign_in(app, name, device_name=PIXEL)
    assert answer.status_code == 200, answer.content
    return app


def sid_of(app: App) -> str:
    key = SessionKey.parse(app.token)
    assert key is not None
    return key.sid


def whoami(app: App) -> Any:
    return app.ask("GET", url("whoami")).json()


@on_every_store
def test_the_story_of_an_app_from_sign_in_to_its_end_from_elsewhere(asgi: bool, ann: Any, bob: Any) -> None:
    app = App(asgi=asgi)
    assert whoami(app) == {"user": None, "session": None, "ended": None, "csrf_token": None}
    assert app.token == "new", "who only looks gets no session"
    problem(sign_in(app, password="wrong"), 403, "urn:srvsession:problem:wrong-credentials")
    here = sign_in(app, remember=True, device_name=PIXEL).json()
    assert (here["user"]["username"], here["session"]["sid"], here["csrf_token"]) == ("ann", sid_of(app), None)
    assert here["session"]["device"] == {"name": PIXEL, "kind": "app"}

    browser, tablet = Api("ann"), signed_in(asgi=asgi)
    listed = browser.get("sessions").json()["sessions"]
    assert {(one["sid"], one["device"]["kind"], one["current"]) for one in listed} == {
        (sid_of(app), "app", False), (sid_of(tablet), "app", False), (browser.sid, "desktop", True),
    }  # fmt: skip
    assert [one["current"] for one in app.ask("GET", url("sessions")).json()["sessions"]] == [False, False, True]

    token, sid = app.token, sid_of(app)
    assert app.ask("POST", url("confirm_password"), {"password": "pass-ann"}).status_code == 204
    assert (app.token != token, sid_of(app)) == (True, sid)
    assert app.ask("DELETE", url("session", sid_of(tablet))).status_code == 204
    ended = problem(tablet.ask("GET", url("sessions")), 401)["ended"]
    assert (ended["reason"], ended["detail"]) == ("revoked", "You were signed out from another device.")
    assert tablet.token == ""
    assert whoami(tablet)["user"] is None
    assert sign_in(tablet).status_code == 200, "with the empty value that it was told"

    assert browser.end(sid).status_code == 204
    assert problem(app.ask("POST", url("end_others")), 401)["ended"]["sid"] == sid
    assert app.token == ""
    assert tablet.ask("POST", url("end_others")).json() == {"ended": 1}
    assert browser.user() is None
    answer = tablet.ask("POST", url("logout"))
    assert (answer.status_code, "Clear-Site-Data" in answer.headers) == (204, False), "a browser's data is no app's"
    assert (tablet.token, len(services.sessions_of(ann))) == ("", 0)


def test_an_app_ends_its_own_session_by_its_sid(asgi: bool, ann: Any) -> None:
    app = signed_in(asgi=asgi)
    assert app.ask("DELETE", url("session", sid_of(app))).status_code == 204
    assert app.token == ""


def test_a_proof_is_asked_of_an_app_too(ann: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    app = signed_in()
    Later(monkeypatch, 24 * 3600)
    problem(app.ask("POST", url("end_others")), 403, "urn:srvsession:problem:proof-required")
    assert app.ask("POST", url("confirm_password"), {"password": "pass-ann"}).status_code == 204
    assert app.ask("POST", url("end_others")).status_code == 200


def test_five_wrong_passwords_end_the_apps_session_and_it_learns_why(asgi: bool, ann: Any) -> None:
    app = signed_in(asgi=asgi)
    answers = [app.ask("POST", url("confirm_password"), {"password": "x"}).status_code for _ in range(5)]
    assert answers == [403, 403, 403, 403, 401]
    assert problem(app.ask("GET", url("sessions")), 401)["ended"]["reason"] == "confirmation_failed"
    assert app.token == ""


def test_the_limit_of_sessions_refuses_an_app_which_gets_no_token(asgi: bool, ann: Any, settings: Any) -> None:
    settings.SRVSESSION_MAX_SESSIONS_PER_USER, settings.SRVSESSION_LIMIT_POLICY = 1, "refuse"
    first, second = signed_in(asgi=asgi), App(asgi=asgi)
    problem(sign_in(second), 403, "urn:srvsession:problem:too-many-sessions")
    assert SessionKey.parse(second.token) is None
    assert whoami(first)["user"]["username"] == "ann"


def test_no_csrf_cookie_is_set_whichever_way_django_keeps_its_token(asgi: bool, ann: Any, settings: Any) -> None:
    settings.CSRF_USE_SESSIONS = True
    app = App(asgi=asgi)
    whoami(app)
    assert app.token == "new", "no session is begun for a token that nobody needs"
    assert sign_in(app).status_code == 200
    assert whoami(app)["user"]["username"] == "ann"


# Other sites.


def test_a_form_of_another_site_has_no_way_to_be_spared_the_csrf_check(ann: Any) -> None:
    """A form may send any of these types, and no header; a form's fields are no headers."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(ann)
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        for query in ("", f"?{HEADER}=new", "?HTTP_X_SESSION_TOKEN=new"):
            answer = client.post(url("end_others") + query, f"{HEADER}=new", content_type=content_type)
            assert answer.status_code in (403, 415)
            assert client.post(url("logout") + query, b"", content_type=content_type).status_code == 403
    assert len(services.sessions_of(ann)) == 1


def test_a_sign_in_of_another_site_plants_no_cookie_and_ends_nobodys_session(ann: Any, bob: Any) -> None:
    """Its script needs leave by CORS for the header; then, with the person's cookies, it is refused."""
    person = Api("ann")
    members = {"username": "bob", "password": "pass-bob"}
    for token in ("new", signed_in("bob").token):
        headers = {HEADER: token, "Origin": "https://evil.example"}
        assert person.ask("POST", url("login"), members, headers=headers).status_code == 400
        assert person.user() == "ann"
    script = App()  # The same without credentials.
    assert sign_in(script, "bob").status_code == 200
    assert person.user() == "ann"


def test_a_header_and_a_session_cookie_are_400_everywhere_and_nobody_is_asked(
    ann: Any, store: WatchedStore, asgi: bool
) -> None:
    app = signed_in(asgi=asgi)
    app.client.cookies[django_settings.SESSION_COOKIE_NAME] = app.token
    count = len(store.asked)
    for method, name in (("GET", "whoami"), ("POST", "login"), ("POST", "logout"), ("GET", "sessions")):
        assert "X-Session-Token" in problem(app.ask(method, url(name), {}), 400)["detail"]
    assert store.asked[count:] == []


# Outages and other answers.


def test_an_outage_keeps_the_token(asgi: bool, ann: Any, store: WatchedStore) -> None:
    app = signed_in(asgi=asgi)
    token = app.token
    store.go_out()
    for method, name in (("GET", "whoami"), ("GET", "sessions"), ("POST", "logout"), ("POST", "end_others")):
        problem(app.ask(method, url(name)), 503)
    problem(sign_in(app), 503)
    assert app.token == token
    store.come_back()
    assert whoami(app)["user"]["username"] == "ann"


def test_no_cache_keeps_an_answer_of_the_api(asgi: bool, ann: Any) -> None:
    app = App(asgi=asgi)
    for answer in (sign_in(app), app.ask("GET", url("whoami")), app.ask("POST", url("logout"))):
        assert "no-store" in answer["Cache-Control"]
        assert {"Cookie", HEADER} <= set(answer["Vary"].split(", "))


def test_nothing_that_is_answered_holds_the_token_but_the_header(ann: Any) -> None:
    app = signed_in()
    for method, name in (("GET", "whoami"), ("GET", "sessions"), ("POST", "end_others"), ("POST", "logout")):
        token = app.token
        answer = app.ask(method, url(name))
        assert token not in answer.content.decode() and token not in json.dumps(dict(answer.headers))
