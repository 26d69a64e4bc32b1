"""A page that only reads goes out though the store cannot write: what nobody asked for is tried briefly, then left."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.http import HttpRequest

from django_srvsession.engine import bookkeeping
from django_srvsession.store import StoreUnavailableError
from tests.engine.every_store import on_every_store
from tests.engine.pages import Browser, View, login, name_user, put, read, set_cookie, untouched
from tests.engine.test_secrets import new_secret
from tests.engine.watched import WatchedStore

WRITES = {"create", "update", "rotate", "end", "expire"}


@pytest.fixture
def reader(either_browser: Browser, ann: Any, settings: Any, store: WatchedStore) -> Browser:
    """A browser in which ann is signed in; each use is due to be noted, and the store only reads."""
    either_browser.visit(login(ann))
    settings.SRVSESSION_TOUCH_INTERVAL = 0
    store.out = WRITES
    return either_browser


def tries(store: WatchedStore, action: Callable[[], object]) -> list[str]:
    """Return which writes an action asked for."""
    return [asked.verb for asked in store.since(action) if asked.verb != "load"]


@pytest.mark.parametrize("view", [read, name_user])
def test_a_page_that_only_reads_goes_out_though_its_use_cannot_be_noted(
    view: View, reader: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        response = reader.visit(view)
        assert response.status_code == 200
        assert set_cookie(response) is None
    assert reader.user() == "ann"
    assert [record.levelname for record in caplog.records if "cannot be noted" in record.message] == ["WARNING"]


@on_every_store
def test_it_is_so_on_every_store(reader: Browser, engine: Any) -> None:
    assert reader.user() == "ann"


def test_after_a_failure_nothing_is_tried_for_five_seconds(
    reader: Browser, store: WatchedStore, caplog: pytest.LogCaptureFixture
) -> None:
    assert tries(store, lambda: reader.visit(read)) == ["update"]
    assert tries(store, lambda: reader.visit(read)) == []
    store.bookkeeping_rests_until -= bookkeeping.PAUSE_SECONDS
    assert tries(store, lambda: reader.visit(read)) == ["update"]
    store.come_back()
    store.bookkeeping_rests_until -= bookkeeping.PAUSE_SECONDS
    with caplog.at_level(logging.INFO, "django_srvsession"):
        assert tries(store, lambda: [reader.visit(read), reader.visit(read)]) == ["update", "update"]
    assert "noted again" in caplog.text


def test_a_page_that_does_not_use_its_session_goes_out_where_every_request_is_saved(
    reader: Browser, store: WatchedStore, settings: Any
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = True
    store.go_out()
    response = reader.visit(untouched)
    assert (response.status_code, set_cookie(response)) == (200, None)


@pytest.mark.parametrize("view", [read, name_user])
def test_a_new_secret_withholds_no_page_where_the_store_cannot_write(
    view: View, reader: Browser, settings: Any, store: WatchedStore
) -> None:
    old = reader.cookie
    new_secret(settings)
    response = reader.visit(view)
    assert (response.status_code, set_cookie(response)) == (200, None)
    # When the store writes again, key and seals are made anew as ever.
    store.come_back()
    store.bookkeeping_rests_until = 0
    reader.visit(name_user)
    assert reader.cookie != old
    settings.SECRET_KEY_FALLBACKS = []
    assert reader.user() == "ann"


def test_a_session_whose_time_is_up_reads_as_empty_where_that_cannot_be_noted(
    reader: Browser, store: WatchedStore
) -> None:
    def lasts_no_longer(request: HttpRequest) -> None:
        request.session.set_expiry(-1)

    store.come_back()
    reader.visit(lasts_no_longer)
    store.out = WRITES
    assert reader.user() == ""


def touch(request: HttpRequest) -> None:
    request.session.touch()


def mark_as_modified(request: HttpRequest) -> None:
    request.session.modified = True


def end(request: HttpRequest) -> None:
    request.session.flush()


@pytest.mark.parametrize("view", [put(a=1), touch, mark_as_modified, end])
def test_what_a_page_asks_for_is_503_also_while_bookkeeping_rests(view: View, reader: Browser) -> None:
    assert reader.visit(read).status_code == 200
    assert reader.visit(view).status_code == 503
    assert reader.user() == "ann"


def test_stock_django_withholds_a_page_that_only_reads_where_every_request_is_saved_and_the_database_is_read_only(
    browser: Browser, ann: Any, stock: Callable[..., None], settings: Any
) -> None:
    from django.db import connection

    stock("db")
    browser.visit(login(ann))
    settings.SESSION_SAVE_EVERY_REQUEST = True
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only = 1")
        try:
            assert browser.visit(read).status_code == 400
        finally:
            cursor.execute("PRAGMA query_only = 0")
    assert Session.objects.count() == 1


@pytest.mark.parametrize("engine", ["db"], indirect=True)
def test_on_a_database_that_is_read_only_pages_go_out(engine: Any, browser: Browser, ann: Any, settings: Any) -> None:
    from django.db import connection

    browser.visit(login(ann))
    settings.SRVSESSION_TOUCH_INTERVAL = 0
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only = 1")
        try:
            assert browser.user() == "ann"
            assert browser.visit(put(a=1)).status_code == 503
        finally:
            cursor.execute("PRAGMA query_only = 0")


def test_the_error_of_a_view_is_no_bookkeeping(reader: Browser) -> None:
    def swallows(request: HttpRequest) -> str:
        try:
            request.session.touch()
        except StoreUnavailableError:
            return "swallowed"
        return "touched"

    assert reader.visit(swallows).status_code == 503
