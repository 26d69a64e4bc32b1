"""The way to Redis for threads: commands in one round trip, over the cache alias's own pool of connections.

Commands are sent on a connection taken from the pool, not through redis-py's client: the client repeats what it
thinks has failed, and a rotation applied twice loses to itself. Nothing here is ever sent twice, but for a script that
Redis says it did not run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from typing import Any, Final, TypeVar

from redis.exceptions import (
    AskError,
    ChildDeadlockedError,
    ClusterCrossSlotError,
    ClusterDownError,
    ConnectionError,
    NoScriptError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
)

from django_srvsession.backends.redis.codec import Command
from django_srvsession.backends.redis.connections import Connections
from django_srvsession.backends.redis.scripts import TEXTS
from django_srvsession.store import CorruptSessionError, StoreUnavailableError, waiting

try:
    from hiredis import pack_command as _pack_command

    pack_command: Callable[[Command], bytes] = _pack_command
except ImportError:  # hiredis is optional.

    def pack_command(command: Command) -> bytes:
        """Write a command as Redis reads it: the number of its parts, and each with its length."""
        parts = [part if isinstance(part, bytes) else str(part).encode() for part in command]
        return b"*%d\r\n%b" % (len(parts), b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts]))


T = TypeVar("T")
Steps = Generator[Sequence[Command], list[Any], T]
"""A procedure: yields the commands of one round trip, is sent their replies, returns its result."""

Ask = Callable[[Command], Any]
"""Send one server one command and return its reply, which may be a ``ResponseError``."""

FAILURES: Final = (RedisError, RedisClusterException, ChildDeadlockedError, OSError)

_SAID_BY_NODES: Final = (AskError, ClusterCrossSlotError)  # MOVED is a kind of ASK to redis-py.


def run(steps: Steps[T], call: Callable[[Sequence[Command]], list[Any]]) -> T:
    """Run a procedure in this thread; an outage is raised inside it."""
    try:
        commands = next(steps)
        while True:
            try:
                replies = call(commands)
            except StoreUnavailableError as error:
                commands = steps.throw(error)
            else:
                commands = steps.send(replies)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


async def arun(steps: Steps[T], call: Callable[[Sequence[Command]], Awaitable[list[Any]]]) -> T:
    """Run a procedure as :func:`run` does, awaiting."""
    try:
        commands = next(steps)
        while True:
            try:
                replies = await call(commands)
            except StoreUnavailableError as error:
                commands = steps.throw(error)
            else:
                commands = steps.send(replies)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


def unavailable(error: Exception) -> StoreUnavailableError:
    """Make the error that says Redis did not answer, or not with what was asked."""
    text = f"Redis did not do what it was asked: {type(error).__name__}."
    if isinstance(error, _SAID_BY_NODES):
        text += " It is a node of a Redis Cluster; the cache alias needs a CONNECTION_FACTORY for clusters."
    return StoreUnavailableError(text)


_ELSEWHERE: Final = ("READONLY", "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN")


def is_from_the_primary(error: ResponseError) -> bool:
    """Tell whether who refused can still be the primary; else its connection is to be given up.

    The next one leads to where Sentinel, or the server's name, leads then.
    """
    if isinstance(error, (ReadOnlyError, ClusterDownError)):  # redis-py has taken the codes off.
        return False
    return not any(code in str(error) for code in _ELSEWHERE)


def _is_of_another_type(reply: Any) -> bool:
    return isinstance(reply, Exception) and "WRONGTYPE" in str(reply)


def checked(reply: Any) -> Any:
    """Return a reply, or raise what its being an error means.

    Raises :class:`CorruptSessionError` when the key holds another type, else :class:`StoreUnavailableError` (a replica,
    a full memory, a server that is loading, a missing permission, ...): the command was refused and did nothing.
    """
    if not isinstance(reply, Exception):
        return reply
    if _is_of_another_type(reply):
        raise CorruptSessionError("A key of the store holds a type that is not ours.") from reply
    raise unavailable(reply) from reply


def checked_look(reply: Any) -> Any:
    """Return what was read of a session, or the error that says that its key holds another type.

    Raises :class:`StoreUnavailableError` for any other error: a node that is down, a missing permission.
    """
    return reply if _is_of_another_type(reply) else checked_index(reply)


def checked_index(reply: Any) -> Any:
    """Return an index's reply; an index that is no ZSET says nothing about any one session, so it is an outage."""
    if isinstance(reply, Exception):
        raise unavailable(reply) from reply
    return reply


