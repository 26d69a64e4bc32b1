"""A bound session that is used without its device's key: refused or ended, told of, and never by mistake."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as site_settings

from django_srvsession import services
from django_srvsession.binding import violations
from django_srvsession.models import SessionEvent
from django_srvsession.records import Tombstone
from django_srvsession.signals import unbound_use
from tests.binding.devices import Device, bound_name, change, cookie_of, registered_ago, renewed_ago
from tests.engine.every_store import on_every_store
from tests.engine.watched import WatchedStore

pytestmark = pytest.mark.django_db(transaction=True)

SKIPPED = {"secure-session-skipped": 'server_error;session_identifier="abc"'}


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(violations, "_told", {})


@pytest.fixture
def told() -> Iterator[list[dict[str, Any]]]:
    """What the signal said."""
    found: list[dict[str, Any]] = []

    def note(**kwargs: Any) -> None:
        found.append(kwargs)

    unbound_use.connect(note)
    yield found
    unbound_use.disconnect(note)


@pytest.fixture
def owner(device: Device) -> Device:
    """Ann's bound browser, which has shown its cookie."""
    device.sign_in()
    assert device.user == "ann"
    return device


def sets_cookie(answer: Any) -> bool:
    return site_settings.SESSION_COOKIE_NAME in answer.cookies


@on_every_store
def test_a_refused_use_leaves_the_session_and_its_cookie_alone(device: Device, engine: WatchedStore) -> None:
    device.sign_in()
    assert device.user == "ann"
    before = list(services.live_sessions())
    thief = device.thief()
    for path in (f"{device.a}/whoami/", f"{device.a}/fill/", "/account/sessions/", "/account/logout/"):
        answer = thief.visit(path)
        assert not sets_cookie(answer), path
    assert thief.visit("/account/logout/", "post").status_code in (302, 403)
    assert list(services.live_sessions()) == before
    assert device.user == "ann"


def test_signing_in_works_for_a_browser_that_lost_its_key(owner: Device) -> None:
    owner.drop()
    owner.config, owner.can = {}, True
    page = owner.visit("/account/login/").content.decode()
    assert "could not prove that it is the device that you signed in on" in page
    before = owner.sid
    owner.sign_in()
    assert owner.user == "ann" and owner.sid != before and owner.is_bound
    assert len(services.live_sessions()) == 2  # The other one is for the person to end.


def test_signing_in_works_with_the_token_in_the_session(owner: Device, settings: Any) -> None:
    settings.CSRF_USE_SESSIONS = True
    thief = owner.thief()
    thief.client.handler.enforce_csrf_checks = True
    page = thief.visit("/account/login/")
    form = {"csrfmiddlewaretoken": page.context["csrf_token"], "username": "ann", "password": "ann's password"}
    answer = thief.ask("/account/login/", "post", form, headers={"referer": "https://testserver/account/login/"})
    assert answer.status_code == 302, answer.content
    assert thief.user == "ann"


def test_what_a_visitor_keeps_begins_no_session_while_the_key_may_still_come(owner: Device) -> None:
    thief = owner.thief()
    assert not sets_cookie(thief.visit(f"{owner.a}/fill/"))
    assert len(services.live_sessions()) == 1


def test_what_a_visitor_keeps_begins_a_session_when_the_bound_cookie_has_run_out(owner: Device) -> None:
    """Or a sign-in by another site, which keeps its state in the session, would never work again."""
    change(owner, renewed_ago(700))
    thief = owner.thief()
    assert sets_cookie(thief.visit(f"{owner.a}/fill/"))
    assert thief.visit(f"{owner.a}/whoami/").json() == {"user": "", "basket": 1}


def test_a_refused_use_is_told_by_signal_once_a_minute(owner: Device, told: list[dict[str, Any]]) -> None:
    thief = owner.thief()
    for _ in range(3):
        thief.visit(f"{owner.a}/whoami/")
    (said,) = told
    assert said["record"].sid == owner.sid
    assert said["request"].path == f"{owner.a}/whoami/"


def test_a_refused_use_is_a_line_in_the_log_and_a_row_in_the_history(
    owner: Device, settings: Any, caplog: pytest.LogCaptureFixture, ann: Any
) -> None:
    settings.SRVSESSION_EVENT_LOG = 30
    with caplog.at_level(logging.WARNING, "django_srvsession"):
        owner.thief().visit(f"{owner.a}/whoami/")
    (line,) = [record for record in caplog.records if record.name == "django_srvsession"]
    assert (line.event, line.sid, line.user_id) == ("unbound_use", owner.sid, str(ann.pk))  # type: ignore[attr-defined]
    (row,) = SessionEvent.objects.filter(kind="unbound_use")
    assert (row.sid, row.user_id, row.ip) == (owner.sid, str(ann.pk), "127.0.0.1")
    page = owner.visit("/account/activity/").content.decode()
    assert "A copy of this device&#x27;s session was used elsewhere, and refused" in page
    assert "unbound_use" in [event["kind"] for event in owner.visit("/api/activity/").json()["events"]]


