"""Sign in, sign out, ask who one is and confirm it, as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django import forms
from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.base import UpdateError
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.core.signals import got_request_exception
from django.views.debug import ExceptionReporter

from django_srvsession import services
from django_srvsession.accounts.forms import SignInForm
from django_srvsession.api.signing import LoginEndpoint
from django_srvsession.engine import current_store
from django_srvsession.records import Tombstone
from tests.api.client import Api, errors_in, make_user, problem, refusal_in, url, with_key
from tests.engine.watched import WatchedStore

pytestmark = pytest.mark.django_db(transaction=True)

WRONG_PASSWORD = {"username": "ann", "password": "wrong"}


# Who am I?


def test_a_visitor_is_nobody_and_gets_what_is_needed_to_sign_in(asgi: bool) -> None:
    api = Api(asgi=asgi)
    found = api.whoami()
    assert (found["user"], found["session"], found["ended"]) == (None, None, None)
    assert len(found["csrf_token"]) == 64
    assert "csrftoken" in api.client.cookies
    assert api.key is None
    assert list(services.live_sessions()) == []


def test_a_signed_in_user_is_named_with_the_session(asgi: bool, ann: Any) -> None:
    api = Api("ann", asgi=asgi)
    found = api.whoami()
    assert found["user"] == {"id": str(ann.pk), "username": "ann"}
    assert (found["session"]["sid"], found["session"]["current"]) == (services.sessions_of(ann)[0].sid, True)
    assert found["session"]["device"] == {"name": "Firefox on Linux", "kind": "desktop"}


@pytest.mark.parametrize("use_sessions", [False, True])
def test_the_token_that_whoami_tells_is_enough_to_sign_in_and_on(ann: Any, settings: Any, use_sessions: bool) -> None:
    settings.CSRF_USE_SESSIONS = use_sessions
    api = Api("ann")
    assert api.post("end_others").status_code == 200
    assert api.post("logout").status_code == 204


def test_who_holds_the_key_of_an_ended_session_learns_why_it_ended(ann: Any) -> None:
    api, other = Api("ann"), Api("ann")
    sid = api.sid
    assert other.end(sid).status_code == 204
    ended = api.whoami()["ended"]
    assert (ended["sid"], ended["reason"]) == (sid, "revoked")
    assert "another device" in ended["detail"]
    assert Api().whoami()["ended"] is None


def test_who_signed_out_is_not_told_why(ann: Any) -> None:
    api = Api("ann")
    key = api.key
    api.post("logout")
    assert with_key(key).whoami()["ended"] is None


# Sign in.


def test_signing_in_opens_a_session_and_tells_it(asgi: bool, ann: Any) -> None:
    api = Api(asgi=asgi)
    answer = api.sign_in("ann")
    assert answer.status_code == 200
    assert answer.json()["user"] == {"id": str(ann.pk), "username": "ann"}
    assert answer.json()["session"] == api.whoami()["session"]
    assert answer.json()["session"]["signed_in_at"] is not None
    assert api.user() == "ann"


def test_one_sign_in_stores_the_session_without_a_write_too_many(ann: Any, store: WatchedStore) -> None:
    api = Api()
    assert [asked.verb for asked in store.since(lambda: api.sign_in("ann"))] == ["create", "update"]


def test_signing_in_changes_the_key_also_of_who_is_signed_in(ann: Any) -> None:
    api = Api("ann")
    before, sid = api.key, api.sid
    assert api.sign_in("ann").status_code == 200
    assert api.key != before
    assert api.sid == sid
    assert (api.user(), with_key(before).user()) == ("ann", None)


def test_signing_in_as_somebody_else_begins_another_session(ann: Any, bob: Any) -> None:
    api = Api("ann")
    before, sid = api.key, api.sid
    assert api.sign_in("bob").status_code == 200
    assert (api.user(), with_key(before).user()) == ("bob", None)
    assert api.sid != sid
    assert list(services.sessions_of(ann)) == []


@pytest.mark.parametrize(("remember", "lasts"), [(True, True), (False, False), (None, False)])
def test_the_cookie_of_who_is_remembered_outlives_the_browser(
    ann: Any, settings: Any, remember: bool | None, lasts: bool
) -> None:
    settings.SRVSESSION_REMEMBER_AGE = timedelta(days=20)
    members = {} if remember is None else {"remember": remember}
    cookie = Api().sign_in("ann", **members).cookies["sessionid"]
    assert cookie["max-age"] == (20 * 24 * 3600 if lasts else "")


@pytest.mark.parametrize(
    "members",
    [WRONG_PASSWORD, {"username": "nobody", "password": "pass-ann"}, {"username": "zoe", "password": "pass-zoe"}],
    ids=["wrong password", "unknown", "deactivated"],
)
def test_who_may_not_sign_in_is_told_the_same_for_the_same_work(
    ann: Any, monkeypatch: pytest.MonkeyPatch, members: dict[str, str]
) -> None:
    make_user("zoe", is_active=False)
    hashed: list[int] = []
    encode = MD5PasswordHasher.encode
    monkeypatch.setattr(
        MD5PasswordHasher, "encode", lambda self, *args: (hashed.append(1), encode(self, *args))[1], raising=True
    )
    api = Api()
    answer = api.post("login", members)
    assert refusal_in(answer) == {"#": "invalid_login"}
    assert answer.content == Api().post("login", WRONG_PASSWORD).content
    assert len(hashed) == 2
    assert (api.key, list(services.live_sessions())) == (None, [])


def test_what_is_missing_or_empty_is_named() -> None:
    assert errors_in(Api().post("login")) == {"#/username": "required", "#/password": "required"}
    assert errors_in(Api().post("login", {"username": "", "password": "x"})) == {"#/username": "required"}


class Doorman(ModelBackend):
    """Let nobody in from the address 192.0.2.1, as what counts failures does."""

    def authenticate(self, request: Any, **credentials: Any) -> Any:
        """Look at the request."""
        if request.META["REMOTE_ADDR"] == "192.0.2.1":
            raise PermissionDenied
        return super().authenticate(request, **credentials)


def test_the_authentication_backends_of_the_site_decide_and_see_the_request(ann: Any, settings: Any) -> None:
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.Doorman", "django.contrib.auth.backends.ModelBackend"]
    api = Api()
    assert api.sign_in("ann").status_code == 200
    api.client.defaults["REMOTE_ADDR"] = "192.0.2.1"
    assert refusal_in(api.sign_in("ann")) == {"#": "invalid_login"}


def test_a_refused_sign_in_is_a_problem_of_its_own_and_opens_nothing(ann: Any, settings: Any) -> None:
    settings.SRVSESSION_MAX_SESSIONS_PER_USER = 1
    settings.SRVSESSION_LIMIT_POLICY = "refuse"
    first, second = Api("ann"), Api()
    found = problem(second.sign_in("ann"), 403, "urn:srvsession:problem:too-many-sessions")
    assert "too many devices" in found["detail"]
    assert (first.user(), second.user()) == ("ann", None)
    assert len(services.sessions_of(ann)) == 1


# Sign out.


def test_signing_out_ends_the_session_and_takes_the_cookie_away(asgi: bool, ann: Any, settings: Any) -> None:
    settings.SRVSESSION_CLEAR_SITE_DATA = ["cache", "storage"]
    api = Api("ann", asgi=asgi)
    key, sid = api.key, api.sid
    answer = api.post("logout")
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer["Clear-Site-Data"] == '"cache", "storage"'
    assert api.key is None
    stored = current_store().load(sid)
    assert isinstance(stored, Tombstone)
    assert stored.reason == "logout"
    assert with_key(key).user() is None


def test_signing_out_twice_is_no_problem(ann: Any) -> None:
    api = Api("ann")
    assert [api.post("logout").status_code for _ in range(2)] == [204, 204]


# Confirm it is you.


def test_the_right_password_is_a_proof_and_changes_the_key(asgi: bool, ann: Any) -> None:
    api = Api("ann", asgi=asgi)
    before, sid = api.key, api.sid
    answer = api.post("confirm_password", {"password": "pass-ann"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert api.key != before
    assert api.sid == sid
    assert with_key(before).user() is None


def test_the_wrong_password_is_no_proof(ann: Any) -> None:
    api = Api("ann")
    before = api.key
    assert refusal_in(api.post("confirm_password", {"password": "wrong"})) == {"#/password": "wrong_password"}
    assert (api.user(), api.key) == ("ann", before)


def test_a_visitor_has_nothing_to_confirm() -> None:
    assert problem(Api().post("confirm_password", {"password": "x"}), 401)


class FormWithCode(SignInForm):
    """Ask for one thing more."""

    code = forms.CharField()

    def clean_code(self) -> str:
        """Take one code alone."""
        if self.cleaned_data["code"] != "123456":
            raise forms.ValidationError("Wrong code.", code="wrong_code")
        return "123456"


def test_a_site_may_ask_for_more_with_a_form_of_its_own(ann: Any, rf: Any) -> None:
    view = LoginEndpoint.as_view(form_class=FormWithCode)

    def answer(**members: Any) -> Any:
        body = {"username": "ann", "password": "pass-ann", **members}
        request = rf.post("/login/", body, content_type="application/json")
        request.session = import_module(settings.SESSION_ENGINE).SessionStore()
        request.user = AnonymousUser()
        request._dont_enforce_csrf_checks = True
        response = view(request)
        return response.status_code, json.loads(response.content)

    assert answer(code="123456")[1]["user"]["username"] == "ann"
    assert [error["code"] for error in answer(code="1")[1]["errors"]] == ["wrong_code"]
    assert answer()[0] == answer(code=123456)[0] == 422


@pytest.mark.parametrize(
    ("error", "status"),
    [(PermissionDenied("secret"), 403), (SuspiciousOperation("secret"), 400), (UpdateError("secret"), 401)],
)
def test_what_a_receiver_of_the_sites_raises_is_a_problem_without_its_text(
    ann: Any, error: Exception, status: int
) -> None:
    def refuse_sign_in(**kwargs: Any) -> None:
        raise error

    api = Api()
    user_logged_in.connect(refuse_sign_in)
    try:
        answer = api.sign_in("ann")
    finally:
        user_logged_in.disconnect(refuse_sign_in)
    problem(answer, status)
    assert "secret" not in answer.content.decode()


class Broken(ModelBackend):
    """Have a bug."""

    def authenticate(self, request: Any, **credentials: Any) -> Any:
        """Raise."""
        del credentials
        raise ZeroDivisionError


def test_the_report_of_an_error_does_not_show_the_password(ann: Any, settings: Any) -> None:
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.Broken"]
    settings.DEBUG = False
    reports: list[str] = []

    def report(*, request: Any, **kwargs: Any) -> None:
        reporter = ExceptionReporter(request, *sys.exc_info())
        reports.append(reporter.get_traceback_html() + reporter.get_traceback_text())

    api = Api()
    api.client.raise_request_exception = False
    got_request_exception.connect(report)
    try:
        assert api.sign_in("ann", "the-password-of-ann").status_code == 500
    finally:
        got_request_exception.disconnect(report)
    assert len(reports) == 1
    assert "ZeroDivisionError" in reports[0]
    assert "the-password-of-ann" not in reports[0]


# Outage.


def test_a_redis_that_hangs_is_a_problem_in_json_for_a_browser(
    ann: Any, redis_alias: str, redis_server: Any, settings: Any
) -> None:
    settings.SESSION_ENGINE = "django_srvsession.backends.redis"
    api = Api("ann")
    with redis_server.frozen():
        answer = api.ask("POST", url("logout"), headers={"Accept": "text/html"})
    problem(answer, 503)
    assert not answer.cookies
    assert api.user() == "ann"


@pytest.mark.parametrize("accept", ["text/html", "application/json", "*/*", "nonsense"])
@pytest.mark.parametrize(
    "ask",
    [
        lambda api: api.ask("GET", url("whoami"), headers={"Accept": api.accept}),
        lambda api: api.ask("GET", url("sessions"), headers={"Accept": api.accept}),
        lambda api: api.ask("POST", url("logout"), headers={"Accept": api.accept}),
        lambda api: api.ask("POST", url("login"), WRONG_PASSWORD, headers={"Accept": api.accept}),
    ],
    ids=["whoami", "sessions", "logout", "login"],
)
def test_an_outage_is_a_problem_in_json_whatever_is_accepted(
    ann: Any, store: WatchedStore, accept: str, ask: Callable[[Any], Any]
) -> None:
    api: Any = Api("ann")
    api.accept = accept
    store.go_out()
    answer = ask(api)
    if b"invalid_login" not in answer.content:  # A wrong password needs no session.
        assert problem(answer, 503)
        assert int(answer["Retry-After"]) > 0
        assert "sessionid" not in answer.cookies
    store.come_back()
    assert api.user() == "ann"
