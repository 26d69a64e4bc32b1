"""Sessions that a person cannot tell apart stand together: the same device by name, at the same address."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.template.loader import render_to_string
from django.test import Client
from django.urls import include, path

from django_srvsession.backends.memory import MemoryStore
from django_srvsession.backends.memory.table import SessionTable
from django_srvsession.views.cards import Card, grouped

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:{}.0) Gecko/20100101 Firefox/{}.0"
SESSIONS = "/account/sessions/"

urlpatterns = [path("account/", include("django_srvsession.urls"))]

pytestmark = pytest.mark.urls(__name__)


@pytest.fixture(autouse=True)
def _site(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.SESSION_ENGINE = "django_srvsession.backends.memory"
    settings.LOGIN_URL = "srvsession:login"
    monkeypatch.setattr(MemoryStore, "table", SessionTable())


@pytest.fixture
def ann(transactional_db: None) -> Any:
    return get_user_model().objects.create_user("ann", password="secret")


def sign_in(ip: str = "192.0.2.1", version: int = 128) -> Client:
    client = Client(HTTP_USER_AGENT=FIREFOX.format(version, version), REMOTE_ADDR=ip)
    assert client.post("/account/login/", {"username": "ann", "password": "secret"}).status_code == 302
    return client


def page(client: Client, query: str = "") -> str:
    answer = client.get(SESSIONS + query)
    assert answer.status_code == 200
    return str(answer.content.decode())


def groups(text: str) -> list[tuple[bool, int]]:
    """Return of each group whether it is open, and how many sessions are in it."""
    found = re.findall(r"<details( open)?>(.*?)</details>", text, re.DOTALL)
    return [(bool(is_open), inside.count('<li class="session"')) for is_open, inside in found]


def card(sid: str, device: str = "Firefox", ip: str = "192.0.2.1", *, is_ended: bool = False) -> Card:
    return Card(sid, device, "linux", "", ip, last_seen_ms=1, signed_in_ms=1, is_ended=is_ended)


def test_groups_and_what_is_in_them_stay_in_their_order() -> None:
    listed = [card("1"), card("2", "Safari"), card("3"), card("4", ip="192.0.2.2"), card("5", "Safari", is_ended=True)]
    found = grouped(listed)
    assert [[one.sid for one in group.cards] for group in found] == [["1", "3"], ["2", "5"], ["4"]]
    assert [group.is_open for group in found] == [False, True, False]
    assert grouped([]) == []


def test_the_same_device_at_the_same_address_is_one_entry_that_opens(ann: Any) -> None:
    client = sign_in()
    for version in (128, 129, 130):
        sign_in("203.0.113.5", version)
    sign_in("203.0.113.6")
    text = page(client)
    assert groups(text) == [(False, 3)]
    assert re.search(r"<summary>.*Firefox on Linux</bdi> <span class=\"count\"[^>]*>3 sessions</span>", text, re.DOTALL)
    assert text.count('<li class="session"') == 5
    assert "(4)" in text


def test_this_device_is_in_no_group(ann: Any) -> None:
    client = sign_in()
    sign_in(), sign_in()
    assert groups(page(client)) == [(False, 2)]


def test_without_scripts_the_group_of_what_was_signed_out_is_open_and_in_its_place(ann: Any) -> None:
    client = sign_in()
    others = [sign_in("203.0.113.5") for _ in range(3)]
    sids = re.findall(r'id="session-([0-9a-f]{18})"', page(client))
    button = re.search(rf'{others[1].session.sid}/end/" name="card" value="([^"]*)"', page(client))
    assert button
    fields = {"page": "1", "card": button[1]}
    answer = client.post(f"{SESSIONS}{others[1].session.sid}/end/", fields, follow=True)
    text = answer.content.decode()
    assert groups(text) == [(True, 3)]
    assert re.findall(r'id="session-([0-9a-f]{18})"', text) == sids
    assert groups(page(client)) == [(False, 2)]


def test_a_group_counts_those_that_are_signed_in() -> None:
    sids = [str(number) * 18 for number in range(3)]
    some = [card(sids[0]), card(sids[1], is_ended=True), card(sids[2])]
    all_ended = [card(sid, is_ended=True) for sid in sids]
    assert [group.live_count for group in grouped(some)] == [2]
    shown = render_to_string("srvsession/group.html", {"group": grouped(some)[0]})
    assert re.search(r"data-srvsession-group-count>2 sessions<", shown)
    shown = render_to_string("srvsession/group.html", {"group": grouped(all_ended)[0]})
    assert re.search(r"data-srvsession-group-count>Signed out<", shown)


def test_a_site_s_names_decide_what_is_told_apart(ann: Any, settings: Any) -> None:
    client = sign_in()
    for version in (128, 129):
        sign_in("203.0.113.5", version)
    assert groups(page(client)) == [(False, 2)]
    settings.SRVSESSION_DEVICE_NAME = lambda record: record.client.user_agent[-9:]
    assert groups(page(client)) == []
