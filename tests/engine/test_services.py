"""Seeing and ending sessions: services, signals, and users who are deactivated or deleted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.core.exceptions import ImproperlyConfigured
from django.db import models, transaction
from django.http import HttpRequest

from django_srvsession import services
from django_srvsession.engine import SessionStore, current_store
from django_srvsession.engine.keys import SessionKey
from django_srvsession.records import Delta, SessionRecord
from django_srvsession.signals import session_ended, session_started
from django_srvsession.store import StoreUnavailableError
from tests.engine.every_store import DB, on_every_store
from tests.engine.pages import (
    Browser,
    View,
    deletes_cookie,
    flush,
    login,
    logout,
    name_user,
    put,
    read,
    rotate,
    set_cookie,
    while_,
)
from tests.engine.watched import WatchedStore


class Heard:
    """Hold what the signals said, in order."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []

    def started(self, sender: Any, record: SessionRecord, **kwargs: Any) -> None:
        assert sender is SessionStore
        self.said.append(("started", record.user_id))

    def ended(self, sender: Any, record: SessionRecord, reason: str, by: str | None, **kwargs: Any) -> None:
        assert sender is SessionStore
        self.said.append(("ended", reason, record.user_id, by))

    def take(self) -> list[tuple[Any, ...]]:
        """Return what was said since the last time."""
        said, self.said = self.said, []
        return said


@pytest.fixture
def heard() -> Iterator[Heard]:
    heard = Heard()
    session_started.connect(heard.started)
    session_ended.connect(heard.ended)
    yield heard
    session_started.disconnect(heard.started)
    session_ended.disconnect(heard.ended)


def signed_in(user: Any) -> Browser:
    browser = Browser()
    browser.visit(login(user))
    return browser


def sid_of(browser: Browser) -> str:
    key = SessionKey.parse(browser.cookie)
    assert key is not None
    return key.sid


# See and end.


@on_every_store
def test_a_user_sees_all_sessions_and_nobody_elses(engine: Any, ann: Any, bob: Any) -> None:
    mine, theirs, anonymous = [signed_in(ann) for _ in range(3)], signed_in(bob), Browser()
    anonymous.visit(put(a=1))
    assert {record.sid for record in services.sessions_of(ann)} == set(map(sid_of, mine))
    assert len(services.sessions_of(ann)) == 3
    assert {record.sid for record in services.sessions_of(str(ann.pk))} == set(map(sid_of, mine))
    expected = {*map(sid_of, mine), sid_of(theirs), sid_of(anonymous)}
    assert {record.sid for record in services.live_sessions()} == expected


@on_every_store
def test_a_revoked_session_is_over_at_its_next_request(engine: Any, ann: Any, bob: Any, heard: Heard) -> None:
    one, other = signed_in(ann), signed_in(ann)
    heard.take()
    record = services.revoke(sid_of(one), by=bob)
    assert record is not None
    assert record.sid == sid_of(one)
    assert heard.take() == [("ended", "revoked", str(ann.pk), str(bob.pk))]
    assert services.revoke(sid_of(one)) is None
    assert (one.user(), other.user()) == ("", "ann")
    assert [record.sid for record in services.sessions_of(ann)] == [sid_of(other)]
    assert heard.take() == []


@on_every_store
def test_revoke_all_ends_all_but_the_one_to_keep(engine: Any, ann: Any, bob: Any, heard: Heard) -> None:
    browsers, theirs = [signed_in(ann) for _ in range(4)], signed_in(bob)
    heard.take()
    ended = services.revoke_all(ann, keep=sid_of(browsers[0]), by="cron", reason="password_changed")
    assert {record.sid for record in ended} == set(map(sid_of, browsers[1:]))
    assert heard.take() == [("ended", "password_changed", str(ann.pk), "cron")] * 3
    assert [browser.user() for browser in browsers] == ["ann", "", "", ""]
    assert theirs.user() == "bob"
    assert len(services.revoke_all(ann)) == 1
    assert services.revoke_all(ann) == []


