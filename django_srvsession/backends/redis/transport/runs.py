"""Connections that give up soon, and know which run of a server they lead to: it is asked when they are made.

A run is one process with one history of its data. After a restart, a fail-over, or when a snapshot was read again, a
connection leads to another run.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final

from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError
from redis.retry import Retry
from redis.sentinel import SentinelConnectionPool

from django_srvsession.backends.redis.transport.redis_py import (
    Twin,
    asks_sentinels,
    async_exchanged,
    receive,
    send,
    twin_of,
)
from django_srvsession.backends.redis.transport.replies import parse_info, run_in

RUN_BYTES: Final = 8
"""How long the name of a run is."""

_TIME_LIMITS: Final = ("socket_timeout", "socket_connect_timeout")


def impatient_twin(pool: Any, limit_s: float) -> Twin | None:
    """Say how to make a pool for an event loop that leads where a pool of threads leads; None if it is not known how.

    Its connections wait for so many seconds at most, and never try twice.
    """
    twin = twin_of(pool)
    if twin is None:
        return None
    options = _limited(twin, limit_s) | {"retry": AsyncRetry(NoBackoff(), 0), "redis_connect_func": _alearn_run}
    return twin._replace(options=options, patience_s=None if twin.patience_s is None else limit_s)


def impatient_pool(pool: Any, limit_s: float) -> Any | None:
    """Make such a pool for threads; None if it is not known how."""
    twin = twin_of(pool)
    if twin is None:
        return None
    options = _limited(twin, limit_s) | {"retry": Retry(NoBackoff(), 0), "redis_connect_func": _learn_run}
    options |= {"connection_class": pool.connection_class, "max_connections": pool.max_connections}
    if asks_sentinels(pool):
        options["check_connection"] = pool.check_connection
        return SentinelConnectionPool(pool.service_name, pool.sentinel_manager, **options)  # type: ignore[no-untyped-call]
    return type(pool)(**options, **({} if twin.patience_s is None else {"timeout": limit_s}))


def _limited(twin: Twin, limit_s: float) -> dict[str, Any]:
    limits = {name: min(limit_s, twin.options.get(name) or limit_s) for name in _TIME_LIMITS}
    return {**twin.options, **limits}


def run_of(connection: Any) -> bytes | None:
    """Return the name of the run that a connection of such a pool leads to; None where the server does not tell."""
    return getattr(connection, "srvsession_run", None)


def _learn_run(connection: Any) -> None:
    connection.srvsession_run = None
    connection.on_connect()
    send(connection, [("INFO",)])
    connection.srvsession_run = _named(*receive(connection, 1))


async def _alearn_run(connection: Any) -> None:
    connection.srvsession_run = None
    await connection.on_connect()
    connection.srvsession_run = _named(*(await async_exchanged(connection, [("INFO",)])))


def _named(reply: Any) -> bytes | None:
    run = None if isinstance(reply, ResponseError) else run_in(parse_info(reply))
    return None if run is None else blake2b(run.encode(), digest_size=RUN_BYTES).digest()
