"""An account with very many sessions: read by page, ended in batches, one asked for by its name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import include, path

from django_srvsession import services
from django_srvsession.backends.cached_db import CachedDatabaseStore
from django_srvsession.backends.db import DatabaseStore, listing
from django_srvsession.backends.memory import MemoryStore
from django_srvsession.backends.mongodb import MongoStore
from django_srvsession.backends.mongodb import listing as mongodb_listing
from django_srvsession.backends.redis import RedisStore
from django_srvsession.engine import current_store
from django_srvsession.events import log as event_log
from django_srvsession.models import SessionEvent
from django_srvsession.records import Ending, SessionRecord
from django_srvsession.signals import session_ended
from django_srvsession.store import Store, StoreUnavailableError, user_records
from django_srvsession.testing.sessions import create, sids, stored, touch_later
from tests.every_store import every_store_fixture

__all__ = ["every_store_fixture"]

urlpatterns = [
    path("account/", include("django_srvsession.urls")),
    path("api/", include("django_srvsession.api.urls")),
]
pytestmark = pytest.mark.urls(__name__)


@pytest.fixture
def ann(every_store: str) -> Any:
    """A user."""
    return get_user_model().objects.create_user("ann", "ann@example.org", "x")


@pytest.fixture
def client(ann: Any) -> Client:
    """Her browser."""
    client = Client()
    client.force_login(ann)
    return client


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than four sessions are very many."""
    monkeypatch.setattr(listing, "_BATCH", 4)
    monkeypatch.setattr(mongodb_listing, "_BATCH", 4)
    monkeypatch.setattr(user_records, "_READ_AT_ONCE", 4)
    for store_class in (DatabaseStore, CachedDatabaseStore, MemoryStore, RedisStore, MongoStore):
        monkeypatch.setattr(store_class, "ends_at_once", 4)


def several(store: Store, user: Any, count: int) -> list[str]:
    """Create sessions, each seen later than the one before; return their sids, newest activity first."""
    made = []
    with TemporaryFile() as file:
        for _ in range(count):
            made.append(touch_later(store, create(store, user_id=str(user.pk))).record.sid)
            # The clock of the file system, by which the file store puts them in order, goes in steps of milliseconds.
            before = _changed_ns(file)
            while _changed_ns(file) == before:
                pass
    return made[::-1]


def _changed_ns(file: Any) -> int:
    """Change a file and return when that was."""
    os.utime(file.fileno())
    return os.fstat(file.fileno()).st_ctime_ns


