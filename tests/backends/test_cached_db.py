"""The database store behind Redis: the contract, what is read from where, and what a process does without Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext

from django_srvsession import services
from django_srvsession.backends.cached_db import CachedDatabaseStore
from django_srvsession.backends.cached_db.breaker import Breaker
from django_srvsession.backends.cached_db.format import Generation, new_copy
from django_srvsession.backends.db import DatabaseStore
from django_srvsession.records import TOUCH, Delta, Ending, Loaded, Tombstone
from django_srvsession.store import ConflictError, StoreUnavailableError, UpdateError
from django_srvsession.testing import StoreContract
from django_srvsession.testing.sessions import create, new_delta, new_sid, new_user, new_verifier, stored
from tests.backends.redis_tools import use_alias
from tests.databases import lent
from tests.patience import patient
from tests.redis_sentinels import SentinelGroup
from tests.servers import RedisServer
from tests.trust import WHOLE

LOGOUT = Ending("logout")


@pytest.fixture
def store(database_alias: str, redis_alias: str) -> CachedDatabaseStore:
    """A store on each database in turn."""
    return CachedDatabaseStore(database_alias)


on_sqlite = pytest.mark.parametrize("database_alias", ["sqlite"], indirect=True)
of_the_contract = ("sqlite", "postgresql", "mariadb") if WHOLE else ("sqlite",)


@pytest.mark.parametrize("database_alias", of_the_contract, indirect=True)
class TestContract(StoreContract):
    """The contract of all stores."""

    def thread_done(self) -> None:
        """Close the thread's connections."""
        connections.close_all()


@pytest.fixture
def statements(database_alias: str) -> Iterator[CaptureQueriesContext]:
    """What the database is asked."""
    with CaptureQueriesContext(connections[database_alias]) as captured:
        yield captured


def raw(store: CachedDatabaseStore, sid: str) -> Any:
    """What stands under a session's key in Redis."""
    return store.transport.exchange([("GET", store._key(sid))])[0]


def is_cached(store: CachedDatabaseStore, sid: str) -> bool:
    return (raw(store, sid) or b"").startswith(b"C")


