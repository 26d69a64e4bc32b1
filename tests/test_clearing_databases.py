"""How a database is cleared: each session once, none that was extended meanwhile, and no more is read than is asked."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext

from django_srvsession.backends.db import clearing_in_one
from django_srvsession.backends.db.clearing import Clearing
from django_srvsession.backends.db.clearing_in_one import OneStatementWalk, PageWalk
from django_srvsession.backends.db.clearing_walk import Batch
from django_srvsession.engine import current_store
from django_srvsession.models import Session
from django_srvsession.records import Loaded, SessionRecord, Tombstone
from django_srvsession.testing.sessions import create, in_threads, make_due, new_sid, new_verifier, stored
from tests.every_store import every_store_fixture  # noqa: F401 - used as a fixture
from tests.patience import patient

DAY_MS = 86_400_000
on_databases = pytest.mark.parametrize("every_store", ["sqlite", "postgresql", "mariadb"], indirect=True)
on_servers = pytest.mark.parametrize("every_store", ["postgresql", "mariadb"], indirect=True)
on_postgresql = pytest.mark.parametrize("every_store", ["postgresql"], indirect=True)


@pytest.fixture
def by_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clear small tables as large ones that are mostly due, whatever the sample says."""
    monkeypatch.setattr(clearing_in_one, "_LEAST_PAGES", 1)
    monkeypatch.setattr(clearing_in_one, "_LEAST_BATCH", 1)
    monkeypatch.setattr(clearing_in_one, "_MANY_ON_A_PAGE", 1e-9)


def long_past(count: int, **fields: Any) -> list[str]:
    """Store sessions that expired long ago, and return their sids, in order."""
    numbers = {"created_ms": 1, "last_seen_ms": 1, "lifetime_ms": 1, "verifier": new_verifier(), "data": b"x" * 200}
    rows = [Session(sid=new_sid(), **{**numbers, "expires_ms": number + 1, **fields}) for number in range(count)]
    Session.objects.bulk_create(rows, batch_size=40)
    return sorted(row.sid for row in rows)


def clear(**options: Any) -> tuple[list[str], int]:
    """Clear, and return which sids were handed over, in order, and how many were counted."""
    ended: list[str] = []
    count = current_store().clear_expired(on_ended=lambda record: ended.append(record.sid), **options)
    return sorted(ended), count


@contextlib.contextmanager
def another_connection(using: str) -> Iterator[Callable[[Callable[[], Any]], Any]]:
    """Run functions one after another in one other thread, inside one transaction that ends with the block."""
    asked, answered, done = threading.Semaphore(0), threading.Semaphore(0), threading.Event()
    work: list[Callable[[], Any]] = []

    def serve() -> None:
        with transaction.atomic(using):
            while asked.acquire(timeout=patient(30)) and not done.is_set():
                work.pop()()
                answered.release()
        connections.close_all()

    def do(function: Callable[[], Any]) -> None:
        work.append(function)
        asked.release()
        assert answered.acquire(timeout=patient(30))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield do
    finally:
        done.set()
        asked.release()
        thread.join(patient(30))


def extend(session: Loaded) -> None:
    """Move an expiry into the future, as an administrator's SQL may."""
    Session.objects.filter(sid=session.record.sid).update(expires_ms=session.now_ms + DAY_MS)


@on_databases
@pytest.mark.parametrize("is_heard", [True, False])
def test_records_are_read_only_where_somebody_wants_them(every_store: str, is_heard: bool) -> None:
    long_past(3)
    store: Any = current_store()
    make_due(store, create(store))
    with CaptureQueriesContext(connections[store.using]) as queries:
        assert store.clear_expired(on_ended=(lambda record: None) if is_heard else None) == 4
    assert any("previous_verifier" in query["sql"] for query in queries) is is_heard


@on_postgresql
@pytest.mark.parametrize("is_heard", [True, False])
def test_page_by_page_it_ends_forgets_and_buries_as_by_the_index(
    every_store: str, by_pages: None, is_heard: bool
) -> None:
    store: Any = current_store()
    old, live = long_past(300), create(store).record
    long_past(5, ended_ms=1, ended_reason="logout")
    recent = make_due(store, create(store, changed={"a": b"a"})).record
    ended: list[SessionRecord] = []
    swept: dict[str, int] = {}
    count = store.clear_expired(
        on_ended=ended.append if is_heard else None,
        on_swept=lambda what, number: swept.update({what: swept.get(what, 0) + number}),
    )
    assert (count, swept) == (301, {"tombstones": 5})
    assert sorted(record.sid for record in ended) == (sorted([*old, recent.sid]) if is_heard else [])
    assert not is_heard or recent in ended  # As it was: with its own expiry, not that of its tombstone.
    tombstone = store.load(recent.sid)
    assert isinstance(tombstone, Tombstone)
    assert tombstone.reason == "expired_lifetime"
    assert stored(store, live.sid).record == live
    assert Session.objects.count() == 2


