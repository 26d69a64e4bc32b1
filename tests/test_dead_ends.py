"""No dead ends: whatever is followed, pressed twice or left open leads on, and an outage has the site's looks."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.http import HttpResponse
from django.template import engines
from django.test import Client
from django.urls import include, path

from django_srvsession import services
from django_srvsession.store import StoreUnavailableError
from tests.memory import alice_fixture, memory_store_fixture, pages_fixture  # noqa: F401 - used as fixtures
from tests.test_views import Document, browser, key_of, sid_of, token_in, user_of

LOGIN, LOGOUT, LOGGED_OUT, SESSIONS = (f"/account/{page}/" for page in ("login", "logout", "logged-out", "sessions"))


def whoami(request: Any) -> HttpResponse:
    """Name the user."""
    return HttpResponse(request.user.get_username())


def outage(request: Any) -> HttpResponse:
    """Be a page whose session cannot be read."""
    raise StoreUnavailableError("down")


urlpatterns = [
    path("account/", include("django_srvsession.urls")),
    path("whoami/", whoami),
    path("outage/", outage),
]

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__), pytest.mark.usefixtures("pages")]


# Addresses that somebody types, keeps or follows.


def test_the_address_above_all_pages_leads_to_the_list(alice: Any) -> None:
    assert browser("alice").get("/account/")["Location"] == SESSIONS
    assert browser().get("/account/", follow=True).redirect_chain[-1] == (f"{LOGIN}?next={SESSIONS}", 302)


def test_the_address_of_signing_out_asks_and_leads_visitors_on(alice: Any) -> None:
    client = browser("alice")
    assert "Sign out of this device?" in client.get(LOGOUT, {"next": "/whoami/"}).content.decode()
    assert user_of(client) == "alice"
    assert client.post(LOGOUT, client.get(LOGOUT, {"next": "/whoami/"}).context["fields"])["Location"] == "/whoami/"
    assert browser().get(LOGOUT)["Location"] == LOGGED_OUT


def test_the_address_of_ending_a_device_asks_or_says_that_it_was_signed_out(alice: Any) -> None:
    client, other = browser("alice"), browser("alice")
    assert client.get(f"{SESSIONS}{sid_of(other)}/end/").status_code == 200
    assert client.get(f"{SESSIONS}{sid_of(client)}/end/")["Location"] == LOGOUT
    answer = client.get(f"{SESSIONS}{'0' * 18}/end/", follow=True)
    assert "That device was already signed out." in answer.content.decode()


def test_who_is_signed_in_is_never_told_that_they_are_out(alice: Any) -> None:
    client = browser("alice")
    assert client.get(LOGGED_OUT)["Location"] == SESSIONS
    client.post(LOGOUT)
    assert "You are signed out" in client.get(LOGGED_OUT).content.decode()


# A second tab of the sign-in page.


def with_csrf_checks(client: Client) -> Client:
    guarded = Client(enforce_csrf_checks=True)
    guarded.cookies = client.cookies
    return guarded


@pytest.mark.parametrize("has_middleware", [True, False])
@pytest.mark.parametrize("password", ["pass-alice", "wrong"])
def test_a_second_tab_of_the_sign_in_page_forwards_who_is_signed_in(
    alice: Any, settings: Any, password: str, has_middleware: bool
) -> None:
    if not has_middleware:
        settings.MIDDLEWARE = [entry for entry in settings.MIDDLEWARE if "csrf" not in entry]
    client = Client(enforce_csrf_checks=True)
    old = {"csrfmiddlewaretoken": token_in(client.get(LOGIN)), "username": "alice", "next": "/whoami/?a=b"}
    assert client.post(LOGIN, {**old, "password": "pass-alice"}).status_code == 302
    before = key_of(client)
    answer = client.post(LOGIN, {**old, "password": password})
    assert (answer.status_code, answer["Location"]) == (302, "/whoami/?a=b")
    assert "You are already signed in as alice." in html.unescape(client.get(SESSIONS).content.decode())
    assert "no-store" in answer["Cache-Control"]
    assert key_of(client) == before
    assert len(services.sessions_of(alice)) == 1


def test_it_forwards_nobody_to_another_site(alice: Any) -> None:
    client = with_csrf_checks(browser("alice"))
    assert client.post(LOGIN, {"next": "https://evil.example/"})["Location"] == "/whoami/"


@pytest.mark.parametrize("has_middleware", [True, False])
def test_a_page_that_was_open_for_too_long_is_shown_again_and_works(
    alice: Any, settings: Any, has_middleware: bool
) -> None:
    if not has_middleware:
        settings.MIDDLEWARE = [entry for entry in settings.MIDDLEWARE if "csrf" not in entry]
    client, credentials = Client(enforce_csrf_checks=True), {"username": "alice", "password": "pass-alice"}
    answer = client.post(LOGIN, {**credentials, "next": "/whoami/?a=b"})
    assert answer.status_code == 403
    assert "This page was open for too long" in answer.content.decode()
    assert list(services.live_sessions()) == []
    token = token_in(answer)
    assert client.post(LOGIN, {**credentials, "next": "/whoami/?a=b", "csrfmiddlewaretoken": token})["Location"] == (
        "/whoami/?a=b"
    )


def test_nobody_is_signed_in_by_a_form_of_another_site(alice: Any) -> None:
    client = Client(enforce_csrf_checks=True)
    fields = {"username": "alice", "password": "pass-alice", "csrfmiddlewaretoken": token_in(client.get(LOGIN))}
    answer = client.post(LOGIN, fields, HTTP_ORIGIN="https://evil.example")
    assert answer.status_code == 403
    assert django_settings.SESSION_COOKIE_NAME not in client.cookies


# An outage.


def test_an_outage_has_the_frame_of_the_site_and_a_way_on() -> None:
    answer = Client().get("/outage/")
    text = answer.content.decode()
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert 'class="srvsession-page"' in text
    assert "Temporarily unavailable" in text
    assert re.search(r'<a [^>]*href="">Try again</a>', text)
    assert [script["src"] for script in Document(answer).all("script")] == ["/static/srvsession/retry.js"]


def test_what_was_posted_is_not_sent_again_by_itself() -> None:
    answer = Client().post("/outage/")
    assert (answer.status_code, Document(answer).all("script")) == (503, [])
    assert "Try again" in answer.content.decode()


BROKEN = [
    "{% extends 'no/such/template.html' %}",
    "{% load no_such_library %}",
    "{% url 'no_such_page' %}",
    "{% block title %}{% endblock %}{{ broken.callable }}{% include 'no/such.html' %}",
]


@pytest.mark.parametrize("base", BROKEN)
def test_where_the_frame_of_the_site_cannot_be_shown_a_plain_page_comes(settings: Any, base: str) -> None:
    with_template(settings, base)
    text = Client().get("/outage/").content.decode()
    assert "Temporarily unavailable" in text
    assert re.search(r'<a [^>]*href="">Try again</a>', text)


def test_a_frame_of_the_site_that_asks_for_the_user_and_messages_asks_nobody(settings: Any) -> None:
    with_template(
        settings,
        "<title>{% block title %}{% endblock %}</title>{% if user.is_authenticated %}{{ user }}{% endif %}"
        "{% for message in messages %}{{ message }}{% endfor %}{{ request.session.basket }}my site"
        "{% block srvsession_heading %}{% endblock %}{% block srvsession_content %}{% endblock %}",
    )
    client = browser()
    client.cookies[django_settings.SESSION_COOKIE_NAME] = "0" * 43
    text = client.get("/outage/").content.decode()
    assert "my site" in text
    assert "Try again" in text


def with_template(settings: Any, base: str) -> None:
    """Give the site a base of its own for our pages."""
    own = ("django.template.loaders.locmem.Loader", {"srvsession/base.html": base})
    options = {
        **settings.TEMPLATES[0]["OPTIONS"],
        "loaders": [own, "django.template.loaders.app_directories.Loader"],
    }
    settings.TEMPLATES = [{"BACKEND": settings.TEMPLATES[0]["BACKEND"], "OPTIONS": options}]
    assert engines.all()
