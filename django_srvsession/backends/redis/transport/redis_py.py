"""All that is used of redis-py beyond its documentation: connections, what a pool was made of, the map of a cluster.

``tests/backends/test_redis_py.py`` says what is missing after an upgrade. What each trick here earns is in
``docs/why/performance.rst``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import redis
import redis.asyncio as aioredis
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import AskError, RedisError, ResponseError
from redis.sentinel import SentinelConnectionPool, SentinelManagedConnection, SentinelManagedSSLConnection

from django_srvsession.backends.redis.transport import Command
from django_srvsession.backends.redis.transport.replies import is_from_the_primary
from django_srvsession.store import waiting

try:
    from hiredis import pack_command as _pack_command

    pack_command: Callable[[Command], bytes] = _pack_command
except ImportError:  # hiredis is optional.

    def pack_command(command: Command) -> bytes:
        """Write a command as Redis reads it: the number of its parts, and each with its length."""
        parts = [part if isinstance(part, bytes) else str(part).encode() for part in command]
        return b"*%d\r\n%b" % (len(parts), b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts]))


# Connections of threads.


def send(connection: Any, commands: Sequence[Command]) -> None:
    """Write commands to a connection at once."""
    data = pack_command(commands[0]) if len(commands) == 1 else b"".join(map(pack_command, commands))
    connection.send_packed_command([data])


def receive(connection: Any, count: int) -> list[Any]:
    """Read so many replies; an error reply is an exception in the list, if it is the primary's."""
    return [_reply(connection) for _ in range(count)]


def exchanged(connection: Any, commands: Sequence[Command]) -> list[Any]:
    """Send commands on a connection and return their replies."""
    limit_s = waiting.limit()
    if limit_s is not None:
        set_time_limit(connection, limit_s)
    send(connection, commands)
    replies = [_reply(connection) for _ in commands]
    if limit_s is not None:
        set_time_limit(connection, None)
    return replies


def set_time_limit(connection: Any, limit_s: float | None) -> None:
    """Let each wait for a reply take so many seconds at most; None: as the alias says."""
    own = connection.socket_timeout
    connection._sock.settimeout(own if limit_s is None else min(limit_s, own or limit_s))


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response(disable_decoding=True)
    except ResponseError as error:
        if is_from_the_primary(error):
            return error
        raise


def is_worth_keeping(connection: Any) -> bool:
    """Tell whether a connection has a socket, and is not to be made anew: redis-py 7 notes that a server will move."""
    should_reconnect = getattr(connection, "should_reconnect", None)
    return connection._sock is not None and not (should_reconnect is not None and should_reconnect())


def serves(connection: Any, is_asked: bool) -> bool | None:
    """Tell whether a connection that was kept is open; if it ``is_asked``, also whether the server has it open, too.

    None for one of another process, which was there before a ``fork()``: nobody may touch it here.
    """
    if connection.pid != os.getpid():
        return None
    return connection._sock is not None and not (is_asked and is_stale(connection))


def is_stale(connection: Any) -> bool:
    """Tell whether the server has closed a connection, or sent what nobody asked for."""
    try:
        return bool(connection.can_read())
    except (RedisError, OSError):
        return True


# Pools.


def is_plain(pool: Any) -> bool:
    """Tell whether all connections of a pool lead to one address for ever, and need nothing while they are idle.

    A pool of another class (Sentinel's, a project's own) may have reasons to give a connection up, and one with a cache
    listens on it.
    """
    return type(pool) in (redis.ConnectionPool, redis.BlockingConnectionPool) and getattr(pool, "cache", None) is None


def renews_credentials(pool: Any) -> bool:
    """Tell whether a pool's credentials may change: they reach a connection when the pool gets it back."""
    return pool.connection_kwargs.get("credential_provider") is not None


def asks_sentinels(pool: Any) -> bool:
    """Tell whether a pool learns from Sentinels which server is the primary, and leads there."""
    return isinstance(pool, SentinelConnectionPool) and bool(pool.is_master)


def ask_sentinels(pool: Any) -> tuple[str, int]:
    """Ask for the primary's address; where it is another than before, the pool closes what is idle."""
    host, port = pool.get_master_address()
    return str(host), int(port)


_TWINS: Final[dict[Any, Any]] = {
    redis.Connection: aioredis.Connection,
    redis.SSLConnection: aioredis.SSLConnection,
    redis.UnixDomainSocketConnection: aioredis.UnixDomainSocketConnection,
    SentinelManagedConnection: aioredis.Connection,
    SentinelManagedSSLConnection: aioredis.SSLConnection,
}
_SHARED: Final = frozenset(
    "host port path db username password credential_provider client_name protocol socket_timeout socket_connect_timeout"
    " socket_keepalive socket_keepalive_options socket_type socket_read_size health_check_interval".split()
)
_LEFT_OUT: Final = frozenset(
    "parser_class driver_info lib_name lib_version retry retry_on_timeout retry_on_error himport_registry"
    " event_dispatcher legacy_responses encoding"
    " encoding_errors decode_responses maint_notifications_config maint_notifications_pool_handler"
    " oss_cluster_maint_notifications_handler orig_host_address orig_socket_timeout orig_socket_connect_timeout".split()
)
"""What a pool holds that replies of ours do not depend on, or that only fits threads."""