@on_postgresql
def test_most_of_a_large_table_is_cleared_page_by_page_and_little_of_it_by_the_index(
    every_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clearing_in_one, "_LEAST_PAGES", 10)
    monkeypatch.setattr(clearing_in_one, "_SAMPLED_PAGES", 10_000)  # Of a small table: all.
    store: Any = current_store()

    def first_walk() -> type:
        def look(table: Any) -> Any:
            return clearing_in_one.first_walk(table, 5000, 0, with_records=False)

        return type(store._run(look))

    long_past(2000, expires_ms=2**60)
    long_past(5)
    assert first_walk() is OneStatementWalk
    long_past(2000)
    assert first_walk() is PageWalk
    monkeypatch.setattr(clearing_in_one, "_LEAST_PAGES", 1000)
    assert first_walk() is OneStatementWalk
    monkeypatch.setattr(clearing_in_one, "_LEAST_PAGES", 10)
    with transaction.atomic(store.using):
        assert first_walk() is OneStatementWalk
    monkeypatch.setattr(clearing_in_one, "_LEAST_BATCH", 5001)
    assert first_walk() is OneStatementWalk


@on_postgresql
def test_page_by_page_a_row_that_others_hold_keeps_nobody_waiting_and_the_rest_is_ended(
    every_store: str, by_pages: None
) -> None:
    sids, store = long_past(500), current_store()
    with another_connection(store.using) as do:  # type: ignore[attr-defined]
        do(lambda: list(Session.objects.select_for_update().filter(sid=sids[0])))
        assert clear() == (sids[1:], 499)
    assert clear() == (sids[:1], 1)


@on_postgresql
def test_page_by_page_what_is_extended_while_it_waits_stays(
    every_store: str, by_pages: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clearing_in_one, "_PATIENCE", "SET LOCAL lock_timeout = '30s'")
    store: Any = current_store()
    sids, extended = long_past(50), make_due(store, create(store))
    outcome: list[Any] = []
    clearer = threading.Thread(target=lambda: (outcome.append(clear()), connections.close_all()))
    with another_connection(store.using) as do:
        do(lambda: extend(extended))
        clearer.start()
        assert any(is_anyone_waiting(store.using) for _ in range(20_000))
    clearer.join(patient(30))
    assert outcome == [(sids, 50)]
    assert stored(store, extended.record.sid).record.sid == extended.record.sid


def is_anyone_waiting(using: str) -> bool:
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


@on_servers
def test_what_is_being_extended_is_stepped_over(every_store: str) -> None:
    store: Any = current_store()
    long_past(300, expires_ms=2**60)  # MariaDB reads a small table as a whole, to delete from it.
    sids, extended = long_past(5), make_due(store, create(store))
    with another_connection(store.using) as do:
        do(lambda: extend(extended))
        assert clear() == (sids, 5)
    assert clear() == ([], 0)
    assert isinstance(store.load(extended.record.sid), Loaded)


@on_postgresql
def test_two_at_once_page_by_page_end_each_session_once(every_store: str, by_pages: None) -> None:
    sids = long_past(2000)
    outcomes = in_threads([lambda: clear(batch_size=100) for _ in range(2)], connections.close_all)
    assert sorted(outcomes[0][0] + outcomes[1][0]) == sids, outcomes
    assert outcomes[0][1] + outcomes[1][1] == 2000


@on_databases
@pytest.mark.parametrize("by_page", [True, False])
def test_clearing_that_is_interrupted_goes_on_later_and_no_end_is_told_twice(
    every_store: str, by_page: bool, request: pytest.FixtureRequest
) -> None:
    if by_page:
        request.getfixturevalue("by_pages")
    sids, store, ended = long_past(300), current_store(), list[str]()

    def stop(total: int) -> None:
        raise KeyboardInterrupt

    def hear(record: SessionRecord) -> None:
        ended.append(record.sid)

    with pytest.raises(KeyboardInterrupt):
        store.clear_expired(batch_size=50, on_ended=hear, on_progress=stop)
    assert 0 < len(ended) < 300
    store.clear_expired(batch_size=50, on_ended=hear)
    assert sorted(ended) == sids


@on_databases
def test_a_batch_that_keeps_locks_for_long_makes_the_next_one_smaller(every_store: str) -> None:
    store: Any = current_store()
    should_s = {"sqlite": 0.01, "postgresql": 0.05, "mariadb": 0.01}[every_store]
    times, sizes = [should_s / 10, should_s / 10, should_s, *[10.0] * 9], list[int]()

    class Slow:
        is_done, further = False, None

        def batch(self, table: Any, size: int) -> Batch:
            sizes.append(size)
            return Batch(size, 0, (), times.pop(0))

    clearing = Clearing(most=300, keep_ms=0, with_records=False)
    clearing._walk = Slow()  # type: ignore[assignment]
    while times:
        store._run(clearing.batch)
    assert sizes == [100, 200, 300, 300, 150, 75, 37, 18, 9, 4, 2, 1]
