"""Beside Django REST framework: its session authentication on our sessions, and the view set of the documentation."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.client import Api, problem
from tests.app import HEADER, App
from tests.engine.watched import WatchedStore

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def drf_site(site: None, settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.api.drf_site"


def test_who_signed_in_by_our_api_is_known_to_the_framework(ann: Any, bob: Any) -> None:
    api, phone = Api("ann"), Api("ann")
    Api("bob")
    listed = api.ask("GET", "/rest/sessions/").json()
    assert {session["sid"] for session in listed} == {api.sid, phone.sid}
    assert set(listed[0]) == {"sid", "device", "ip", "last_seen_at"}
    assert Api().ask("GET", "/rest/sessions/").status_code == 403


def test_the_framework_asks_for_the_csrf_token_and_ends_sessions(ann: Any, bob: Any) -> None:
    api, phone, bobs = Api("ann"), Api("ann"), Api("bob")
    address = f"/rest/sessions/{phone.sid}/"
    assert api.ask("DELETE", address, headers={"X-CSRFToken": ""}).status_code == 403
    assert phone.user() == "ann"
    assert [api.ask("DELETE", address).status_code for _ in range(2)] == [204, 404]
    assert api.ask("DELETE", f"/rest/sessions/{bobs.sid}/").status_code == 404
    assert [one.user() for one in (api, phone, bobs)] == ["ann", None, "bob"]


def test_an_app_with_a_token_in_the_header_is_known_to_the_framework_and_needs_no_csrf_token(
    ann: Any, settings: Any, asgi: bool
) -> None:
    settings.SRVSESSION_HEADER = HEADER
    phone, app = Api("ann"), App(asgi=asgi)
    assert app.ask("POST", "/api/login/", {"username": "ann", "password": "pass-ann"}).status_code == 200
    assert len(app.ask("GET", "/rest/sessions/").json()) == 2
    assert app.ask("DELETE", f"/rest/sessions/{phone.sid}/").status_code == 204
    assert phone.user() is None
    app.client.cookies["sessionid"] = app.token
    assert app.ask("GET", "/rest/sessions/").status_code == 400


def test_an_outage_is_503_there_too_and_nobody_is_signed_out(ann: Any, store: WatchedStore) -> None:
    api = Api("ann")
    store.go_out()
    answer = api.ask("GET", "/rest/sessions/", headers={"Accept": "application/json"})
    problem(answer, 503)
    assert not answer.cookies
    store.come_back()
    assert api.user() == "ann"