class Twin(NamedTuple):
    """Say how to make a pool for an event loop that leads where a pool of threads leads."""

    connection_class: Any
    options: dict[str, Any]
    max_connections: int
    patience_s: float | None
    """How long to wait for a connection where all are in use; None: not at all."""

    def pool(self, **address: Any) -> Any:
        """Make the pool, to another address if one is given."""
        options = {**self.options, **address}
        if self.patience_s is None:
            return aioredis.ConnectionPool(self.connection_class, self.max_connections, **options)
        return aioredis.BlockingConnectionPool(
            self.max_connections, self.patience_s, connection_class=self.connection_class, **options
        )


def twin_of(pool: Any, client: RedisCluster | None = None) -> Twin | None:
    """Return the twin of a pool, which may be that of a node that a cluster's client has; None if it has none.

    A pool of a project's own class, or with a hook for threads, is used from a thread.
    """
    is_sentinels = type(pool) is SentinelConnectionPool and asks_sentinels(pool)
    if not (is_plain(pool) or is_sentinels):
        return None
    options, connection_class = dict(pool.connection_kwargs), _TWINS.get(pool.connection_class)
    if is_sentinels:
        del options["connection_pool"]
    if client is not None and _is_hook_of(client, options.get("redis_connect_func")):
        del options["redis_connect_func"]
    shared = {name: value for name, value in options.items() if is_shared(name)}
    if connection_class is None or not all(map(is_left_out, options.keys() - shared.keys())):
        return None
    patience_s = pool.timeout if isinstance(pool, redis.BlockingConnectionPool) else None
    return Twin(connection_class, shared, pool.max_connections, patience_s)


def is_shared(name: str) -> bool:
    """Tell whether an option of a pool says where it leads, and how."""
    return name in _SHARED or (name.startswith("ssl_") and "ocsp" not in name)


def is_left_out(name: str) -> bool:
    """Tell whether an option of a pool is one that nothing here depends on."""
    return name in _LEFT_OUT


def _is_hook_of(client: Any, hook: Any) -> bool:
    """Tell whether a hook is the client's own, and has nothing to do: it has replicas read where that was asked for."""
    return hook == client.on_connect and client.user_on_connect_func is None and not client.read_from_replicas


# Connections of event loops.


async def async_exchanged(connection: Any, commands: Sequence[Command]) -> list[Any]:
    """Do as :func:`exchanged` on a connection of an event loop, without a time limit of our own."""
    data = pack_command(commands[0]) if len(commands) == 1 else b"".join(map(pack_command, commands))
    await connection.send_packed_command([data])
    return [await _async_reply(connection) for _ in commands]


async def _async_reply(connection: Any) -> Any:
    try:
        return await connection.read_response(disable_decoding=True)
    except ResponseError as error:
        if is_from_the_primary(error):
            return error
        raise


# The map of a cluster.


class Slots:
    """Know which node of a cluster has which slot, by its client; raises what redis-py raises."""

    def __init__(self, client: RedisCluster) -> None:
        self.client: Any = client
        self._met: dict[tuple[str, int], Any] = {}

    def node_of(self, key: Any) -> Any:
        """Return the primary node of a key."""
        return self.client.get_node_from_key(key)

    def node_at(self, redirection: AskError, teller: Any) -> Any:
        """Return the node that another names; one that has no slot yet is on no map."""
        named = redirection.host or teller.host, redirection.port
        address: tuple[str, int] = self.client.nodes_manager.remap_host_port(*named)
        known = self.client.get_node(*address) or self._met.get(address)
        return known or self._met.setdefault(address, ClusterNode(*address))  # type: ignore[no-untyped-call]

    def primaries(self) -> list[Any]:
        """Return all primary nodes."""
        return list(self.client.get_primaries())

    def pool_of(self, node: Any) -> Any:
        """Return the pool of connections to a node."""
        return self.client.get_redis_connection(node).connection_pool

    def refresh(self) -> None:
        """Ask the nodes, over connections for that alone: redis-py 6 closes all to a node that it has asked."""
        manager = self.client.nodes_manager
        manager.startup_nodes = {
            name: ClusterNode(node.host, node.port)  # type: ignore[no-untyped-call]
            for name, node in manager.startup_nodes.items()
        }
        manager.initialize()
