"""The way to Redis for event loops: a long-lived one has connections of its own, a request's goes through a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import Any, cast

from asgiref.sync import AsyncToSync
from redis.exceptions import NoScriptError

from django_srvsession.backends.redis.transport import BlockingTransport, Command, Transport
from django_srvsession.backends.redis.transport.cluster import BlockingCluster, ClusterTransport, MapOfSlots, Portion
from django_srvsession.backends.redis.transport.redis_py import Twin, asks_sentinels, async_exchanged, twin_of
from django_srvsession.backends.redis.transport.replies import FAILURES, unavailable
from django_srvsession.backends.redis.transport.sentinels import Sentinels
from django_srvsession.backends.redis.transport.threads import ThreadTransport, with_text
from django_srvsession.store import waiting

Close = Callable[[], Coroutine[Any, Any, None]]


def loop_is_short_lived() -> bool:
    """Tell whether the running loop was made by ``async_to_sync`` for one call, as a WSGI server does per request."""
    # Not an API of asgiref's. Without it each such loop would open connections, and close them at its end.
    return asyncio.get_running_loop() in getattr(AsyncToSync, "loop_thread_executors", ())


async def exchanged_over(pool: Any, commands: Sequence[Command]) -> list[Any]:
    """Send commands over a pool of the running loop and return their replies; raises what redis-py raises.

    A cancelled call discards its connection.
    """
    connection = await pool.get_connection()
    try:
        async with asyncio.timeout(waiting.limit()):
            return await async_exchanged(connection, commands)
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    finally:
        await pool.release(connection)


class LoopTransport:
    """Send commands to one server from one event loop."""

    is_one_server = True

    def __init__(self, twin: Twin) -> None:
        self.twin = twin
        self.pool = twin.pool()

    async def call(self, commands: Sequence[Command]) -> list[Any]:
        """Send the commands in their order and return their replies."""
        try:
            replies = await self._exchange(commands)
            for number, reply in enumerate(replies):
                if isinstance(reply, NoScriptError):
                    (replies[number],) = await self._exchange([with_text(commands[number])])
        except FAILURES as error:
            raise unavailable(error) from error
        return replies

    async def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        return await exchanged_over(self.pool, commands)

    async def close(self) -> None:
        """Close the connections."""
        await self.pool.disconnect()


class SentinelTransport(LoopTransport):
    """Send commands to the server that the Sentinels call the primary; they are asked in a thread."""

    def __init__(self, twin: Twin, pool_of_threads: Any) -> None:
        super().__init__(twin)
        self._sentinels = Sentinels(pool_of_threads)
        self._address: tuple[str, int] | None = None

    async def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        await self._follow()
        pool = self.pool
        try:
            return await exchanged_over(pool, commands)
        except FAILURES:
            self._sentinels.forget()  # Whose connection broke, or who refused, may be the primary no more.
            raise
        finally:
            if pool is not self.pool:
                await pool.disconnect(inuse_connections=False)

    async def _follow(self) -> None:
        """Lead to the primary from now on; what is idle of the former one's connections is closed."""
        address = self._sentinels.address
        if address is None:
            address = await asyncio.to_thread(self._sentinels.ask)
        elif self._sentinels.is_due:
            address = await asyncio.to_thread(self._sentinels.ask_now_and_then) or address
        if address != self._address:
            former, self._address = self.pool, address
            self.pool = self.twin.pool(host=address[0], port=address[1])
            await former.disconnect(inuse_connections=False)


class LoopNodes:
    """Talk to the nodes of a cluster from one event loop."""

    def __init__(self, map_of_slots: MapOfSlots) -> None:
        self._map = map_of_slots
        self._pools: dict[str, Any] = {}

    @property
    def is_possible(self) -> bool:
        """Tell whether the connections of the cluster's client have a twin."""
        slots = self._map.slots
        return all(twin_of(slots.pool_of(node), slots.client) for node in slots.primaries()[:1])

    async def exchange(self, portions: Sequence[Portion]) -> list[list[Any]]:
        """Send each node its commands, all nodes at once."""
        if len(portions) == 1:
            ((node, commands),) = portions
            return [await exchanged_over(self._pool_to(node), commands)]
        under_way = [exchanged_over(self._pool_to(node), commands) for node, commands in portions]
        answers = await asyncio.gather(*under_way, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return answers  # type: ignore[return-value]

    def _pool_to(self, node: Any) -> Any:
        pool = self._pools.get(node.name)
        if pool is None:
            slots = self._map.slots
            twin = twin_of(slots.pool_of(node), slots.client)
            pool = self._pools[node.name] = cast(Twin, twin).pool()
        return pool

    async def refresh(self, map_of_slots: MapOfSlots) -> None:
        """Have the map learn anew, in a thread."""
        await asyncio.to_thread(map_of_slots.refresh)

    async def close(self) -> None:
        """Close the connections."""
        for pool in self._pools.values():
            await pool.disconnect()


class Loops:
    """Keep one way to Redis per long-lived event loop."""

    def __init__(self) -> None:
        self.transports: dict[asyncio.AbstractEventLoop, Transport] = {}
        self._closing: dict[asyncio.AbstractEventLoop, AsyncGenerator[None, None]] = {}

    async def transport(self, of_threads: BlockingTransport) -> Transport | None:
        """Return the running loop's way to where threads are led, or None when it has to go through a thread."""
        loop = asyncio.get_running_loop()
        known = self.transports.get(loop)
        if known is not None or loop_is_short_lived():
            return known
        transport, close = _for_a_loop(of_threads)
        if transport is not None and close is not None:
            self._forget_closed()
            self.transports[loop] = transport
            self._closing[loop] = closing = _close_with_loop(close)
            await anext(closing)
        return transport

    def _forget_closed(self) -> None:
        # Not a WeakKeyDictionary: connections refer to their loop, so that its entry would never go.
        for loop in [loop for loop in self.transports if loop.is_closed()]:
            self.transports.pop(loop, None)
            self._closing.pop(loop, None)


def _for_a_loop(of_threads: BlockingTransport) -> tuple[Transport | None, Close | None]:
    """Return a way to Redis for the running loop and what closes it; nothing where no twin of the pool is known."""
    if isinstance(of_threads, BlockingCluster):
        nodes = LoopNodes(of_threads.map)
        return (ClusterTransport(of_threads.map, nodes), nodes.close) if nodes.is_possible else (None, None)
    twin = twin_of(of_threads.pool) if isinstance(of_threads, ThreadTransport) else None
    if twin is None or not isinstance(of_threads, ThreadTransport):
        return None, None
    pool = of_threads.pool
    transport = SentinelTransport(twin, pool) if asks_sentinels(pool) else LoopTransport(twin)
    return transport, transport.close


async def _close_with_loop(close: Close) -> AsyncGenerator[None, None]:
    # asyncio.run() and its like close the generators that are still open before they close the loop; and a generator
    # that is collected, with the store that it belonged to, is closed by the loop that it was started in.
    try:
        yield
    finally:
        await close()
