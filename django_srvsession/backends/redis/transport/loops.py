"""The way to Redis for event loops that have connections of their own; see ``store/loops.py`` for which have."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

from redis.exceptions import NoScriptError

from django_srvsession.backends.redis.transport import BlockingTransport, Command, Transport
from django_srvsession.backends.redis.transport.cluster import BlockingCluster, ClusterTransport, MapOfSlots, Portion
from django_srvsession.backends.redis.transport.redis_py import Twin, asks_sentinels, async_exchanged, twin_of
from django_srvsession.backends.redis.transport.replies import FAILURES, unavailable
from django_srvsession.backends.redis.transport.sentinels import Sentinels
from django_srvsession.backends.redis.transport.threads import ThreadTransport, with_text
from django_srvsession.store import waiting
from django_srvsession.store.loops import Close


async def exchanged_over(
    pool: Any, commands: Sequence[Command], also: Callable[[Any], list[Any]] | None = None
) -> list[Any]:
    """Send commands over a pool of the running loop and return their replies; raises what redis-py raises.

    ``also`` says what of the connection is to follow the replies. A cancelled call discards its connection.
    """
    connection = await pool.get_connection()
    try:
        async with asyncio.timeout(waiting.limit()):
            replies = await async_exchanged(connection, commands)
        return replies if also is None else replies + also(connection)
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    finally:
        await pool.release(connection)


class LoopTransport:
    """Send commands to one server from one event loop."""

    is_one_server = True
    also: Callable[[Any], list[Any]] | None = None
    """What of the connection follows the replies, if anything."""

    def __init__(self, twin: Twin) -> None:
        self.twin = twin
        self.pool = twin.pool()

    async def call(self, commands: Sequence[Command]) -> list[Any]:
        """Send the commands in their order and return their replies."""
        try:
            replies = await self._exchange(commands)
            for number, reply in enumerate(replies):
                if isinstance(reply, NoScriptError):
                    replies[number] = (await self._exchange([with_text(commands[number])]))[0]
        except FAILURES as error:
            raise unavailable(error) from error
        return replies

    async def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        return await exchanged_over(self.pool, commands, self.also)

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
            return await exchanged_over(pool, commands, self.also)
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


def for_a_loop(of_threads: BlockingTransport) -> tuple[Transport | None, Close]:
    """Return the running loop's own way to where threads are led, and what closes it.

    None where no twin of the alias's pool is known: it is used from a thread.
    """
    if isinstance(of_threads, BlockingCluster):
        nodes = LoopNodes(of_threads.map)
        return (ClusterTransport(of_threads.map, nodes) if nodes.is_possible else None), nodes.close
    if isinstance(of_threads, ThreadTransport):
        pool = of_threads.pool
        twin = twin_of(pool)
        if twin is not None:
            own = SentinelTransport(twin, pool) if asks_sentinels(pool) else LoopTransport(twin)
            return own, own.close
    return None, _nothing


async def _nothing() -> None:
    """There is nothing to close."""
