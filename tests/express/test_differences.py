"""The lines of docs/why/express.rst about what differs on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, StreamingHttpResponse

from tests.engine.every_store import on_every_store
from tests.engine.pages import (
    Browser,
    login,
    logout,
    name_user,
    read,
    set_cookie,
)
from tests.engine.watched import WatchedStore
from tests.express.asking import key_of, record_of

DAY = 24 * 3600


def test_an_outage_of_the_store_is_answered_with_503_and_the_cookie_stays(
    browser: Browser, ann: Any, store: WatchedStore
) -> None:
    browser.visit(login(ann))
    store.go_out()
    for view in (name_user, read, logout):
        response = browser.visit(view)
        assert (response.status_code, set_cookie(response)) == (503, None)
    store.come_back()
    assert browser.user() == "ann"


@on_every_store
def test_the_store_holds_no_key(browser: Browser, ann: Any, store: WatchedStore) -> None:
    browser.visit(login(ann))
    loaded = store.inner.load(key_of(browser).sid)
    assert str(browser.cookie) not in repr(loaded)
    assert Browser(record_of(browser, store).verifier).user() == ""


def test_what_a_streaming_answer_changes_is_not_saved(browser: Browser) -> None:
    def stream(request: HttpRequest) -> StreamingHttpResponse:
        request.session["before"] = 1

        def chunks() -> Iterator[bytes]:
            yield b"a"
            request.session["during"] = 1
            yield b"b"

        return StreamingHttpResponse(chunks())

    assert b"".join(browser.visit(stream).streaming_content) == b"ab"
    assert browser.show(read) == {"before": 1}


def test_a_streaming_answer_can_save_by_itself(browser: Browser) -> None:
    def stream(request: HttpRequest) -> StreamingHttpResponse:
        request.session["before"] = 1

        def chunks() -> Iterator[bytes]:
            request.session["during"] = 1
            request.session.save()
            yield b"a"

        return StreamingHttpResponse(chunks())

    assert b"".join(browser.visit(stream).streaming_content) == b"a"
    assert browser.show(read) == {"before": 1, "during": 1}
