"""The admin on every store: what it lists, and what it ends for good."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.test import Client

from django_srvsession.engine import current_store
from django_srvsession.records import Client as Seen
from django_srvsession.records import SessionRecord, Tombstone
from django_srvsession.services import user_id_of
from django_srvsession.signals import session_ended
from django_srvsession.testing.sessions import stored, touch_later
from tests.every_store import every_store_fixture
from tests.hostile import AGENTS
from tests.trust import WHOLE

__all__ = ["every_store_fixture"]

LIST = "/admin/srvsession/livesession/"
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)

pytestmark = pytest.mark.urls("tests.admin_site")


def session_of(user: Any = None, agent: str = "", ip: str = "") -> SessionRecord:
    session = import_module(django_settings.SESSION_ENGINE).SessionStore()
    session["cart"] = 1
    session.note_client(lambda: Seen(ip, agent))
    if user is not None:
        session["_auth_user_id"] = user_id_of(user)
    session.save()
    return touch_later(current_store(), stored(current_store(), session.sid)).record


SIZE = r"[\d.]+ [KMGT]?(B|bytes)"
KEPT_IN = {
    "memory": ("memory", ""),
    "sqlite": ("SQLite", r"\w+"),
    "mariadb": ("MariaDB", r"\w+"),
    "postgresql": ("PostgreSQL", rf"\w+, {SIZE} in use"),
    "redis": ("Redis", rf"[\w-]+, {SIZE}( of {SIZE})? in use"),
    "cached_db": (r"SQLite + Redis", r"\w+"),
    "mongodb": ("MongoDB", f"{SIZE} in use"),
    "file": ("SESSION_FILE_PATH", f"{SIZE} free"),
}


@pytest.fixture
def boss(every_store: str) -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("boss", "boss@example.org", "x"))
    return client


def listed(client: Client, query: str = "") -> list[str]:
    answer = client.get(LIST + query)
    assert answer.status_code == 200
    return [row.sid for row in answer.context["cl"].result_list]


def test_every_store_lists_filters_and_finds(boss: Client, every_store: str) -> None:
    alice = get_user_model().objects.create_user("alice", "alice@example.org")
    visitor, phone, laptop = session_of(), session_of(alice, PHONE, "203.0.113.9"), session_of(alice, "x", "192.0.2.1")
    assert [sid for sid in listed(boss) if sid != boss.session.sid] == [laptop.sid, phone.sid, visitor.sid]
    assert listed(boss, "?kind=anonymous") == [visitor.sid]
    assert set(listed(boss, "?kind=user")) == {laptop.sid, phone.sid, boss.session.sid}
    assert listed(boss, f"?user={alice.pk}&active=5") == [laptop.sid, phone.sid]
    assert listed(boss, "?device=phone") == [phone.sid]
    assert listed(boss, "?q=alice") == listed(boss, "?q=alice@example.org") == [laptop.sid, phone.sid]
    assert listed(boss, "?q=203.0.113.9") == [phone.sid]
    assert listed(boss, f"?q={visitor.sid}") == [visitor.sid]
    assert listed(boss, "?staff=1") == [boss.session.sid]
    overview = boss.get(LIST).context["overview"]
    assert overview["live"].split()[-1] == "4"
    assert overview["people"] == "2"
    name, details = KEPT_IN[every_store]
    assert overview["store"] == name
    assert re.fullmatch(details, overview["store_details"].replace("\xa0", " "))


def test_every_store_ends_for_good_and_tells_once(boss: Client) -> None:
    alice = get_user_model().objects.create_user("alice")
    one, two, three = (session_of(alice) for _ in range(3))
    told: list[str] = []

    def tell(record: SessionRecord, reason: str, **kwargs: Any) -> None:
        told.append(f"{record.sid} {reason}")

    session_ended.connect(tell)
    try:
        boss.post(f"{LIST}{one.sid}/delete/", {"post": "yes"})
        boss.post(LIST, {"action": "end_selected", "_selected_action": [two.sid], "post": "yes"})
        boss.post(f"{LIST}end-user/", {"user": alice.pk, "post": "yes"})
    finally:
        session_ended.disconnect(tell)
    for record in (one, two, three):
        assert isinstance(current_store().load(record.sid), Tombstone)
    assert told == [f"{record.sid} revoked" for record in (one, two, three)]
    assert sorted(LogEntry.objects.values_list("object_id", flat=True)) == sorted([one.sid, two.sid, three.sid])
    assert listed(boss, f"?user={alice.pk}") == []


def test_no_page_loads_its_sessions_one_by_one(boss: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = get_user_model().objects.create_user("alice")
    for _ in range(12):
        session_of(alice, PHONE, "203.0.113.9")
    store, loaded = current_store(), list[str]()
    load = type(store).load
    monkeypatch.setattr(type(store), "load", lambda self, sid: loaded.append(sid) or load(self, sid))
    for query in ("", "?kind=user", f"?user={alice.pk}", "?q=alice", f"end-user/?user={alice.pk}"):
        loaded.clear()
        assert boss.get(LIST + query).status_code == 200
        assert set(loaded) <= {boss.session.sid}, query


@pytest.mark.parametrize("name", ["q", "after", "user"])
def test_no_text_that_is_asked_for_is_an_error(boss: Client, every_store: str, name: str) -> None:
    boss.raise_request_exception = False
    # Each link of a page repeats the text: of 60 kB, one store by default.
    longest = None if WHOLE or every_store == "sqlite" else 2_000
    for text in [
        *(agent[:longest] for agent in AGENTS.values()),
        "\0",
        "9" * 40,
        f"{'9' * 16}-{'f' * 18}",
        "1.2.3.4.5",
        "::::",
        "%",
        "_",
        "' OR 1=1 --",
    ]:
        answer = boss.get(LIST, {name: text.encode("utf-8", "surrogatepass")})
        assert answer.status_code in (200, 302), (name, text[:80])
