"""While the site moves, the session of a request may be another engine's: no page fails, and nobody is signed out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib import admin
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.core import signing
from django.http import HttpResponse
from django.shortcuts import render
from django.test import Client, override_settings
from django.urls import URLPattern, include, path, reverse

from django_srvsession import services, urls
from django_srvsession.accounts.disowning import Claim
from django_srvsession.accounts.proofs_elsewhere import PROOF
from django_srvsession.accounts.reauthentication import given, recent_proof_required
from django_srvsession.api import urls as api_urls
from django_srvsession.binding import urls as binding_urls
from django_srvsession.records import SessionRecord
from django_srvsession.testing.sessions import create
from tests.engine.pages import STOCK
from tests.memory import memory_store_fixture  # noqa: F401 - used as a fixture
from tests.questions import END_OTHERS, end_others

OURS = "django_srvsession.backends.memory"
API_END_OTHERS, LOGIN = "/api/sessions/end-others/", "/account/login/"
ENDS_ONE_S_OWN = {"/account/logout/", "/api/logout/"}


def whoami(request: Any) -> HttpResponse:
    """Name the user."""
    return HttpResponse(request.user.get_username())


def become(request: Any) -> HttpResponse:
    """Switch to another user, as code that helps people does."""
    login(request, User.objects.get(username=request.GET["name"]), "django.contrib.auth.backends.ModelBackend")
    return HttpResponse()


def claim(request: Any) -> HttpResponse:
    """Store what a visitor chose, under the name of a proof."""
    request.session[PROOF] = request.GET["proof"]
    return HttpResponse()


def prove(request: Any) -> HttpResponse:
    """Take whoever comes for who they are."""
    given(request, means="code")
    return HttpResponse()


@login_required
@recent_proof_required
def guarded(request: Any) -> HttpResponse:
    """Admit who has proved of late who they are, to a page with our tags."""
    return render(request, "srvsession/logged_out.html")


urlpatterns = [
    path("account/", include("django_srvsession.urls")),
    path("api/", include("django_srvsession.api.urls")),
    path("device/", include("django_srvsession.binding.urls")),
    path("admin/", admin.site.urls),
    path("whoami/", whoami),
    path("become/", become),
    path("claim/", claim),
    path("prove/", prove),
    path("guarded/", guarded),
]

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


@pytest.fixture(params=[f"{STOCK}.backends.{name}" for name in ("db", "signed_cookies")])
def stock(request: pytest.FixtureRequest) -> str:
    """An engine of Django's."""
    return str(request.param)


@pytest.fixture
def alice() -> User:
    """A user, who may do everything in the admin."""
    return User.objects.create_superuser("alice", password="pass-alice")


@pytest.fixture(params=["first", "first back", "second back"])
def client(request: pytest.FixtureRequest, settings: Any, store: Any, stock: str, alice: User) -> Client:
    """A browser with a session of before, in a step of the move in which it is served from there."""
    settings.LOGIN_URL, settings.SRVSESSION_EVENT_LOG = "srvsession:login", 30
    client = browser(alice, stock)
    settings.SESSION_ENGINE, settings.SRVSESSION_MIGRATE_UNTIL = stock, "2100-01-01"
    if request.param == "first back":
        settings.SESSION_ENGINE, settings.SRVSESSION_MIGRATE_TO = OURS, stock
    elif request.param == "first":
        settings.SRVSESSION_MIGRATE_TO = OURS
    else:
        settings.SRVSESSION_MIGRATE_FROM = OURS
    return client


def browser(user: User, stock: str) -> Client:
    """Return a browser that has signed in before the move began."""
    client = Client(raise_request_exception=False)
    names = ("SRVSESSION_MIGRATE_FROM", "SRVSESSION_MIGRATE_TO")
    with override_settings(SESSION_ENGINE=stock, **dict.fromkeys(names)):
        client.force_login(user)
    return client


def user_of(client: Client) -> str:
    return client.get("/whoami/").content.decode()


def sign_in(client: Client, target: str = "/whoami/") -> Any:
    return client.post(LOGIN, {"username": "alice", "password": "pass-alice", "next": target})


def pages(other: SessionRecord, alice: User) -> Iterator[str]:
    """Name every address of ours, and of our pages in the admin."""
    given = {"sid": other.sid, "token": Claim(other.sid, services.user_id_of(alice)).token}
    for module in (urls, api_urls, binding_urls):
        for pattern in module.urlpatterns:
            assert isinstance(pattern, URLPattern)
            if pattern.name is None:
                yield "/api/nothing/"
                continue
            kwargs = {name: given[name] for name in pattern.pattern.regex.groupindex}
            yield reverse(f"{module.app_name}:{pattern.name}", kwargs=kwargs)
    yield reverse("admin:index")
    for model in ("livesession", "sessionevent"):
        yield reverse(f"admin:srvsession_{model}_changelist")
    for page in ("change", "delete"):
        yield reverse(f"admin:srvsession_livesession_{page}", args=[other.sid])
    yield reverse("admin:auth_user_change", args=[alice.pk])
    yield "/guarded/"


