"""A write with a limit of waiting: behind a lock that somebody holds, it gives up in time, and leaves no trace."""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections, transaction

from django_srvsession.backends.db import DatabaseStore
from django_srvsession.backends.file import FileStore
from django_srvsession.backends.redis import RedisStore
from django_srvsession.models import Session
from django_srvsession.records import TOUCH, Loaded
from django_srvsession.store import Store, StoreUnavailableError, waiting
from django_srvsession.testing.sessions import create, new_delta, new_sid, new_user, new_verifier
from tests.backends.redis_tools import own_pool
from tests.patience import patient
from tests.servers import RedisServer

LIMIT_SECONDS = 0.2
# By themselves: SQLite waits for 20 seconds in tests, MariaDB for 50, files for 10, PostgreSQL for ever.
SOON_SECONDS = 3.0

SETTINGS = {
    "sqlite": "PRAGMA busy_timeout",
    "postgresql": "SHOW statement_timeout",
    "mysql": "SELECT @@SESSION.max_statement_time, @@SESSION.innodb_lock_wait_timeout",
}


@contextmanager
def held(alias: str, sid: str) -> Iterator[None]:
    """Hold the lock of a row (SQLite: of the database) from another connection."""
    locked, done = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic(using=alias):
                Session.objects.using(alias).filter(sid=sid).update(last_seen_ms=0)
                locked.set()
                done.wait(patient(60))
                transaction.set_rollback(True, using=alias)
        finally:
            locked.set()
            connections[alias].close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert locked.wait(patient(60))
    try:
        yield
    finally:
        done.set()
        thread.join()


def gives_up_soon(store: Store, session: Loaded) -> bool:
    began = time.monotonic()
    with waiting.at_most(LIMIT_SECONDS), pytest.raises(StoreUnavailableError):
        store.update(session.record.sid, session.record.verifier, TOUCH, session)
    return time.monotonic() - began < patient(SOON_SECONDS)


def setting(alias: str) -> Any:
    with connections[alias].cursor() as cursor:
        cursor.execute(SETTINGS[connections[alias].vendor])
        return cursor.fetchone()


def test_a_database_is_waited_for_no_longer_and_keeps_its_own_time_outs(database_alias: str) -> None:
    store = DatabaseStore(database_alias)
    session = create(store, user_id=new_user())
    before = setting(database_alias)
    with held(database_alias, session.record.sid):
        assert gives_up_soon(store, session)
        assert setting(database_alias) == before
    with waiting.at_most(LIMIT_SECONDS):
        assert store.update(session.record.sid, session.record.verifier, TOUCH, session)
    assert setting(database_alias) == before


@pytest.mark.parametrize("database_alias", ["postgresql", "mariadb"], indirect=True)
def test_a_shorter_time_out_of_the_sites_own_stays(database_alias: str) -> None:
    store = DatabaseStore(database_alias)
    session = create(store, user_id=new_user())
    is_mariadb = connections[database_alias].vendor == "mysql"
    with connections[database_alias].cursor() as cursor:
        cursor.execute("SET SESSION max_statement_time = 0.1" if is_mariadb else "SET statement_timeout = '100ms'")
    try:
        before = setting(database_alias)
        with held(database_alias, session.record.sid):
            assert gives_up_soon(store, session)
        assert setting(database_alias) == before
    finally:
        connections[database_alias].close()


def test_in_a_transaction_of_the_callers_nothing_is_set(database_alias: str) -> None:
    store = DatabaseStore(database_alias)
    session = create(store, user_id=new_user())
    with transaction.atomic(using=database_alias), waiting.at_most(LIMIT_SECONDS):
        before = setting(database_alias)
        store.update(session.record.sid, session.record.verifier, TOUCH, session)
        assert setting(database_alias) == before


def test_a_file_is_waited_for_no_longer(session_directory: Any) -> None:
    store = FileStore()
    session = create(store, user_id=new_user())
    locks = list(session_directory.rglob(".lock"))
    descriptors = [os.open(path, os.O_RDWR) for path in locks]
    assert descriptors
    try:
        for descriptor in descriptors:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert gives_up_soon(store, session)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    assert store.update(session.record.sid, session.record.verifier, TOUCH, session)


def test_a_redis_that_hangs_is_waited_for_no_longer(
    redis_alias: None, redis_server: RedisServer, settings: Any
) -> None:
    own_pool(settings, redis_server.url, SOCKET_TIMEOUT=patient(60))
    store = RedisStore()
    session = create(store, user_id=new_user())
    with redis_server.frozen():
        assert gives_up_soon(store, session)
    assert store.load(session.record.sid)


def test_a_redis_that_hangs_is_waited_for_no_longer_on_an_event_loop(
    redis_alias: None, redis_server: RedisServer, settings: Any
) -> None:
    own_pool(settings, redis_server.url, SOCKET_TIMEOUT=patient(60))
    store = RedisStore()

    async def use() -> float:
        session = await store.face().create(new_sid(), new_verifier(), new_delta())
        with redis_server.frozen():
            began = time.monotonic()
            with waiting.at_most(LIMIT_SECONDS), pytest.raises(StoreUnavailableError):
                await store.face().update(session.record.sid, session.record.verifier, TOUCH, session)
            took = time.monotonic() - began
        assert await store.face().load(session.record.sid)
        return took

    assert asyncio.run(use()) < patient(SOON_SECONDS)
