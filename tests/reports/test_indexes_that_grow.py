"""Indexes of sessions in Redis, where nobody ever clears.

Reported of Spring Session (1715, 2614, 3183, 3287): the sessions run out by their TTL, and the set that lists a user's
does not. It grows with each sign-in, has no TTL, and each look at it reads all that ever was.

Right: what lists sessions is bounded by the sessions that live, and by what lapses of itself. A user's list goes with
the last session in it, and never before. The lists of everybody's hold no more than a few times as many entries as
there are sessions. That takes no clearing; clearing is what tells receivers of the ends.

In tables, files and MongoDB a session lists itself. There each stays until clearing has told of its end, as with
Django's own engines, and the doctor says when clearing does not run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from django_srvsession.backends.redis import RedisStore
from django_srvsession.backends.redis.keys import ANONYMOUS, USERS, Keys
from django_srvsession.records import TOUCH, UNSET, Delta, Loaded
from django_srvsession.testing.sessions import new_delta, new_sid, new_user, new_verifier
from tests.servers import RedisServer
from tests.trust import WHOLE

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@pytest.fixture
def store(redis_alias: str) -> RedisStore:
    return RedisStore()


@pytest.fixture
def keys(store: RedisStore) -> Keys:
    return store.tenants.now().keys


@pytest.fixture
def client(redis_server: RedisServer, redis_prefix: str) -> Any:
    with redis_server.client() as client:
        yield client
        client.unlink(*client.scan_iter(f"*{redis_prefix}*", count=10_000))


def begun(store: RedisStore, user_id: str | None, lifetime_ms: int = HOUR_MS) -> Loaded:
    delta = new_delta(user_id=UNSET if user_id is None else user_id, lifetime_ms=lifetime_ms)
    return store.create(new_sid(), new_verifier(), delta)


def lapses_at(client: Redis, keys: Keys, user_id: str) -> int:
    """Return when a user's list goes by itself, in milliseconds since 1970."""
    left = int(client.pttl(keys.user(user_id)))
    assert left > 0, "the list of a user who never comes back stays for ever"
    seconds, microseconds = client.time()
    return int(seconds * 1000 + microseconds // 1000 + left)


def test_a_users_list_lapses_when_the_last_session_in_it_has_and_never_before(
    store: RedisStore, client: Redis, keys: Keys
) -> None:
    user_id = new_user()
    long = begun(store, user_id, 30 * DAY_MS)
    begun(store, user_id, HOUR_MS)
    assert lapses_at(client, keys, user_id) >= long.record.expires_ms
    later = store.update(long.record.sid, long.record.verifier, Delta(lifetime_ms=300 * DAY_MS), long)
    assert lapses_at(client, keys, user_id) >= later.record.expires_ms
    begun(store, user_id, HOUR_MS)
    touched = store.update(long.record.sid, long.record.verifier, TOUCH, later)
    assert lapses_at(client, keys, user_id) >= touched.record.expires_ms
    # Runs ahead by a lifetime, and a day.
    assert lapses_at(client, keys, user_id) <= touched.record.expires_ms + 302 * DAY_MS


def test_so_does_the_list_of_who_signs_in_in_a_session_that_was_there(
    store: RedisStore, client: Redis, keys: Keys
) -> None:
    user_id, visitor = new_user(), begun(store, None)
    delta = Delta(user_id=user_id, lifetime_ms=9 * DAY_MS, new_verifier=new_verifier())
    signed_in = store.update(visitor.record.sid, visitor.record.verifier, delta, visitor)
    assert lapses_at(client, keys, user_id) >= signed_in.record.expires_ms


def test_so_does_a_list_that_was_lost_and_is_made_again(store: RedisStore, client: Redis, keys: Keys) -> None:
    user_id = new_user()
    session = begun(store, user_id, 9 * DAY_MS)
    client.delete(keys.user(user_id))
    assert store.relist() == 1
    assert lapses_at(client, keys, user_id) >= session.record.expires_ms


def test_so_does_a_list_that_holds_nothing_but_the_marks_of_a_limit(
    store: RedisStore, client: Redis, keys: Keys
) -> None:
    user_id = new_user()
    assert store.admit(user_id, new_sid(), 1, "end_oldest") == []
    assert lapses_at(client, keys, user_id)


def forget(store: RedisStore, client: Redis, keys: Keys, gone: list[Loaded]) -> None:
    """Let sessions be two minutes older, and Redis drop them: what their TTL does, a day after they expired."""
    pipeline = client.pipeline()
    for session in gone:
        sid = session.record.sid
        for kind in (USERS, ANONYMOUS):
            pipeline.zadd(keys.live_of(kind, sid), {sid: session.record.last_seen_ms - 120_000}, xx=True)
        pipeline.delete(keys.session(sid))
    pipeline.execute()


def entries(client: Redis, keys: Keys, kind: str) -> int:
    return sum(int(client.zcard(key)) for of_kind, key in keys.all_live if of_kind == kind)


GENERATIONS, SESSIONS = 14, 100


@pytest.mark.parametrize(
    ("kind", "in_loop"),
    [(USERS, False), (ANONYMOUS, True), *([(USERS, True), (ANONYMOUS, False)] if WHOLE else [])],
)
def test_the_lists_of_everybody_hold_a_few_times_what_lives_though_nobody_clears(
    store: RedisStore, client: Redis, keys: Keys, kind: str, in_loop: bool
) -> None:
    def generation() -> list[Loaded]:
        return [begun(store, new_user() if kind == USERS else None) for _ in range(SESSIONS)]

    async def agenerations() -> None:
        for _ in range(GENERATIONS):
            deltas = [new_delta(user_id=new_user() if kind == USERS else UNSET) for _ in range(SESSIONS)]
            made = [await store.face().create(new_sid(), new_verifier(), delta) for delta in deltas]
            forget(store, client, keys, made)

    def generations() -> None:
        for _ in range(GENERATIONS):
            forget(store, client, keys, generation())

    ways: dict[bool, Callable[[], object]] = {False: generations, True: lambda: asyncio.run(agenerations())}
    ways[in_loop]()
    live = generation()
    assert entries(client, keys, kind) < 8 * SESSIONS
    assert {record.sid for record in store.records()} == {session.record.sid for session in live}


def test_who_signs_in_in_a_session_that_was_there_keeps_the_lists_short_too(
    store: RedisStore, client: Redis, keys: Keys
) -> None:
    for _ in range(GENERATIONS):
        visitors = [begun(store, None) for _ in range(SESSIONS)]
        for visitor in visitors:
            delta = Delta(user_id=new_user(), new_verifier=new_verifier())
            store.update(visitor.record.sid, visitor.record.verifier, delta, visitor)
        forget(store, client, keys, visitors)
    assert entries(client, keys, USERS) < 8 * SESSIONS
    assert entries(client, keys, ANONYMOUS) < 8 * SESSIONS


def test_a_sign_in_under_way_is_not_taken_for_an_entry_that_points_nowhere(
    store: RedisStore, client: Redis, keys: Keys
) -> None:
    listed = [new_sid() for _ in range(200)]
    now_ms = begun(store, None).now_ms
    for sid in listed:
        client.zadd(keys.live_of(ANONYMOUS, sid), {sid: now_ms})
    for _ in range(10 * SESSIONS):
        begun(store, None)
    assert all(client.zscore(keys.live_of(ANONYMOUS, sid), sid) is not None for sid in listed)
