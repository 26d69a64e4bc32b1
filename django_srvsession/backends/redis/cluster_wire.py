"""The way to a Redis Cluster for threads: to the node of each key, over redis-py's pools of connections.

redis-py knows which node has which slot. What follows from a node's answer is decided here: its client sends again what
it does not know to have failed, and breaks off where ASK names a node that has no slot yet.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import AskError, MovedError, NoScriptError

from django_srvsession.backends.redis.codec import Command
from django_srvsession.backends.redis.wire import FAILURES, Ask, exchanged, scanned, unavailable, with_text
from django_srvsession.store import StoreUnavailableError

_REDIRECTIONS: Final = 5
_REFRESH_EVERY_S: Final = 1.0
_REFRESH_TAKES_S: Final = 10.0


class ClusterWire:
    """Send commands to the primary nodes of a Redis Cluster, from any thread; safe over ``fork()``, as the pools are.

    What is for one node goes there in one round trip, one node after the other: only commands on one key keep their
    order. Nothing is ever sent twice, but for what a node says it did not run: the slot has moved (MOVED, ASK), it does
    not know the script. Any other error reply is one, in the list of replies.
    """

    pool = None
    is_one_server = False

    def __init__(self, client: RedisCluster) -> None:
        self._client: Any = client
        self._met: dict[tuple[str, int], ClusterNode] = {}
        self._refresh_from = 0.0

    def call(self, commands: Sequence[Command]) -> list[Any]:
        """Send the commands and return their replies; raises as ``Wire.call``."""
        replies: list[Any] = [None] * len(commands)
        for node, numbers in self._by_node(commands):
            answers = self._exchange(node, [commands[number] for number in numbers])
            for number, reply in zip(numbers, answers, strict=True):
                replies[number] = self._settled(node, commands[number], reply)
        return replies

    def read(self, command: Command) -> Any:
        """Send one command that changes nothing, and return its reply."""
        return self.call([command])[0]

    def primaries(self) -> dict[str, Ask]:
        """Return a way to ask each primary node alone, by its name."""
        return {node.name: partial(self._ask, node) for node in self._client.get_primaries()}

    def scan(self, pattern: str, count: int) -> Iterator[list[bytes]]:
        """Do as ``Wire.scan``, on every primary node."""
        self.refresh()
        for ask in self.primaries().values():
            yield from scanned(ask, pattern, count)

    def refresh(self) -> None:
        """Ask the nodes which of them has which slot. Where that fails, what was known stays."""
        self._refresh_from = time.monotonic() + _REFRESH_TAKES_S  # Others go on with what is known.
        try:
            with suppress(*FAILURES, LookupError):
                self._client.nodes_manager.initialize()
        finally:
            self._refresh_from = time.monotonic() + _REFRESH_EVERY_S

    def _found_wrong(self) -> None:
        """Refresh the map of the slots, once a second at most: in a fail-over every request finds it wrong."""
        if time.monotonic() >= self._refresh_from:
            self.refresh()

    def _by_node(self, commands: Sequence[Command]) -> Iterable[tuple[ClusterNode, list[int]]]:
        """Return each node that is concerned, with the numbers of the commands that are for it."""
        found: dict[str, tuple[ClusterNode, list[int]]] = {}
        try:
            for number, command in enumerate(commands):
                node = self._client.get_node_from_key(_key(command))
                found.setdefault(node.name, (node, []))[1].append(number)
        except FAILURES as error:
            self._found_wrong()
            raise unavailable(error) from error
        return found.values()

    def _settled(self, node: ClusterNode, command: Command, reply: Any) -> Any:
        """Follow what a node says of where a command is to be run, or how; return the reply of who ran it."""
        before: list[Command] = []
        for _ in range(_REDIRECTIONS):
            if isinstance(reply, NoScriptError) and command[0] == "EVALSHA":
                command = with_text(command)
            elif isinstance(reply, MovedError):
                self._found_wrong()
                node, before = self._node_at(reply, node), []
            elif isinstance(reply, AskError):  # The slot is on its way; this key is there already, or is new.
                node, before = self._node_at(reply, node), [("ASKING",)]
            else:
                return reply
            reply = self._exchange(node, [*before, command])[-1]
        raise StoreUnavailableError("The nodes of the Redis Cluster do not agree on which of them has a key.")

    def _node_at(self, redirection: AskError, teller: ClusterNode) -> ClusterNode:
        """Return the node that another names; one that has no slot yet is on no map."""
        named = redirection.host or teller.host, redirection.port
        address: tuple[str, int] = self._client.nodes_manager.remap_host_port(*named)
        known = self._client.get_node(*address) or self._met.get(address)
        return known or self._met.setdefault(address, ClusterNode(*address))  # type: ignore[no-untyped-call]

    def _ask(self, node: ClusterNode, command: Command) -> Any:
        return self._exchange(node, [command])[0]

    def _exchange(self, node: ClusterNode, commands: Sequence[Command]) -> list[Any]:
        try:
            pool = self._client.get_redis_connection(node).connection_pool
            connection = pool.get_connection()
            try:
                return exchanged(connection, commands)
            except BaseException:
                connection.disconnect()  # Replies may still be under way.
                raise
            finally:
                pool.release(connection)
        except FAILURES as error:
            self._found_wrong()
            raise unavailable(error) from error


def _key(command: Command) -> Any:
    """Return the key that decides on the node: a script's one key; any node will do for what has none."""
    return command[3] if command[0] in ("EVALSHA", "EVAL") else command[1] if len(command) > 1 else b""