@on_every_store
@pytest.mark.parametrize("calls_login", [True, False])
def test_a_session_that_was_anonymous_when_it_was_looked_at_ends_only_while_it_is(
    engine: Any, ann: Any, heard: Heard, calls_login: bool
) -> None:
    visitor, other = Browser(), Browser()
    for browser in (visitor, other):
        browser.visit(put(a=1))
    looked_at = {record.sid: record for record in services.live_sessions()}
    visitor.visit(login(ann) if calls_login else put(_auth_user_id=str(ann.pk)))
    heard.take()
    assert services.revoke_if_anonymous(looked_at[sid_of(visitor)], by="cron") is None
    assert [record.sid for record in services.sessions_of(ann)] == [sid_of(visitor)]
    (signed_in,) = services.sessions_of(ann)
    assert services.revoke_if_anonymous(signed_in) is None
    ended = services.revoke_if_anonymous(looked_at[sid_of(other)], by="cron")
    assert ended is not None and ended.sid == sid_of(other)
    assert heard.take() == [("ended", "revoked", None, "cron")]


@on_every_store
def test_revoking_what_does_not_exist_is_no_error(engine: Any, heard: Heard) -> None:
    assert services.revoke("0" * 18) is None
    assert services.revoke_all("nobody") == []
    assert list(services.sessions_of("nobody")) == []
    assert heard.take() == []


def test_revoking_works_in_async_code(ann: Any, heard: Heard) -> None:
    browser = signed_in(ann)
    heard.take()
    record = asyncio.run(services.arevoke(sid_of(browser), by=ann))
    assert record is not None
    assert heard.take() == [("ended", "revoked", str(ann.pk), str(ann.pk))]
    assert browser.user() == ""


def test_a_session_revoked_during_its_request_stores_nothing_more(ann: Any) -> None:
    browser = signed_in(ann)
    sid = sid_of(browser)
    response = browser.visit(while_(read, lambda: services.revoke(sid), put(a=1)))
    assert set_cookie(response) is None
    assert list(services.live_sessions()) == []


def test_an_outage_is_told_and_not_mistaken_for_an_end(ann: Any, store: WatchedStore) -> None:
    browser = signed_in(ann)
    store.go_out()
    for use in (services.live_sessions, lambda: services.revoke(sid_of(browser)), lambda: services.revoke_all(ann)):
        with pytest.raises(StoreUnavailableError):
            list(use() or ())
    store.come_back()
    assert browser.user() == "ann"


def test_services_on_a_stock_engine_say_what_to_set(stock: Callable[..., None], ann: Any) -> None:
    stock("db")
    for use in (services.live_sessions, lambda: services.sessions_of(ann), lambda: services.revoke("0" * 18)):
        with pytest.raises(ImproperlyConfigured, match=r"django_srvsession\.backends"):
            use()


def test_a_record_shows_no_contents_and_no_key(ann: Any) -> None:
    browser = signed_in(ann)
    browser.visit(put(secret="hush"))
    (record,) = services.sessions_of(ann)
    for text in ("hush", record.verifier, browser.cookie):
        assert str(text) not in repr(record)


# Signals.


@on_every_store
def test_each_change_of_a_session_is_told_once(engine: Any, ann: Any, bob: Any, heard: Heard) -> None:
    ids = {"ann": str(ann.pk), "bob": str(bob.pk)}
    browser = Browser()
    steps: list[tuple[View, list[tuple[Any, ...]]]] = [
        (put(a=1), []),
        (login(ann), [("started", ids["ann"])]),
        (put(a=2), []),
        (rotate, []),
        (name_user, []),
        (login(bob), [("ended", "replaced", ids["ann"], None), ("started", ids["bob"])]),
        (logout, [("ended", "logout", ids["bob"], ids["bob"])]),
        (put(a=1), []),
        (flush, [("ended", "replaced", None, None)]),
    ]
    for view, expected in steps:
        browser.visit(view)
        assert heard.take() == expected, view


