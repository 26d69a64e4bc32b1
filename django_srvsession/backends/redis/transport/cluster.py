"""The way to a Redis Cluster: to the node of each key, what is for one node in one round trip, all nodes at once.

redis-py knows which node has which slot. What follows from a node's answer is decided here: its client sends again what
it does not know to have failed, and breaks off where ASK names a node that has no slot yet.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

from redis.cluster import RedisCluster
from redis.exceptions import AskError, MovedError, NoScriptError

from django_srvsession.backends.redis.transport import Ask, Command
from django_srvsession.backends.redis.transport.redis_py import Slots, exchanged, receive, send, set_time_limit
from django_srvsession.backends.redis.transport.replies import FAILURES, unavailable
from django_srvsession.backends.redis.transport.threads import scanned, with_text
from django_srvsession.store import StoreUnavailableError, waiting
from django_srvsession.store.face import run_blocking

_REDIRECTIONS: Final = 5
_REFRESH_EVERY_S: Final = 1.0
_REFRESH_TAKES_S: Final = 10.0

_SAID_INSTEAD: Final = (AskError, NoScriptError)  # MOVED is a kind of ASK to redis-py.

Portion = tuple[Any, Sequence[Command]]
"""A node, and what it is to be told."""


class Nodes(Protocol):
    """Talk to the nodes of a cluster."""

    async def exchange(self, portions: Sequence[Portion]) -> list[list[Any]]:
        """Send each node its commands, all nodes at once, and return the replies, node by node.

        Raises what redis-py raises; what the others did is not known then.
        """
        ...

    async def refresh(self, map_of_slots: MapOfSlots) -> None:
        """Have the map learn anew."""
        ...


class MapOfSlots:
    """Keep the map of the slots right: one for all threads and event loops of a process."""

    def __init__(self, client: RedisCluster) -> None:
        self.slots = Slots(client)
        self._refresh_from = 0.0

    @property
    def may_refresh(self) -> bool:
        """Tell whether the nodes may be asked: once a second at most, in a fail-over every request finds it wrong."""
        return time.monotonic() >= self._refresh_from

    def refresh(self) -> None:
        """Ask the nodes which of them has which slot. Where that fails, what was known stays."""
        self._refresh_from = time.monotonic() + _REFRESH_TAKES_S  # Others go on with what is known.
        try:
            with suppress(*FAILURES, LookupError):
                self.slots.refresh()
        finally:
            self._refresh_from = time.monotonic() + _REFRESH_EVERY_S


class _Sent(NamedTuple):
    """Hold a command under way: which one it is, to whom, and what has to be said before."""

    number: int
    node: Any
    command: Command
    before: tuple[Command, ...] = ()


class ClusterTransport:
    """Send commands to the primary nodes; over nodes that block it is never suspended.

    Only commands on one key keep their order. Nothing is ever sent twice, but for what a node says it did not run: the
    slot has moved (MOVED, ASK), it does not know the script. Any other error reply is one, in the list of replies.
    """

    is_one_server = False

    def __init__(self, map_of_slots: MapOfSlots, nodes: Nodes) -> None:
        self.map = map_of_slots
        self._nodes = nodes

    async def call(self, commands: Sequence[Command]) -> list[Any]:
        """Send the commands and return their replies; raises :class:`StoreUnavailableError`."""
        replies: list[Any] = [None] * len(commands)
        try:
            sent = self._addressed(commands)
            for _ in range(1 + _REDIRECTIONS):
                sent = await self._settle(sent, replies)
                if not sent:
                    return replies
        except FAILURES as error:
            await self._found_wrong()
            raise unavailable(error) from error
        raise StoreUnavailableError("The nodes of the Redis Cluster do not agree on which of them has a key.")

    def _addressed(self, commands: Sequence[Command]) -> list[_Sent]:
        """Find the node of each command; lists are asked about the same keys many times."""
        node_of, nodes = self.map.slots.node_of, dict[Any, Any]()
        sent = []
        for number, command in enumerate(commands):
            key = _key(command)
            node = nodes.get(key) or nodes.setdefault(key, node_of(key))
            sent.append(_Sent(number, node, command))
        return sent

    async def _settle(self, sent: Sequence[_Sent], replies: list[Any]) -> list[_Sent]:
        """Send commands, note the replies, and return what is to be sent again, to whom the nodes say."""
        by_node: dict[str, list[_Sent]] = {}
        for one in sent:
            by_node.setdefault(one.node.name, []).append(one)
        portions = [
            (of_node[0].node, [each for one in of_node for each in (*one.before, one.command)])
            for of_node in by_node.values()
        ]
        again: list[_Sent] = []
        for of_node, answers in zip(by_node.values(), await self._nodes.exchange(portions), strict=True):
            place = -1
            for one in of_node:
                place += 1 + len(one.before)
                reply = answers[place]
                if isinstance(reply, _SAID_INSTEAD) and (next_one := await self._led_on(one, reply)) is not None:
                    again.append(next_one)
                else:
                    replies[one.number] = reply
        return again

    async def _led_on(self, sent: _Sent, reply: Any) -> _Sent | None:
        """Return how a command is to be sent again, by who did not run it; None: the reply is one."""
        if isinstance(reply, NoScriptError):
            return sent._replace(command=with_text(sent.command)) if sent.command[0] == "EVALSHA" else None
        before: tuple[Command, ...] = ()
        if isinstance(reply, MovedError):
            await self._found_wrong()
        else:  # The slot is on its way; this key is there already, or is new.
            before = (("ASKING",),)
        return sent._replace(node=self.map.slots.node_at(reply, sent.node), before=before)

    async def _found_wrong(self) -> None:
        if self.map.may_refresh:
            await self._nodes.refresh(self.map)


class BlockingCluster(ClusterTransport):
    """Send commands from any thread; see ``BlockingTransport``."""

    def __init__(self, client: RedisCluster) -> None:
        super().__init__(MapOfSlots(client), ThreadNodes(client))

    def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Do as :meth:`call`."""
        return run_blocking(self.call(commands))

    def read(self, command: Command) -> Any:
        """Send one command that changes nothing, and return its reply."""
        return self.exchange([command])[0]

    def primaries(self) -> dict[str, Ask]:
        """Return a way to ask each primary node alone, by its name."""
        return {node.name: partial(self._ask, node) for node in self.map.slots.primaries()}

    def scan(self, pattern: str, count: int) -> Iterator[list[bytes]]:
        """Yield the keys of every primary node that match, in portions."""
        self.refresh()
        for ask in self.primaries().values():
            yield from scanned(ask, pattern, count)

    def refresh(self) -> None:
        """Learn anew which nodes there are."""
        self.map.refresh()

    def _ask(self, node: Any, command: Command) -> Any:
        try:
            return run_blocking(self._nodes.exchange([(node, [command])]))[0][0]
        except FAILURES as error:
            if self.map.may_refresh:
                self.map.refresh()
            raise unavailable(error) from error


