"""Confirm it is you: when the password is asked for again, and what a right answer does."""

from __future__ import annotations

import math
import secrets
import sys
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model, login, logout
from django.contrib.auth.backends import BaseBackend
from django.contrib.sessions.exceptions import SuspiciousSession
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import got_request_exception
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path
from django.utils.decorators import method_decorator
from django.views.debug import ExceptionReporter
from django.views.generic import View

from django_srvsession import conf
from django_srvsession.accounts import reauthentication
from django_srvsession.backends.memory import MemoryStore
from django_srvsession.backends.memory.table import SessionTable
from django_srvsession.engine import SessionStore
from tests.later import Later

MINUTE = 60


def about(request: HttpRequest) -> HttpResponse:
    """Say who is asking, and whether the proof is recent."""
    return HttpResponse(f"{request.user.get_username()} {reauthentication.is_recent(request)}")


def check(request: HttpRequest) -> HttpResponse:
    """Confirm with whatever password was sent."""
    return HttpResponse(str(reauthentication.confirm(request, request.POST["password"])))


@reauthentication.recent_proof_required
def guarded(request: HttpRequest) -> HttpResponse:
    """Be something that asks for the password."""
    return HttpResponse("done")


@method_decorator(reauthentication.recent_proof_required, name="dispatch")
class Guarded(View):
    """Be the same as a class."""

    def post(self, request: HttpRequest) -> HttpResponse:
        """Do it."""
        return HttpResponse("done")


urlpatterns = [
    path("account/", include("django_srvsession.urls")),
    path("about/", about),
    path("check/", check),
    path("guarded/", guarded),
    path("guarded-class/", Guarded.as_view()),
]

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Later:
    """The clock of the proofs."""
    return Later(monkeypatch)


