"""The Redis store whose alias asks Sentinels: it follows them to another primary, whatever became of the first one."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest

from django_srvsession.backends.redis import RedisStore
from django_srvsession.backends.redis.transport.loops import SentinelTransport
from django_srvsession.records import TOUCH, Ending, Loaded, Tombstone
from django_srvsession.store import StoreUnavailableError
from django_srvsession.testing.sessions import create, new_user, sids, stored
from tests.backends.redis_tools import use_alias
from tests.docs.blocks import block
from tests.patience import patient
from tests.redis_sentinels import ReplicatedServer, SentinelGroup

SECONDS = patient(15)
"""How long something may take that takes a second where the machine has time."""


@pytest.fixture
def new_store(sentinels: SentinelGroup, redis_prefix: str, settings: Any) -> Callable[[], RedisStore]:
    """Make stores as several processes have them: each with a pool of its own."""

    def new() -> RedisStore:
        use_alias(settings, sentinels.cache_settings())
        store = RedisStore()
        assert store.transport
        return store

    return new


def replicate(server: ReplicatedServer) -> None:
    """Wait until the replica has all that the primary has."""
    with server.client() as client:
        assert client.wait(1, 5000) == 1


def eventually(attempt: Callable[[], bool]) -> None:
    """Try until it is so."""
    give_up = time.monotonic() + SECONDS
    while not attempt():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_the_alias_in_the_documentation_works(sentinels: SentinelGroup, redis_prefix: str, settings: Any) -> None:
    documented: dict[str, Any] = {}
    exec(block("how-to/redis-sentinel", "sentinel-alias").text, documented)
    entry = documented["CACHES"][documented["SESSION_CACHE_ALIAS"]]
    entry["OPTIONS"]["SENTINELS"] = sentinels.cache_settings()["OPTIONS"]["SENTINELS"]
    use_alias(settings, entry)
    assert RedisStore.check(deploy=False) == []
    store = RedisStore()
    assert stored(store, create(store).record.sid)


def test_the_doctor_says_how_to_bound_what_a_failover_loses(
    sentinels: SentinelGroup, new_store: Callable[[], RedisStore]
) -> None:
    store = new_store()

    def advice() -> list[str]:
        return [finding.advice for finding in store.examine() if finding.name == "replication"]

    assert "min-replicas-to-write" in advice()[0]
    with sentinels.primary.client() as client:
        client.config_set("min-replicas-to-write", 1)
        try:
            assert advice() == [""]
        finally:
            client.config_set("min-replicas-to-write", 0)


def test_a_sentinel_that_hangs_is_waited_for_once(
    sentinels: SentinelGroup, new_store: Callable[[], RedisStore]
) -> None:
    """As the documented alias says: redis-py by itself would ask it ten times more, for ten seconds."""
    store = new_store()
    with sentinels.sentinels[0].frozen():
        began = time.monotonic()
        create(store)
        assert time.monotonic() - began < patient(4)
        began = time.monotonic()
        create(store)
        assert time.monotonic() - began < patient(0.5), "the one that answered is asked first from now on"


def test_sentinels_are_asked_once_a_second_and_needed_by_nobody_whose_connections_are_open(
    sentinels: SentinelGroup, new_store: Callable[[], RedisStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = new_store()
    session = create(store)
    pool, asked = store.transport.pool, []
    ask = pool.get_master_address
    monkeypatch.setattr(pool, "get_master_address", lambda: asked.append(time.monotonic()) or ask())
    for sentinel in sentinels.sentinels:
        sentinel.kill()
    began = time.monotonic()
    while time.monotonic() < began + 1.5:
        assert stored(store, session.record.sid)
    assert asked
    assert all(later - earlier >= 1 for earlier, later in itertools.pairwise(asked))


def test_a_primary_that_hangs_is_left_for_the_promoted_one(
    sentinels: SentinelGroup, new_store: Callable[[], RedisStore]
) -> None:
    """By threads and by an event loop: each has connections that it used before."""
    threads, loop = new_store(), new_store()
    session = create(threads, user_id=new_user())
    sid, verifier = session.record.sid, session.record.verifier

    async def in_a_loop() -> None:
        assert isinstance(await loop.face().load(sid), Loaded)
        assert isinstance(await loop.loops.get(), SentinelTransport), "without a thread for each verb"
        with sentinels.primary.frozen():
            with pytest.raises(StoreUnavailableError):
                threads.load(sid)
            with pytest.raises(StoreUnavailableError):
                await loop.face().load(sid)
            await asyncio.to_thread(sentinels.wait_promoted, promoted)
            # Nobody has told the stores, but their connections to the first primary broke: no outage any more.
            for _ in range(5):
                assert stored(threads, sid)
                threads.update(sid, verifier, TOUCH)
                assert isinstance(await loop.face().load(sid), Loaded)
                await loop.face().update(sid, verifier, TOUCH)

    promoted = sentinels.replica
    replicate(sentinels.primary)
    asyncio.run(in_a_loop())


def test_a_loop_leaves_a_primary_that_only_the_sentinels_cannot_reach(
    sentinels: SentinelGroup, new_store: Callable[[], RedisStore]
) -> None:
    """Its connections are open and stay so, and it makes no new one: within about a second it asks all the same."""
    store, elsewhere = new_store(), new_store()
    session = create(store, user_id=new_user())
    sid, old, promoted = session.record.sid, sentinels.primary, sentinels.replica
    replicate(old)

    async def scenario() -> None:
        face = store.face()
        await asyncio.gather(*(face.load(sid) for _ in range(5)))
        way = await store.loops.get()
        assert isinstance(way, SentinelTransport)
        former = way.pool
        old.proxy.cut()
        await asyncio.to_thread(sentinels.wait_promoted, promoted)
        assert elsewhere.end(sid, Ending("revoked", "admin")) is not None
        give_up = time.monotonic() + SECONDS
        while not isinstance(await face.load(sid), Tombstone):
            assert time.monotonic() < give_up
            await asyncio.sleep(0.02)
        assert way.pool is not former
        assert not [each for each in former._available_connections if each.is_connected]

    asyncio.run(scenario())
    assert old.role == "master", "nobody has told it"


def test_nothing_stays_with_a_primary_that_only_the_sentinels_cannot_reach(
    sentinels: SentinelGroup, new_store: Callable[[], RedisStore]
) -> None:
    """Each store stands for a process; all their connections are open and stay so, but are given up."""
    reader, writer, elsewhere = new_store(), new_store(), new_store()
    session = create(reader, user_id=new_user())
    sid = session.record.sid
    old, promoted = sentinels.primary, sentinels.replica
    replicate(old)
    assert stored(writer, sid)
    old.proxy.cut()
    sentinels.wait_promoted(promoted)

    # A process that has learned of the new primary, when its pool made a connection, writes nowhere else.
    pool = writer.transport.pool
    lent = [pool.get_connection(), pool.get_connection()]
    for connection in lent:
        pool.release(connection)
    user_id = new_user()
    made = [create(writer, user_id=user_id).record.sid for _ in range(5)]
    assert sorted(sids(elsewhere.records(user_id))) == sorted(made)
    assert elsewhere.end(sid, Ending("revoked", by="admin")) is not None
    assert isinstance(writer.load(sid), Tombstone)

    # One that only reads would make no connection: within about a second it asks all the same.
    eventually(lambda: isinstance(reader.load(sid), Tombstone))
    assert isinstance(asyncio.run(reader.face().load(sid)), Tombstone)
    with old.client() as client:
        assert list(client.scan_iter(f"*{sid}")), "it would have opened there"
    assert old.role == "master", "nobody has told it"
