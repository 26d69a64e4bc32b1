"""``SRVSESSION_BIND = "require"``: a session that was not bound within half a minute ends, and people are told why."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from django_srvsession import services
from django_srvsession.engine.details import Details, details_of, is_bound
from django_srvsession.records import SessionRecord
from django_srvsession.signals import session_ended
from tests.binding.devices import REGISTRATION, Device, change
from tests.engine.every_store import on_every_store
from tests.engine.watched import WatchedStore

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def required(binding: Any) -> Any:
    binding.SRVSESSION_BIND = "require"
    return binding


def overdue(details: Details, now_ms: int) -> Details:
    assert details.bind_by_ms is not None and 0 < details.bind_by_ms - now_ms <= 30_000
    return details._replace(bind_by_ms=now_ms)


def for_staff_only(user: Any) -> str | None:
    return "require" if user.is_staff else None


def misspelt(user: Any) -> str:
    return "requires"


@on_every_store
@pytest.mark.parametrize("asgi", [False, True])
def test_a_session_that_was_not_bound_in_time_ends_with_the_reason(
    engine: WatchedStore, required: Any, ann: Any, asgi: bool
) -> None:
    ended: list[tuple[str, str]] = []

    def note(record: SessionRecord, reason: str, **kwargs: Any) -> None:
        ended.append((record.sid, reason))

    session_ended.connect(note)
    other = Device(can=False, asgi=asgi)
    other.sign_in()
    assert other.user == "ann"  # Signing in works, and half a minute goes by.
    change(other, overdue)
    assert other.user == ""
    assert ended == [(other.sid, "unbound")]
    assert list(services.live_sessions()) == []
    session_ended.disconnect(note)


def test_a_session_that_was_bound_in_time_stays(required: Any, ann: Any) -> None:
    device = Device()
    device.sign_in()
    (record,) = services.live_sessions()
    assert is_bound(record) and details_of(record).bind_by_ms is None
    assert device.user == "ann"


def test_the_sign_in_page_says_why_and_which_browsers_can(required: Any, ann: Any) -> None:
    other = Device(can=False)
    other.sign_in()
    change(other, overdue)
    answer = other.visit("/account/sessions/")
    assert answer.status_code == 302
    page = other.visit(answer.headers["Location"]).content.decode()
    assert "could not prove that it is the device that you signed in on" in page
    assert "Chrome and Edge can on Windows" in page


def test_a_function_says_it_of_each_user(binding: Any, ann: Any) -> None:
    binding.SRVSESSION_BIND = for_staff_only
    get_user_model().objects.create_user("boss", is_staff=True)
    of_ann, of_boss = Device(can=False), Device(can=False)
    assert REGISTRATION not in of_ann.sign_in().headers
    assert REGISTRATION in of_boss.sign_in("boss").headers
    by_user = {record.user_id: details_of(record).bind_by_ms for record in services.live_sessions()}
    assert by_user[str(ann.pk)] is None
    assert by_user[str(get_user_model().objects.get(username="boss").pk)] is not None


def test_a_function_that_returns_anything_else_is_an_error_of_the_site(
    binding: Any, ann: Any, caplog: pytest.LogCaptureFixture
) -> None:
    binding.SRVSESSION_BIND = "tests.binding.test_requiring.misspelt"
    assert Device().sign_in().status_code == 500
    assert "The function of SRVSESSION_BIND returned 'requires'" in caplog.text


def test_a_sign_in_again_on_a_bound_device_asks_for_nothing(required: Any, ann: Any) -> None:
    device = Device()
    device.sign_in()
    assert REGISTRATION not in device.sign_in().headers
    (record,) = services.live_sessions()
    assert is_bound(record) and details_of(record).bind_by_ms is None


def test_a_site_that_cannot_bind_does_not_ask_for_a_key(binding: Any, ann: Any) -> None:
    device = Device()
    answer = device.client.get("/sign-in/ann/")  # Without TLS.
    assert REGISTRATION not in answer.headers


def test_an_app_that_sends_its_key_in_a_header_is_asked_for_nothing(required: Any, ann: Any) -> None:
    required.SRVSESSION_HEADER = "X-Session-Token"
    client = Client(headers={"x-session-token": ""})
    data = {"username": "ann", "password": "ann's password"}
    answer = client.post("/api/login/", data, content_type="application/json", secure=True)
    assert answer.status_code == 200 and REGISTRATION not in answer.headers
    (record,) = services.live_sessions()
    assert details_of(record).bind_by_ms is None


def test_a_stolen_key_opens_nothing_in_the_header_of_an_app_either(binding: Any, ann: Any) -> None:
    binding.SRVSESSION_HEADER = "X-Session-Token"
    device = Device()
    device.sign_in()
    assert device.user == "ann"
    answer = Client().get("/whoami/", secure=True, headers={"x-session-token": device.cookie("sessionid")})
    assert answer.status_code in (200, 401) and "ann" not in answer.content.decode()


def test_a_sign_in_that_no_answer_follows_must_be_bound_too(required: Any, ann: Any) -> None:
    client = Client()
    client.force_login(ann)
    (record,) = services.live_sessions()
    assert details_of(record).bind_by_ms is not None
