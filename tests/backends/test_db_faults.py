"""The database store when the database is lost, locked, frozen or not migrated."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from math import ceil
from typing import Any

import pytest
from django.db import DatabaseError, Error, connections, transaction

from django_srvsession.backends.db import DatabaseStore
from django_srvsession.records import EXPIRED, TOUCH, Delta, Ending
from django_srvsession.store import StoreUnavailableError
from django_srvsession.testing.sessions import create, new_delta, new_sid, new_user, new_verifier, stored
from tests.patience import patient


@pytest.fixture
def store(database_alias: str) -> DatabaseStore:
    """A store on each database in turn."""
    return DatabaseStore(database_alias)


def verbs(store: DatabaseStore) -> dict[str, Callable[[], object]]:
    """Return each verb on a live session, ready to be called."""
    session = create(store, user_id=new_user())
    sid, verifier = session.record.sid, session.record.verifier
    return {
        "create": lambda: store.create(new_sid(), new_verifier(), new_delta()),
        "load": lambda: store.load(sid),
        "update": lambda: store.update(sid, verifier, TOUCH, session),
        "update without a base": lambda: store.update(sid, verifier, Delta(changed={"a": b"a"})),
        "rotate": lambda: store.update(sid, verifier, Delta(new_verifier=new_verifier()), session),
        "end": lambda: store.end(sid, Ending("logout")),
        "end what is expected": lambda: store.end(sid, Ending("logout", expected={"a": None})),
        "expire": lambda: store.end(sid, EXPIRED),
        "admit": lambda: store.admit("1", sid, 1, "end_oldest"),
        "records of a user": lambda: len(store.records("1")),
        "records": lambda: store.records()[0:10],
        "clear_expired": store.clear_expired,
        "clear_expired, dry": lambda: store.clear_expired(dry_run=True),
    }


def raised(verb: Callable[[], object]) -> Exception | None:
    """Call a verb and return what it raised."""
    try:
        verb()
    except Exception as error:  # noqa: BLE001 - judged by the test.
        return error
    return None


def unanswered(ready: dict[str, Callable[[], object]]) -> set[str]:
    """Return the names of the verbs that say that the store did not answer."""
    return {name for name, verb in ready.items() if isinstance(raised(verb), StoreUnavailableError)}


READS = {"load", "records of a user", "records", "clear_expired, dry"}


def kill_connection(alias: str, server: Any) -> None:
    """Let the server close this thread's connection while it is idle."""
    is_mariadb = connections[alias].vendor == "mysql"
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT CONNECTION_ID()" if is_mariadb else "SELECT pg_backend_pid()")
        number = cursor.fetchone()[0]
    server.execute(f"KILL {number}" if is_mariadb else f"SELECT pg_terminate_backend({number}, 5000)")


@pytest.fixture
def server(request: pytest.FixtureRequest, database_alias: str) -> Any:
    """The server of the database."""
    return request.getfixturevalue(f"{database_alias}_server")


@pytest.mark.parametrize("database_alias", ["postgresql", "mariadb"], indirect=True)
class TestLostConnection:
    """A connection that died between two statements."""

    def test_a_session_is_read_on_a_new_connection(self, store: DatabaseStore, server: Any) -> None:
        session = create(store, changed={"a": b"a"})
        kill_connection(store.using, server)
        assert stored(store, session.record.sid).values == {"a": b"a"}

    def test_no_write_says_that_the_session_is_gone_and_the_next_request_works(
        self, store: DatabaseStore, server: Any
    ) -> None:
        for name in verbs(store):
            verb = verbs(store)[name]
            kill_connection(store.using, server)
            if name not in READS:
                with pytest.raises(StoreUnavailableError):
                    verb()
            verb()

    def test_inside_a_transaction_nothing_is_sent_again(self, store: DatabaseStore, server: Any) -> None:
        session = create(store)
        with contextlib.suppress(Error), transaction.atomic(store.using):
            kill_connection(store.using, server)
            with pytest.raises(StoreUnavailableError):
                store.load(session.record.sid)
        assert stored(store, session.record.sid).record == session.record

    def test_a_database_that_is_down_is_an_outage_for_every_verb(self, store: DatabaseStore, server: Any) -> None:
        ready = verbs(store)
        server.kill()
        assert unanswered(ready) == set(ready)
        server.start()
        for verb in ready.values():
            verb()