@on_sqlite
class TestReads:
    """A session is read from the database once."""

    def test_a_session_that_was_read_is_read_from_redis(self, store: CachedDatabaseStore, statements: Any) -> None:
        session = create(store, changed={"a": b"a"})
        first = stored(store, session.record.sid)
        asked = len(statements)
        for _ in range(5):
            again = stored(store, session.record.sid)
            assert (again.record, again.values) == (first.record, first.values)
        assert len(statements) == asked

    def test_a_new_session_is_read_from_redis(self, store: CachedDatabaseStore, statements: Any) -> None:
        session = create(store, changed={"a": b"a"})
        asked = len(statements)
        assert stored(store, session.record.sid).record == session.record
        assert len(statements) == asked

    def test_a_session_that_was_written_is_read_from_redis(self, store: CachedDatabaseStore, statements: Any) -> None:
        session = create(store)
        sid, verifier = session.record.sid, session.record.verifier
        after = store.update(sid, verifier, Delta(changed={"a": b"a"}), session)
        asked = len(statements)
        assert stored(store, sid).values == after.values == {"a": b"a"}
        assert len(statements) == asked

    def test_an_event_loop_reads_from_redis_too(self, store: CachedDatabaseStore, statements: Any) -> None:
        session = create(store)

        async def read() -> Any:
            return await store.face().load(session.record.sid)

        first = asyncio.run(read())
        asked = len(statements)
        assert asyncio.run(read()).record == first.record == session.record
        assert len(statements) == asked

    def test_the_database_is_asked_again_when_the_check_is_due(self, store: CachedDatabaseStore, settings: Any) -> None:
        session = create(store)
        stored(store, session.record.sid)
        store.database.end(session.record.sid, LOGOUT)  # Past us.
        assert isinstance(store.load(session.record.sid), Loaded)
        settings.SRVSESSION_CACHE_CHECK = 0
        assert isinstance(store.load(session.record.sid), Tombstone)

    def test_a_copy_of_another_run_is_none(self, store: CachedDatabaseStore) -> None:
        session = create(store)
        sid, key, now_ms = session.record.sid, store._key(session.record.sid), store.clock.now_ms
        store.database.end(sid, LOGOUT)
        for run in (bytes(8), store.transport.exchange([("PING",)])[-1]):
            copy = new_copy(key, Generation(b"", run, now_ms), session, now_ms)
            store.transport.exchange([("SET", key, copy)])
            assert isinstance(store.load(sid), Tombstone) is (run == bytes(8))

    def test_who_writes_redis_makes_no_copy_and_none_younger_than_it_is(
        self, store: CachedDatabaseStore, settings: Any
    ) -> None:
        """The cache of a site has many writers."""
        session, other = create(store), create(store)
        sid, key = session.record.sid, store._key(session.record.sid)
        copy = raw(store, sid)
        assert is_cached(store, sid)
        store.database.end(sid, LOGOUT)
        for place in range(1, len(copy), 11):
            forged = copy[:place] + bytes([copy[place] ^ 1]) + copy[place + 1 :]
            store.transport.exchange([("SET", key, forged)])
            assert isinstance(store.load(sid), Tombstone), place
        store.transport.exchange([("SET", key, raw(store, other.record.sid))])
        assert isinstance(store.load(sid), Tombstone), "the copy of another session"
        store.transport.exchange([("SET", key, copy)])
        assert isinstance(store.load(sid), Loaded), "what it was until its check is due"
        settings.SECRET_KEY = "another"
        assert isinstance(store.load(sid), Tombstone)

    def test_a_copy_from_the_future_is_not_believed(self, store: CachedDatabaseStore, monkeypatch: Any) -> None:
        sid = create(store).record.sid
        assert isinstance(store.load(sid), Loaded)
        store.database.end(sid, LOGOUT)
        now_ms = store.clock.now_ms
        with monkeypatch.context() as patch:
            patch.setattr(type(store.clock), "now_ms", now_ms - 3000)
            assert isinstance(store.load(sid), Tombstone)

    @pytest.mark.parametrize("damage", [b"", b"C", b"nonsense", b"C" + bytes(100)])
    def test_what_is_no_copy_is_read_from_the_database(self, store: CachedDatabaseStore, damage: bytes) -> None:
        session = create(store)
        store.transport.exchange([("SET", store._key(session.record.sid), damage)])
        assert stored(store, session.record.sid).record == session.record

    def test_a_key_of_another_type_is_no_outage(self, store: CachedDatabaseStore) -> None:
        session = create(store)
        key = store._key(session.record.sid)
        store.transport.exchange([("RPUSH", key, "x")])
        assert stored(store, session.record.sid).record == session.record
        assert store.copies.breaker.is_closed
        assert store.end(session.record.sid, LOGOUT) == session.record
        assert isinstance(store.load(session.record.sid), Tombstone)

    def test_the_database_store_reads_the_same_sessions(self, store: CachedDatabaseStore, database_alias: str) -> None:
        alone = DatabaseStore(database_alias)
        session = create(alone, changed={"a": b"a"})
        assert stored(store, session.record.sid).values == session.values
        after = store.update(session.record.sid, session.record.verifier, Delta(changed={"b": b"b"}), session)
        assert stored(alone, session.record.sid).record == after.record
        assert store.end(session.record.sid, LOGOUT) is not None
        assert isinstance(alone.load(session.record.sid), Tombstone)


@on_sqlite
class TestWrites:
    """Whoever reads beside a write stores nothing that is older than the write."""

    def test_a_read_that_overlaps_an_end_leaves_no_copy(self, store: CachedDatabaseStore) -> None:
        session = create(store.database)
        self._end_during_a_read(store, session)
        assert not is_cached(store, session.record.sid)
        assert isinstance(store.load(session.record.sid), Tombstone)

    def _end_during_a_read(self, store: CachedDatabaseStore, session: Loaded) -> None:
        load = store.database.load

        def slow(sid: str) -> Any:
            found = load(sid)
            store.database.load = load  # type: ignore[method-assign]
            assert store.end(sid, LOGOUT) is not None
            return found

        store.database.load = slow  # type: ignore[method-assign]
        assert isinstance(store.load(session.record.sid), Loaded)

    def test_a_new_session_that_ends_at_once_has_no_copy_though_redis_has_forgotten_all(
        self, store: CachedDatabaseStore
    ) -> None:
        insert = store.database.create

        def slow(sid: str, *args: Any) -> Any:
            session = insert(sid, *args)
            assert store.end(sid, LOGOUT) is not None
            store.transport.exchange([("DEL", store._key(sid))])
            return session

        store.database.create = slow  # type: ignore[method-assign]
        session = create(store)
        assert raw(store, session.record.sid) is None
        assert isinstance(store.load(session.record.sid), Tombstone)

    def test_of_two_overlapping_writes_no_older_one_is_left(self, store: CachedDatabaseStore) -> None:
        session = create(store)
        sid, verifier = session.record.sid, session.record.verifier
        update = store.database.update

        def slow(*args: Any) -> Any:
            store.database.update = update  # type: ignore[method-assign]
            first = update(*args)
            store.update(sid, verifier, Delta(changed={"b": b"b"}), None)
            return first

        store.database.update = slow  # type: ignore[method-assign]
        store.update(sid, verifier, Delta(changed={"a": b"a"}), session)
        assert stored(store, sid).values == {"a": b"a", "b": b"b"}

    def test_a_write_that_is_refused_leaves_no_copy(self, store: CachedDatabaseStore) -> None:
        session = create(store)
        sid, verifier = session.record.sid, session.record.verifier
        for refused, error in (
            (lambda: store.update(sid, new_verifier(), TOUCH, session), UpdateError),
            (lambda: store.update(sid, verifier, Delta(expected={"a": b"a"}), session), ConflictError),
        ):
            stored(store, sid)
            with pytest.raises(error):
                refused()
            assert raw(store, sid) is None

    def test_a_session_that_a_limit_counts_has_no_copy_from_before(self, store: CachedDatabaseStore) -> None:
        session, user_id = create(store), new_user()
        stored(store, session.record.sid)
        store.admit(user_id, session.record.sid, 5, "end_oldest")
        assert (
            stored(store, session.record.sid).record.user_id
            == stored(store.database, session.record.sid).record.user_id
        )

    def test_many_that_end_have_no_copies(self, store: CachedDatabaseStore) -> None:
        sids = [create(store).record.sid for _ in range(5)]
        for sid in sids:
            stored(store, sid)
        assert len(store.end_many(sids, LOGOUT)) == 5
        assert all(isinstance(store.load(sid), Tombstone) for sid in sids)


