"""Recent activity as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from django_srvsession import services
from django_srvsession.models import SessionEvent
from tests.activity import DAY_MS, now_ms, write
from tests.api.client import Api, errors_in, make_user, problem
from tests.api.test_sessions import INSTANT, SAFARI
from tests.engine.every_store import on_every_store

pytestmark = pytest.mark.django_db(transaction=True)

FIELDS = {"kind", "at", "sid", "current", "reason", "by", "detail", "device", "ip", "place"}


@pytest.fixture(autouse=True)
def _kept(settings: Any) -> None:
    settings.SRVSESSION_EVENT_LOG = 30


def events_in(answer: Any) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.content
    return list(answer.json()["events"])


def told(answer: Any) -> list[tuple[Any, ...]]:
    names = ("kind", "reason", "by", "detail", "current")
    return [tuple(event[name] for name in names) for event in events_in(answer)]


@on_every_store
def test_clients_read_what_happened_whatever_the_store(engine: Any, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        ann, boss = make_user("ann"), make_user("boss")
        api, phone, third = Api("ann"), Api("ann", agent=SAFARI), Api("ann")
        api.end(phone.sid)
        services.revoke(third.sid, by=boss)
        services.revoke(Api("ann").sid, reason="fraud")
        services.revoke_all(ann, keep=api.sid)
        assert told(api.get("activity")) == [
            ("ended", "fraud", None, "Signed out: fraud", False),
            ("started", None, None, "Signed in", False),
            ("ended", "revoked", "administrator", "Signed out remotely", False),
            ("ended", "revoked", "you", "Signed out remotely", False),
            ("started", None, None, "Signed in", False),
            ("started", None, None, "Signed in", False),
            ("started", None, None, "Signed in", True),
        ]


def test_it_works_over_wsgi_and_asgi(asgi: bool, ann: Any) -> None:
    assert told(Api("ann", asgi=asgi).get("activity")) == [("started", None, None, "Signed in", True)]


def test_an_event_has_these_fields_and_no_others(ann: Any, settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Seoul"
    api = Api("ann", agent=SAFARI)
    answer = api.get("activity")
    (found,) = events_in(answer)
    (row,) = SessionEvent.objects.all()
    assert set(answer.json()) == {"events", "days_kept", "next_cursor"}
    assert set(found) == FIELDS
    assert (answer.json()["days_kept"], answer.json()["next_cursor"]) == (30, None)
    assert found["sid"] == api.sid
    assert found["device"] == {"name": "Safari on iPhone", "kind": "phone"}
    assert (found["ip"], found["place"]) == ("127.0.0.1", None)
    assert INSTANT.fullmatch(found["at"]) and datetime.fromisoformat(found["at"]) == row.at


def test_nobody_reads_of_anybody_else(ann: Any, bob: Any) -> None:
    api = Api("ann")
    theirs = write(bob, ip="203.0.113.99", by=str(ann.pk), reason="revoked")
    asked = [f"?{name}={value}" for name in ("user", "user_id", "id", "sid") for value in (bob.pk, "bob", theirs.sid)]
    asked += [f"?cursor={theirs.at_ms}-0", f"?cursor={theirs.at_ms + 1}-0", ""]
    for query in asked:
        answer = api.get("activity", query)
        assert answer.status_code == 200
        assert "203.0.113.99" not in answer.content.decode() and theirs.sid not in answer.content.decode()
    problem(Api().get("activity"), 401)


def test_without_a_log_there_is_nothing(ann: Any, settings: Any) -> None:
    api = Api("ann")
    settings.SRVSESSION_EVENT_LOG = None
    assert problem(api.get("activity"), 404)["detail"] == "This site keeps no recent activity."


def test_pages_hold_each_event_once_also_when_there_are_new_ones_meanwhile(ann: Any) -> None:
    api = Api("ann")
    SessionEvent.objects.all().delete()
    at_ms = now_ms() - DAY_MS
    for number in range(17):
        write(ann, at_ms=at_ms - number // 6, reason=f"e{number}")
    seen, query = [], "?limit=4"
    while True:
        page = api.get("activity", query).json()
        seen += [event["reason"] for event in page["events"]]
        assert len(seen) <= 17, "it goes in circles"
        write(ann, reason="new")
        if page["next_cursor"] is None:
            break
        query = f"?limit=4&cursor={page['next_cursor']}"
    assert sorted(seen) == sorted(f"e{number}" for number in range(17))


@pytest.mark.parametrize("cursor", ["", "x", "1", "-1-0", "9" * 16 + "-0", "1-" + "1" * 7, "1-0%0A", "1-" + "0" * 18])
def test_a_cursor_that_is_none_is_named(ann: Any, cursor: str) -> None:
    assert errors_in(Api("ann").get("activity", f"?cursor={cursor}")) == {"?cursor": "invalid"}


def test_a_limit_that_is_none_is_named(ann: Any) -> None:
    assert errors_in(Api("ann").get("activity", "?limit=101")) == {"?limit": "invalid"}
    assert errors_in(Api("ann").get("activity", "?limit=1&limit=1")) == {"?limit": "repeated"}


def test_details_are_in_the_language_of_who_asks(ann: Any, settings: Any) -> None:
    settings.LANGUAGE_CODE = "ko"
    assert events_in(Api("ann").get("activity"))[0]["detail"] == "로그인"
