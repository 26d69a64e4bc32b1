"""Clients whose address, browser or input a column does not hold: a user agent of 5 kB, "unknown", a zone, a NUL.

Reported of django-user-sessions, and of other packages that keep where a sign-in came from: "value too long for type
character varying(200)", "invalid input syntax for type inet" for an address with a zone, a port, a list of several, or
"unknown"; "A string literal cannot contain NUL (0x00) characters". The password was right, and the answer is 500. Right
is: the sign-in works; what can be kept of the client is kept, and the rest is left out. What a visitor sends as a value
is kept as it is, and what names nobody is a wrong name.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import include, path

from django_srvsession import services
from django_srvsession.clients.address import MAX_USER_AGENT
from tests.engine import pages
from tests.engine.pages import Browser, login, make_user, read
from tests.reports.stores import on_stores

urlpatterns = [
    path("account/", include("django_srvsession.urls")),
    path("api/", include("django_srvsession.api.urls")),
    *pages.urlpatterns,
]

on_postgresql = on_stores("postgresql")
on_postgresql_and_redis = on_stores("postgresql", "redis")
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


@pytest.fixture(autouse=True)
def _site(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    settings.SRVSESSION_TRUSTED_PROXIES = ["10.0.0.0/8"]
    settings.SRVSESSION_EVENT_LOG = 30


@on_postgresql
@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({"REMOTE_ADDR": "fe80::1%eth0"}, "fe80::1"),
        ({"REMOTE_ADDR": ""}, None),
        ({"REMOTE_ADDR": "b''"}, None),
        ({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "unknown"}, "10.0.0.1"),
        ({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "192.0.2.1, 192.0.2.2 "}, "192.0.2.2"),
        ({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "192.0.2.7:49152"}, "192.0.2.7"),
        ({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "192.0.2.7\0"}, "10.0.0.1"),
        ({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "[2001:db8::7%25en0]:443"}, "2001:db8::7"),
    ],
    ids=str,
)
def test_who_comes_from_an_odd_address_signs_in(sent: dict[str, str], kept: str | None, every_store: str) -> None:
    user, browser = make_user(), Browser()
    assert browser.visit(login(user), **sent).status_code == 200
    (record,) = services.sessions_of(user)
    assert (record.client.ip or None) == kept
    assert browser.user() == "ann"


@on_postgresql
@pytest.mark.parametrize(
    "agent", [FIREFOX + " x" * 2500, "\0" + FIREFOX, FIREFOX + "\ud83d \udca9", "\U0001f36a" * 5000]
)
def test_who_comes_with_an_odd_browser_signs_in_and_is_listed(agent: str, every_store: str) -> None:
    user = make_user()
    client = Client(HTTP_USER_AGENT=agent)
    assert client.post("/account/login/", {"username": "ann", "password": "secret"}).status_code == 302
    (record,) = services.sessions_of(user)
    assert 0 < len(record.client.user_agent) <= MAX_USER_AGENT
    assert record.client.user_agent.isprintable()
    assert client.get("/account/sessions/").status_code == 200
    assert client.get("/account/activity/").status_code == 200


@on_postgresql_and_redis
def test_values_and_names_with_a_nul_are_kept_as_they_are(every_store: str) -> None:
    browser, odd = Browser(), {"a\0b": "x\0y", "\0": ["\0", {"\0": "\0"}], "half": "\ud83d"}
    browser.visit(lambda request: request.session.update(odd))
    assert browser.show(lambda request: dict(request.session.items()) == odd)
    assert set(browser.show(read)) == set(odd)


@on_postgresql
@pytest.mark.parametrize("field", ["username", "password", "next", "csrfmiddlewaretoken", "remember", "\0"])
def test_a_form_with_a_nul_signs_nobody_in_and_is_no_error(field: str, every_store: str) -> None:
    make_user()
    form = {"username": "ann", "password": "secret"}
    client = Client()
    answer = client.post("/account/login/", {**form, field: f"{form.get(field, '')}\0"})
    assert answer.status_code == (200 if field in form else 302)
    body = json.dumps({**form, field: f"{form.get(field, '')}\0"})
    answer = Client().post("/api/login/", body, content_type="application/json")
    assert answer.status_code < 500


@on_postgresql
@pytest.mark.parametrize("sid", ["%00", "a%00", "%ED%A0%BD", "x" * 5000])
def test_a_session_of_an_odd_name_is_none(sid: str, every_store: str) -> None:
    make_user()
    client = Client()
    client.post("/account/login/", {"username": "ann", "password": "secret"})
    assert client.post(f"/account/sessions/{sid}/end/").status_code == 404
    assert client.get("/account/activity/", {"q": "a\0"}).status_code == 200
