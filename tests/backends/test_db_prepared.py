"""Statements that PostgreSQL keeps for a connection: when, and what happens where it does not have them after all."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext

from django_srvsession.backends.db import DatabaseStore
from django_srvsession.backends.db.prepared import AFTER_USES, FOR_USES
from django_srvsession.models import Session
from django_srvsession.records import Delta, Ending, Loaded
from django_srvsession.store import StoreUnavailableError
from django_srvsession.testing.sessions import create, new_sid, new_verifier, stored

pytest.importorskip("psycopg", reason="psycopg 2 prepares nothing")
pytestmark = pytest.mark.parametrize("database_alias", ["postgresql"], indirect=True)


@pytest.fixture
def store(database_alias: str) -> DatabaseStore:
    connections[database_alias].close()  # What other tests made it prepare goes with it.
    return DatabaseStore(database_alias)


@pytest.fixture
def connection(store: DatabaseStore, database_alias: str) -> Any:
    store.load(new_sid())
    return connections[database_alias]


def prepared(connection: Any) -> list[str]:
    """What PostgreSQL has prepared for this connection, without what comes after the verb."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        return sorted(statement.split()[0] for (statement,) in cursor.fetchall())


def use_often(store: DatabaseStore) -> Loaded:
    """Create, load, save and end sessions until what does it is prepared; return one that is live."""
    for _ in range(AFTER_USES + 2):
        session = create(store, changed={"a": b"a"})
        assert stored(store, session.record.sid).record == session.record
        session = store.update(session.record.sid, session.record.verifier, Delta(changed={"a": b"b"}), session)
        store.end(create(store).record.sid, Ending("logout"))
    return session


def test_a_connection_prepares_what_it_is_asked_often(store: DatabaseStore, connection: Any) -> None:
    for _ in range(AFTER_USES - 1):
        store.load(new_sid())
    assert prepared(connection) == []
    session = use_often(store)
    assert prepared(connection) == ["INSERT", "SELECT", "UPDATE", "UPDATE"]
    assert stored(store, session.record.sid).values == {"a": b"b"}


def test_a_new_connection_has_prepared_nothing_and_does_it_again(store: DatabaseStore, connection: Any) -> None:
    session = use_often(store)
    connection.close()
    assert stored(store, session.record.sid).record == session.record
    assert prepared(connection) == []
    use_often(store)
    assert prepared(connection)


