"""The connections that threads use: the cache alias's, a few of them kept at hand.

To take one from the pool and give it back costs a quarter of what Redis needs to answer.
"""

from __future__ import annotations

import os
import weakref
from collections import deque
from typing import Any, Final

from redis.exceptions import RedisError

_KEPT: Final = 4
_SHARE: Final = 4


class Connections:
    """Lend out the pool's connections to threads; a few that are given back stay here instead of in the pool.

    At most a quarter of what the pool may open, and four, so that the alias's other users do not run dry. Those of
    a store that is dropped go back to the pool.
    """

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._idle: deque[Any] = deque()
        self._kept = min(_KEPT, pool.max_connections // _SHARE)
        weakref.finalize(self, _release_all, pool, self._idle).atexit = False

    def take(self) -> Any:
        """Return a connection that is open and owes no reply; raises what redis-py raises when there is none."""
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
        return connection if connection.pid == os.getpid() else None

    def give_back(self, connection: Any) -> None:
        """Take a connection back that was used up to its last reply, or was disconnected."""
        if len(self._idle) < self._kept and not _should_reconnect(connection):
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


def _should_reconnect(connection: Any) -> bool:
    """Tell whether the server is about to move, which redis-py notes from version 7 on; the pool deals with it."""
    asked = getattr(connection, "should_reconnect", None)
    return asked is not None and asked()


def _release_all(pool: Any, idle: deque[Any]) -> None:
    while idle:
        pool.release(idle.pop())