@pytest.fixture(autouse=True)
def _site(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.SESSION_ENGINE = "django_srvsession.backends.memory"
    settings.LOGIN_URL = "srvsession:login"
    monkeypatch.setattr(MemoryStore, "table", SessionTable())


@pytest.fixture
def client() -> Client:
    """A browser in which alice has just signed in."""
    get_user_model().objects.create_user("alice", password="pass-alice")
    client = Client()
    assert client.login(username="alice", password="pass-alice")
    return client


def answer(client: Client, page: str, **fields: str) -> str:
    return (client.post(page, fields) if fields else client.get(page)).content.decode()


def is_recent(client: Client) -> bool:
    return answer(client, "/about/").endswith("True")


# When it is asked for.


def test_a_sign_in_is_a_proof_for_a_quarter_of_an_hour(client: Client, watch: Later) -> None:
    assert is_recent(client)
    watch.advance(14 * MINUTE)
    assert is_recent(client)
    watch.advance(2 * MINUTE)
    assert not is_recent(client)


@pytest.mark.parametrize("value", [5 * MINUTE, timedelta(minutes=5)])
def test_the_setting_says_how_old_a_proof_may_be(client: Client, watch: Later, settings: Any, value: Any) -> None:
    settings.SRVSESSION_REAUTH_AGE = value
    watch.advance(4 * MINUTE)
    assert is_recent(client)
    watch.advance(2 * MINUTE)
    assert not is_recent(client)


def test_none_means_that_nobody_is_asked_again(client: Client, watch: Later, settings: Any) -> None:
    settings.SRVSESSION_REAUTH_AGE = None
    watch.advance(365 * 24 * 60 * MINUTE)
    assert is_recent(client)
    assert answer(client, "/guarded/") == "done"


@pytest.mark.parametrize("value", [-1, "15", True])
def test_a_value_that_is_no_duration_is_an_error(settings: Any, value: Any) -> None:
    settings.SRVSESSION_REAUTH_AGE = value
    with pytest.raises(ImproperlyConfigured):
        conf.read("REAUTH_AGE")


def test_a_visitor_has_proved_nothing(watch: Later) -> None:
    assert not is_recent(Client())


def test_using_the_session_is_no_proof(client: Client, watch: Later) -> None:
    for _ in range(4):
        watch.advance(5 * MINUTE)
        answer(client, "/about/")
    assert not is_recent(client)


# The right answer, and the wrong ones.


def test_the_right_password_is_a_proof_and_changes_the_key(client: Client, watch: Later) -> None:
    watch.advance(20 * MINUTE)
    before, sid = key_of(client), client.session.sid
    assert answer(client, "/check/", password="pass-alice") == "True"
    assert is_recent(client)
    assert key_of(client) != before
    assert client.session.sid == sid
    assert answer(with_key(before), "/about/") == " False"
    watch.advance(16 * MINUTE)
    assert not is_recent(client)


def key_of(client: Client) -> str:
    return client.cookies[django_settings.SESSION_COOKIE_NAME].value


def with_key(key: str) -> Client:
    """Open a browser that holds a copy of somebody's cookie."""
    client = Client()
    client.cookies[django_settings.SESSION_COOKIE_NAME] = key
    return client


@pytest.mark.parametrize("password", ["wrong", "pass-bob", "", "pass-alice\x00", "pass-alice "])
def test_a_wrong_password_proves_nothing_and_changes_nothing(client: Client, watch: Later, password: str) -> None:
    get_user_model().objects.create_user("bob", password="pass-bob")
    watch.advance(20 * MINUTE)
    before = key_of(client)
    assert client.post("/check/", {"password": password}).content == b"False"
    assert not is_recent(client)
    assert key_of(client) == before


def test_a_visitor_can_confirm_nothing_and_no_backend_is_asked(client: Client, settings: Any) -> None:
    get_user_model().objects.create_user("bob")
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.AnyoneIsBob"]
    visitor, asked = Client(), AnyoneIsBob.asked
    assert answer(visitor, "/check/", password="pass-alice") == "False"
    assert AnyoneIsBob.asked == asked
    assert django_settings.SESSION_COOKIE_NAME not in visitor.cookies


class AnyoneIsBob(BaseBackend):
    """A backend that knows one person, whatever it is told."""

    asked = 0

    def authenticate(self, request: Any, **credentials: Any) -> Any:
        """Return bob."""
        AnyoneIsBob.asked += 1
        return get_user_model().objects.get(username="bob")


def test_backends_that_name_somebody_else_prove_nothing(client: Client, watch: Later, settings: Any) -> None:
    get_user_model().objects.create_user("bob")
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend", f"{__name__}.AnyoneIsBob"]
    watch.advance(20 * MINUTE)
    assert answer(client, "/check/", password="wrong") == "False"
    assert answer(client, "/about/") == "alice False"


def test_a_deactivated_person_can_confirm_nothing(client: Client, watch: Later) -> None:
    get_user_model().objects.update(is_active=False)
    assert answer(client, "/check/", password="pass-alice") == "False"


# The decorator.


def test_a_page_asks_first_and_is_shown_afterwards(client: Client, watch: Later) -> None:
    assert answer(client, "/guarded/?a=b&c=d") == "done"
    watch.advance(20 * MINUTE)
    response = client.get("/guarded/?a=b&c=d")
    assert (response.status_code, response["Location"]) == (302, "/account/confirm/?next=%2Fguarded%2F%3Fa%3Db%26c%3Dd")
    confirmed = client.post(response["Location"], {"password": "pass-alice"}, follow=True)
    assert confirmed.redirect_chain == [("/guarded/?a=b&c=d", 302)]
    assert confirmed.content == b"done"


@pytest.mark.parametrize("page", ["/guarded/", "/guarded-class/"])
@pytest.mark.parametrize(
    ("referrer", "back"),
    [
        ("http://testserver/about/?a=b", "%2Fabout%2F%3Fa%3Db"),
        ("https://evil.example/about/", "%2Faccount%2Fsessions%2F"),
        ("javascript:alert(1)", "%2Faccount%2Fsessions%2F"),
        ("", "%2Faccount%2Fsessions%2F"),
    ],
)
def test_a_form_leads_back_to_the_page_that_it_was_sent_from(
    client: Client, watch: Later, page: str, referrer: str, back: str
) -> None:
    watch.advance(20 * MINUTE)
    response = client.post(page, HTTP_REFERER=referrer)
    assert (response.status_code, response["Location"]) == (302, f"/account/confirm/?next={back}")


def test_who_has_no_password_signs_in_again(client: Client, watch: Later) -> None:
    user = get_user_model().objects.get()
    user.set_unusable_password()
    user.save()
    client.force_login(user)
    watch.advance(20 * MINUTE)
    assert client.get("/guarded/")["Location"] == "/account/login/?next=/guarded/"


def test_a_report_of_an_error_does_not_show_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    password = secrets.token_hex(16)  # No text of this file, whose lines are in the report.
    client = Client(raise_request_exception=False)
    client.force_login(get_user_model().objects.create_user("zoe", password=password))
    monkeypatch.setattr(reauthentication, "_age_ms", lambda session: math.inf)
    monkeypatch.setattr(SessionStore, "note_proof", lambda session, means: "" + means.encode())
    reports: list[str] = []

    def report(sender: Any, request: Any, **kwargs: Any) -> None:
        reports.append(ExceptionReporter(request, *sys.exc_info()).get_traceback_html())

    got_request_exception.connect(report)
    try:
        assert client.post("/account/confirm/", {"password": password}).status_code == 500
    finally:
        got_request_exception.disconnect(report)
    assert "can only concatenate str" in reports[0]
    assert password not in reports[0]


# What is no proof.


def note_proof(request: HttpRequest) -> HttpResponse:
    """Store a proof of this age, in seconds, as somebody would who could."""
    session: Any = request.session
    session.get("x")
    proved_ms = session.now_ms - int(float(request.POST["age"]) * 1000)
    session.change_details(lambda details, now_ms: details._replace(proved_ms=proved_ms))
    return HttpResponse()


def switch(request: HttpRequest) -> HttpResponse:
    """Become another user, as staff do to see what somebody sees."""
    if "logout" in request.POST:
        logout(request)
    login(
        request, get_user_model().objects.get(username=request.POST["to"]), "django.contrib.auth.backends.ModelBackend"
    )
    return HttpResponse()


def swap(request: HttpRequest) -> HttpResponse:
    """Become another user by hand."""
    user = get_user_model().objects.get(username=request.POST["to"])
    request.session.update({"_auth_user_id": str(user.pk), "_auth_user_hash": user.get_session_auth_hash()})
    return HttpResponse()


urlpatterns += [path("note_proof/", note_proof), path("switch/", switch), path("swap/", swap)]


@pytest.mark.parametrize("age", ["-60", "-0.5", str(21 * MINUTE)])
def test_a_confirmation_in_the_future_or_before_the_sign_in_is_none(client: Client, watch: Later, age: str) -> None:
    watch.advance(20 * MINUTE)
    client.post("/note_proof/", {"age": age})
    assert not is_recent(client)
    client.post("/note_proof/", {"age": "1"})
    assert is_recent(client)


def test_a_mark_that_a_view_stores_under_a_visitors_name_is_refused(client: Client, watch: Later) -> None:
    session = client.session
    with pytest.raises(SuspiciousSession):
        session["_srvsession_confirmed_ms"] = 1
    assert is_recent(client)


@pytest.mark.parametrize(("page", "extra"), [("/switch/", {}), ("/switch/", {"logout": "1"}), ("/swap/", {})])
def test_becoming_another_user_is_no_proof_of_the_person(client: Client, page: str, extra: dict[str, str]) -> None:
    get_user_model().objects.create_user("bob", password="pass-bob")
    answer(client, page, to="bob", **extra)
    assert answer(client, "/about/") == "bob False"
    # Who knows the password has proved it, as ever.
    assert answer(client, "/check/", password="pass-bob") == "True"
    assert is_recent(client)


def test_signing_in_as_another_user_on_our_page_is_a_proof(client: Client) -> None:
    get_user_model().objects.create_user("bob", password="pass-bob")
    answer(client, "/switch/", to="bob")
    client.post("/account/login/", {"username": "alice", "password": "pass-alice"})
    assert answer(client, "/about/") == "alice True"
    answer(client, "/switch/", to="bob")
    client.post("/account/login/", {"username": "bob", "password": "pass-bob"})
    assert answer(client, "/about/") == "bob True"


def test_an_engine_that_is_not_ours_says_so(client: Client, settings: Any) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    with pytest.raises(ImproperlyConfigured, match="SESSION_ENGINE"):
        client.get("/about/")


def test_a_confirmation_changes_the_key_also_while_a_fallback_had_sealed_the_hash(
    client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user model whose hash does not depend on the secret is never asked to make it anew."""
    model = get_user_model()
    monkeypatch.setattr(model, "get_session_auth_hash", lambda user: f"hash of {user.password[-9:]}")
    client.force_login(model.objects.get(username="alice"))
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another secret, another secret, another secret, another secret"
    answer(client, "/about/")
    thief = Client()
    thief.cookies["sessionid"] = client.cookies["sessionid"].value
    assert answer(client, "/check/", password="pass-alice") == "True"
    assert (answer(client, "/about/"), answer(thief, "/about/")) == ("alice True", " False")
