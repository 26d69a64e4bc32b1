"""The Redis store in event loops: without threads in a server's loop, without connections of its own in a request's."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from redis import Redis

from django_srvsession.backends.redis import RedisStore
from django_srvsession.records import EXPIRED, TOUCH, Delta, Ending, Loaded, Tombstone
from django_srvsession.store import StoreUnavailableError
from django_srvsession.testing.sessions import create, new_delta, new_sid, new_user, new_verifier, stored
from tests.backends.redis_tools import FakeRedis, own_pool
from tests.patience import patient
from tests.redis_servers import TLSRedisServer
from tests.servers import RedisServer
from tests.trust import rounds


@pytest.fixture
def store(redis_alias: str) -> RedisStore:
    return RedisStore()


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Redis]:
    with redis_server.client() as client:
        yield client


def own_ways(store: RedisStore) -> list[Any]:
    """Return the ways to Redis that loops have for themselves."""
    return [way for way, _ in store.loops._made.values() if way is not None]


def connections(client: Redis) -> int:
    """Return how many the server has, once that stands still: what other tests have left is closed first."""
    gc.collect()
    counts = [-1, int(client.info("clients")["connected_clients"])]
    while counts[-1] != counts[-2]:
        time.sleep(0.02)
        counts.append(int(client.info("clients")["connected_clients"]))
    return counts[-1]


def test_a_servers_loop_uses_no_thread(store: RedisStore) -> None:
    session = create(store)
    threads: set[int] = set()

    async def view() -> None:
        await store.face().load(session.record.sid)
        await store.face().update(session.record.sid, session.record.verifier, TOUCH, session)
        threads.add(threading.active_count())

    before = threading.active_count()
    asyncio.run(view())
    assert threads == {before}


def test_every_verb_works_in_a_servers_loop(store: RedisStore) -> None:
    async def scenario() -> None:
        sid, verifier, new, user_id = new_sid(), new_verifier(), new_verifier(), new_user()
        created = await store.face().create(sid, verifier, new_delta(changed={"a": b"a"}))
        found = await store.face().load(sid)
        assert isinstance(found, Loaded)
        assert found[:2] == created[:2]
        updated = await store.face().update(sid, verifier, Delta(user_id=user_id), created)
        rotated = await store.face().update(sid, verifier, Delta(changed={"b": b"b"}, new_verifier=new), updated)
        assert rotated.values == {"a": b"a", "b": b"b"}
        assert await store.face().admit(user_id, sid, 1, "refuse") == []
        assert [record.sid for record in await store.face().records(user_id)] == [sid]
        assert [record.sid for record in await store.face().records()] == [sid]
        assert await store.face().end(sid, EXPIRED) is None
        assert await store.face().end(sid, Ending("logout")) == rotated.record
        assert isinstance(await store.face().load(sid), Tombstone)
        assert await store.face().call(store.clear_expired) == 0

    asyncio.run(scenario())


def test_threads_and_loops_speak_tls_and_check_the_certificate(settings: Any) -> None:
    server = TLSRedisServer()
    server.start()
    try:
        own_pool(settings, server.url)
        store = RedisStore()
        session = create(store)

        async def view() -> None:
            assert isinstance(await store.face().load(session.record.sid), Loaded)
            assert own_ways(store), "without a thread"
            await store.face().update(session.record.sid, session.record.verifier, TOUCH, session)

        asyncio.run(view())
        own_pool(settings, server.url.partition("?")[0])  # Nobody has said whom to trust.
        stranger = RedisStore()
        with pytest.raises(StoreUnavailableError):
            stranger.load(session.record.sid)
        with pytest.raises(StoreUnavailableError):
            asyncio.run(stranger.face().load(session.record.sid))
    finally:
        server.kill()


def test_very_many_async_views_under_a_wsgi_server_leave_the_connections_flat(store: RedisStore, client: Redis) -> None:
    session = create(store)

    async def view() -> Any:
        return await store.face().load(session.record.sid)

    async_to_sync(view)()
    before = connections(client)
    for _ in range(rounds(1000)):
        assert async_to_sync(view)().record == session.record
    assert connections(client) == before
    assert not own_ways(store)


def test_a_loop_closes_its_connections_when_it_ends(store: RedisStore, client: Redis) -> None:
    session = create(store)

    async def view() -> int:
        await asyncio.gather(*(store.face().load(session.record.sid) for _ in range(5)))
        return connections(client)

    before = connections(client)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(20):
            assert asyncio.run(view()) > before
            gc.collect()
    assert connections(client) == before
    assert len(own_ways(store)) <= 1


def test_a_loop_that_was_only_closed_is_forgotten_with_the_next(store: RedisStore) -> None:
    async def view() -> None:
        await store.face().load(new_sid())

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for _ in range(3):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(view())
            loop.close()
        assert len(own_ways(store)) == 1
        del loop
        store.loops._made.clear()
        gc.collect()


def test_a_store_that_is_dropped_closes_its_connections_in_a_loop_that_goes_on(
    store: RedisStore, client: Redis
) -> None:
    async def scenario() -> None:
        before = connections(client)
        other = RedisStore()
        await other.face().load(new_sid())
        assert connections(client) > before
        del other
        gc.collect()
        for _ in range(100):
            if connections(client) == before:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("the connections are still open")

    asyncio.run(scenario())


def test_cancelled_requests_never_leave_an_answer_for_another(store: RedisStore, client: Redis) -> None:
    """Each task reads and changes a session of its own; many are cancelled, at any await."""
    made = [create(store, changed={"n": b"%d" % number}) for number in range(50)]
    foreign: list[str] = []

    async def request(number: int) -> None:
        session = made[number]
        for _ in range(3):
            found = await store.face().load(session.record.sid)
            assert isinstance(found, Loaded)
            if found.record.sid != session.record.sid or found.values["n"] != b"%d" % number:
                foreign.append(found.record.sid)
            saved = await store.face().update(session.record.sid, session.record.verifier, TOUCH, found)
            if saved.record.verifier != session.record.verifier:
                foreign.append(saved.record.sid)

    async def scenario() -> int:
        cancelled = 0
        for _ in range(1000):  # As many as it takes: how far a task comes in its time is the machine's matter.
            if cancelled > 100:
                break
            tasks = [asyncio.create_task(request(random.randrange(50))) for _ in range(50)]
            for task in random.sample(tasks, 15):
                asyncio.get_running_loop().call_later(random.random() * 0.02, task.cancel)
            results = await asyncio.gather(*tasks, return_exceptions=True)
            cancelled += sum(isinstance(result, asyncio.CancelledError) for result in results)
            assert not [
                r for r in results if isinstance(r, BaseException) and not isinstance(r, asyncio.CancelledError)
            ]
        (wire,) = own_ways(store)
        assert not wire.pool._in_use_connections
        assert len(wire.pool._available_connections) <= 50
        return cancelled

    assert asyncio.run(scenario()) > 100
    assert foreign == []


def test_a_cancelled_save_discards_its_connection(settings: Any) -> None:
    hang = threading.Event()
    fake = FakeRedis(lambda command: b":1\r\n" if hang.wait(patient(10)) else b"")
    own_pool(settings, fake.url, SOCKET_TIMEOUT=5)
    store = RedisStore()

    async def scenario() -> None:
        save = asyncio.create_task(store.face().update(new_sid(), new_verifier(), TOUCH))
        while not fake.named(b"ZADD"):
            await asyncio.sleep(0.001)
        (wire,) = own_ways(store)
        (connection,) = wire.pool._in_use_connections
        while not save.done():  # Python 3.11 loses a cancellation that comes as the sending ends.
            save.cancel()
            await asyncio.sleep(0.001)
        assert save.cancelled()
        assert not connection.is_connected
        assert not wire.pool._in_use_connections

    asyncio.run(scenario())
    hang.set()
    fake.close()


def test_threads_and_loops_change_one_session_and_none_loses(store: RedisStore) -> None:
    session = create(store)
    sid, verifier = session.record.sid, session.record.verifier

    def in_thread(number: int) -> None:
        for step in range(20):
            store.update(sid, verifier, Delta(changed={f"t{number}-{step}": b"1"}), session)

    async def in_loop(number: int) -> None:
        for step in range(20):
            await store.face().update(sid, verifier, Delta(changed={f"a{number}-{step}": b"1"}), session)

    async def scenario() -> None:
        threads = [asyncio.to_thread(in_thread, number) for number in range(4)]
        await asyncio.gather(*threads, *(in_loop(number) for number in range(4)))

    asyncio.run(scenario())
    expected = {f"{kind}{number}-{step}" for kind in "ta" for number in range(4) for step in range(20)}
    assert set(stored(store, sid).values) == expected


@pytest.mark.parametrize("answer", [b"-READONLY a replica\r\n", b"$100\r\nabc", b"", b"?\r\n"])
def test_an_outage_is_an_outage_in_a_loop_too(settings: Any, answer: bytes) -> None:
    fake = FakeRedis(lambda command: answer)
    own_pool(settings, fake.url)
    store = RedisStore()

    async def scenario() -> None:
        for call in (
            store.face().load(new_sid()),
            store.face().update(new_sid(), "v", TOUCH),
            store.face().records("1"),
            store.face().records(),
        ):
            with pytest.raises(StoreUnavailableError):
                await call

    asyncio.run(scenario())
    fake.close()


@pytest.mark.parametrize("pool", ["ConnectionPool", "BlockingConnectionPool"])
@pytest.mark.parametrize(
    "answer", [b"-READONLY a replica", b"-NOREPLICAS too few", b"-MASTERDOWN link", b"-LOADING it"]
)
def test_a_loop_leaves_who_says_not_to_be_the_primary(settings: Any, pool: str, answer: bytes) -> None:
    fake = FakeRedis(lambda command: answer + b"\r\n")
    own_pool(settings, fake.url, CONNECTION_POOL_CLASS=f"redis.{pool}")
    store = RedisStore()

    async def scenario() -> None:
        for before in (1, 2, 3):
            with pytest.raises(StoreUnavailableError):
                await store.face().end(new_sid(), Ending("logout"))
            assert fake.accepted == before
        fake.answer = lambda command: b"$-1\r\n"
        assert await store.face().load(new_sid()) is None
        assert fake.accepted == 4

    asyncio.run(scenario())
    fake.close()


def test_a_lost_write_is_not_sent_again_from_a_loop(settings: Any) -> None:
    fake = FakeRedis(lambda command: b"")
    own_pool(settings, fake.url, CONNECTION_POOL_KWARGS={"retry_on_timeout": True})
    store = RedisStore()

    async def scenario() -> None:
        with pytest.raises(StoreUnavailableError):
            await store.face().end(new_sid(), Ending("logout"))

    asyncio.run(scenario())
    assert len(fake.named(b"EVALSHA")) == 1
    fake.close()


def test_a_server_that_forgot_the_scripts_is_told_them_in_a_loop_too(store: RedisStore, client: Redis) -> None:
    session = create(store)
    client.script_flush()
    assert asyncio.run(store.face().end(session.record.sid, Ending("logout"))) == session.record


def test_a_frozen_server_is_an_outage_in_a_loop_within_the_time_limit(
    store: RedisStore, redis_server: RedisServer
) -> None:
    async def scenario() -> None:
        await store.face().load(new_sid())
        with redis_server.frozen():
            async with asyncio.timeout(patient(2)):
                with pytest.raises(StoreUnavailableError):
                    await store.face().load(new_sid())
                with pytest.raises(StoreUnavailableError):
                    await store.face().end(new_sid(), Ending("logout"))

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("options", "is_native"),
    [
        ({}, True),
        ({"CONNECTION_POOL_CLASS": "redis.BlockingConnectionPool"}, True),
        ({"CONNECTION_POOL_KWARGS": {"redis_connect_func": lambda connection: connection.on_connect()}}, False),
    ],
    ids=["plain", "blocking", "with a hook for threads"],
)
def test_what_has_no_async_twin_is_used_from_a_thread(
    redis_server: RedisServer, redis_prefix: str, settings: Any, options: dict[str, Any], is_native: bool
) -> None:
    own_pool(settings, redis_server.url, **options)
    store = RedisStore()
    session = create(store)

    async def scenario() -> None:
        found = await store.face().load(session.record.sid)
        assert isinstance(found, Loaded)
        assert found.record == session.record
        assert bool(own_ways(store)) == is_native

    asyncio.run(scenario())