@on_every_store
def test_an_expiry_is_told_once_by_whoever_notices_it(engine: Any, ann: Any, heard: Heard, store: WatchedStore) -> None:
    browsers = [signed_in(ann) for _ in range(2)]
    heard.take()
    for browser in browsers:
        key = SessionKey.parse(browser.cookie)
        assert key is not None
        store.inner.update(key.sid, key.verifier, Delta(deadline_ms=1))
    assert browsers[0].user() == ""
    assert heard.take() == [("ended", "expired_lifetime", str(ann.pk), None)]
    assert browsers[0].user() == ""
    assert heard.take() == []
    assert services.clear_expired() == 1
    assert heard.take() == [("ended", "expired_lifetime", str(ann.pk), None)]


def test_signals_of_async_pages_are_told_once(ann: Any, heard: Heard) -> None:
    async def sign_in(request: HttpRequest) -> None:
        await sync_to_async(login(ann))(request)

    async def sign_out(request: HttpRequest) -> None:
        await sync_to_async(logout)(request)

    browser = Browser(asgi=True)
    browser.visit(sign_in)
    browser.visit(sign_out)
    assert heard.take() == [("started", str(ann.pk)), ("ended", "logout", str(ann.pk), str(ann.pk))]


def test_a_receiver_that_fails_is_logged_and_harms_nobody(
    ann: Any, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**kwargs: Any) -> None:
        raise ZeroDivisionError

    session_started.connect(fail)
    session_ended.connect(fail)
    try:
        browser = signed_in(ann)
        assert browser.user() == "ann"
        assert deletes_cookie(browser.visit(logout))
    finally:
        session_started.disconnect(fail)
        session_ended.disconnect(fail)
    assert [said[0] for said in heard.take()] == ["started", "ended"]
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("engine", [DB], indirect=True)
def test_signals_wait_for_the_commit_of_the_transaction_they_are_part_of(engine: Any, ann: Any, heard: Heard) -> None:
    browser = signed_in(ann)
    heard.take()
    with transaction.atomic():
        services.revoke(sid_of(browser))
        assert heard.take() == []
    assert [said[:2] for said in heard.take()] == [("ended", "revoked")]


@pytest.mark.parametrize("engine", [DB], indirect=True)
def test_what_was_rolled_back_is_not_told(engine: Any, ann: Any, heard: Heard) -> None:
    browser = signed_in(ann)
    heard.take()
    with transaction.atomic():
        services.revoke(sid_of(browser))
        transaction.set_rollback(True)
    assert heard.take() == []
    assert browser.user() == "ann"


# Users.


def deactivate(user: Any) -> None:
    user.is_active = False
    user.save()


def deactivate_by_field(user: Any) -> None:
    user.is_active = False
    user.save(update_fields=["is_active"])


def deactivate_through_a_proxy(user: Any) -> None:
    class Member(get_user_model()):  # type: ignore[misc]
        class Meta:
            proxy = True
            app_label = "auth"

    try:
        deactivate(Member.objects.get(pk=user.pk))
    finally:
        from django.apps import apps

        del apps.all_models["auth"]["member"]
        apps.clear_cache()


def delete(user: Any) -> None:
    user.delete()


def delete_by_query(user: Any) -> None:
    get_user_model().objects.filter(pk=user.pk).delete()


@on_every_store
@pytest.mark.parametrize(
    ("remove", "reason"),
    [
        (deactivate, "user_deactivated"),
        (deactivate_by_field, "user_deactivated"),
        (deactivate_through_a_proxy, "user_deactivated"),
        (delete, "user_deleted"),
        (delete_by_query, "user_deleted"),
    ],
)
def test_a_user_who_is_deactivated_or_deleted_is_signed_out_everywhere_at_once(
    remove: Callable[[Any], None], reason: str, engine: Any, ann: Any, bob: Any, heard: Heard
) -> None:
    browsers, theirs, user_id = [signed_in(ann) for _ in range(2)], signed_in(bob), str(ann.pk)
    heard.take()
    remove(ann)
    assert heard.take() == [("ended", reason, user_id, None)] * 2
    assert list(services.sessions_of(user_id)) == []
    assert [browser.user() for browser in browsers] == ["", ""]
    assert theirs.user() == "bob"


def test_activating_again_brings_no_session_back(ann: Any) -> None:
    browser = signed_in(ann)
    deactivate(ann)
    ann.is_active = True
    ann.save()
    assert browser.user() == ""
    assert signed_in(ann).user() == "ann"