class ThreadNodes:
    """Talk to nodes over redis-py's pools, blocking the thread; safe over ``fork()``, as the pools are."""

    def __init__(self, client: RedisCluster) -> None:
        self._slots = Slots(client)

    async def exchange(self, portions: Sequence[Portion]) -> list[list[Any]]:
        """Do as the protocol says; never suspended."""
        if len(portions) == 1:
            return [self._exchange_with_one(*portions[0])]
        lent: list[tuple[Any, Any, int]] = []
        failure: Exception | None = None
        replies: list[list[Any]] = []
        try:
            for node, commands in portions:
                pool = self._slots.pool_of(node)
                connection = pool.get_connection()
                lent.append((pool, connection, len(commands)))
                send(connection, commands)
            limit_s = waiting.limit()
            while lent:
                pool, connection, count = lent[0]
                try:
                    if limit_s is not None:
                        set_time_limit(connection, limit_s)
                    replies.append(receive(connection, count))
                    if limit_s is not None:
                        set_time_limit(connection, None)
                except FAILURES as error:  # The others have answered, or will: their connections stay.
                    failure = failure or error
                    connection.disconnect()
                pool.release(connection)
                del lent[0]
        finally:
            for pool, connection, _ in lent:  # Their replies may still be under way.
                connection.disconnect()
                pool.release(connection)
        if failure is not None:
            raise failure
        return replies

    def _exchange_with_one(self, node: Any, commands: Sequence[Command]) -> list[Any]:
        pool = self._slots.pool_of(node)
        connection = pool.get_connection()
        try:
            return exchanged(connection, commands)
        except BaseException:
            connection.disconnect()  # Replies may still be under way.
            raise
        finally:
            pool.release(connection)

    async def refresh(self, map_of_slots: MapOfSlots) -> None:
        """Have the map learn anew, blocking the thread."""
        map_of_slots.refresh()


def _key(command: Command) -> Any:
    """Return the key that decides on the node: a script's first; any node will do for what has none."""
    return command[3] if command[0] in ("EVALSHA", "EVAL") else command[1] if len(command) > 1 else b""
