"""Statements go to the driver's own cursor where nobody listens, to Django's where somebody does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.db import DatabaseError, connections, transaction
from django.db.backends.utils import CursorWrapper
from django.db.transaction import TransactionManagementError
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_srvsession.backends.db import DatabaseStore, cursors
from django_srvsession.backends.db.database import Runner
from django_srvsession.records import Delta
from django_srvsession.testing.sessions import create, new_sid

Heard = list[str]


@pytest.fixture
def store(database_alias: str) -> DatabaseStore:
    """A store on each database in turn."""
    return DatabaseStore(database_alias)


@pytest.fixture
def connection(database_alias: str) -> Any:
    DatabaseStore(database_alias).load(new_sid())
    return connections[database_alias]


on_sqlite = pytest.mark.parametrize("database_alias", ["sqlite"], indirect=True)
past_django = pytest.mark.parametrize("database_alias", ["postgresql", "sqlite"], indirect=True)


@contextlib.contextmanager
def debugging(connection: Any) -> Iterator[Heard]:
    with override_settings(DEBUG=True):
        connection.queries_log.clear()
        heard: Heard = []
        yield heard
        heard += [query["sql"] for query in connection.queries_log]


@contextlib.contextmanager
def capturing(connection: Any) -> Iterator[Heard]:
    heard: Heard = []
    with CaptureQueriesContext(connection) as captured:
        yield heard
    heard += [query["sql"] for query in captured.captured_queries]


@contextlib.contextmanager
def wrapping(connection: Any) -> Iterator[Heard]:
    heard: Heard = []

    def wrapper(execute: Any, sql: str, *more: Any) -> Any:
        heard.append(sql)
        return execute(sql, *more)

    with connection.execute_wrapper(wrapper):
        yield heard


@contextlib.contextmanager
def tracing_all(connection: Any) -> Iterator[Heard]:
    """As tracers do that put a function of theirs into Django's class."""
    heard: Heard = []
    execute = CursorWrapper.execute
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CursorWrapper, "execute", lambda self, sql, *more: heard.append(sql) or execute(self, sql, *more))
        yield heard


@contextlib.contextmanager
def tracing_one(connection: Any) -> Iterator[Heard]:
    """As toolbars do that hand out cursors of their own."""
    heard: Heard = []
    cursor = connection.cursor
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "cursor", lambda: heard.append("a cursor") or cursor())
        yield heard


@pytest.mark.parametrize("listening", [debugging, capturing, wrapping, tracing_all, tracing_one])
def test_who_listens_hears_of_every_statement(store: DatabaseStore, database_alias: str, listening: Any) -> None:
    session = create(store)
    with listening(connections[database_alias]) as heard:
        store.load(session.record.sid)
        store.update(session.record.sid, session.record.verifier, Delta(changed={"a": b"a"}), session)
    assert len(heard) >= 2


def cursor_used(connection: Any) -> type:
    return cursors.execute(connection, "SELECT 1", {}, type)


@on_sqlite
def test_where_nobody_listens_statements_go_to_the_driver(connection: Any) -> None:
    assert not issubclass(cursor_used(connection), CursorWrapper)
    with override_settings(DEBUG=True):
        assert issubclass(cursor_used(connection), CursorWrapper)


@on_sqlite
def test_a_backend_that_is_not_django_s_own_keeps_its_cursor(connection: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(connection), "__module__", "theirs.backend")
    assert issubclass(cursor_used(connection), CursorWrapper)


@past_django
def test_errors_are_django_s(connection: Any) -> None:
    table = Runner(connection, DatabaseStore(connection.alias)._database(connection.alias))
    with pytest.raises(DatabaseError, match="nowhere"):
        table.rows("SELECT * FROM nowhere", {})


@past_django
def test_a_broken_transaction_takes_no_statement(connection: Any) -> None:
    store = DatabaseStore(connection.alias)
    with transaction.atomic(connection.alias):
        transaction.set_rollback(True, connection.alias)
        with pytest.raises(TransactionManagementError):
            store.load(new_sid())


@past_django
def test_an_event_loop_is_told_that_this_would_block_it(connection: Any) -> None:
    async def load() -> None:
        DatabaseStore(connection.alias).load(new_sid())

    with pytest.raises(SynchronousOnlyOperation):
        asyncio.run(load())


@past_django
def test_a_thread_uses_no_other_one_s_connection(connection: Any) -> None:
    kept, connection._thread_ident = connection._thread_ident, 0
    try:
        with pytest.raises(DatabaseError, match="can only be used in that same thread"):
            DatabaseStore(connection.alias).load(new_sid())
    finally:
        connection._thread_ident = kept


@past_django
def test_a_connection_that_is_closed_is_opened(connection: Any) -> None:
    connection.close()
    assert cursors.execute(connection, "SELECT 1", {}, lambda cursor: cursor.fetchone()) == (1,)
