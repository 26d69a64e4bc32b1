"""The Redis store on a cache alias of django-valkey. The server is Redis, which speaks the same."""

from __future__ import annotations

import asyncio
import threading
from importlib.util import find_spec
from typing import Any

import pytest
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured

from django_srvsession.backends.redis import RedisStore
from django_srvsession.backends.redis.checks import messages
from django_srvsession.records import TOUCH, Delta, Ending, Tombstone
from django_srvsession.store import StoreUnavailableError
from django_srvsession.testing.sessions import create, new_sid, new_user, stored
from tests.backends.redis_tools import use
from tests.patience import patient
from tests.redis_servers import TLSRedisServer
from tests.servers import RedisServer, missing


@pytest.fixture(autouse=True)
def _django_valkey() -> None:
    if find_spec("django_valkey") is None:
        missing("django-valkey")


def entry(url: str, **options: Any) -> dict[str, Any]:
    """Return an entry of ``CACHES``, as its documentation shows it."""
    limits = {"SOCKET_TIMEOUT": patient(0.5), "SOCKET_CONNECT_TIMEOUT": patient(0.5)}
    return {"BACKEND": "django_valkey.cache.ValkeyCache", "LOCATION": url, "OPTIONS": {**limits, **options}}


def here(server: RedisServer) -> str:
    """Return where a server is, as django-valkey spells it."""
    return server.url.replace("redis", "valkey", 1)


@pytest.fixture
def valkey_alias(redis_server: RedisServer, redis_prefix: str, settings: Any) -> dict[str, Any]:
    """The entry of the sessions' alias."""
    use(settings, entry(here(redis_server)))
    return dict(settings.CACHES["sessions"])


def test_sessions_live_and_end_in_threads_and_in_loops(valkey_alias: Any) -> None:
    store, user_id = RedisStore(), new_user()
    session = create(store, user_id=user_id, changed={"a": b"a"})
    sid, verifier = session.record.sid, session.record.verifier
    session = store.update(sid, verifier, Delta(changed={"b": b"b"}), session)
    assert stored(RedisStore(), sid).values == {"a": b"a", "b": b"b"}

    async def in_a_loop() -> None:
        await store.face().update(sid, verifier, TOUCH, session)
        assert [record.sid for record in await store.face().records(user_id)] == [sid]
        before = threading.active_count()
        await store.face().load(sid)
        assert threading.active_count() == before

    asyncio.run(in_a_loop())
    store.end(sid, Ending("logout"))
    assert isinstance(store.load(sid), Tombstone)


def test_ends_are_heard(valkey_alias: Any, settings: Any) -> None:
    settings.SRVSESSION_LIVE_NOTIFY = True
    store, heard, stopped, begun = RedisStore(), list[str](), threading.Event(), threading.Event()
    session = create(store)

    def hear(sids: Any) -> None:
        heard.extend(sids)
        begun.set()
        if sids:
            stopped.set()

    listener = threading.Thread(target=store.listen, args=[hear, stopped])
    listener.start()
    assert begun.wait(patient(10))
    store.end(session.record.sid, Ending("logout"))
    listener.join(patient(10))
    assert heard == [session.record.sid]


def test_an_outage_is_an_outage(settings: Any) -> None:
    use(settings, entry("valkey://127.0.0.1:1/0"))
    with pytest.raises(StoreUnavailableError):
        RedisStore().load(new_sid())


def test_keys_are_made_as_the_alias_makes_them(valkey_alias: Any, redis_server: RedisServer, settings: Any) -> None:
    use(settings, {**valkey_alias, "KEY_PREFIX": "site", "VERSION": 7})
    create(RedisStore())
    with redis_server.client() as client:
        keys = [key.decode() for key in client.scan_iter(f"site:7:{settings.SRVSESSION_REDIS_PREFIX}*")]
    assert keys


def test_it_speaks_tls(settings: Any) -> None:
    server = TLSRedisServer()
    server.start()
    try:
        use(settings, entry(server.url.replace("rediss", "valkeys", 1)))
        assert caches["sessions"].client.get_client(True).ping()  # type: ignore[attr-defined]
        session = create(RedisStore())
        assert asyncio.run(RedisStore().face().load(session.record.sid))
    finally:
        server.kill()


def test_a_good_alias_is_not_reported(valkey_alias: Any) -> None:
    assert messages(False) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"SERIALIZER": "django_valkey.serializers.pickle.PickleSerializer"}, []),
        ({"SERIALIZER": "django_valkey.serializers.json.JSONSerializer"}, ["srvsession.E106"]),
        ({"IGNORE_EXCEPTIONS": True}, ["srvsession.E106"]),
        ({"CLIENT_CLASS": "django_valkey.client.HerdClient"}, ["srvsession.E106"]),
        ({"SOCKET_TIMEOUT": None}, ["srvsession.W102"]),
    ],
)
def test_what_ours_do_not_obey_is_reported(valkey_alias: Any, settings: Any, options: Any, expected: list[str]) -> None:
    use(settings, {**valkey_alias, "OPTIONS": {**valkey_alias["OPTIONS"], **options}})
    assert [message.id for message in messages(False)] == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"BACKEND": "django_valkey.cluster_cache.cache.ClusterValkeyCache"},
        {
            "OPTIONS": {
                "CLIENT_CLASS": "django_valkey.client.SentinelClient",
                "CONNECTION_FACTORY": "django_valkey.pool.SentinelConnectionFactory",
                "SENTINELS": [("127.0.0.1", 1)],
            }
        },
        {"OPTIONS": {"CONNECTION_POOL_KWARGS": {"cache_enabled": True}}},
    ],
    ids=["cluster", "Sentinel", "an option"],
)
def test_what_sessions_cannot_use_is_an_error_that_names_the_remedy(settings: Any, wrong: dict[str, Any]) -> None:
    use(settings, {**entry("valkey://127.0.0.1:1/3"), **wrong})
    (message,) = messages(False)
    assert message.id == "srvsession.E102"
    assert "django-redis" in f"{message.msg}{message.hint}" or "cache_enabled" in message.msg
    with pytest.raises(ImproperlyConfigured):
        RedisStore().load(new_sid())