@contextlib.contextmanager
def in_a_transaction(connection: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with transaction.atomic(connection.alias):
        yield


@contextlib.contextmanager
def without_autocommit(connection: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    transaction.set_autocommit(False, connection.alias)
    try:
        yield
        transaction.commit(connection.alias)
    finally:
        transaction.set_autocommit(True, connection.alias)


@contextlib.contextmanager
def through_a_pooler(connection: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)
    yield


@contextlib.contextmanager
def binding_on_the_server(connection: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "server_side_binding", True)
    vars(connection.features).pop("uses_server_side_binding", None)
    connection.close()
    try:
        yield
    finally:
        connection.close()
        vars(connection.features).pop("uses_server_side_binding", None)


@contextlib.contextmanager
def in_a_transaction_of_the_driver_s(connection: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One that Django does not know of."""
    with connection.connection.transaction():
        yield


@contextlib.contextmanager
def traced_by_the_driver_s_cursor(connection: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As OpenTelemetry does."""
    factory = connection.connection.cursor_factory
    connection.connection.cursor_factory = type("Traced", (factory,), {"__module__": "tracer"})
    try:
        yield
    finally:
        connection.connection.cursor_factory = factory


@contextlib.contextmanager
def debugging(connection: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with CaptureQueriesContext(connection):
        yield


@contextlib.contextmanager
def with_a_listener(connection: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with connection.execute_wrapper(lambda execute, *rest: execute(*rest)):
        yield


@pytest.mark.parametrize(
    "where",
    [
        in_a_transaction,
        in_a_transaction_of_the_driver_s,
        without_autocommit,
        through_a_pooler,
        binding_on_the_server,
        debugging,
        with_a_listener,
        traced_by_the_driver_s_cursor,
    ],
)
def test_nothing_is_prepared(
    store: DatabaseStore, connection: Any, monkeypatch: pytest.MonkeyPatch, where: Any
) -> None:
    with where(connection, monkeypatch):
        session = use_often(store)
        assert stored(store, session.record.sid).values == {"a": b"b"}
        assert prepared(connection) == []


def test_a_server_that_has_forgotten_what_it_prepared_costs_nothing_but_the_speed(
    store: DatabaseStore, connection: Any
) -> None:
    session = use_often(store)
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
    saved = store.update(session.record.sid, session.record.verifier, Delta(changed={"a": b"c"}), session)
    assert (saved.values, saved.record.version) == ({"a": b"c"}, session.record.version + 1)
    assert stored(store, session.record.sid)[:2] == saved[:2]
    assert isinstance(create(store), Loaded)
    assert store.end(session.record.sid, Ending("logout")) is not None
    use_often(store)
    assert prepared(connection) == []  # It may be a pooler: no second try in this process.


def test_no_name_is_used_twice(store: DatabaseStore, connection: Any) -> None:
    """Behind a pooler that was not declared, a name of ours that stands for another statement would execute that."""
    use_often(store)
    first = names(connection)
    connection.close()
    use_often(store)
    assert len(first) == len(names(connection)) == 4
    assert not first & names(connection)


def names(connection: Any) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM pg_prepared_statements")
        return {name for (name,) in cursor.fetchall()}


def test_what_is_prepared_anew_is_not_kept_twice(
    store: DatabaseStore, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_often(store)
    before, now_s = names(connection), time.monotonic()
    monkeypatch.setattr("django_srvsession.backends.db.prepared.monotonic", lambda: now_s + 61)
    use_often(store)
    assert len(names(connection)) == len(before)
    assert not before & names(connection)


def test_a_migration_under_a_running_site_is_no_outage(store: DatabaseStore, connection: Any) -> None:
    session = use_often(store)
    table = Session._meta.db_table
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table} ALTER COLUMN user_agent TYPE varchar(5000)")
            cursor.execute(f"ALTER TABLE {table} ADD COLUMN later integer NULL")
        assert stored(store, session.record.sid).record == session.record
        use_often(store)
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table} DROP COLUMN later")
            cursor.execute(f"ALTER TABLE {table} ALTER COLUMN user_agent TYPE text")


def test_each_tenant_reads_its_own_schema(store: DatabaseStore, connection: Any) -> None:
    """Sites with a schema for each tenant set the search path for each request, on one connection."""
    session = use_often(store)
    table = Session._meta.db_table
    try:
        with connection.cursor() as cursor:
            cursor.execute("CREATE SCHEMA tenant")
            cursor.execute(f"CREATE TABLE tenant.{table} (LIKE public.{table} INCLUDING ALL)")
            cursor.execute("SET search_path TO tenant")
        assert store.load(session.record.sid) is None
        other = store.create(session.record.sid, new_verifier(), Delta(lifetime_ms=60_000, changed={"a": b"tenant"}))
        assert prepared(connection) == ["INSERT", "SELECT", "UPDATE", "UPDATE"]
        assert stored(store, session.record.sid).values == other.values
        with connection.cursor() as cursor:
            cursor.execute("SET search_path TO public")
        assert stored(store, session.record.sid).values == {"a": b"b"}
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SET search_path TO public")
            cursor.execute("DROP SCHEMA tenant CASCADE")


def test_an_error_of_a_prepared_statement_is_the_one_it_would_have_been(store: DatabaseStore, connection: Any) -> None:
    session = use_often(store)
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    with pytest.raises(StoreUnavailableError):
        store.update(session.record.sid, session.record.verifier, Delta(changed={"a": b"c"}), session)
    assert prepared(connection)
    connection.close()
    assert stored(store, session.record.sid).values == {"a": b"b"}


def test_a_transaction_that_django_does_not_know_of_is_left_whole(store: DatabaseStore, connection: Any) -> None:
    """A prepared statement that is not found there would spoil it, and nobody would hear of that."""
    session = use_often(store)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE theirs (number integer)")
        cursor.execute("DEALLOCATE ALL")
        cursor.execute("BEGIN")
        cursor.execute("INSERT INTO theirs VALUES (1)")
        assert stored(store, session.record.sid).record == session.record
        cursor.execute("COMMIT")
        cursor.execute("SELECT COUNT(*) FROM theirs")
        assert cursor.fetchone() == (1,)


def plan(connection: Any) -> str:
    """How PostgreSQL executes what this connection has prepared for a load."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM pg_prepared_statements WHERE statement LIKE 'SELECT%'")
        (name,) = cursor.fetchone()
        cursor.execute(f"EXPLAIN EXECUTE {name} ('none')")
        return str(cursor.fetchone()[0])


@pytest.mark.parametrize("passes", ["uses", "time"])
def test_a_plan_for_a_small_table_does_not_outlive_it(
    store: DatabaseStore, connection: Any, passes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Session._meta.db_table
    session = create(store)
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {table}")  # It has one row.
    for _ in range(3 * AFTER_USES):
        store.load(session.record.sid)
    assert plan(connection).startswith("Seq Scan")
    chosen = ", ".join(f'"{field.column}"' for field in Session._meta.concrete_fields if field.column != "sid")
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (sid, {chosen}) SELECT number, {chosen} FROM {table}, generate_series(1, 5000) number"
        )
    assert plan(connection).startswith("Seq Scan")
    if passes == "uses":
        for _ in range(FOR_USES + 1):
            store.load(session.record.sid)
    else:
        now_s = time.monotonic()
        monkeypatch.setattr("django_srvsession.backends.db.prepared.monotonic", lambda: now_s + 61)
        store.load(session.record.sid)
    assert plan(connection).startswith("Index Scan")


@contextlib.contextmanager
def locked(connection: Any) -> Iterator[None]:
    """Keep the table from everybody; statements on the connection give up after a tenth of a second."""
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {Session._meta.db_table}")
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 100")
        yield
    finally:
        other.close()
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")


def test_a_timeout_while_a_statement_is_prepared_is_an_outage_and_no_reason_to_give_up(
    store: DatabaseStore, connection: Any
) -> None:
    session = create(store)
    for _ in range(AFTER_USES - 1):
        store.load(session.record.sid)
    with locked(connection), pytest.raises(StoreUnavailableError):
        store.load(session.record.sid)
    assert stored(store, session.record.sid).record == session.record
    assert prepared(connection) == ["SELECT"]


def test_a_timeout_while_a_statement_is_prepared_anew_is_no_reason_to_give_up(
    store: DatabaseStore, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = use_often(store)
    now_s = time.monotonic()
    monkeypatch.setattr("django_srvsession.backends.db.prepared.monotonic", lambda: now_s + 61)
    with locked(connection), pytest.raises(StoreUnavailableError):
        store.load(session.record.sid)
    assert prepared(connection) == ["INSERT", "SELECT", "UPDATE", "UPDATE"]  # By the plan of before.
    for _ in range(AFTER_USES + 1):
        assert stored(store, session.record.sid).record == session.record
    assert prepared(connection) == ["INSERT", "SELECT", "UPDATE", "UPDATE"]


def test_a_prepared_statement_that_timed_out_has_done_nothing(store: DatabaseStore, connection: Any) -> None:
    session = use_often(store)
    with locked(connection), pytest.raises(StoreUnavailableError):
        store.update(session.record.sid, session.record.verifier, Delta(changed={"a": b"late"}), session)
    assert stored(store, session.record.sid).values == session.values
    assert prepared(connection) == ["INSERT", "SELECT", "UPDATE", "UPDATE"]


@pytest.mark.parametrize("where", [debugging, with_a_listener, traced_by_the_driver_s_cursor])
def test_who_begins_to_listen_hears_the_statements_themselves(
    store: DatabaseStore, connection: Any, monkeypatch: pytest.MonkeyPatch, where: Any
) -> None:
    session = use_often(store)
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")  # Nothing that is prepared could be executed.
    with where(connection, monkeypatch):
        assert stored(store, session.record.sid).record == session.record
    use_often(store)
    assert store._database(connection.alias).prepared._gave_up  # And now something was.
