"""The ways to the Redis in front: apart from the alias's other users, and soon given up.

After its replies each gives the name of the run of Redis that gave them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured

from django_srvsession.backends.redis.alias import open_transport
from django_srvsession.backends.redis.transport import Command
from django_srvsession.backends.redis.transport.loops import LoopTransport, SentinelTransport
from django_srvsession.backends.redis.transport.redis_py import asks_sentinels
from django_srvsession.backends.redis.transport.runs import impatient_pool, impatient_twin, run_of
from django_srvsession.backends.redis.transport.threads import ThreadTransport
from django_srvsession.store.loops import Close

PATIENCE_S: Final = 0.4
"""How long a connection is waited for, and a reply: the database can serve, so that no request needs to wait longer."""


class CacheTransport(ThreadTransport):
    """Send commands from any thread."""

    def __init__(self, pool: Any, of_the_alias: Any) -> None:
        super().__init__(pool)
        self.of_the_alias = of_the_alias

    def _converse(self, connection: Any, commands: Sequence[Command]) -> list[Any]:
        run = run_of(connection)  # Before: whoever has the connection next may connect it anew.
        return [*super()._converse(connection, commands), run]


class _LoopTransport(LoopTransport):
    """Send commands from one event loop."""

    @staticmethod
    def also(connection: Any) -> list[Any]:
        """Return the run."""
        return [run_of(connection)]


class _SentinelTransport(_LoopTransport, SentinelTransport):
    """Send commands from one event loop to whom the Sentinels call the primary."""


def open_cache(alias: str) -> CacheTransport:
    """Return the way of threads to the cache alias's server.

    Raises ``ImproperlyConfigured`` for an alias that leads to a cluster, or has a pool of a project's own.
    """
    opened = open_transport(alias)
    pool = opened.pool if isinstance(opened, ThreadTransport) else None
    own = None if pool is None else impatient_pool(pool, PATIENCE_S)
    if own is None:
        raise ImproperlyConfigured(
            f"SESSION_CACHE_ALIAS names the cache {alias!r}: django_srvsession.backends.cached_db needs one Redis, "
            "or one behind Sentinels, and a pool of redis-py's own."
        )
    return CacheTransport(own, pool)


def for_a_loop(of_threads: CacheTransport) -> tuple[LoopTransport | None, Close]:
    """Return the running loop's own way to where threads are led, and what closes it."""
    pool = of_threads.of_the_alias
    twin = impatient_twin(pool, PATIENCE_S)
    if twin is None:  # Threads have one of the same.
        raise AssertionError("unreachable")
    own = _SentinelTransport(twin, pool) if asks_sentinels(pool) else _LoopTransport(twin)
    return own, own.close
