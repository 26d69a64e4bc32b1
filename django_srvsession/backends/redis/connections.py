"""The connections that threads use: the cache alias's. Those of a plain pool are kept at hand, up to four.

To take a connection from the pool and to give it back takes redis-py 8 two thirds of the time of a load.
"""

from __future__ import annotations

import os
import time
import weakref
from collections import deque
from contextlib import suppress
from typing import Any, Final

import redis
from redis.exceptions import RedisError
from redis.sentinel import SentinelConnectionPool

_KEPT: Final = 4
_SHARE: Final = 4

_ASK_EVERY_S: Final = 1.0
_ASKING_TAKES_S: Final = 10.0
_ASKING_COSTS: Final = 0.1
"""How much of the time the Sentinels are asked, at most: where they hang, few requests wait for them."""


def is_plain(pool: Any) -> bool:
    """Tell whether all connections of a pool lead to one address for ever, and need nothing while they are idle.

    A pool of another class (Sentinel's, a project's own) may have reasons to give a connection up, and one with a cache
    listens on it.
    """
    return type(pool) in (redis.ConnectionPool, redis.BlockingConnectionPool) and getattr(pool, "cache", None) is None


class Connections:
    """Lend out the pool's connections to threads; a few that a plain pool gets back stay here instead.

    At most a quarter of what the pool may open, and four, so that the alias's other users do not run dry. Those of
    a store that is dropped go back to the pool. Every other pool is asked for each connection and gets it back.
    """

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._idle: deque[Any] = deque()
        # Credentials that are renewed reach a connection when it is given back to the pool.
        is_kept = is_plain(pool) and pool.connection_kwargs.get("credential_provider") is None
        self._kept = min(_KEPT, pool.max_connections // _SHARE) if is_kept else 0
        self._sentinels = _Sentinels(pool) if isinstance(pool, SentinelConnectionPool) else None
        weakref.finalize(self, _release_all, pool, self._idle).atexit = False

    def take(self) -> Any:
        """Return a connection that is open and owes no reply; raises what redis-py raises when there is none."""
        if self._sentinels is not None:
            self._sentinels.ask_now_and_then()
        connection = self.take_kept()
        if connection is None or self._is_stale(connection):
            return self._pool.get_connection()
        return connection

    def take_kept(self) -> Any | None:
        """Return a connection at hand that owes no reply, but which the server may have closed; None if there is none.

        After a ``fork()`` there is none: what was at hand is the parent's, and the pool knows, too.
        """
        try:
            connection = self._idle.pop()
        except IndexError:
            return None
        if connection.pid != os.getpid():
            return None
        if connection._sock is None:
            self._pool.release(connection)
            return None
        return connection

    def give_back(self, connection: Any) -> None:
        """Take a connection back that was used up to its last reply, or was disconnected."""
        if len(self._idle) < self._kept and _is_open(connection):
            self._idle.append(connection)
        else:
            self._pool.release(connection)

    def _is_stale(self, connection: Any) -> bool:
        """Tell whether the server has closed a connection, or sent what nobody asked for; the pool puts it right."""
        try:
            is_stale = bool(connection.can_read())
        except (RedisError, OSError):
            is_stale = True
        if is_stale:
            self._pool.release(connection)
        return is_stale


class _Sentinels:
    """Have a Sentinel's pool learn within a second that another server is the primary.

    By itself it asks when it makes a connection. Where those that it has stay open, they may lead for ever to a server
    that the Sentinels have given up: sessions that were ended at the new primary would open there.
    """

    def __init__(self, pool: SentinelConnectionPool) -> None:
        self._pool = pool
        self._next = 0.0

    def ask_now_and_then(self) -> None:
        """Ask who the primary is, if nobody has lately; where it is another, the pool closes what is idle."""
        began = time.monotonic()
        if began < self._next or not self._pool.is_master:
            return
        self._next = began + _ASKING_TAKES_S  # Other threads do not wait for the answer.
        try:
            # While no Sentinel answers, what is open serves.
            with suppress(RedisError, OSError):
                self._pool.get_master_address()  # type: ignore[no-untyped-call]
        finally:
            ended = time.monotonic()
            self._next = ended + max(_ASK_EVERY_S, (ended - began) / _ASKING_COSTS)


def _is_open(connection: Any) -> bool:
    """Tell whether a connection has a socket, and is not to be made anew: redis-py 7 notes that a server will move."""
    should_reconnect = getattr(connection, "should_reconnect", None)
    return connection._sock is not None and not (should_reconnect is not None and should_reconnect())


def _release_all(pool: Any, idle: deque[Any]) -> None:
    while idle:
        pool.release(idle.pop())
