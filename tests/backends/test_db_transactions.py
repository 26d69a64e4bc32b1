"""The database store inside the caller's transactions, and against other transactions."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import OperationalError, connections, transaction

from django_srvsession.backends.db import DatabaseStore
from django_srvsession.backends.db import connection as db_connection
from django_srvsession.backends.db.table import Table
from django_srvsession.models import Session
from django_srvsession.records import EXPIRED, TOUCH, Delta, Ending, Loaded, Tombstone
from django_srvsession.store import CreateError, StoreUnavailableError, UpdateError
from django_srvsession.testing.sessions import (
    create,
    in_threads,
    new_delta,
    new_sid,
    new_user,
    new_verifier,
    sids,
    snapshot,
    stored,
)
from tests.patience import patient

only = pytest.mark.parametrize


@pytest.fixture
def store(database_alias: str) -> DatabaseStore:
    """A store on each database in turn."""
    return DatabaseStore(database_alias)


def elsewhere(function: Callable[[], Any]) -> Any:
    """Call a function in another thread, so on another connection, and return what it returns."""
    (outcome,) = in_threads([function], connections.close_all)
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def execute(alias: str, sql: str) -> None:
    """Execute a statement on this thread's connection."""
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)


@contextlib.contextmanager
def repeatable_read(alias: str) -> Iterator[None]:
    """Open a transaction that sees the database as it was at its first statement."""
    is_mariadb = connections[alias].vendor == "mysql"
    if is_mariadb:
        execute(alias, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    try:
        with transaction.atomic(alias):
            if not is_mariadb:
                execute(alias, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            yield
    finally:
        connections[alias].close()


class TestRollback:
    """What a rolled-back transaction wrote was never written."""

    @pytest.fixture
    def rolled_back(self, store: DatabaseStore) -> Callable[[Callable[[], Any]], Any]:
        """Do something in a transaction, and roll back."""

        def do(function: Callable[[], Any]) -> Any:
            with transaction.atomic(store.using):
                outcome = function()
                transaction.set_rollback(True, store.using)
            return outcome

        return do

    def test_every_write_is_undone(self, store: DatabaseStore, rolled_back: Any) -> None:
        record = create(store, user_id=new_user(), changed={"a": b"a"}).record
        due = create(store, lifetime_ms=0).record
        before = snapshot(store, record.sid)
        sid, verifier = record.sid, record.verifier
        assert rolled_back(lambda: store.update(sid, verifier, Delta(changed={"a": b"A"}))).values == {"a": b"A"}
        rolled_back(lambda: store.update(sid, verifier, Delta(new_verifier=new_verifier())))
        assert rolled_back(lambda: store.end(sid, Ending("logout"))) == record
        assert rolled_back(lambda: store.end(due.sid, EXPIRED)) == due
        assert rolled_back(store.clear_expired) == 1
        created = rolled_back(lambda: create(store)).record
        assert snapshot(store, sid) == before
        assert stored(store, due.sid).record == due
        assert store.load(created.sid) is None

    def test_what_was_undone_is_no_base_for_what_another_wrote(self, store: DatabaseStore, rolled_back: Any) -> None:
        session = create(store, changed={"n": b"0"})
        sid, verifier = session.record.sid, session.record.verifier
        undone = rolled_back(lambda: store.update(sid, verifier, Delta(changed={"undone": b"1"}), session))
        store.update(sid, verifier, Delta(changed={"theirs": b"1"}), session)  # the same step from the same version
        store.update(sid, verifier, Delta(changed={"mine": b"1"}), undone)
        assert stored(store, sid).values == {"n": b"0", "theirs": b"1", "mine": b"1"}

    def test_inside_a_transaction_its_own_writes_are_seen(self, store: DatabaseStore) -> None:
        user_id = new_user()
        with transaction.atomic(store.using):
            session = create(store, user_id=user_id)
            sid, verifier = session.record.sid, session.record.verifier
            session = store.update(sid, verifier, Delta(changed={"a": b"a"}), session)
            session = store.update(sid, verifier, Delta(changed={"b": b"b"}), session)
            assert stored(store, sid).values == {"a": b"a", "b": b"b"}
            assert store.admit(user_id, sid, 1, "refuse") == []
            assert sids(store.records(user_id)) == [sid]
            assert store.end(sid, Ending("logout", verifier=verifier, expected={"a": b"a"})) is not None
            assert store.end(sid, Ending("logout")) is None
        assert isinstance(store.load(sid), Tombstone)

    def test_the_caller_can_go_on_after_a_refusal(self, store: DatabaseStore) -> None:
        session = create(store)
        with transaction.atomic(store.using):
            with pytest.raises(CreateError):
                store.create(session.record.sid, new_verifier(), new_delta())
            with pytest.raises(UpdateError):
                store.update(session.record.sid, new_verifier(), TOUCH)
            after = store.update(session.record.sid, session.record.verifier, Delta(changed={"a": b"a"}))
        assert stored(store, session.record.sid).record == after.record

    def test_the_store_knows_that_it_is_in_a_transaction(self, store: DatabaseStore) -> None:
        assert not store.in_transaction
        with transaction.atomic(store.using):
            assert store.in_transaction
        assert not store.in_transaction

    def test_on_commit_waits_for_the_commit_and_is_dropped_with_a_rollback(
        self, store: DatabaseStore, rolled_back: Any
    ) -> None:
        called: list[str] = []
        store.on_commit(lambda: called.append("at once"))
        assert called == ["at once"]
        rolled_back(lambda: store.on_commit(lambda: called.append("undone")))
        with transaction.atomic(store.using):
            store.on_commit(lambda: called.append("after"))
            assert called == ["at once"]
        assert called == ["at once", "after"]

    def test_what_fails_after_the_commit_does_not_fail_the_request(self, store: DatabaseStore) -> None:
        called: list[str] = []
        with transaction.atomic(store.using):
            store.on_commit(lambda: called[0])
            store.on_commit(lambda: called.append("the next"))
        assert called == ["the next"]


class TestRepeatableRead:
    """A transaction that does not see what others have committed since it began."""

    @only("database_alias", ["mariadb"], indirect=True)
    def test_mariadb_merges_with_what_was_committed_since(self, store: DatabaseStore) -> None:
        base = create(store, changed={"a": b"a"})
        sid, verifier = base.record.sid, base.record.verifier
        with repeatable_read(store.using):
            stored(store, sid)
            elsewhere(lambda: store.update(sid, verifier, Delta(changed={"theirs": b"1"})))
            assert stored(store, sid).values == {"a": b"a"}, "the trap: a plain read shows the old row for good"
            store.update(sid, verifier, Delta(changed={"mine": b"1"}), base)
        assert stored(store, sid).values == {"a": b"a", "theirs": b"1", "mine": b"1"}

    @only("database_alias", ["mariadb"], indirect=True)
    def test_mariadb_sees_that_the_session_was_ended_since(self, store: DatabaseStore) -> None:
        base = create(store)
        sid, verifier = base.record.sid, base.record.verifier
        with repeatable_read(store.using):
            stored(store, sid)
            elsewhere(lambda: store.end(sid, Ending("logout")))
            with pytest.raises(UpdateError):
                store.update(sid, verifier, TOUCH, base)
            assert store.end(sid, Ending("revoked")) is None
        assert store.load(sid).reason == "logout"  # type: ignore[union-attr]

    @only("database_alias", ["mariadb"], indirect=True)
    def test_mariadb_judges_by_what_was_committed_since(self, store: DatabaseStore) -> None:
        old = create(store, changed={"n": b"0"}).record
        with repeatable_read(store.using):
            stored(store, old.sid)
            elsewhere(lambda: store.update(old.sid, old.verifier, Delta(changed={"n": b"1"})))
            new = elsewhere(lambda: create(store)).record
            assert store.load(new.sid) is None, "the trap: a plain read does not show the new session"
            store.update(new.sid, new.verifier, Delta(changed={"a": b"a"}))
            store.update(old.sid, old.verifier, Delta(expected={"n": b"1"}, changed={"n": b"2"}))
        assert stored(store, new.sid).values == {"a": b"a"}
        assert stored(store, old.sid).values == {"n": b"2"}

    @only("database_alias", ["mariadb"], indirect=True)
    def test_mariadb_counts_the_logins_that_were_committed_since(self, store: DatabaseStore) -> None:
        user_id = new_user()
        mine = create(store).record.sid
        with repeatable_read(store.using):
            stored(store, mine)
            theirs = elsewhere(lambda: create(store, user_id=user_id)).record.sid
            assert store.admit(user_id, mine, 1, "end_oldest") == [theirs]

    @only("database_alias", ["postgresql"], indirect=True)
    def test_postgresql_says_unavailable_and_leaves_the_transaction_usable(self, store: DatabaseStore) -> None:
        base = create(store, changed={"a": b"a"})
        sid, verifier = base.record.sid, base.record.verifier
        with repeatable_read(store.using):
            stored(store, sid)
            elsewhere(lambda: store.update(sid, verifier, Delta(changed={"theirs": b"1"})))
            for base_ in (base, None):
                with pytest.raises(StoreUnavailableError):
                    store.update(sid, verifier, Delta(changed={"mine": b"1"}), base_)
            with pytest.raises(StoreUnavailableError):
                store.end(sid, Ending("logout"))
            ContentType.objects.using(store.using).create(app_label="srvsession_test", model="kept")
        assert ContentType.objects.using(store.using).filter(app_label="srvsession_test").delete()[0] == 1
        assert stored(store, sid).values == {"a": b"a", "theirs": b"1"}

    @only("database_alias", ["postgresql"], indirect=True)
    def test_postgresql_says_unavailable_for_a_sid_taken_since(self, store: DatabaseStore) -> None:
        sid = new_sid()
        with repeatable_read(store.using):
            store.load(sid)
            elsewhere(lambda: store.create(sid, new_verifier(), new_delta()))
            with pytest.raises(StoreUnavailableError):
                store.create(sid, new_verifier(), new_delta())


@only("database_alias", ["postgresql", "mariadb"], indirect=True)
class TestLocks:
    """Rows that other transactions hold."""

    @contextlib.contextmanager
    def _held(self, store: DatabaseStore, sid: str) -> Iterator[None]:
        """Keep a session's row locked by another transaction."""
        locked, release = threading.Event(), threading.Event()

        def hold() -> None:
            try:
                with transaction.atomic(store.using):
                    Session.objects.using(store.using).select_for_update().get(sid=sid)
                    locked.set()
                    release.wait(patient(30))
            finally:
                connections.close_all()

        thread = threading.Thread(target=hold)
        thread.start()
        try:
            assert locked.wait(patient(30))
            yield
        finally:
            release.set()
            thread.join()

    def _be_impatient(self, store: DatabaseStore, mariadb_s: int = 0) -> None:
        is_mariadb = connections[store.using].vendor == "mysql"
        execute(store.using, f"SET innodb_lock_wait_timeout = {mariadb_s}" if is_mariadb else "SET lock_timeout = 20")

    def _be_patient_again(self, store: DatabaseStore) -> None:
        if connections[store.using].vendor == "postgresql":  # A pool would give the connection to others as it is.
            execute(store.using, "RESET lock_timeout")
        connections[store.using].close()

    def test_a_row_that_stays_locked_is_an_outage_not_the_end(self, store: DatabaseStore) -> None:
        base = create(store, user_id=new_user())
        sid, verifier = base.record.sid, base.record.verifier
        writes: list[Callable[[], object]] = [
            lambda: store.update(sid, verifier, TOUCH, base),
            lambda: store.update(sid, verifier, Delta(new_verifier=new_verifier())),
            lambda: store.end(sid, Ending("logout")),
            lambda: store.end(sid, Ending("logout", expected={"a": None})),
        ]
        for write in writes:
            self._be_impatient(store)
            with self._held(store, sid), pytest.raises(StoreUnavailableError):
                write()
        self._be_patient_again(store)
        assert stored(store, sid).record == base.record

    def test_the_callers_transaction_survives_a_row_that_stays_locked(self, store: DatabaseStore) -> None:
        base, other = create(store), create(store)
        with transaction.atomic(store.using):
            self._be_impatient(store)
            store.end(other.record.sid, Ending("logout"))
            with self._held(store, base.record.sid), pytest.raises(StoreUnavailableError):
                store.update(base.record.sid, base.record.verifier, TOUCH, base)
        self._be_patient_again(store)
        assert isinstance(store.load(other.record.sid), Tombstone)

    def test_a_locked_session_is_read_at_once(self, store: DatabaseStore) -> None:
        base = create(store, changed={"a": b"a"})
        self._be_impatient(store)
        with self._held(store, base.record.sid):
            assert stored(store, base.record.sid).values == {"a": b"a"}
        self._be_patient_again(store)

    def test_a_clearer_steps_over_what_others_hold(self, store: DatabaseStore) -> None:
        held, due = (create(store, lifetime_ms=0).record for _ in range(2))
        ended: list[str] = []
        self._be_impatient(store, mariadb_s=1)  # with 0, MariaDB 10.11 answers SKIP LOCKED with an error of its own
        with self._held(store, held.sid):
            assert store.clear_expired(on_ended=lambda record: ended.append(record.sid)) == 1
        assert ended == [due.sid]
        assert store.clear_expired(on_ended=lambda record: ended.append(record.sid)) == 1
        assert ended == [due.sid, held.sid]
        self._be_patient_again(store)

    def test_of_two_transactions_in_a_deadlock_one_is_told_unavailable_and_none_that_the_session_is_gone(
        self, store: DatabaseStore
    ) -> None:
        sessions = [create(store), create(store)]
        both_hold_one = threading.Barrier(2)

        def cross(first: Loaded, second: Loaded) -> None:
            with transaction.atomic(store.using):
                store.update(first.record.sid, first.record.verifier, Delta(changed={"first": b"1"}), first)
                both_hold_one.wait(patient(30))
                store.update(second.record.sid, second.record.verifier, Delta(changed={"second": b"1"}), second)

        outcomes = in_threads(
            [lambda: cross(*sessions), lambda: cross(*reversed(sessions))],
            connections.close_all,
        )
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "StoreUnavailableError"]
        winner = outcomes.index(None)
        assert stored(store, sessions[winner].record.sid).values == {"first": b"1"}
        assert stored(store, sessions[1 - winner].record.sid).values == {"second": b"1"}


class TestTogether:
    """Many at one moment, beyond the contract."""

    def test_anonymous_sessions_that_are_admitted_together_do_not_get_in_each_others_way(
        self, store: DatabaseStore
    ) -> None:
        user_id = new_user()
        anonymous = [create(store).record.sid for _ in range(16)]

        def admit(sid: str) -> None:
            for surplus in store.admit(user_id, sid, 3, "end_oldest"):
                store.end(surplus, Ending("limit"))

        outcomes = in_threads([functools.partial(admit, sid) for sid in anonymous], connections.close_all)
        assert outcomes == [None] * 16
        assert len(store.records(user_id)) == 3

    @only("database_alias", ["sqlite"], indirect=True)
    def test_sqlites_lock_is_taken_before_what_is_written_is_read(
        self, store: DatabaseStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With SQLite's default mode who reads first, and writes then, is refused if another wrote in between."""
        connection: Any = connections[store.using]
        monkeypatch.setattr(connection, "transaction_mode", "DEFERRED")
        other = sqlite3.connect(connection.settings_dict["NAME"], timeout=0.01, isolation_level=None)
        read = Table.rows

        def interrupted(table: Table, sql: str, params: Any, **options: Any) -> Any:
            found = read(table, sql, params, **options)
            with contextlib.suppress(sqlite3.OperationalError):  # locked: as it should be
                other.execute("UPDATE srvsession_session SET version = version + 1")
            return found

        session, due = create(store), create(store, lifetime_ms=0).record
        monkeypatch.setattr(Table, "rows", interrupted)
        with contextlib.closing(other):
            store.update(session.record.sid, session.record.verifier, Delta(changed={"a": b"a"}))
            assert store.clear_expired() == 1
            assert store.admit("1", session.record.sid, 1, "end_oldest") == []
            assert store.end(session.record.sid, Ending("logout", expected={"a": b"a"})) is not None
            assert isinstance(store.load(due.sid), Tombstone)


class DriverError(Exception):
    """What a driver raises, with PostgreSQL's code."""

    def __init__(self, sqlstate: str) -> None:
        self.sqlstate = sqlstate


class TestRetries:
    """What lost to another transaction is done again; what may have been done is not."""

    def _failing(self, times: int, sqlstate: str = "", *args: object) -> tuple[list[int], Callable[[Any], str]]:
        calls: list[int] = []

        def work(connection: Any) -> str:
            calls.append(1)
            if len(calls) <= times:
                raise OperationalError(*args) from DriverError(sqlstate)
            return "done"

        return calls, work

    @only("error", [("40001",), ("40P01",), ("", 1213, "Deadlock"), ("", 1205, "Lock wait timeout")], ids=str)
    def test_a_statement_that_lost_is_sent_three_times(self, store: DatabaseStore, error: Any) -> None:
        calls, work = self._failing(2, *error)
        assert db_connection.run(store.using, work) == "done"
        assert len(calls) == 3
        calls, work = self._failing(3, *error)
        with pytest.raises(StoreUnavailableError):
            db_connection.run(store.using, work)
        assert len(calls) == 3

    def test_in_the_callers_transaction_it_is_sent_once(self, store: DatabaseStore) -> None:
        calls, work = self._failing(1, "40001")
        with transaction.atomic(store.using), pytest.raises(StoreUnavailableError):
            db_connection.run(store.using, work)
        assert len(calls) == 1

    def test_a_write_whose_outcome_is_unknown_is_sent_once(self, store: DatabaseStore) -> None:
        calls, work = self._failing(1, "57P01")
        with pytest.raises(StoreUnavailableError):
            db_connection.run(store.using, work)
        assert len(calls) == 1
