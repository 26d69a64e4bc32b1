"""Where the store tells of ends, connections are closed at once; and as soon as ever where it cannot."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
from django.db import connections, transaction

from django_srvsession.backends.db import DatabaseStore
from django_srvsession.backends.redis import RedisStore
from django_srvsession.records import TOUCH, Ending, Tombstone
from django_srvsession.testing.sessions import new_delta, new_sid, new_verifier
from tests.live.listening import Listener, Socket, Stream, all_of, wait_for
from tests.live.servers import KINDS, LiveSite
from tests.live.test_ends import ENDS, end_by_expiry
from tests.memory import memory_store_fixture
from tests.patience import patient
from tests.servers import RedisServer
from tests.trust import WHOLE, rounds

__all__ = ["memory_store_fixture"]

EVERY_SECONDS = 3.0
AT_ONCE_SECONDS = 0.2

TELLING = ("redis", "memory", "postgresql", "cached_db")
"""The stores that tell of ends; of the one behind Redis it is the database, here PostgreSQL, that does."""
PAIRS = [(kind, store) for kind in KINDS for store in TELLING] if WHOLE else [("uvicorn", "redis")]


@pytest.fixture(scope="module", params=PAIRS, ids="-".join)
def site(request: pytest.FixtureRequest, live_settings: Any, live_databases: Any) -> Iterator[LiveSite]:
    """A site that asks the store seldom."""
    kind, store = request.param
    more = {"DATABASES": {"default": live_databases("postgresql")}} if store == "cached_db" else {}
    with KINDS[kind](
        **live_settings(store, TEST_LIVE_EVERY=EVERY_SECONDS, SRVSESSION_LIVE_NOTIFY=True, **more)
    ) as site:
        site.store = store
        yield site


def seconds_until_closed(listeners: Sequence[Listener], end: Callable[[], object]) -> float:
    end()
    began = time.monotonic()
    ends = [one.ended(2 * EVERY_SECONDS) for one in listeners]
    took = time.monotonic() - began
    assert [first for first, _ in ends] == [4401, *["session-ended"] * (len(ends) - 1)]
    return took


def test_an_end_closes_within_a_fifth_of_a_second(site: LiveSite, users: Any) -> None:
    ends = [end for end in ENDS if end is not end_by_expiry] * rounds(10)
    visitors = [(site.visitor(user), user) for user in users(len(ends))]
    visitors[0][0].get("/census/")
    opened = [(Socket(visitor), Stream(visitor)) for visitor, _ in visitors]
    with all_of(*itertools.chain(*opened)):
        wait_for(lambda: visitors[0][0].get("/census/").json()["asked"])  # It does so when it begins to listen.
        took = {
            (end.__name__, number): seconds_until_closed(of, partial(end, site, *visitor))
            for number, (of, end, visitor) in enumerate(zip(opened, ends, visitors, strict=True))
        }
    assert max(took.values()) < patient(AT_ONCE_SECONDS), took


def test_who_kills_the_push_connection_delays_an_end_by_the_poll_at_most(
    site: LiveSite, users: Any, request: pytest.FixtureRequest
) -> None:
    if site.store == "memory":
        return  # There is none.
    kill = kill_in_redis if site.store == "redis" else kill_in_postgresql
    visitors = [site.visitor(user) for user in users(2)]
    visitors[0].get("/census/")
    with all_of(*map(Socket, visitors)) as sockets:
        wait_for(lambda: visitors[0].get("/census/").json()["asked"])  # It does so when it begins to listen.
        assert kill(request) > 0
        assert seconds_until_closed(sockets[:1], lambda: visitors[0].get("/logout/")) < patient(EVERY_SECONDS)
        assert sockets[1].goes_on()


def kill_in_redis(request: pytest.FixtureRequest) -> int:
    with request.getfixturevalue("redis_server").client() as client:
        return int(client.execute_command("CLIENT", "KILL", "TYPE", "pubsub"))


def kill_in_postgresql(request: pytest.FixtureRequest) -> int:
    server = request.getfixturevalue("postgresql_server")
    with contextlib.closing(server.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN srvsession%'"
        )
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize("refused", ["channel", "command"])
def test_redis_ends_a_session_for_who_may_not_tell_of_it(
    redis_server: RedisServer, redis_alias: str, settings: Any, refused: str
) -> None:
    settings.SESSION_ENGINE = "django_srvsession.backends.redis"
    commands = ["+@all"] if refused == "channel" else ["+@all", "-publish"]
    with redis_server.client() as client:
        channels = {"reset_channels": True} if refused == "channel" else {}
        client.acl_setuser("mute", enabled=True, nopass=True, keys=["*"], commands=commands, **channels)
        url = redis_server.url.replace("redis://", "redis://mute:any@")
        settings.CACHES = {**settings.CACHES, "sessions": {**settings.CACHES["sessions"], "LOCATION": url}}
        store = RedisStore()
        for is_loaded in (False, True):
            session = store.create(new_sid(), new_verifier(), new_delta(user_id="1"))
            assert store.end(session.record.sid, Ending("revoked", base=session if is_loaded else None)) is not None
            found = store.load(session.record.sid)
            assert isinstance(found, Tombstone) and found.reason == "revoked"
        client.acl_deluser("mute")


def test_redis_tells_of_each_end_once_it_has_happened_and_of_nothing_else(redis_alias: str, settings: Any) -> None:
    settings.SESSION_ENGINE = "django_srvsession.backends.redis"
    store, heard, stopped = RedisStore(), [], threading.Event()
    listening = threading.Thread(target=store.listen, args=(heard.append, stopped))
    listening.start()
    wait_for(lambda: heard == [()])
    made = [store.create(new_sid(), new_verifier(), new_delta(user_id="1")) for _ in range(4)]
    one, other, *many = (session.record for session in made)
    store.update(one.sid, one.verifier, TOUCH, made[0])
    assert store.end(one.sid, Ending("revoked", verifier="0" * 64)) is None
    assert store.end(one.sid, Ending("revoked")) is not None
    assert store.end(one.sid, Ending("revoked")) is None
    assert store.end(other.sid, Ending("logout", base=made[1])) is not None
    assert len(store.end_many([record.sid for record in many], Ending("revoked"))) == 2
    wait_for(lambda: len(heard) >= 5)
    stopped.set()
    listening.join(patient(10))
    assert not listening.is_alive()
    assert heard == [(), *((record.sid,) for record in (one, other, *many))]


def test_memory_tells_of_each_end(store: Any) -> None:
    heard, stopped = [], threading.Event()
    listening = threading.Thread(target=store.listen, args=(heard.append, stopped))
    listening.start()
    wait_for(lambda: heard == [()])
    sids = [store.create(new_sid(), new_verifier(), new_delta(user_id="1")).record.sid for _ in range(3)]
    assert store.end(sids[0], Ending("revoked")) is not None
    assert store.end(sids[0], Ending("revoked")) is None
    assert len(store.end_many(sids, Ending("revoked"))) == 2
    stopped.set()
    listening.join(patient(10))
    assert not listening.is_alive()
    assert store.listeners == []
    assert heard == [(), *((sid,) for sid in sids)]


@pytest.mark.parametrize("database_alias", ["postgresql"], indirect=True)
def test_postgresql_tells_of_each_end_at_the_commit_and_of_a_batch_once(database_alias: str, settings: Any) -> None:
    settings.SRVSESSION_LIVE_NOTIFY = True
    store, heard, stopped = DatabaseStore(), [], threading.Event()
    listening = threading.Thread(target=store.listen, args=(heard.append, stopped))
    listening.start()
    wait_for(lambda: heard == [()])
    made = [store.create(new_sid(), new_verifier(), new_delta(user_id="1")) for _ in range(6)]
    one, other, rare, *many = (session.record for session in made)
    with transaction.atomic(database_alias):
        assert store.end(other.sid, Ending("revoked")) is not None
        transaction.set_rollback(True, database_alias)
    assert store.end(one.sid, Ending("revoked", verifier="0" * 64)) is None
    with transaction.atomic(database_alias):
        assert store.end(one.sid, Ending("revoked", verifier=one.verifier)) is not None
    assert store.end(one.sid, Ending("revoked")) is None
    assert store.end(other.sid, Ending("logout", base=made[1])) is not None
    assert store.end(rare.sid, Ending("revoked", expected={"none": None})) is not None
    assert len(store.end_many([record.sid for record in many], Ending("revoked"))) == 3
    wait_for(lambda: len(heard) >= 5)
    stopped.set()
    listening.join(patient(10))
    assert not listening.is_alive()
    assert heard == [(), (one.sid,), (other.sid,), (rare.sid,), ()]
    settings.SRVSESSION_LIVE_NOTIFY = False
    assert "notify" not in DatabaseStore()._database(database_alias).sql.end
    assert DatabaseStore().listen(heard.append, stopped) is False


@pytest.mark.parametrize("database_alias", ["postgresql"], indirect=True)
def test_behind_pgbouncer_in_its_transaction_mode_nobody_listens(
    database_alias: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SRVSESSION_LIVE_NOTIFY = True
    monkeypatch.setitem(connections[database_alias].settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)
    assert DatabaseStore().listen(lambda sids: None, threading.Event()) is False