@on_sqlite
class TestTransactions:
    """What may be rolled back is stored nowhere else."""

    def test_what_a_transaction_has_written_it_reads_and_nobody_else(self, store: CachedDatabaseStore) -> None:
        session = create(store)
        sid, verifier = session.record.sid, session.record.verifier
        stored(store, sid)
        with transaction.atomic(store.database.using):
            store.update(sid, verifier, Delta(changed={"a": b"a"}), session)
            assert stored(store, sid).values == {"a": b"a"}
            assert not is_cached(store, sid)
            transaction.set_rollback(True, store.database.using)
        assert stored(store, sid).values == {}

    def test_a_session_is_read_from_redis_in_a_transaction_that_has_not_written_it(
        self, store: CachedDatabaseStore
    ) -> None:
        session = create(store)
        stored(store, session.record.sid)
        with transaction.atomic(store.database.using):
            store.database.load = None  # type: ignore[method-assign,assignment]
            assert stored(store, session.record.sid).record == session.record

    def test_a_read_in_a_transaction_stores_no_copy(self, store: CachedDatabaseStore) -> None:
        session = create(store.database)
        with transaction.atomic(store.database.using):
            stored(store, session.record.sid)
            assert not is_cached(store, session.record.sid)

    def test_a_session_that_begins_in_a_transaction_has_no_copy(self, store: CachedDatabaseStore) -> None:
        with transaction.atomic(store.database.using):
            sid = create(store).record.sid
            assert not is_cached(store, sid)
            transaction.set_rollback(True, store.database.using)
        assert store.load(sid) is None

    @pytest.mark.parametrize("is_open", [True, False])
    def test_a_site_that_commits_by_hand_caches_nothing_that_may_be_rolled_back(
        self, store: CachedDatabaseStore, monkeypatch: pytest.MonkeyPatch, is_open: bool
    ) -> None:
        session = create(store)
        sid, verifier = session.record.sid, session.record.verifier
        connection = connections[store.database.using]
        if is_open:
            connection.set_autocommit(False)
        else:
            connection.close()
            monkeypatch.setitem(connection.settings_dict, "AUTOCOMMIT", False)
        try:
            store.update(sid, verifier, Delta(changed={"a": b"a"}), session)
            assert stored(store, sid).values == {"a": b"a"}
            assert not is_cached(store, sid)
            connection.rollback()
        finally:
            connection.close()
            monkeypatch.undo()
        assert stored(store, sid).values == {}

    def test_an_end_is_told_again_at_the_commit(self, store: CachedDatabaseStore) -> None:
        session = create(store)
        sid = session.record.sid
        stored(store, sid)
        copy = raw(store, sid)
        with transaction.atomic(store.database.using):
            assert store.end(sid, LOGOUT) is not None
            store.transport.exchange([("SET", store._key(sid), copy)])  # As if the guard had gone meanwhile.
        assert not is_cached(store, sid)
        assert isinstance(store.load(sid), Tombstone)