@pytest.mark.parametrize("database_alias", ["postgresql", "mariadb"], indirect=True)
def test_a_process_that_starts_while_the_database_is_down_says_that_it_does_not_answer(
    store: DatabaseStore, server: Any
) -> None:
    ready, started = verbs(store), connections[store.using]
    started.close()
    server.kill()
    connections[store.using] = started.copy()  # Knows nothing of its server yet.
    store._databases.clear()
    try:
        assert unanswered(ready) == set(ready)
        server.start()
        for verb in ready.values():
            verb()
    finally:
        connections[store.using].close()
        connections[store.using] = started


@pytest.mark.parametrize("database_alias", ["mariadb"], indirect=True)
def test_a_frozen_database_is_an_outage_after_the_configured_time(store: DatabaseStore, server: Any) -> None:
    session = create(store, changed={"a": b"a"})
    sid, verifier = session.record.sid, session.record.verifier
    connection = connections[store.using]
    connection.close()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect_timeout", "read_timeout"):
            patch.setitem(connection.settings_dict["OPTIONS"], name, ceil(patient(1)))
        stored(store, sid)
        with server.frozen(), pytest.raises(StoreUnavailableError):
            store.update(sid, verifier, TOUCH, session)
        assert stored(store, sid).values == {"a": b"a"}
    connection.close()


@pytest.mark.parametrize("database_alias", ["postgresql"], indirect=True)
def test_a_statement_that_takes_too_long_is_an_outage(store: DatabaseStore) -> None:
    ready = verbs(store)
    with contextlib.closing(_locked_table(store)):
        connections[store.using].close()
        with connections[store.using].cursor() as cursor:
            cursor.execute("SET statement_timeout = 20")
        assert unanswered(ready) == set(ready)
    connections[store.using].close()
    for verb in ready.values():
        verb()


def _locked_table(store: DatabaseStore) -> Any:
    """Lock the whole table on a connection of its own, until that is closed."""
    connection = connections[store.using].copy()
    connection.set_autocommit(False)
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE srvsession_session IN ACCESS EXCLUSIVE MODE")
    return connection


@pytest.mark.parametrize("database_alias", ["sqlite"], indirect=True)
class TestLockedFile:
    """SQLite, while another process writes."""

    @pytest.fixture
    def locked(self, store: DatabaseStore) -> Iterator[sqlite3.Connection]:
        """The database, locked by another connection."""
        with connections[store.using].cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout = 10")
        other = sqlite3.connect(connections[store.using].settings_dict["NAME"], isolation_level=None)
        yield other
        other.close()
        connections[store.using].close()

    def test_a_locked_file_is_an_outage_for_writes_and_not_the_end(
        self, store: DatabaseStore, locked: sqlite3.Connection
    ) -> None:
        ready = verbs(store)
        locked.execute("BEGIN IMMEDIATE")
        assert unanswered(ready) == set(ready) - READS
        for name in READS:
            ready[name]()
        locked.execute("ROLLBACK")
        for verb in ready.values():
            verb()

    def test_a_transaction_that_read_before_another_wrote_is_an_outage(
        self, store: DatabaseStore, locked: sqlite3.Connection
    ) -> None:
        session = create(store)
        with contextlib.suppress(DatabaseError), _deferred(store.using):
            stored(store, session.record.sid)
            locked.execute("UPDATE srvsession_session SET version = version + 1")
            with pytest.raises(StoreUnavailableError):
                store.update(session.record.sid, session.record.verifier, TOUCH, session)
            raise DatabaseError
        store.update(session.record.sid, session.record.verifier, TOUCH, session)


@contextlib.contextmanager
def _deferred(alias: str) -> Iterator[None]:
    """Open a transaction as SQLite does by default: without its lock until something is written."""
    connection: Any = connections[alias]
    mode, connection.transaction_mode = connection.transaction_mode, "DEFERRED"
    try:
        with transaction.atomic(alias):
            yield
    finally:
        connection.transaction_mode = mode


def test_a_missing_table_is_no_outage_and_says_what_to_do(store: DatabaseStore) -> None:
    ready = verbs(store)
    connection = connections[store.using]
    old, new = map(connection.ops.quote_name, ("srvsession_session", "srvsession_away"))
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")
    try:
        for name, verb in ready.items():
            error = raised(verb)
            assert isinstance(error, DatabaseError), name
            assert f"migrate --database {store.using}" in "".join(error.__notes__), name
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {new} RENAME TO {old}")


def test_a_broken_transaction_of_the_callers_is_the_callers_error(store: DatabaseStore) -> None:
    session = create(store)
    with transaction.atomic(store.using):
        transaction.set_rollback(True, store.using)
        with pytest.raises(transaction.TransactionManagementError) as caught:
            store.load(session.record.sid)
    assert not getattr(caught.value, "__notes__", None)