@contextmanager
def asked(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Note which verbs the store is asked."""
    verbs: list[str] = []
    with monkeypatch.context() as patch:
        for verb in ("load", "end", "end_many", "records", "records_from"):
            method = getattr(type(store), verb)

            def noted(self: Store, *args: Any, verb: str = verb, method: Any = method, **options: Any) -> Any:
                verbs.append(verb)
                return method(self, *args, **options)

            patch.setattr(type(store), verb, noted)
        yield verbs


@pytest.mark.usefixtures("few")
def test_very_many_sessions_of_a_user_can_be_had_page_by_page(every_store: str, ann: Any) -> None:
    store = current_store()
    made = several(store, ann, 11)
    records = store.records(str(ann.pk))
    assert len(records) == 11
    assert sids(records[0:3]) + sids(records[3:9]) + sids(records[9:50]) == made
    assert sids(list(records)) == made
    assert (records[0].sid, records[10].sid, records[-1].sid) == (made[0], made[10], made[10])
    assert sids(records[::-1]) == made[::-1]
    assert sids(records[1:10:3]) == made[1:10:3]
    assert sids(records[20:30]) == []
    with pytest.raises(IndexError):
        records[11]


@pytest.mark.usefixtures("few")
def test_the_api_turns_pages_of_very_many(every_store: str, ann: Any, client: Client) -> None:
    made = {*several(current_store(), ann, 9), client.session.sid}
    found, cursor = list[str](), ""
    while cursor is not None:
        answer = client.get("/api/sessions/", {"limit": 4, **({"cursor": cursor} if cursor else {})}).json()
        found += [session["sid"] for session in answer["sessions"]]
        cursor = answer["next_cursor"]
    assert len(found) == 10
    assert set(found) == made


def test_one_session_is_asked_for_by_its_name(
    every_store: str, ann: Any, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, bob = current_store(), get_user_model().objects.create_user("bob")
    one, two, gone, foreign = (*several(store, ann, 3), *several(store, bob, 1))
    store.end(gone, Ending("revoked"))
    with asked(store, monkeypatch) as verbs:
        assert services.session_of(ann, one) == stored(store, one).record
        assert services.session_of(ann, gone) is services.session_of(ann, foreign) is None
        assert services.session_of(ann, "no sid") is services.session_of(ann, "0" * 18) is None
        assert client.post(f"/account/sessions/{one}/end/").status_code == 302
        assert client.delete(f"/api/sessions/{two}/").status_code == 204
        assert client.post(f"/account/sessions/{foreign}/end/").status_code == 302
    assert "records" not in verbs
    assert services.session_of(ann, one) is services.session_of(ann, two) is None
    assert services.session_of(bob, foreign) is not None


@pytest.mark.usefixtures("few")
def test_all_of_a_user_end_in_batches_and_each_is_told_once(
    every_store: str, ann: Any, client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SRVSESSION_EVENT_LOG = 30
    store, told = current_store(), list[str]()
    made = several(store, ann, 10)

    def tell(record: SessionRecord, reason: str, by: str, **kwargs: Any) -> None:
        assert (reason, by) == ("revoked", str(ann.pk))
        told.append(record.sid)

    session_ended.connect(tell)
    try:
        with asked(store, monkeypatch) as verbs:
            assert client.post("/api/sessions/end-others/", {}, "application/json").json() == {"ended": 10}
    finally:
        session_ended.disconnect(tell)
    assert verbs.count("end_many") == (3 if store.ends_at_once > 1 else 0)
    assert sorted(told) == sorted(made)
    events = SessionEvent.objects.filter(kind="ended", reason="revoked", by=str(ann.pk))
    assert sorted(events.values_list("sid", flat=True)) == sorted(made)
    assert sids(services.sessions_of(ann)) == [client.session.sid]


@pytest.mark.usefixtures("few")
def test_an_event_loop_ends_all_of_a_user_and_tells_of_each(every_store: str, ann: Any, settings: Any) -> None:
    settings.SRVSESSION_EVENT_LOG = 30
    made, told = several(current_store(), ann, 9), list[str]()

    async def tell(record: SessionRecord, **kwargs: Any) -> None:
        told.append(record.sid)

    session_ended.connect(tell)
    try:
        ended = async_to_sync(services.arevoke_all)(ann, keep=made[3], by=ann)
    finally:
        session_ended.disconnect(tell)
    assert sorted(told) == sorted(sids(ended)) == sorted(set(made) - {made[3]})
    assert set(SessionEvent.objects.values_list("sid", flat=True)) == set(told)
    assert sids(services.sessions_of(ann)) == [made[3]]


@pytest.mark.usefixtures("few")
def test_an_interrupted_run_has_ended_what_it_told_and_the_next_one_ends_the_rest(
    every_store: str, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, told = current_store(), list[str]()
    made = several(store, ann, 10)
    at_once, calls = store.ends_at_once, list[int]()
    verb = "end_many" if at_once > 1 else "end"
    method = getattr(type(store), verb)

    def fail_second(self: Store, *args: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise StoreUnavailableError("not now")
        return method(self, *args)

    def tell(record: SessionRecord, **kwargs: Any) -> None:
        told.append(record.sid)

    session_ended.connect(tell)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(type(store), verb, fail_second)
            with pytest.raises(StoreUnavailableError):
                services.revoke_all(ann)
        assert len(told) == at_once
        assert set(sids(services.sessions_of(ann))) == set(made) - set(told)
        assert len(services.revoke_all(ann)) == 10 - at_once
    finally:
        session_ended.disconnect(tell)
    assert sorted(told) == sorted(made)
    assert not list(services.sessions_of(ann))


def test_a_database_ends_a_batch_in_one_statement(
    every_store: str, ann: Any, django_assert_num_queries: Any, settings: Any
) -> None:
    from django.db import connections, router

    from django_srvsession.models import Session

    store = current_store()
    if not hasattr(store, "using"):
        return
    several(store, ann, 30)
    connection = connections[router.db_for_write(Session)]
    # MariaDB returns no rows of an UPDATE: one statement looks and locks, and the transaction takes some.
    with django_assert_num_queries(2 if connection.vendor != "mysql" else 5, connection=connection):
        assert len(services.revoke_all(ann)) == 30


def test_events_of_many_are_one_statement(every_store: str, ann: Any, settings: Any) -> None:
    settings.SRVSESSION_EVENT_LOG = 30
    written: list[int] = []
    original = event_log._write_after_commit
    several(current_store(), ann, 5)
    try:
        event_log._write_after_commit = lambda events: written.append(len(events))
        services.revoke_all(ann)
    finally:
        event_log._write_after_commit = original
    assert written == ([5] if current_store().ends_at_once > 1 else [1] * 5)
