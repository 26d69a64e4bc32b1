"""The way to one server for threads: over the cache alias's own pool, of whose connections a few are kept at hand.

To take a connection from the pool and to give it back takes redis-py 8 two thirds of the time of a load.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final

from redis.exceptions import ConnectionError, NoScriptError

from django_srvsession.backends.redis.scripts import TEXTS
from django_srvsession.backends.redis.transport import Ask, Command
from django_srvsession.backends.redis.transport.redis_py import (
    asks_sentinels,
    exchanged,
    is_plain,
    is_worth_keeping,
    renews_credentials,
    serves,
)
from django_srvsession.backends.redis.transport.replies import FAILURES, checked, unavailable
from django_srvsession.backends.redis.transport.sentinels import Sentinels

_KEPT: Final = 4
_SHARE: Final = 4


class ThreadTransport:
    """Send commands to one server, from any thread; see ``BlockingTransport``."""

    is_one_server = True

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.connections = Connections(pool)

    async def call(self, commands: Sequence[Command]) -> list[Any]:
        """Send the commands in their order and return their replies; never suspended."""
        return self.exchange(commands)

    def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Do as :meth:`call`."""
        try:
            replies = self._converse(self.connections.take(), commands)
            for number, reply in enumerate(replies):
                if isinstance(reply, NoScriptError):  # Not run, so it is safe to send it again.
                    replies[number] = self._converse(self.connections.take(), [with_text(commands[number])])[0]
        except FAILURES as error:
            raise unavailable(error) from error
        return replies

    def read(self, command: Command) -> Any:
        """Send one command that changes nothing, and return its reply."""
        return self.look([command])[0]

    def look(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands that change nothing, and return their replies.

        To ask first whether the server has closed the connection costs a tenth of the whole: they are sent again if so.
        """
        connection = self.connections.take_kept()
        if connection is None:
            return self.exchange(commands)
        try:
            return self._converse(connection, commands)
        except ConnectionError:
            return self.exchange(commands)
        except FAILURES as error:
            raise unavailable(error) from error

    def primaries(self) -> dict[str, Ask]:
        """Return a way to ask the server alone, by its name, of which it needs none."""
        return {"": lambda command: self.exchange([command])[0]}

    def scan(self, pattern: str, count: int) -> Iterator[list[bytes]]:
        """Yield the keys that match, in portions."""
        for ask in self.primaries().values():
            yield from scanned(ask, pattern, count)

    def refresh(self) -> None:
        """There is one server."""

    def _converse(self, connection: Any, commands: Sequence[Command]) -> list[Any]:
        try:
            return exchanged(connection, commands)
        except BaseException:
            connection.disconnect()  # Replies may still be under way, and must not be read by another request.
            raise
        finally:
            self.connections.give_back(connection)


class Connections:
    """Lend out the pool's connections to threads; a few that a plain pool gets back stay here instead.

    At most a quarter of what the pool may open, and four, so that the alias's other users do not run dry. Those of
    a store that is dropped go back to the pool. Every other pool is asked for each connection and gets it back.
    """

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._idle: deque[Any] = deque()
        is_kept = is_plain(pool) and not renews_credentials(pool)
        self._kept = min(_KEPT, pool.max_connections // _SHARE) if is_kept else 0
        self._sentinels = Sentinels(pool) if asks_sentinels(pool) else None
        weakref.finalize(self, _release_all, pool, self._idle).atexit = False

    def take(self) -> Any:
        """Return a connection that is open and owes no reply; raises what redis-py raises when there is none."""
        if self._sentinels is not None:
            self._sentinels.ask_now_and_then()
        return self.take_kept(is_asked=True) or self._pool.get_connection()

    def take_kept(self, is_asked: bool = False) -> Any | None:
        """Return a connection at hand that owes no reply, or None; unless it ``is_asked`` the server may be gone.

        After a ``fork()`` there is none: what was at hand is the parent's, and the pool knows, too.
        """
        try:
            connection = self._idle.pop()
        except IndexError:
            return None
        is_open = serves(connection, is_asked)
        if is_open is False:
            self._pool.release(connection)
        return connection if is_open else None

    def give_back(self, connection: Any) -> None:
        """Take a connection back that was used up to its last reply, or was disconnected."""
        if len(self._idle) < self._kept and is_worth_keeping(connection):
            self._idle.append(connection)
        else:
            self._pool.release(connection)


def with_text(command: Command) -> Command:
    """Return the command with the script's text, for a server that does not know its digest."""
    return ("EVAL", TEXTS[command[1]], *command[2:])


def scanned(ask: Ask, pattern: str, count: int) -> Iterator[list[bytes]]:
    """Yield one server's keys that match, in portions of about ``count`` looked at; a key may come twice."""
    cursor: Any = 0
    while cursor is not None:
        cursor, keys = checked(ask(("SCAN", cursor, "MATCH", pattern, "COUNT", count)))
        cursor = None if int(cursor) == 0 else cursor
        yield keys


def _release_all(pool: Any, idle: deque[Any]) -> None:
    while idle:
        pool.release(idle.pop())