@on_sqlite
class TestWithoutRedis:
    """The database serves."""

    @pytest.fixture
    def out(self, store: CachedDatabaseStore, redis_server: RedisServer) -> Iterator[Loaded]:
        """A session of which Redis, which has stopped, has a copy."""
        session = create(store)
        stored(store, session.record.sid)
        redis_server.freeze()
        yield session
        redis_server.thaw()

    def test_pages_and_saves_go_on(self, store: CachedDatabaseStore, out: Loaded) -> None:
        sid, verifier = out.record.sid, out.record.verifier
        assert stored(store, sid).record == out.record
        assert not store.copies.breaker.is_closed
        after = store.update(sid, verifier, Delta(changed={"a": b"a"}), out)
        assert stored(store, sid).values == after.values == {"a": b"a"}

    def test_an_end_takes_place_and_says_that_redis_was_not_told(
        self, store: CachedDatabaseStore, out: Loaded, redis_server: RedisServer
    ) -> None:
        sid = out.record.sid
        with pytest.raises(StoreUnavailableError) as caught:
            store.end(sid, LOGOUT)
        assert caught.value.ended == [out.record]
        assert isinstance(store.load(sid), Tombstone)
        with pytest.raises(StoreUnavailableError) as again:
            store.end(sid, LOGOUT)
        assert not again.value.ended
        with pytest.raises(StoreUnavailableError):
            store.end_many([sid], LOGOUT)

    def test_an_end_that_ends_nothing_is_no_outage(self, store: CachedDatabaseStore, out: Loaded) -> None:
        assert store.end(out.record.sid, Ending("logout", verifier=new_verifier())) is None
        assert stored(store, out.record.sid).record == out.record

    def test_no_older_copy_is_believed_afterwards(
        self, store: CachedDatabaseStore, out: Loaded, redis_server: RedisServer
    ) -> None:
        sid, verifier = out.record.sid, out.record.verifier
        key = store._key(sid)
        redis_server.thaw()
        copy = raw(store, sid)
        redis_server.freeze()
        store.update(sid, verifier, Delta(changed={"a": b"a"}), out)
        redis_server.thaw()
        store.copies.breaker._try_from = 0.0
        assert stored(store, sid).values == {"a": b"a"}
        assert store.copies.breaker.is_closed
        store.transport.exchange([("SET", key, copy)])
        assert stored(store, sid).values == {"a": b"a"}
        assert store.end(sid, LOGOUT) is not None


@on_sqlite
@pytest.mark.parametrize("verb", ["end", "end_many", "update"])
def test_who_could_not_tell_redis_tells_it_when_it_is_back(store: CachedDatabaseStore, verb: str) -> None:
    """So another process, which has not seen it fail, reads no older copy for a minute."""
    session = create(store)
    sid, verifier = session.record.sid, session.record.verifier
    other = CachedDatabaseStore(store.database.using)
    assert stored(other, sid).record == session.record
    store.copies.breaker.note_failure()
    if verb == "update":
        store.update(sid, verifier, Delta(changed={"a": b"a"}), session)
    else:
        with pytest.raises(StoreUnavailableError):
            store.end(sid, LOGOUT) if verb == "end" else store.end_many([sid], LOGOUT)
    assert isinstance(other.load(sid), Loaded), "its copy is believed until then"
    store.copies.breaker._try_from = 0.0
    store.load("0" * 18)
    found = other.load(sid)
    assert found.values == {"a": b"a"} if isinstance(found, Loaded) else verb != "update"


@on_sqlite
def test_who_signs_somebody_out_everywhere_once_more_is_not_told_that_it_is_done(store: CachedDatabaseStore) -> None:
    user_id = new_user()
    create(store, user_id=user_id)
    assert store.ensure_listed() is False
    store.copies.breaker.note_failure()
    with pytest.raises(StoreUnavailableError):
        store.end_many([record.sid for record in store.records(user_id)], LOGOUT)
    assert not list(store.records(user_id))
    with pytest.raises(StoreUnavailableError):
        store.ensure_listed()
    with pytest.raises(StoreUnavailableError):
        asyncio.run(store.face().ensure_listed())
    store.copies.breaker._try_from = 0.0
    assert store.ensure_listed() is False
    assert store.copies.breaker.is_closed


