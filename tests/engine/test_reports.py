"""Reports of errors, as Django shows and mails them: they hold no key, wherever in a session's life the error was."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.signals import got_request_exception
from django.http import HttpRequest
from django.views.debug import ExceptionReporter

from django_srvsession.keys import SessionKey
from tests.engine.pages import Browser, View, count_view, flush, login, logout, put, read, rotate
from tests.engine.watched import WatchedStore


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
    settings: Any,
) -> None:
    settings.DEBUG = not is_safe
    keys: list[SessionKey] = []  # All that are made, also those that no cookie gets to.
    sign = SessionKey._signed

    def signed(raw: bytes) -> SessionKey:
        keys.append(sign(raw))
        return keys[-1]

    def broken(asked: str) -> None:
        if asked == verb:
            raise ZeroDivisionError

    page: View = view(ann) if view is login else view
    with pytest.MonkeyPatch.context() as watching:
        watching.setattr(SessionKey, "_signed", staticmethod(signed))
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
