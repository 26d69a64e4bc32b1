"""Reports of errors, as Django shows and mails them, and logs: no key is in them, wherever in a session's life."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.signals import got_request_exception
from django.db import connection
from django.http import HttpRequest
from django.test.utils import CaptureQueriesContext
from django.views.debug import ExceptionReporter

from django_srvsession.engine.keys import SessionKey
from tests.engine.every_store import on_every_store
from tests.engine.pages import Browser, View, count_view, flush, login, logout, put, read, rotate
from tests.engine.watched import WatchedStore


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> list[SessionKey]:
    """All keys that are made, also those that no cookie gets to."""
    made: list[SessionKey] = []
    sign = SessionKey._signed

    def signed(raw: bytes) -> SessionKey:
        made.append(sign(raw))
        return made[-1]

    monkeypatch.setattr(SessionKey, "_signed", staticmethod(signed))
    return made


@pytest.fixture
def reports() -> Iterator[list[str]]:
    """What Django would show of each error of a request, and mail, all settings being as they are."""
    written: list[str] = []

    def report(request: Any, **kwargs: Any) -> None:
        reporter = ExceptionReporter(request, *sys.exc_info())
        written.extend((reporter.get_traceback_html(), reporter.get_traceback_text()))

    got_request_exception.connect(report)
    yield written
    got_request_exception.disconnect(report)


def fails(request: HttpRequest) -> None:
    session = request.session  # Its repr is in the report, and that of what it holds.
    count_view(request)
    record, found = session.record, dict(session.items())
    raise ZeroDivisionError(record, found)


def fails_after_a_rotation(request: HttpRequest) -> None:
    rotate(request)
    fails(request)


@pytest.mark.parametrize("is_safe", [False, True], ids=["shown", "mailed"])
@pytest.mark.parametrize(
    ("verb", "view"),
    [
        (None, fails),
        (None, fails_after_a_rotation),
        ("load", read),
        ("update", count_view),
        ("rotate", rotate),
        ("end", flush),
        ("end", logout),
        ("create", put(a=1)),
        ("create", login),
    ],
)
def test_the_report_of_an_error_holds_no_key(
    is_safe: bool,
    verb: str | None,
    view: Any,
    either_browser: Browser,
    ann: Any,
    store: WatchedStore,
    reports: list[str],
    keys: list[SessionKey],
    settings: Any,
) -> None:
    settings.DEBUG = not is_safe

    def broken(asked: str) -> None:
        if asked == verb:
            raise ZeroDivisionError

    page: View = view(ann) if view is login else view
    if verb != "create":
        either_browser.visit(login(ann))
    store.before = broken
    assert either_browser.visit(page).status_code == 500
    assert keys
    assert len(reports) == 2
    for report in reports:
        assert "ZeroDivisionError" in report
        for key in keys:
            assert key.text not in report


@on_every_store
def test_no_log_of_any_package_holds_a_key(
    browser: Browser, ann: Any, keys: list[SessionKey], engine: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for logger in (None, "django"):
        caplog.set_level(logging.DEBUG, logger=logger)
    with CaptureQueriesContext(connection):
        browser.visit(login(ann))
        for view in (count_view, rotate, read, fails, logout, count_view):
            browser.visit(view)
        browser.copy().visit(read)
    assert "django.db.backends" in {record.name for record in caplog.records}, "the log has what databases are sent"
    assert len(keys) == 3
    for key in keys:
        assert key.text not in caplog.text