@on_sqlite
def test_who_ends_one_device_once_more_is_not_told_that_it_was_ended_before(
    store: CachedDatabaseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id = new_user()
    sid = create(store, user_id=user_id).record.sid
    monkeypatch.setattr(services, "current_store", lambda: store)
    store.copies.breaker.note_failure()
    with pytest.raises(StoreUnavailableError):
        services.revoke(sid)
    assert services.session_of(user_id, sid) is None
    with pytest.raises(StoreUnavailableError):
        services.ensure_ended()
    store.copies.breaker._try_from = 0.0
    services.ensure_ended()
    assert store.copies.breaker.is_closed


def test_a_breaker_lets_one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("django_srvsession.backends.cached_db.breaker.time.monotonic", lambda: now[0])
    breaker = Breaker()
    assert breaker.is_closed
    breaker.note_failure()
    assert not breaker.is_closed
    assert not breaker.may_try()
    now[0] += 1
    assert breaker.may_try()
    assert not breaker.may_try(), "another one is trying"
    breaker.note_recovery(5000)
    assert breaker.is_closed
    assert breaker.trusted_from_ms == 5500
    breaker.note_recovery(9000)
    assert breaker.trusted_from_ms == 5500, "it was well already"


@on_sqlite
class TestEventLoops:
    """A long-lived loop asks Redis itself; nothing is different."""

    def test_a_story_on_one_loop(self, store: CachedDatabaseStore, statements: CaptureQueriesContext) -> None:
        async def story() -> None:
            face = store.face()
            session = await face.create(new_sid(), new_verifier(), new_delta(changed={"a": b"a"}))
            sid, verifier = session.record.sid, session.record.verifier
            asked = len(statements)
            assert await face.load(sid) is not None
            assert len(statements) == asked
            after = await face.update(sid, verifier, Delta(changed={"b": b"b"}), session)
            asked = len(statements)
            found = await face.load(sid)
            assert isinstance(found, Loaded)
            assert found.record == after.record
            assert len(statements) == asked
            assert await face.end(sid, LOGOUT) is not None
            assert isinstance(await face.load(sid), Tombstone)
            others = [(await face.create(new_sid(), new_verifier(), new_delta())).record.sid for _ in range(3)]
            assert len(await face.end_many([*others, "none"], LOGOUT)) == 3
            assert await face.update("none", verifier, TOUCH) is None

        with pytest.raises(UpdateError):
            asyncio.run(story())

    def test_a_redis_that_hangs_holds_no_request_up_and_is_back_at_once(
        self, store: CachedDatabaseStore, redis_server: RedisServer
    ) -> None:
        async def story() -> None:
            face = store.face()
            sid = (await face.create(new_sid(), new_verifier(), new_delta())).record.sid
            with redis_server.frozen():
                began = time.monotonic()
                found = await asyncio.gather(*(face.load(sid) for _ in range(20)))
                assert all(isinstance(each, Loaded) for each in found)
                assert not store.copies.breaker.is_closed
                with pytest.raises(StoreUnavailableError) as caught:
                    await face.end(sid, LOGOUT)
                assert [record.sid for record in caught.value.ended] == [sid]
                took_s = time.monotonic() - began
            assert took_s < patient(1.0)
            store.copies.breaker._try_from = 0.0
            assert isinstance(await face.load(sid), Tombstone)
            assert store.copies.breaker.is_closed
            assert await face.end(sid, LOGOUT) is None

        asyncio.run(story())


def test_a_failover_is_an_empty_cache(
    sentinels: SentinelGroup, sqlite_alias: str, redis_prefix: str, settings: Any, request: pytest.FixtureRequest
) -> None:
    """The replica has the copies, too; what has ended on the way does not open by them."""
    use_alias(settings, sentinels.cache_settings())
    with lent("sqlite", request) as alias:
        store = CachedDatabaseStore(alias)
        kept, ended = (create(store).record.sid for _ in range(2))
        with sentinels.primary.client() as client:
            assert client.wait(1, 5000) == 1
        key = store._key(kept)
        _, run = store.transport.exchange([("PING",)])
        store.database.end(ended, LOGOUT)  # As if its guard had not reached the replica.
        assert isinstance(store.load(ended), Loaded)
        sentinels.failover()
        wait_until_so(lambda: store.transport.exchange([("PING",)])[-1] != run)
        assert store.transport.exchange([("GET", key)])[0].startswith(b"C"), "the copies are there"
        assert isinstance(store.load(ended), Tombstone)
        assert isinstance(store.load(kept), Loaded)
        assert store.copies.believed(key, kept, *store.transport.exchange([("GET", key)])) is not None


def wait_until_so(attempt: Callable[[], bool]) -> None:
    give_up = time.monotonic() + patient(15)
    while True:
        with suppress(StoreUnavailableError):
            if attempt():
                return
        assert time.monotonic() < give_up
        time.sleep(0.02)
