"""The Redis store whose alias asks Sentinels: it follows them to another primary, whatever became of the first one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from django_srvsession.backends.redis import RedisStore
from django_srvsession.records import TOUCH, Loaded, Tombstone
from django_srvsession.store import StoreUnavailableError
from tests.backends.redis_tools import use_alias
from tests.backends.sessions import create, new_user, sids, stored
from tests.redis_sentinels import ReplicatedServer, SentinelGroup

SECONDS = 15
"""How long something may take that takes a second where the machine has time."""


@pytest.fixture
def new_store(sentinels: SentinelGroup, redis_prefix: str, settings: Any) -> Callable[[], RedisStore]:
    """Make stores as several processes have them: each with a pool of its own."""

    def new() -> RedisStore:
        use_alias(settings, sentinels.cache_settings())
        store = RedisStore()
        assert store._wire
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


def test_a_primary_that_hangs_is_left_for_the_promoted_one(
    sentinels: SentinelGroup, new_store: Callable[[], RedisStore]
) -> None:
    """By threads and by an event loop: each has connections that it used before."""
    threads, loop = new_store(), new_store()
    session = create(threads, user_id=new_user())
    sid, verifier = session.record.sid, session.record.verifier

    async def in_a_loop() -> None:
        assert isinstance(await loop.aload(sid), Loaded)
        with sentinels.primary.frozen():
            with pytest.raises(StoreUnavailableError):
                threads.load(sid)
            with pytest.raises(StoreUnavailableError):
                await loop.aload(sid)
            await asyncio.to_thread(sentinels.wait_promoted, promoted)
            # Nobody has told the stores, but their connections to the first primary broke: no outage any more.
            for _ in range(5):
                assert stored(threads, sid)
                threads.update(sid, verifier, TOUCH)
                assert isinstance(await loop.aload(sid), Loaded)
                await loop.aupdate(sid, verifier, TOUCH)

    promoted = sentinels.replica
    replicate(sentinels.primary)
    asyncio.run(in_a_loop())


def test_what_is_created_after_a_failover_is_created_at_the_new_primary(
    sentinels: SentinelGroup, new_store: Callable[[], RedisStore]
) -> None:
    """Also where a connection to the old one was just at hand when the pool learned of the new one."""
    store = new_store()
    create(store)
    old, promoted = sentinels.primary, sentinels.replica
    old.proxy.cut()
    sentinels.wait_promoted(promoted)
    pool = store._wire.pool
    lent = [pool.get_connection(), pool.get_connection()]  # The second is new: the pool asks, and learns.
    for connection in lent:
        pool.release(connection)
    user_id = new_user()
    made = [create(store, user_id=user_id).record.sid for _ in range(5)]
    elsewhere = new_store()
    assert sorted(sids(elsewhere.records(user_id))) == sorted(made)
    assert all(isinstance(elsewhere.load(sid), Loaded) for sid in made)


def test_a_revoked_session_does_not_open_at_a_primary_that_only_the_sentinels_cannot_reach(
    sentinels: SentinelGroup, new_store: Callable[[], RedisStore]
) -> None:
    """A process whose connections stay open has no reason to ask Sentinel: it asks all the same."""
    store = new_store()
    session = create(store, user_id=new_user())
    sid = session.record.sid
    old, promoted = sentinels.primary, sentinels.replica
    replicate(old)
    old.proxy.cut()
    sentinels.wait_promoted(promoted)
    assert new_store().end(sid, "revoked", by="admin") is not None
    eventually(lambda: isinstance(store.load(sid), Tombstone))
    assert old.role == "master", "nobody has told it"
    assert isinstance(asyncio.run(store.aload(sid)), Tombstone)
    with old.client() as client:  # And it would still have opened there.
        assert client.exists(store._keys.session(sid))