def test_no_page_fails_and_none_ends_the_visitor_s_own_session(client: Client, store: Any, alice: User) -> None:
    other = create(store, user_id=services.user_id_of(alice)).record
    bodies = ({}, {"username": "alice", "password": "pass-alice", "device_name": "x", "post": "yes"})
    # No proof is known but on the last of them.
    for address in sorted(pages(other, alice), key=lambda address: ("log" in address, address in ENDS_ONE_S_OWN)):
        asked = [client.get(address), *(client.post(address, body) for body in bodies)]
        if address.startswith("/api/"):
            as_json = {name: value for name, value in bodies[1].items() if name != "post"}
            asked += [client.post(address, body, content_type="application/json") for body in ({}, as_json)]
            asked += [client.post(address, {"password": "wrong"}, content_type="application/json")]
            asked += [client.delete(address)]
        assert {answer.status_code for answer in asked if answer.status_code >= 500} == set(), address
        assert user_of(client) == ("" if address in ENDS_ONE_S_OWN else "alice"), address
        if address in ENDS_ONE_S_OWN:
            sign_in(client)


def test_who_ends_all_others_proves_who_they_are_by_a_sign_in_and_stays(
    client: Client, store: Any, stock: str, alice: User
) -> None:
    waiting = browser(alice, stock)
    other = create(store, user_id=services.user_id_of(alice)).record
    fields = dict(client.get(END_OTHERS).context["fields"])
    asked = client.post(END_OTHERS, fields)
    assert asked["Location"] == f"{LOGIN}?next={END_OTHERS}"
    assert services.session_of(alice, other.sid) is not None
    assert sign_in(client, END_OTHERS)["Location"] == END_OTHERS
    assert end_others(client).status_code == 302
    assert services.session_of(alice, other.sid) is None
    assert user_of(client) == "alice"
    assert user_of(waiting) == ""
    assert end_others(client).status_code == 302
    assert user_of(client) == "alice"


def test_the_api_says_where_to_prove_it_and_keeps_the_visitor_s_own_session(
    client: Client, stock: str, alice: User
) -> None:
    for address, body in ((API_END_OTHERS, {}), ("/api/confirm-password/", {"password": "pass-alice"})):
        refused = client.post(address, body, content_type="application/json")
        assert refused.status_code == 403
        assert refused.json()["type"] == "urn:srvsession:problem:proof-required"
        assert (refused.json()["confirm_by"], refused.json()["confirm_url"]) == ("url", LOGIN)
    waiting = browser(alice, stock)
    sign_in(client)
    for _ in range(2):
        assert client.post(API_END_OTHERS, content_type="application/json").status_code == 200
        assert user_of(client) == "alice"
    assert user_of(waiting) == ""


def test_the_admin_asks_for_a_sign_in_and_ends_what_was_chosen_alone(client: Client, store: Any, alice: User) -> None:
    other = create(store, user_id=services.user_id_of(alice)).record
    page = reverse("admin:srvsession_livesession_delete", args=[other.sid])
    assert client.post(page, {"post": "yes"})["Location"] == f"{LOGIN}?next={page}"
    assert services.session_of(alice, other.sid) is not None
    sign_in(client, page)
    assert client.post(page, {"post": "yes"}).status_code == 302
    assert services.session_of(alice, other.sid) is None
    assert user_of(client) == "alice"


def test_an_end_of_all_by_somebody_else_meanwhile_counts(client: Client, alice: User) -> None:
    """Who ends all others keeps the own session from that end, and from no other."""
    sign_in(client)
    assert client.post(API_END_OTHERS, content_type="application/json").status_code == 200
    services.revoke_all(alice)
    assert user_of(client) == ""


def test_what_needs_a_recent_proof_opens_after_a_sign_in_and_until_it_is_old(
    client: Client, settings: Any, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = client.get("/guarded/")
    assert answer["Location"] == f"{LOGIN}?next=/guarded/"
    assert sign_in(client, "/guarded/")["Location"] == "/guarded/"
    assert client.get("/guarded/").status_code == 200
    now = time.time()
    monkeypatch.setattr("django.core.signing.time.time", lambda: now + 16 * 60)
    assert client.get("/guarded/").status_code == 302
    settings.SRVSESSION_REAUTH_AGE = None
    assert client.get("/guarded/").status_code == 200


def test_a_proof_is_left_behind_when_the_session_is_carried_over(client: Client, settings: Any, stock: str) -> None:
    sign_in(client)
    assert client.get("/guarded/").status_code == 200
    settings.SESSION_ENGINE, settings.SRVSESSION_MIGRATE_FROM, settings.SRVSESSION_MIGRATE_TO = OURS, stock, None
    carried = Client()
    carried.cookies = client.cookies
    assert user_of(carried) == "alice"
    assert carried.get("/guarded/")["Location"].startswith("/account/confirm/")


def test_a_text_that_the_site_did_not_sign_is_no_proof(client: Client, alice: User) -> None:
    client.get("/claim/", {"proof": signing.dumps(services.user_id_of(alice))})
    assert client.get("/guarded/").status_code == 302


def test_a_proof_is_its_user_s_and_a_switch_to_another_user_is_none(client: Client, alice: User) -> None:
    bob = User.objects.create_superuser("bob", password="pass-bob")
    sign_in(client)
    client.get("/become/", {"name": "bob"})
    assert user_of(client) == bob.username
    assert client.get("/guarded/").status_code == 302


def test_a_page_of_the_site_s_own_gives_the_proof_too(client: Client, settings: Any, alice: User) -> None:
    settings.SRVSESSION_REAUTH_URL = "/prove/"
    assert client.get("/guarded/")["Location"] == "/prove/?next=/guarded/"
    before = client.cookies[django_settings.SESSION_COOKIE_NAME].value
    client.get("/prove/")
    assert client.cookies[django_settings.SESSION_COOKIE_NAME].value != before
    assert client.get("/guarded/").status_code == 200
