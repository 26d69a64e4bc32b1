"""What is used of redis-py beyond its documentation is still there, and does what is said of it.

Run after an upgrade of redis-py. A failure names what ``backends/redis/transport/redis_py.py`` has to do otherwise.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import pytest
import redis
import redis.asyncio as aioredis
from redis.cluster import ClusterNode, RedisCluster
from redis.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection, SentinelManagedSSLConnection

from django_srvsession.backends.redis.transport import redis_py, runs
from tests.patience import patient
from tests.redis_servers import ReplicatedCluster
from tests.servers import RedisServer

pytestmark = pytest.mark.fence

VERSION = redis.__version__


def must_have(thing: Any, *names: str) -> None:
    """Fail, with words for who upgrades, where a name is gone."""
    title = thing.__name__ if inspect.isclass(thing) or inspect.ismodule(thing) else type(thing).__name__
    gone = [name for name in names if not hasattr(thing, name)]
    assert not gone, f"redis-py {VERSION}: {title} has no {', '.join(gone)}; see transport/redis_py.py"


def must_take(function: Any, *names: str) -> None:
    """Fail, with words for who upgrades, where a parameter is gone."""
    gone = set(names) - inspect.signature(function).parameters.keys()
    assert not gone, (
        f"redis-py {VERSION}: {function.__qualname__} takes no {', '.join(gone)}; see transport/redis_py.py"
    )


@pytest.fixture
def pool(redis_server: RedisServer) -> Iterator[Any]:
    pool = redis.ConnectionPool.from_url(redis_server.url)
    yield pool
    pool.disconnect()


def test_a_connection_of_threads_is_what_we_take_it_for(pool: Any) -> None:
    connection = pool.get_connection()
    must_have(connection, "_sock", "pid", "socket_timeout", "send_packed_command", "can_read", "disconnect")
    must_have(connection._sock, "settimeout")
    must_take(type(connection).read_response, "disable_decoding")
    assert redis_py.exchanged(connection, [("SET", "redis-py", b"\xff"), ("GET", "redis-py"), ("NONSENSE",)])[:2] == [
        b"OK",
        b"\xff",
    ]
    assert isinstance(redis_py.exchanged(connection, [("NONSENSE",)])[0], redis.ResponseError)
    assert redis_py.serves(connection, is_asked=True)
    assert redis_py.is_worth_keeping(connection)
    assert not redis_py.is_stale(connection)
    redis_py.send(connection, [("PING",)])
    assert connection.can_read(timeout=patient(5)), f"redis-py {VERSION}: can_read() does not see a reply"
    assert redis_py.serves(connection, is_asked=True) is False, "a reply that nobody has read"
    assert redis_py.receive(connection, 1) == [b"PONG"]
    connection.disconnect()
    assert redis_py.serves(connection, is_asked=False) is False
    assert not redis_py.is_worth_keeping(connection)
    pool.release(connection)


def test_a_time_limit_holds_for_one_exchange(pool: Any) -> None:
    connection = pool.get_connection()
    redis_py.set_time_limit(connection, 0.01)
    redis_py.send(connection, [("BLPOP", "nobody-pushes", patient(5))])
    with pytest.raises(redis.TimeoutError):
        redis_py.receive(connection, 1)
    pool.release(connection)


def test_a_pool_says_what_it_was_made_of(pool: Any) -> None:
    must_have(pool, "connection_kwargs", "connection_class", "max_connections", "get_connection", "release")
    assert redis_py.is_plain(pool)
    assert pool.connection_class is redis.Connection
    blocking = redis.BlockingConnectionPool(timeout=3)
    must_have(blocking, "timeout")
    assert redis_py.is_plain(blocking)


@pytest.mark.parametrize("own", [redis.ConnectionPool, redis.BlockingConnectionPool])
@pytest.mark.parametrize(
    "url",
    [
        "redis://user:word@192.0.2.1:7000/3?socket_timeout=2&health_check_interval=30&protocol=3",
        "rediss://192.0.2.1:7000?ssl_cert_reqs=required",
        "unix:///run/redis.sock?db=2",
    ],
)
def test_a_pool_of_a_loop_leads_where_the_pool_of_threads_leads(own: Any, url: str) -> None:
    of_threads = own.from_url(url, max_connections=7)
    twin = redis_py.twin_of(of_threads)
    unknown = of_threads.connection_kwargs.keys() - redis_py._SHARED - redis_py._LEFT_OUT
    assert twin is not None, f"redis-py {VERSION}: are {sorted(unknown)} for threads only, or for the loops' pools too?"
    of_loop = twin.pool()
    assert of_loop.max_connections == 7
    assert isinstance(of_loop, aioredis.BlockingConnectionPool if twin.patience_s else aioredis.ConnectionPool)
    for name in ("host", "port", "path", "db", "username", "password", "socket_timeout", "ssl_cert_reqs", "protocol"):
        assert of_loop.connection_kwargs.get(name) == of_threads.connection_kwargs.get(name), name
    made = of_loop.make_connection()
    assert isinstance(
        made, {"redis": aioredis.Connection}.get(url.partition(":")[0], aioredis.connection.AbstractConnection)
    )


def test_a_pool_that_asks_sentinels_has_a_twin_without_them() -> None:
    for is_tls, of_loop in ((False, aioredis.Connection), (True, aioredis.SSLConnection)):
        pool = SentinelConnectionPool("mymaster", Sentinel([("192.0.2.1", 26379)]), ssl=is_tls, socket_timeout=1)
        must_have(pool, "is_master", "get_master_address")
        assert pool.connection_class in (SentinelManagedConnection, SentinelManagedSSLConnection)
        assert redis_py.asks_sentinels(pool)
        twin = redis_py.twin_of(pool)
        assert twin is not None, f"redis-py {VERSION}: what else does a Sentinel's pool give its connections?"
        assert twin.connection_class is of_loop
        assert twin.pool(host="192.0.2.7", port=1).connection_kwargs["host"] == "192.0.2.7"


def test_a_connection_of_a_loop_is_what_we_take_it_for(redis_server: RedisServer, pool: Any) -> None:
    twin = redis_py.twin_of(pool)
    assert twin is not None

    async def scenario() -> None:
        of_loop = twin.pool()
        connection = await of_loop.get_connection()
        must_have(connection, "send_packed_command", "disconnect", "is_connected")
        must_take(type(connection).read_response, "disable_decoding")
        must_take(type(connection).disconnect, "nowait")
        must_take(type(of_loop).disconnect, "inuse_connections")
        replies = await redis_py.async_exchanged(connection, [("SET", "redis-py", b"\xff"), ("GET", "redis-py")])
        assert replies == [b"OK", b"\xff"]
        assert isinstance((await redis_py.async_exchanged(connection, [("NONSENSE",)]))[0], redis.ResponseError)
        await of_loop.release(connection)
        await of_loop.disconnect()

    asyncio.run(scenario())


def test_the_client_of_a_cluster_has_the_map_of_its_slots(replicated_cluster: ReplicatedCluster) -> None:
    node = replicated_cluster.running[0]
    client = RedisCluster(host=node.host, port=node.port)
    must_have(client, "nodes_manager", "get_node_from_key", "get_node", "get_primaries", "get_redis_connection")
    must_have(client, "on_connect", "user_on_connect_func", "read_from_replicas")
    must_have(client.nodes_manager, "initialize", "remap_host_port", "startup_nodes")
    slots = redis_py.Slots(client)
    key = b"redis-py"
    assert replicated_cluster.owner(key).address == slots.node_of(key).name
    assert {each.name for each in slots.primaries()} == {n.address for n in replicated_cluster.running if n.is_primary}
    moved = redis.exceptions.MovedError("5 192.0.2.1:7")
    assert (moved.host, moved.port) == ("192.0.2.1", 7)
    assert slots.node_at(moved, slots.node_of(key)) is slots.node_at(moved, slots.node_of(key))
    assert isinstance(slots.node_at(moved, slots.node_of(key)), ClusterNode)
    under_way = [(pool, pool.get_connection()) for pool in map(slots.pool_of, slots.primaries())]
    for _, connection in under_way:
        redis_py.send(connection, [("PING",)])
    slots.refresh()
    for pool, connection in under_way:
        assert redis_py.receive(connection, 1) == [b"PONG"], f"redis-py {VERSION}: a refresh cuts off who waits"
        pool.release(connection)
    pool = slots.pool_of(slots.node_of(key))
    unknown = pool.connection_kwargs.keys() - redis_py._SHARED - redis_py._LEFT_OUT - {"redis_connect_func"}
    assert redis_py.twin_of(pool, client) is not None, f"redis-py {VERSION}: what are {sorted(unknown)} of a node?"
    hook = RedisCluster(host=node.host, port=node.port, redis_connect_func=lambda connection: None)
    assert redis_py.twin_of(redis_py.Slots(hook).pool_of(hook.get_primaries()[0]), hook) is None
    for each in (client, hook):
        each.close()


def test_a_pool_of_our_own_gives_up_soon_and_knows_which_run_it_leads_to(redis_server: RedisServer) -> None:
    options: dict[str, Any]
    for options in ({}, {"socket_timeout": 0.2, "health_check_interval": 5}):
        pool = redis.ConnectionPool.from_url(redis_server.url, **options)
        own = runs.impatient_pool(pool, 0.3)
        assert own is not None, f"redis-py {VERSION}: a plain pool has an option that twin_of() does not know"
        connection = own.get_connection()
        must_have(connection, "on_connect", "redis_connect_func", "retry")
        limits = connection.socket_timeout, connection.socket_connect_timeout
        assert limits == (options.get("socket_timeout", 0.3), 0.3), "the shorter one"
        assert connection.retry.get_retries() == 0
        run = runs.run_of(connection)
        assert run is not None
        assert len(run) == runs.RUN_BYTES
        assert asyncio.run(_run_by_loop(pool)) == run
        own.disconnect()
        assert runs.run_of(pool.get_connection()) is None
        pool.disconnect()


async def _run_by_loop(pool: Any) -> bytes | None:
    twin = runs.impatient_twin(pool, 0.3)
    assert twin is not None
    own = twin.pool()
    connection = await own.get_connection()
    must_take(aioredis.connection.AbstractConnection.__init__, "redis_connect_func", "retry")
    run = runs.run_of(connection)
    await own.disconnect()
    return run
