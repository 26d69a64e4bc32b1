"""The way to Redis for event loops: a long-lived one has connections of its own, a request's goes through a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

import redis
import redis.asyncio as aioredis
from asgiref.sync import AsyncToSync
from redis.exceptions import NoScriptError, ResponseError

from django_srvsession.backends.redis.codec import Command
from django_srvsession.backends.redis.connections import is_plain
from django_srvsession.backends.redis.wire import FAILURES, is_from_the_primary, packed, unavailable, with_text
from django_srvsession.store import waiting

_ASYNC_CLASSES: Final[dict[Any, Any]] = {
    redis.Connection: aioredis.Connection,
    redis.SSLConnection: aioredis.SSLConnection,
    redis.UnixDomainSocketConnection: aioredis.UnixDomainSocketConnection,
}
_SHARED_OPTIONS: Final = frozenset(
    "host port path db username password credential_provider client_name protocol socket_timeout socket_connect_timeout"
    " socket_keepalive socket_keepalive_options socket_type socket_read_size health_check_interval".split()
)
_LEFT_OUT: Final = frozenset(
    "parser_class retry retry_on_timeout retry_on_error himport_registry event_dispatcher legacy_responses encoding"
    " encoding_errors decode_responses maint_notifications_config maint_notifications_pool_handler"
    " orig_host_address orig_socket_timeout orig_socket_connect_timeout".split()
)
"""What a pool holds that replies of ours do not depend on, or that only fits threads."""


def loop_is_short_lived() -> bool:
    """Tell whether the running loop was made by ``async_to_sync`` for one call, as a WSGI server does per request."""
    # Not an API of asgiref's. Without it each such loop would open connections, and close them at its end.
    return asyncio.get_running_loop() in getattr(AsyncToSync, "loop_thread_executors", ())


def _is_shared(name: str) -> bool:
    return name in _SHARED_OPTIONS or (name.startswith("ssl_") and "ocsp" not in name)


def new_loop_pool(pool: Any) -> Any:
    """Make a pool for an event loop with the settings of the alias's pool, or None when that is not a plain one.

    Sentinels, clusters and classes of the project's own have no twin that we know: they are used from a thread.
    """
    if not is_plain(pool):
        return None
    options, connection_class = pool.connection_kwargs, _ASYNC_CLASSES.get(pool.connection_class)
    shared = {name: value for name, value in options.items() if _is_shared(name)}
    if connection_class is None or options.keys() - shared.keys() - _LEFT_OUT:
        return None
    if isinstance(pool, redis.BlockingConnectionPool):
        shared["timeout"] = pool.timeout
        return aioredis.BlockingConnectionPool(pool.max_connections, connection_class=connection_class, **shared)
    return aioredis.ConnectionPool(connection_class, pool.max_connections, **shared)


class LoopWire:
    """Send commands from one event loop; a cancelled call discards its connection."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self._closing = _close_with_loop(pool)

    async def open(self) -> LoopWire:
        """Have the loop close the connections when it shuts down."""
        await anext(self._closing)
        return self

    async def call(self, commands: Sequence[Command]) -> list[Any]:
        """Do as :meth:`Wire.call`, awaiting."""
        replies = await self._exchange(commands)
        for number, reply in enumerate(replies):
            if isinstance(reply, NoScriptError):
                replies[number] = (await self._exchange([with_text(commands[number])]))[0]
        return replies

    async def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        try:
            connection = await self.pool.get_connection()
        except FAILURES as error:
            raise unavailable(error) from error
        try:
            async with asyncio.timeout(waiting.limit()):
                await connection.send_packed_command(packed(commands))
                return [await _async_reply(connection) for _ in commands]
        except FAILURES as error:
            await connection.disconnect(nowait=True)
            raise unavailable(error) from error
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        finally:
            await self.pool.release(connection)


async def _async_reply(connection: Any) -> Any:
    try:
        return await connection.read_response(disable_decoding=True)
    except ResponseError as error:
        if is_from_the_primary(error):
            return error
        raise


async def _close_with_loop(pool: Any) -> AsyncGenerator[None, None]:
    # asyncio.run() and its like close the generators that are still open before they close the loop; and a generator
    # that is collected, with the store that it belonged to, is closed by the loop that it was started in.
    try:
        yield
    finally:
        await pool.disconnect()


class LoopWires:
    """Keep one :class:`LoopWire` per long-lived event loop."""

    def __init__(self) -> None:
        self._wires: dict[asyncio.AbstractEventLoop, LoopWire] = {}

    async def get(self, pool: Any) -> LoopWire | None:
        """Return the running loop's wire, or None when the loop has to go through a thread."""
        loop = asyncio.get_running_loop()
        wire = self._wires.get(loop)
        if wire is None and not loop_is_short_lived() and (loop_pool := new_loop_pool(pool)) is not None:
            self._forget_closed()
            wire = self._wires[loop] = LoopWire(loop_pool)
            await wire.open()
        return wire

    def _forget_closed(self) -> None:
        # Not a WeakKeyDictionary: connections refer to their loop, so that its entry would never go.
        for loop in [loop for loop in self._wires if loop.is_closed()]:
            self._wires.pop(loop, None)
