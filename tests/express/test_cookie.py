"""The lines of docs/why/express.rst about the cookie."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.checks import run_checks
from django.http import HttpRequest

from django_srvsession import services
from tests.engine.pages import (
    Browser,
    put,
    read,
    set_cookie,
)
from tests.engine.watched import WatchedStore
from tests.express.asking import record_of, seconds_left

HOUR = 3600

HOUR = 3600


def set_expiry(value: Any) -> Callable[[HttpRequest], None]:
    def page(request: HttpRequest) -> None:
        request.session.set_expiry(value)

    return page


def test_the_cookie_has_the_attributes_that_the_settings_name(browser: Browser, settings: Any) -> None:
    settings.SESSION_COOKIE_DOMAIN = "example.com"
    settings.SESSION_COOKIE_PATH = "/"
    settings.SESSION_COOKIE_HTTPONLY = True
    settings.SESSION_COOKIE_SECURE = True
    settings.SESSION_COOKIE_SAMESITE = "Strict"
    settings.SESSION_COOKIE_AGE = HOUR
    cookie = set_cookie(browser.visit(put(a=1)))
    expected = {"domain": "example.com", "path": "/", "httponly": True, "secure": True, "samesite": "Strict"}
    assert {name: cookie[name] for name in expected} == expected
    assert cookie["max-age"] == pytest.approx(HOUR, abs=3)
    assert cookie["expires"] != ""


def test_by_default_the_cookie_is_http_only_and_lax_and_not_bound_to_https(browser: Browser) -> None:
    cookie = set_cookie(browser.visit(put(a=1)))
    assert (cookie["httponly"], cookie["samesite"], cookie["secure"]) == (True, "Lax", "")
    assert (cookie["domain"], cookie["path"]) == ("", "/")


def test_a_page_outside_the_cookies_path_has_a_session_too(browser: Browser, settings: Any) -> None:
    settings.SESSION_COOKIE_PATH = "/shop/"
    assert set_cookie(browser.visit(put(a=1)))["path"] == "/shop/"  # From a page that is not in /shop/.
    assert browser.show(read) == {"a": 1}


@pytest.mark.parametrize(("value", "expected"), [("Strict", "Strict"), ("Lax", "Lax"), ("None", "None"), (False, "")])
def test_same_site_is_what_the_setting_says(browser: Browser, settings: Any, value: Any, expected: str) -> None:
    settings.SESSION_COOKIE_SAMESITE = value
    assert set_cookie(browser.visit(put(a=1)))["samesite"] == expected


def test_nothing_about_the_cookie_depends_on_the_connection(browser: Browser) -> None:
    plain = set_cookie(browser.visit(put(a=1)))
    secure = set_cookie(Browser().visit(put(a=1), secure=True))
    for name in ("secure", "samesite", "domain", "path", "httponly"):
        assert plain[name] == secure[name]


def test_no_partitioned_and_no_priority_attribute_is_sent(browser: Browser) -> None:
    header = set_cookie(browser.visit(put(a=1))).OutputString().lower()
    assert "samesite" in header
    assert "partitioned" not in header
    assert "priority" not in header


def test_a_lifetime_in_seconds_starts_anew_with_every_change_and_reaches_the_browser_at_once(
    browser: Browser, store: WatchedStore, let_pass: Callable[..., None]
) -> None:
    browser.visit(put(a=1))
    assert set_cookie(browser.visit(set_expiry(HOUR)))["max-age"] == pytest.approx(HOUR, abs=3)
    let_pass(minutes=30)
    assert set_cookie(browser.visit(put(a=2)))["max-age"] == pytest.approx(HOUR, abs=3)
    assert seconds_left(browser, store) == pytest.approx(HOUR, abs=3)


def test_a_browser_session_has_no_max_age_and_ends_on_the_server_too(
    browser: Browser, store: WatchedStore, let_pass: Callable[..., None], settings: Any
) -> None:
    settings.SESSION_EXPIRE_AT_BROWSER_CLOSE = True
    settings.SRVSESSION_BROWSER_SESSION_AGE = timedelta(hours=2)
    cookie = set_cookie(browser.visit(put(a=1)))
    assert (cookie["max-age"], cookie["expires"]) == ("", "")
    assert seconds_left(browser, store) == pytest.approx(2 * HOUR, abs=3)
    let_pass(hours=3)
    assert browser.show(read) == {}
    assert list(services.live_sessions()) == []


def test_the_remaining_time_is_in_the_record(
    browser: Browser, store: WatchedStore, let_pass: Callable[..., None]
) -> None:
    browser.visit(set_expiry(HOUR))
    let_pass(minutes=20)
    assert seconds_left(browser, store) == pytest.approx(40 * 60, abs=3)
    assert browser.show(lambda request: [request.session.get("a"), str(request.session.record.expires_at)])[1] == str(
        record_of(browser, store).expires_at
    )


def test_the_lifetime_that_was_asked_for_stays_readable(
    browser: Browser, store: WatchedStore, let_pass: Callable[..., None]
) -> None:
    browser.visit(set_expiry(HOUR))
    let_pass(minutes=20)
    assert browser.show(lambda request: request.session.get_expiry_age()) == HOUR
    assert record_of(browser, store).lifetime == timedelta(hours=1)


def test_an_expiry_date_is_fixed_and_no_change_moves_it(
    browser: Browser, store: WatchedStore, let_pass: Callable[..., None]
) -> None:
    browser.visit(put(a=1))
    date = record_of(browser, store).created_at + timedelta(hours=1)
    assert set_cookie(browser.visit(set_expiry(date)))["max-age"] == pytest.approx(HOUR, abs=3)
    let_pass(minutes=20)
    browser.visit(put(a=2))
    assert seconds_left(browser, store) == pytest.approx(40 * 60, abs=3)


def test_a_lifetime_of_zero_ends_with_the_browser(browser: Browser) -> None:
    browser.visit(put(a=1))
    assert set_cookie(browser.visit(set_expiry(0)))["max-age"] == ""


def test_the_check_for_deployment_reports_a_cookie_that_is_not_secure(settings: Any) -> None:
    assert "security.W010" in [message.id for message in run_checks(include_deployment_checks=True)]
    settings.SESSION_COOKIE_SECURE = True
    assert "security.W010" not in [message.id for message in run_checks(include_deployment_checks=True)]