def packed(commands: Sequence[Command]) -> list[bytes]:
    """Write commands as Redis reads them, to be sent at once."""
    return [pack_command(commands[0]) if len(commands) == 1 else b"".join(map(pack_command, commands))]


def with_text(command: Command) -> Command:
    """Return the command with the script's text, for a server that does not know its digest."""
    return ("EVAL", TEXTS[command[1]], *command[2:])


class Wire:
    """Send commands in one round trip, from any thread; safe over ``fork()``, because the pool is.

    Replies are as Redis sent them; an error reply is an exception *in the list*, see :func:`checked`.
    """

    is_one_server = True
    """Whether one script may touch several keys."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self._connections = Connections(pool)

    def call(self, commands: Sequence[Command]) -> list[Any]:
        """Send the commands in their order and return their replies.

        Raises :class:`StoreUnavailableError`; which of the commands were done is not known then.
        """
        replies = self._exchange(commands)
        for number, reply in enumerate(replies):
            if isinstance(reply, NoScriptError):  # Not run, so it is safe to send it again.
                replies[number] = self._exchange([with_text(commands[number])])[0]
        return replies

    def primaries(self) -> dict[str, Ask]:
        """Return a way to ask the server alone, by its name, of which it needs none."""
        return {"": lambda command: self.call([command])[0]}

    def scan(self, pattern: str, count: int) -> Iterator[list[bytes]]:
        """Yield the keys that match, in portions of about ``count`` looked at; a key may come twice."""
        for ask in self.primaries().values():
            yield from scanned(ask, pattern, count)

    def read(self, command: Command) -> Any:
        """Send one command that changes nothing, and return its reply; else as :meth:`call`.

        To ask first whether the server has closed the connection costs a tenth of the whole: it is sent again if so.
        """
        connection = self._connections.take_kept()
        if connection is None:
            return self.call([command])[0]
        try:
            return self._converse(connection, [command])[0]
        except ConnectionError:
            return self.call([command])[0]
        except FAILURES as error:
            raise unavailable(error) from error

    def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        try:
            return self._converse(self._connections.take(), commands)
        except FAILURES as error:
            raise unavailable(error) from error

    def _converse(self, connection: Any, commands: Sequence[Command]) -> list[Any]:
        try:
            return exchanged(connection, commands)
        except BaseException:
            connection.disconnect()  # Replies may still be under way, and must not be read by another request.
            raise
        finally:
            self._connections.give_back(connection)


def exchanged(connection: Any, commands: Sequence[Command]) -> list[Any]:
    """Send commands on a connection and return their replies; an error reply is an exception in the list."""
    limit = waiting.limit()
    if limit is not None:
        connection._sock.settimeout(min(limit, connection.socket_timeout or limit))
    connection.send_packed_command(packed(commands))
    replies = [_reply(connection) for _ in commands]
    if limit is not None:
        connection._sock.settimeout(connection.socket_timeout)
    return replies


def scanned(ask: Ask, pattern: str, count: int) -> Iterator[list[bytes]]:
    """Yield one server's keys that match, as :meth:`Wire.scan` does."""
    cursor: Any = 0
    while cursor is not None:
        cursor, keys = checked(ask(("SCAN", cursor, "MATCH", pattern, "COUNT", count)))
        cursor = None if int(cursor) == 0 else cursor
        yield keys


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response(disable_decoding=True)
    except ResponseError as error:
        if is_from_the_primary(error):
            return error
        raise
