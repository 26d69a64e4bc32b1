"""What a request learns of a session that has ended: why, if it holds that session's key, and else nothing."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpRequest

from django_srvsession import services
from tests.engine.every_store import on_every_store
from tests.engine.pages import Browser, login, logout, make_user, put, read, rotate, sid
from tests.engine.watched import WatchedStore

pytestmark = [on_every_store, pytest.mark.django_db(transaction=True)]


def why(request: HttpRequest) -> Any:
    request.session.get("anything")
    return request.session.ended and request.session.ended[:2]


def signed_in() -> tuple[Browser, str]:
    browser = Browser()
    browser.visit(login(make_user()))
    return browser, browser.show(sid)


@pytest.mark.parametrize("reason", ["revoked", "limit", "password_changed", "user_deactivated"])
def test_the_holder_of_the_ended_key_learns_the_reason(engine: WatchedStore, reason: str) -> None:
    browser, own_sid = signed_in()
    services.revoke(own_sid, reason=reason)
    assert browser.copy().show(why) == [own_sid, reason]
    assert browser.copy().show(why) == [own_sid, reason], "as often as it asks"


@pytest.mark.parametrize(("by", "by_owner"), [("owner", True), ("7000", False), (None, None)])
def test_whether_it_was_its_owner_is_told_too(engine: WatchedStore, by: str | None, by_owner: bool | None) -> None:
    browser, own_sid = signed_in()
    owner = services.revoke(own_sid, by=services.live_sessions()[0].user_id if by == "owner" else by)
    assert owner is not None
    assert browser.show(lambda request: (request.session.get("x"), request.session.ended)[1]) == [
        own_sid,
        "revoked",
        by_owner,
    ]


def test_a_visitor_is_told_nothing(engine: WatchedStore) -> None:
    browser = Browser()
    browser.visit(put(cart=1))
    services.revoke(browser.show(sid))
    assert browser.copy().show(why) is None


def test_a_logout_is_a_reason_too(engine: WatchedStore) -> None:
    browser, own_sid = signed_in()
    other_tab = browser.copy()
    browser.visit(logout)
    assert other_tab.show(why) == [own_sid, "logout"]


def test_a_session_whose_time_is_up_says_so_at_the_first_visit_and_later(engine: WatchedStore) -> None:
    browser, own_sid = signed_in()
    tab = browser.copy()
    browser.visit(lambda request: request.session.set_expiry(-1))
    assert tab.copy().show(why) == [own_sid, "expired_idle"]
    assert tab.copy().show(why) == [own_sid, "expired_idle"]


def test_a_live_session_and_no_session_have_no_reason(engine: WatchedStore) -> None:
    browser, _ = signed_in()
    assert browser.show(why) is None
    assert Browser().show(why) is None
    assert Browser("0" * 40).show(why) is None


def test_the_key_from_before_a_rotation_learns_nothing(engine: WatchedStore) -> None:
    """Who planted a key in a browser before its owner signed in does not hear what became of the session."""
    browser = Browser()
    browser.visit(put(planted=True))
    planted = browser.copy()
    browser.visit(login(make_user()))
    before_rotation = browser.copy()
    browser.visit(rotate)
    services.revoke(browser.show(sid))
    for early in (planted, before_rotation):
        assert early.show(why) is None
    assert browser.show(read) == {}
