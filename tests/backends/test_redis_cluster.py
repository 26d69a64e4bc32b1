"""The Redis store on a Redis Cluster whose slots move and whose nodes die, and the aliases that make one, or do not."""

from __future__ import annotations

import asyncio
import math
import re
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from redis.crc import key_slot

from django_srvsession.backends.redis import RedisStore
from django_srvsession.backends.redis.alias import CLUSTER_FACTORY
from django_srvsession.backends.redis.checks import messages
from django_srvsession.backends.redis.keys import Keys
from django_srvsession.backends.redis.transport import cluster as transport_cluster
from django_srvsession.backends.redis.transport import loops, redis_py
from django_srvsession.backends.redis.transport.cluster import BlockingCluster
from django_srvsession.records import Delta, Ending, Loaded, SessionRecord, Tombstone
from django_srvsession.store import StoreUnavailableError
from django_srvsession.testing.sessions import create, new_delta, new_sid, new_user, new_verifier, sids, stored
from tests.backends.redis_tools import not_stored_without_a_list, own_pool
from tests.docs.blocks import block
from tests.redis_servers import ClusterNode, ReplicatedCluster, TLSRedisServer
from tests.runs import wait_until
from tests.servers import free_port


@pytest.fixture
def cluster(replicated_cluster: ReplicatedCluster) -> ReplicatedCluster:
    return replicated_cluster


@pytest.fixture
def open_store(cluster: ReplicatedCluster, redis_prefix: str, settings: Any) -> Callable[..., RedisStore]:
    """Make a store whose client asks the cluster anew for its nodes, as a new process does."""

    def open_store(**options: Any) -> RedisStore:
        own_pool(settings, cluster.running[0].url, CONNECTION_FACTORY=CLUSTER_FACTORY, **options)
        return RedisStore()

    return open_store


@pytest.fixture
def store(open_store: Callable[..., RedisStore]) -> RedisStore:
    return open_store()


@pytest.fixture
def keys(redis_prefix: str) -> Keys:
    return Keys(redis_prefix)


# Slots that move.


def begin_move(source: ClusterNode, target: ClusterNode, key: bytes) -> None:
    """Begin to move the slot of a key, which is new there or moves at once: from now on the source answers ASK."""
    slot = key_slot(key)
    target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
    source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
    for moving in source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
        source.ask("MIGRATE", target.host, target.port, moving, 0, 2000)


def test_a_slot_on_its_way_to_a_node_that_the_client_has_not_met_is_read_and_written(
    cluster: ReplicatedCluster, open_store: Callable[..., RedisStore], keys: Keys
) -> None:
    store = open_store()
    session = create(store, user_id=new_user(), changed={"n": b"0"})
    sid, verifier, key = session.record.sid, session.record.verifier, keys.session(session.record.sid)
    newcomer = cluster.add_node()
    source = cluster.owner(key)
    begin_move(source, newcomer, key)
    for number in range(3):
        session = store.update(sid, verifier, Delta(changed={"n": b"%d" % number}), session)
    assert stored(store, sid).values == {"n": b"2"}
    assert session.record.version == 4  # Nothing was done twice.
    rotated = store.update(sid, verifier, Delta(changed={"n": b"3"}, new_verifier=new_verifier()), session)
    assert sids(store.records(session.record.user_id)) == [sid]
    assert store.check_index().unlisted == 0
    for node in (newcomer, source, *(node for node in cluster.running if node.is_primary)):
        node.ask("CLUSTER", "SETSLOT", key_slot(key), "NODE", newcomer.id)
    cluster.wait_ready()
    for each in (store, open_store()):  # MOVED, to a client with the old map; and one that begins now.
        assert stored(each, sid).record == rotated.record
    assert store.end(sid, Ending("logout")) == rotated.record
    assert isinstance(store.load(sid), Tombstone)


def test_whoever_finds_that_a_slot_has_moved_asks_for_the_map_and_goes_there(
    cluster: ReplicatedCluster, store: RedisStore, keys: Keys
) -> None:
    session = create(store, user_id=new_user())
    key = keys.session(session.record.sid)
    slots_map: Any = store.transport.map
    before = slots_map.slots.node_of(key).name
    target = next(node for node in cluster.running if node.is_primary and node.id != cluster.owner(key).id)
    cluster.move_slot_of(key, target)
    slots_map._refresh_from = 0.0
    assert stored(store, session.record.sid).record == session.record
    assert before != slots_map.slots.node_of(key).name == target.address


