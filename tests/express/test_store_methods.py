"""The lines of docs/why/express.rst about the methods of a store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from django_srvsession import services
from django_srvsession.records import SessionRecord, Tombstone
from django_srvsession.store import UpdateError
from tests.engine.every_store import on_every_store
from tests.engine.pages import (
    Browser,
    login,
    put,
    read,
)
from tests.engine.watched import WatchedStore
from tests.express.asking import key_of, seconds_left, tombstone_of

DAY = 24 * 3600


@on_every_store
def test_live_sessions_are_records_without_contents(browser: Browser, ann: Any) -> None:
    browser.visit(login(ann))
    browser.visit(put(word="xyzzy"))
    (record,) = services.live_sessions()
    assert isinstance(record, SessionRecord)
    assert (record.sid, record.user_id) == (key_of(browser).sid, str(ann.pk))
    assert "xyzzy" not in repr(record)


@on_every_store
def test_the_number_of_live_sessions_is_their_length(browser: Browser) -> None:
    browser.visit(put(a=1))
    Browser().visit(put(a=1))
    assert len(services.live_sessions()) == 2


@on_every_store
def test_revoke_ends_a_session_by_its_sid(browser: Browser, store: WatchedStore) -> None:
    browser.visit(put(a=1))
    sid = key_of(browser).sid
    assert services.revoke(sid) is not None
    assert services.revoke(sid) is None
    assert (browser.show(read), tombstone_of(sid, store).reason) == ({}, "revoked")


@on_every_store
def test_a_loop_over_the_live_sessions_ends_them_all(browser: Browser) -> None:
    browsers = [Browser() for _ in range(3)]
    for one in browsers:
        one.visit(put(a=1))
    for record in list(services.live_sessions()):
        services.revoke(record.sid)
    assert [one.show(read) for one in browsers] == [{}] * 3
    assert list(services.live_sessions()) == []


@on_every_store
def test_all_sessions_of_one_user_end_with_one_call(browser: Browser, ann: Any, bob: Any) -> None:
    theirs, mine = Browser(), Browser()
    browser.visit(login(ann))
    mine.visit(login(ann))
    theirs.visit(login(bob))
    assert len(services.revoke_all(ann)) == 2
    assert [one.user() for one in (browser, mine, theirs)] == ["", "", "bob"]


def test_contents_are_read_with_the_key_and_only_the_record_with_the_sid(
    browser: Browser, engine: Any, ann: Any
) -> None:
    browser.visit(login(ann))
    browser.visit(put(a=1))
    sid = key_of(browser).sid
    assert engine.SessionStore(browser.cookie)["a"] == 1
    assert engine.SessionStore(sid).load() == {}
    assert services.session_of(ann, sid) == next(iter(services.live_sessions()))


@on_every_store
def test_a_write_from_outside_a_request_changes_a_live_session_and_never_an_ended_one(
    browser: Browser, engine: Any, store: WatchedStore
) -> None:
    browser.visit(put(a=1))
    key = browser.cookie
    session = engine.SessionStore(key)
    session["a"] = 2
    session.save()
    assert browser.show(read) == {"a": 2}
    late = engine.SessionStore(key)
    late["a"] = 3
    services.revoke(late.sid)
    with pytest.raises(UpdateError):
        late.save()
    assert isinstance(store.inner.load(key_of(Browser(key)).sid), Tombstone)


def test_touch_from_outside_a_request_extends_a_live_session(
    browser: Browser, engine: Any, store: WatchedStore, let_pass: Callable[..., None], settings: Any
) -> None:
    settings.SESSION_COOKIE_AGE = DAY
    browser.visit(put(a=1))
    let_pass(hours=20)
    engine.SessionStore(browser.cookie).touch()
    assert seconds_left(browser, store) == pytest.approx(DAY, abs=3)


def test_a_session_can_be_made_outside_a_request(engine: Any, ann: Any) -> None:
    session = engine.SessionStore()
    session["a"] = 1
    session.create()
    assert Browser(session.session_key).show(read) == {"a": 1}