@on_every_store
@pytest.mark.parametrize("asgi", [False, True])
def test_a_user_deactivated_behind_our_back_is_signed_out_for_good_when_seen(
    asgi: bool, engine: Any, ann: Any, heard: Heard
) -> None:
    browser = Browser(signed_in(ann).cookie, asgi)
    kept = browser.copy()
    heard.take()
    get_user_model().objects.filter(pk=ann.pk).update(is_active=False)
    assert deletes_cookie(browser.visit(name_user))
    assert heard.take() == [("ended", "user_deactivated", str(ann.pk), None)]
    get_user_model().objects.filter(pk=ann.pk).update(is_active=True)
    assert kept.user() == ""


async def aname_user(request: HttpRequest) -> str:
    return str((await request.auser()).get_username())


def test_an_async_page_that_sees_a_user_who_is_gone_ends_the_session(ann: Any, heard: Heard) -> None:
    browser = Browser(signed_in(ann).cookie, asgi=True)
    heard.take()
    get_user_model().objects.filter(pk=ann.pk).update(is_active=False)
    assert deletes_cookie(browser.visit(aname_user))
    assert heard.take() == [("ended", "user_deactivated", str(ann.pk), None)]


@pytest.mark.usefixtures("after_the_first_minute")
def test_a_user_deleted_behind_our_back_is_signed_out_for_good_when_seen(ann: Any, heard: Heard) -> None:
    browser, user_id = signed_in(ann), str(ann.pk)
    heard.take()
    models.QuerySet(get_user_model()).filter(pk=ann.pk)._raw_delete("default")
    assert deletes_cookie(browser.visit(name_user))
    assert heard.take() == [("ended", "user_deleted", user_id, None)]


def test_stock_django_signs_a_user_in_again_who_was_deactivated_for_a_while(
    stock: Callable[..., None], ann: Any
) -> None:
    stock("db")
    browser = signed_in(ann)
    deactivate(ann)
    assert browser.user() == ""
    assert Session.objects.count() == 1
    ann.is_active = True
    ann.save()
    assert browser.user() == "ann"


def test_saving_a_user_otherwise_ends_nothing(ann: Any) -> None:
    browser = signed_in(ann)
    ann.first_name = "Ann"
    ann.save()
    ann.is_active = False
    ann.save(update_fields=["first_name"])
    assert browser.user() == "ann"
    assert browser.copy().user() == "ann"


def test_a_deactivation_that_is_rolled_back_ends_nothing(ann: Any) -> None:
    browser = signed_in(ann)
    with transaction.atomic():
        deactivate(ann)
        transaction.set_rollback(True)
    assert browser.user() == "ann"


def test_users_of_a_site_on_a_stock_engine_can_be_deactivated_and_deleted(stock: Callable[..., None], ann: Any) -> None:
    stock("db")
    deactivate(ann)
    ann.delete()


def test_other_models_may_be_saved_and_deleted_while_the_store_is_out(ann: Any, store: WatchedStore) -> None:
    from django.contrib.auth.models import Group

    store.go_out()
    group = Group.objects.create(name="staff")
    group.delete()


# Settings that change.


def test_the_store_is_made_anew_when_a_setting_that_it_uses_changes(
    engine: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django_srvsession import engine as engine_module

    store_class = engine.SessionStore.store_class
    monkeypatch.setattr(store_class, "settings_used", frozenset({"SRVSESSION_REDIS_PREFIX"}))
    first = current_store()
    settings.SRVSESSION_TOUCH_INTERVAL = 5
    assert current_store() is first
    settings.SRVSESSION_REDIS_PREFIX = "other:"
    second = current_store()
    assert second is not first
    assert engine_module.store_of(store_class) is second


def test_our_log_names_the_sid_and_never_the_key(ann: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        browser = signed_in(ann)
        cookies = [browser.cookie]
        browser.visit(rotate)
        cookies.append(browser.cookie)
        browser.visit(while_(read, lambda: services.revoke(sid_of(browser)), put(a=1)))
    assert "ended meanwhile" in caplog.text
    for cookie in cookies:
        assert str(cookie) not in caplog.text