def test_a_node_that_hangs_is_an_outage_within_the_time_limits_and_its_replica_takes_over(
    cluster: ReplicatedCluster, store: RedisStore, keys: Keys
) -> None:
    session = create(store, user_id=new_user())
    sid, key = session.record.sid, keys.session(session.record.sid)
    hanging = cluster.owner(key)
    hanging.freeze()
    try:
        with pytest.raises(StoreUnavailableError):
            store.load(sid)

        def answers() -> bool:
            try:
                return isinstance(store.load(sid), Loaded)
            except StoreUnavailableError:
                return False

        job = cluster.running[0].job
        assert job
        wait_until(answers, job, 30)
    finally:
        hanging.thaw()
        cluster.wait_ready()
    store.update(sid, session.record.verifier, Delta(changed={"a": b"a"}), session)


# All nodes at once.


def spread(store: RedisStore) -> list[SessionRecord]:
    """Make sessions that are on several nodes."""
    return [create(store, user_id=new_user()).record for _ in range(30)]


def test_commands_go_to_all_nodes_before_any_of_them_is_waited_for(
    store: RedisStore, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, events = spread(store), list[str]()
    for name, function in (("send", redis_py.send), ("receive", redis_py.receive)):

        def noted(connection: Any, argument: Any, name: str = name, function: Any = function) -> Any:
            events.append(name)
            return function(connection, argument)

        monkeypatch.setattr(transport_cluster, name, noted)
    assert store.alive(sids(made)).keys() == {record.sid for record in made}
    nodes = {store.transport.map.slots.node_of(keys.session(record.sid)).name for record in made}  # type: ignore[attr-defined]
    assert len(nodes) >= 2
    assert events == ["send"] * len(nodes) + ["receive"] * len(nodes)


def test_a_loop_asks_all_nodes_at_once_and_uses_no_thread(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = spread(store)
    under_way, most = set[object](), list[int]()
    exchanged_over = loops.exchanged_over

    async def noted(pool: Any, commands: Any) -> Any:
        under_way.add(pool)
        try:
            return await exchanged_over(pool, commands)
        finally:
            most.append(len(under_way))
            under_way.discard(pool)

    monkeypatch.setattr(loops, "exchanged_over", noted)

    async def view() -> None:
        face, before = store.face(), threading.active_count()
        assert (await face.alive(sids(made))).keys() == {record.sid for record in made}
        assert isinstance(await face.load(made[0].sid), Loaded)
        assert threading.active_count() == before

    asyncio.run(view())
    assert max(most) >= 2


def test_every_verb_works_on_a_cluster_in_a_servers_loop(store: RedisStore) -> None:
    async def scenario() -> None:
        face, (sid, verifier, new, user_id) = store.face(), (new_sid(), new_verifier(), new_verifier(), new_user())
        created = await face.create(sid, verifier, new_delta(changed={"a": b"a"}))
        signed_in = await face.update(sid, verifier, Delta(user_id=user_id), created)
        rotated = await face.update(sid, verifier, Delta(changed={"b": b"b"}, new_verifier=new), signed_in)
        found = await face.load(sid)
        assert isinstance(found, Loaded)
        assert found[:2] == rotated[:2]
        assert await face.admit(user_id, sid, 1, "refuse") == []
        assert sids(await face.records(user_id)) == sids(await face.records()) == [sid]
        assert list(await face.alive([sid, new_sid()])) == [sid]
        assert (await face.activity()).live == 1
        assert await face.end_many([sid], Ending("logout")) == [rotated.record]
        assert isinstance(await face.load(sid), Tombstone)
        assert await store.loops.get(), "without a thread"

    asyncio.run(scenario())


def test_a_loop_follows_a_slot_to_where_it_goes(
    cluster: ReplicatedCluster, open_store: Callable[..., RedisStore], keys: Keys
) -> None:
    store = open_store()
    session = create(store, user_id=new_user(), changed={"n": b"0"})
    sid, verifier, key = session.record.sid, session.record.verifier, keys.session(session.record.sid)
    source, newcomer = cluster.owner(key), cluster.add_node()

    async def scenario() -> None:
        face = store.face()
        begin_move(source, newcomer, key)
        asked = await face.update(sid, verifier, Delta(changed={"n": b"1"}), session)
        for node in (newcomer, source, *(node for node in cluster.running if node.is_primary)):
            node.ask("CLUSTER", "SETSLOT", key_slot(key), "NODE", newcomer.id)
        await asyncio.to_thread(cluster.wait_ready)
        moved = await face.update(sid, verifier, Delta(changed={"n": b"2"}), asked)
        assert (moved.values, moved.record.version) == ({"n": b"2"}, 3)  # Nothing was done twice.
        assert await face.end(sid, Ending("logout", base=moved)) == moved.record

    asyncio.run(scenario())


def test_a_node_that_hangs_is_an_outage_in_a_loop_and_the_others_connections_stay(
    cluster: ReplicatedCluster, store: RedisStore, keys: Keys
) -> None:
    made = spread(store)
    hanging = cluster.owner(keys.session(made[0].sid))
    other = next(record for record in made if cluster.owner(keys.session(record.sid)) is not hanging)

    async def scenario() -> None:
        face = store.face()
        assert len(await face.alive(sids(made))) == len(made)
        pools = cast(Any, await store.loops.get())._nodes._pools
        before = {connection for pool in pools.values() for connection in pool._available_connections}
        hanging.freeze()
        try:
            with pytest.raises(StoreUnavailableError):
                await face.alive(sids(made))
            assert isinstance(await face.load(other.sid), Loaded)
        finally:
            hanging.thaw()
        after = {connection for pool in pools.values() for connection in pool._available_connections}
        assert before == after
        assert sum(connection.is_connected for connection in after) == len(after) - 1

    asyncio.run(scenario())
    cluster.wait_ready()


def test_a_node_that_hangs_costs_threads_no_connection_to_another(
    cluster: ReplicatedCluster, store: RedisStore, keys: Keys
) -> None:
    made = spread(store)
    slots = cast(Any, store.transport).map.slots
    hanging = cluster.owner(keys.session(made[0].sid))
    others = [slots.pool_of(node) for node in slots.primaries() if node.name != hanging.address]
    store.alive(sids(made))
    cast(Any, store.transport).map._refresh_from = math.inf  # To learn who is there, redis-py connects anew.
    before = {connection._sock for pool in others for connection in pool._available_connections}
    hanging.freeze()
    try:
        with pytest.raises(StoreUnavailableError):
            store.alive(sids(made))
    finally:
        hanging.thaw()
    assert before
    assert before <= {connection._sock for pool in others for connection in pool._available_connections}
    cluster.wait_ready()


# What could not be listed is not stored.


def test_a_session_that_could_not_be_listed_is_not_stored_on_a_cluster(
    cluster: ReplicatedCluster, store: RedisStore, keys: Keys
) -> None:
    not_stored_without_a_list(store, keys, cluster.owner)


# Aliases.


def documented_alias() -> dict[str, Any]:
    """Return the alias that the docs show for a cluster."""
    names: dict[str, Any] = {}
    exec(block("how-to/redis-cluster", "cluster-alias").text, names)
    return dict(names["CACHES"]["sessions"])


def test_the_alias_for_a_cluster_works_as_the_docs_show_it(
    cluster: ReplicatedCluster, redis_prefix: str, settings: Any
) -> None:
    alias, nodes = documented_alias(), [node for node in cluster.running if node.is_primary]
    alias["LOCATION"] = re.sub(r"//[^/]+", f"//{nodes[0].address}", alias["LOCATION"])
    alias["OPTIONS"]["STARTUP_NODES"] = [(node.host, node.port) for node in nodes[1:]]
    settings.CACHES = {**settings.CACHES, "sessions": alias}
    settings.SESSION_CACHE_ALIAS = "sessions"
    store = RedisStore()
    session = create(store, user_id="é", changed={"a": b"a"})
    assert stored(store, session.record.sid).values == {"a": b"a"}
    assert isinstance(store.transport, BlockingCluster)
    assert [message.id for message in [*messages(False), *messages(True)]] == []


def test_the_clients_of_a_cluster_obey_the_options_of_the_alias(
    cluster: ReplicatedCluster, open_store: Callable[..., RedisStore], settings: Any
) -> None:
    for node in cluster.running:
        node.ask("ACL", "SETUSER", "sessions", "on", ">s3cret", "~*", "&*", "+@all")
    options = {
        "USERNAME": "sessions",
        "PASSWORD": "s3cret",
        "SOCKET_TIMEOUT": 0.4,
        "SOCKET_CONNECT_TIMEOUT": 0.3,
        "CONNECTION_POOL_KWARGS": {"max_connections": 7},
        "REDIS_CLIENT_KWARGS": {"require_full_coverage": False},
    }
    store = open_store(**options)
    create(store)
    client: Any = store.transport.map.slots.client  # type: ignore[union-attr]
    pools = [client.get_redis_connection(node).connection_pool for node in client.get_primaries()]
    assert {pool.max_connections for pool in pools} == {7}
    told = [pool.connection_kwargs for pool in pools]
    assert {(each["socket_timeout"], each["socket_connect_timeout"]) for each in told} == {(0.4, 0.3)}
    assert client.execute_command("ACL WHOAMI", target_nodes=client.get_primaries()[0]) == "sessions"
    with pytest.raises(StoreUnavailableError):
        create(open_store(**{**options, "PASSWORD": "wrong"}))


def test_the_clients_of_a_cluster_speak_tls_where_the_alias_says_so(redis_prefix: str, settings: Any) -> None:
    server = TLSRedisServer(extra=["--cluster-enabled", "yes", "--tls-cluster", "yes"])
    server.extra = [*server.extra, "--cluster-port", str(free_port()), "--tls-ca-cert-file", str(server.certificate)]
    server.start()
    try:
        with server.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            job = server.job
            assert job
            wait_until(lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok", job)
        own_pool(settings, server.url, CONNECTION_FACTORY=CLUSTER_FACTORY)
        store = RedisStore()
        session = create(store, user_id=new_user())
        assert stored(store, session.record.sid).record == session.record
        plain = server.url.replace("rediss://", "redis://").partition("?")[0]
        own_pool(settings, plain, CONNECTION_FACTORY=CLUSTER_FACTORY)
        with pytest.raises(StoreUnavailableError):
            RedisStore().load(session.record.sid)
        certificates = {"CONNECTION_POOL_KWARGS": {"ssl_ca_certs": str(server.certificate)}}
        own_pool(settings, server.url.partition("?")[0], CONNECTION_FACTORY=CLUSTER_FACTORY, **certificates)
        assert stored(RedisStore(), session.record.sid).record == session.record
    finally:
        server.kill()


def test_a_cache_that_closes_its_connections_closes_those_of_a_cluster(store: RedisStore, settings: Any) -> None:
    session = create(store)
    settings.DJANGO_REDIS_CLOSE_CONNECTION = True
    caches["sessions"].close()
    assert stored(store, session.record.sid).record == session.record


def test_a_node_that_is_down_keeps_no_process_from_finding_the_cluster(
    cluster: ReplicatedCluster, redis_prefix: str, settings: Any
) -> None:
    known = [(node.host, node.port) for node in cluster.running[:2]]
    own_pool(settings, "redis://127.0.0.1:1/0", CONNECTION_FACTORY=CLUSTER_FACTORY, STARTUP_NODES=known)
    assert isinstance(create(RedisStore()), Loaded)


def test_a_cluster_that_cannot_be_reached_is_a_warning_of_check_deploy_and_an_outage(settings: Any) -> None:
    own_pool(settings, "redis://127.0.0.1:1/0", CONNECTION_FACTORY=CLUSTER_FACTORY)
    assert [message.id for message in messages(True)] == ["srvsession.W103"]
    with pytest.raises(StoreUnavailableError):
        RedisStore().load(new_sid())


def test_a_database_number_is_an_error_in_an_alias_for_a_cluster_and_is_no_advice(settings: Any) -> None:
    own_pool(settings, "redis://127.0.0.1:1/3", CONNECTION_FACTORY=CLUSTER_FACTORY)
    with pytest.raises(ImproperlyConfigured, match="database 0 only"):
        RedisStore().load(new_sid())
    assert [message.id for message in messages(True)] == ["srvsession.E102"]
    settings.CACHES = {**settings.CACHES, "pages": settings.CACHES["sessions"]}
    (shared,) = messages(False)
    assert (shared.id, str(shared.hint)[-24:]) == ("srvsession.W101", "Give sessions a cluster.")


def test_all_threads_share_the_client_of_a_cluster(cluster: ReplicatedCluster, store: RedisStore) -> None:
    clients = [store.transport.map.slots.client]  # type: ignore[union-attr]
    thread = threading.Thread(target=lambda: clients.append(caches["sessions"].client.get_client()))
    thread.start()
    thread.join()
    assert clients[0] is clients[1]


def test_a_plain_alias_to_a_cluster_is_an_error_of_check_deploy_and_says_so_when_it_is_used(
    cluster: ReplicatedCluster, redis_prefix: str, settings: Any
) -> None:
    own_pool(settings, cluster.running[0].url)
    assert [message.id for message in messages(True)] == ["srvsession.E107"]
    for use in (lambda: RedisStore().load(new_sid()), lambda: create(RedisStore())):
        with pytest.raises(StoreUnavailableError, match="CONNECTION_FACTORY"):
            _ = [use() for _ in range(30)]


def test_a_client_of_clusters_that_django_redis_cannot_make_is_an_error_with_a_hint(settings: Any) -> None:
    own_pool(settings, "redis://127.0.0.1:1/0", REDIS_CLIENT_CLASS="redis.cluster.RedisCluster")
    (error,) = messages(False)
    assert error.id == "srvsession.E102"
    assert CLUSTER_FACTORY in str(error.hint)
    assert messages(True) == []
    with pytest.raises(ImproperlyConfigured, match="REDIS_CLIENT_CLASS"):
        RedisStore().load(new_sid())


class ValkeyCache:
    """Be shaped as the cache of django-valkey is."""

    class Client:
        connection_pool = object()

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        self.client = self
        self.key_prefix = ""

    def get_client(self, write: bool = True) -> Any:
        return self.Client()

    def close(self, **kwargs: Any) -> None: ...


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"BACKEND": "tests.backends.test_redis_cluster.ValkeyCache"}, "neither one of django-redis"),
        ({"BACKEND": "django_valkey.cluster_cache.cache.ClusterValkeyCache"}, "django-redis, which speaks to Valkey"),
        ({"BACKEND": "django.core.cache.backends.redis.RedisCache"}, "neither one of django-redis"),
        (
            {
                "BACKEND": "django_redis.cache.RedisCache",
                "OPTIONS": {"CLIENT_CLASS": "django_redis.client.ShardClient"},
            },
            "sessions",
        ),
        ({"BACKEND": "django_redis.cache.RedisCache", "OPTIONS": {"CONNECTION_FACTORY": "no.such"}}, "no client"),
        ({"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "http://127.0.0.1:1/"}, "no client"),
        (
            {"BACKEND": "django_redis.cache.RedisCache", "OPTIONS": {"REDIS_CLIENT_KWARGS": {"no_such": 1}}},
            "no client",
        ),
    ],
    ids=[
        "shaped as django-valkey",
        "django-valkey for clusters",
        "Django's",
        "shards",
        "no factory",
        "no URL",
        "no option",
    ],
)
def test_an_alias_that_sessions_cannot_use_is_improperly_configured(
    settings: Any, entry: dict[str, Any], why: str
) -> None:
    settings.CACHES = {**settings.CACHES, "wrong": {"LOCATION": "redis://127.0.0.1:1/0", **entry}}
    settings.SESSION_CACHE_ALIAS = "wrong"
    with pytest.raises(ImproperlyConfigured, match=why):
        RedisStore().load(new_sid())
    found = [*messages(False), *messages(True)]
    assert "srvsession.E102" in [message.id for message in found]
    assert all(message.hint for message in found)