def test_a_thief_cannot_fill_the_history(owner: Device, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.SRVSESSION_EVENT_LOG = 30
    monkeypatch.setattr(violations, "_PAUSE_SECONDS", 0)
    thief = owner.thief()
    for _ in range(violations.MOST_A_DAY + 5):
        thief.visit(f"{owner.a}/whoami/")
    assert SessionEvent.objects.filter(kind="unbound_use").count() == violations.MOST_A_DAY


@on_every_store
def test_a_violation_ends_the_session_where_the_site_says_so(
    either: Device, engine: WatchedStore, settings: Any
) -> None:
    settings.SRVSESSION_BIND_VIOLATION = "end"
    either.sign_in()
    assert either.user == "ann"
    assert either.thief().user == ""
    assert list(services.live_sessions()) == []
    assert either.user == ""
    ended = either.visit("/api/whoami/").json()["ended"]
    assert (ended["sid"], ended["reason"]) == (either.sid, "unbound")
    found = engine.SessionStore.store().load(either.sid)  # type: ignore[attr-defined]
    assert isinstance(found, Tombstone) and found.reason == "unbound"


@pytest.mark.parametrize("violation", ["refuse", "end"])
def test_a_browser_that_could_not_renew_is_asked_to_come_again(
    owner: Device, settings: Any, told: list[dict[str, Any]], violation: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Anybody can send the header: it opens nothing, and after an outage it is no violation."""
    settings.SRVSESSION_BIND_VIOLATION = violation
    thief = owner.thief()
    with caplog.at_level(logging.WARNING, "django_srvsession"):
        answer = thief.ask(f"{owner.a}/whoami/", headers=SKIPPED)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert not answer.cookies
    assert told == [] and [record for record in caplog.records if record.name == "django_srvsession"] == []
    assert owner.user == "ann"


@pytest.mark.parametrize("violation", ["refuse", "end"])
def test_a_thief_who_sends_the_header_while_the_browser_has_its_cookie_is_told_of(
    owner: Device, settings: Any, told: list[dict[str, Any]], violation: str
) -> None:
    """No browser that has the cookie leaves it out; but the session goes on, for nobody is sure."""
    settings.SRVSESSION_BIND_VIOLATION = violation
    thief = owner.thief()
    for seconds, count in ((30, 0), (590, 0), (900, 0), (300, 1), (300, 1)):
        change(owner, renewed_ago(seconds))
        assert thief.ask(f"{owner.a}/whoami/", headers=SKIPPED).status_code == 503
        assert len(told) == count, seconds
    assert told[0]["record"].sid == owner.sid
    assert owner.user == "ann"


def test_the_header_excuses_nobody_who_has_no_session(binding: Any, ann: Any) -> None:
    assert Device().ask("/whoami/", headers=SKIPPED).json()["user"] == ""


def test_a_request_that_left_before_the_cookie_came_is_let_in_until_the_browser_has_shown_it(
    binding: Any, ann: Any
) -> None:
    """A page after the sign-in asks for more while its browser registers."""
    device = Device()
    device.sign_in()
    early = device.thief()
    assert early.user == "ann"
    assert device.user == "ann"
    assert early.user == ""


def test_a_request_that_left_before_the_cookie_came_is_let_in_for_ten_seconds(binding: Any, ann: Any) -> None:
    device = Device()
    device.sign_in()
    early = device.thief()
    change(device, registered_ago(9))
    assert early.user == "ann"
    change(device, registered_ago(11))
    assert early.user == ""
    assert device.user == "ann"


def test_both_cookies_together_open_until_the_bound_one_runs_out(owner: Device) -> None:
    both = (site_settings.SESSION_COOKIE_NAME, bound_name())
    assert owner.thief(*both).user == "ann"  # What binding does not stop, for ten minutes.
    thief = owner.thief(*both)
    thief.client.cookies[bound_name()] = cookie_of(owner, age=611)
    assert thief.user == ""
    thief.client.cookies[bound_name()] = cookie_of(owner, age=605)
    assert thief.user == "ann"  # Under way for ten seconds at most.


def test_the_end_of_a_session_takes_the_bound_cookie_away(owner: Device) -> None:
    owner.visit("/sign-out/")
    assert not owner.is_bound
    assert owner.cookie(site_settings.SESSION_COOKIE_NAME) is None


@pytest.mark.parametrize("engine", ["db"], indirect=True)
@pytest.mark.parametrize("verb", ["violates", "was not bound"])
def test_a_session_ends_also_where_every_request_is_a_transaction(
    engine: WatchedStore, atomic_requests: None, binding: Any, ann: Any, verb: str
) -> None:
    binding.SRVSESSION_BIND_VIOLATION = "end"
    binding.SRVSESSION_BIND = "require"
    device = Device(can=verb == "violates")
    device.sign_in()
    if verb == "violates":
        assert device.user == "ann"
        assert device.thief().user == ""
    else:
        change(device, lambda details, now_ms: details._replace(bind_by_ms=now_ms))
        assert device.user == ""
    assert list(services.live_sessions()) == []
