"""What is written down of sessions: rows for ``SRVSESSION_EVENT_LOG`` days, and log records, never with a secret."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import DatabaseError, transaction
from django.db.models import QuerySet
from django.test import Client as Browser

from django_srvsession import services
from django_srvsession.engine import current_store
from django_srvsession.models import SessionEvent
from django_srvsession.records import Client
from django_srvsession.services import recent_activity
from django_srvsession.store import Store
from django_srvsession.testing.sessions import create, make_due
from tests.every_store import every_store_fixture  # noqa: F401 - used as a fixture
from tests.memory import memory_store_fixture  # noqa: F401 - used as a fixture

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


def new_person(name: str = "ann") -> Any:
    return get_user_model().objects.create_user(name, f"{name}@example.com", "secret")


def signed_in(user: Any) -> Browser:
    browser = Browser(headers={"User-Agent": FIREFOX})
    browser.force_login(user)
    return browser


def said(user: Any) -> list[tuple[str, str, str]]:
    return [(event.kind, event.reason, event.by) for event in recent_activity(user)]


def test_a_sign_in_and_each_kind_of_end_are_written_down_on_every_store(every_store: str, settings: Any) -> None:
    settings.SRVSESSION_EVENT_LOG = 30
    ann, store = new_person(), current_store()
    browser = signed_in(ann)
    browser.logout()
    assert said(ann) == [("ended", "logout", str(ann.pk)), ("started", "", "")]
    signed_in(ann)
    services.revoke_all(ann, by=ann)
    assert said(ann)[:2] == [("ended", "revoked", str(ann.pk)), ("started", "", "")]
    due = make_due(store, create(store, user_id=str(ann.pk), client=Client("192.0.2.7", FIREFOX)))
    call_command("clearsessions_srv", "--pause=0", verbosity=0)
    event = recent_activity(ann)[0]
    assert (event.kind, event.reason, event.sid) == ("ended", "expired_lifetime", due.record.sid)
    assert (event.ip, event.user_agent) == ("192.0.2.7", FIREFOX)


def test_nothing_is_written_unless_it_is_asked_for(every_store: str) -> None:
    ann = new_person()
    signed_in(ann).logout()
    assert not SessionEvent.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_visitors_leave_no_rows(store: Store, settings: Any) -> None:
    settings.SRVSESSION_EVENT_LOG = 30
    services.revoke(create(store).record.sid)
    make_due(store, create(store))
    services.clear_expired()
    assert not SessionEvent.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_no_row_and_no_log_record_holds_a_key_or_a_verifier(
    store: Store, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.SRVSESSION_EVENT_LOG = 30
    caplog.set_level(logging.DEBUG, logger="django_srvsession")
    ann = new_person()
    browser = signed_in(ann)
    key = browser.cookies[settings.SESSION_COOKIE_NAME].value
    (record,) = services.sessions_of(ann)
    browser.logout()
    rows = json.dumps([list(row.values()) for row in SessionEvent.objects.values()])
    logged = json.dumps([{**vars(one), "text": one.getMessage()} for one in caplog.records], default=str)
    assert record.sid in rows and record.sid in logged
    for secret in (key, record.verifier):
        assert secret not in rows + logged


@pytest.mark.django_db(transaction=True)
def test_the_log_says_who_what_and_why_for_machines_too(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="django_srvsession")
    ann = new_person()
    signed_in(ann)
    (record,) = services.sessions_of(ann)
    services.revoke(record.sid, by="Carol")
    services.revoke(create(store).record.sid)  # A visitor's: for DEBUG only.
    started, ended = (one for one in caplog.records if one.name == "django_srvsession")
    assert started.getMessage() == f"Session {record.sid} of user {ann.pk} started."
    assert ended.getMessage() == f"Session {record.sid} of user {ann.pk} ended: revoked."
    fields = [vars(ended)[name] for name in ("event", "sid", "user_id", "reason", "by")]
    assert fields == ["ended", record.sid, str(ann.pk), "revoked", "Carol"]
    assert vars(started)["event"] == "started"


@pytest.mark.parametrize("every_store", ["sqlite", "postgresql"], indirect=True)
def test_what_is_rolled_back_is_not_written_down(
    every_store: str, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.SRVSESSION_EVENT_LOG = 30
    caplog.set_level(logging.INFO, logger="django_srvsession")
    ann, store = new_person(), current_store()
    sid = create(store, user_id=str(ann.pk)).record.sid
    using = store.using  # type: ignore[attr-defined]
    with transaction.atomic(using=using):
        services.revoke(sid)
        assert said(ann) == []
        transaction.set_rollback(True, using=using)
    assert said(ann) == []
    assert not caplog.records
    with transaction.atomic(using=using):
        services.revoke(sid)
    assert len(caplog.records) == 1
    assert said(ann) == [("ended", "revoked", "")]


@pytest.mark.django_db(transaction=True)
def test_a_row_that_cannot_be_written_fails_nobody(
    store: Store, settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings.SRVSESSION_EVENT_LOG = 30

    def insert(*arguments: Any, **options: Any) -> None:
        raise DatabaseError("the disk is full")

    monkeypatch.setattr(QuerySet, "bulk_create", insert)
    ann = new_person()
    with transaction.atomic():
        signed_in(ann)
        get_user_model().objects.filter(pk=ann.pk).update(first_name="Ann")
    ann.refresh_from_db()
    assert (ann.first_name, len(services.sessions_of(ann))) == ("Ann", 1)
    assert "the disk is full" in caplog.text


@pytest.mark.parametrize("every_store", ["sqlite", "postgresql", "mariadb"], indirect=True)
def test_texts_of_any_length_and_kind_fit(every_store: str, settings: Any) -> None:
    settings.SRVSESSION_EVENT_LOG = 30
    ann, store = new_person(), current_store()
    sid = create(store, user_id=str(ann.pk), client=Client("192.0.2.7", "x" * 300)).record.sid
    services.revoke(sid, by="B\N{GRINNING FACE}" + "y" * 300, reason="r" * 60)
    (event,) = recent_activity(ann)
    assert (len(event.user_agent), len(event.by), event.reason) == (256, 255, "r" * 60)
    assert event.by.startswith("B\N{GRINNING FACE}y")


def test_the_character_that_postgresql_refuses_is_left_out() -> None:
    from django_srvsession.events.log import _fit

    assert _fit("by", "a\0b") == "ab"
    assert _fit("by", None) == ""


@pytest.mark.django_db
def test_everybody_sees_their_own_activity_only_newest_first(store: Store, settings: Any) -> None:
    settings.SRVSESSION_EVENT_LOG = 30
    ann, bob = new_person("ann"), new_person("bob")
    fields = {"kind": "started", "sid": "0" * 18}
    times = [1_800_000_000_000, 1_800_000_000_002, 1_800_000_000_001]
    for at_ms in times:
        SessionEvent.objects.create(at_ms=at_ms, user_id=str(ann.pk), **fields)
    SessionEvent.objects.create(at_ms=times[0], user_id=str(bob.pk), **fields)
    events = recent_activity(ann)
    assert [event.at_ms for event in events] == sorted(times, reverse=True)
    assert events[0].at.isoformat() == "2027-01-15T08:00:00.002000+00:00"
    assert len(recent_activity(bob.pk)) == 1


@pytest.mark.django_db(transaction=True)
def test_an_async_sign_in_and_logout_are_written_down_too(store: Store, settings: Any) -> None:
    from django.test import AsyncClient

    settings.SRVSESSION_EVENT_LOG = 30
    ann = new_person()

    async def visit() -> None:
        browser = AsyncClient()
        await browser.aforce_login(ann)
        await browser.alogout()

    asyncio.run(visit())
    assert said(ann) == [("ended", "logout", str(ann.pk)), ("started", "", "")]


@pytest.mark.parametrize("days", [0, -1, 1.5, True, "30"])
def test_days_that_are_no_number_are_refused(settings: Any, days: Any) -> None:
    from django.core.exceptions import ImproperlyConfigured

    from django_srvsession import conf

    settings.SRVSESSION_EVENT_LOG = days
    with pytest.raises(ImproperlyConfigured, match="SRVSESSION_EVENT_LOG"):
        conf.read("EVENT_LOG")


@pytest.mark.django_db(transaction=True)
def test_a_wrong_number_of_days_fails_no_sign_in(store: Store, settings: Any) -> None:
    settings.SRVSESSION_EVENT_LOG = "30"
    ann = new_person()
    signed_in(ann)
    assert len(services.sessions_of(ann)) == 1
    assert not SessionEvent.objects.exists()


@pytest.mark.django_db
def test_an_app_that_is_made_ready_again_tells_of_nothing_twice(caplog: pytest.LogCaptureFixture) -> None:
    apps.get_app_config("srvsession").ready()
    user = get_user_model().objects.create_user("ann")
    with caplog.at_level(logging.INFO, logger="django_srvsession"):
        session_id = create(current_store(), user_id=str(user.pk)).record.sid
        services.revoke(session_id)
    ended = [record for record in caplog.records if f"{session_id} of user" in record.getMessage()]
    assert len(ended) == 1
