"""A cache alias of django-valkey: its server is asked through redis-py, over a pool that leads where the alias's leads.

Valkey speaks as Redis does. So there is one way to a server here, and one kind of errors. redis-py and django-redis are
needed all the same.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final
from weakref import WeakKeyDictionary

import redis
from django.core.cache import BaseCache

from django_srvsession.backends.redis.transport.redis_py import is_left_out, is_shared

_POOLS: Final[Mapping[str, Any]] = {
    "ConnectionPool": redis.ConnectionPool,
    "BlockingConnectionPool": redis.BlockingConnectionPool,
}
_CONNECTIONS: Final[Mapping[str, Any]] = {
    "Connection": redis.Connection,
    "SSLConnection": redis.SSLConnection,
    "UnixDomainSocketConnection": redis.UnixDomainSocketConnection,
}
_made: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


def is_django_valkeys(cache: BaseCache) -> bool:
    """Tell whether a cache is one of django-valkey for one server, or for one behind Sentinels."""
    module = sys.modules.get("django_valkey.cache")  # Whoever has such a cache has loaded it.
    return module is not None and isinstance(cache, module.ValkeyCache)


def default_client() -> Any:
    """Return the class of clients that django-valkey's caches have by default."""
    return sys.modules["django_valkey.client"].DefaultClient


def client_of(cache: Any) -> redis.Redis:
    """Return a client of redis-py for the server of such a cache, without asking it.

    Raises ``ValueError`` where the cache has a pool, a connection or an option that redis-py has no counterpart for.
    """
    pool = cache.client.get_client(True).connection_pool
    if pool not in _made:
        _made[pool] = _counterpart(pool)
    return redis.Redis(connection_pool=_made[pool])


def _counterpart(pool: Any) -> Any:
    kind, connection_class = _ours(type(pool), _POOLS), _ours(pool.connection_class, _CONNECTIONS)
    options = {name: value for name, value in pool.connection_kwargs.items() if is_shared(name)}
    if unknown := sorted(name for name in pool.connection_kwargs.keys() - options.keys() if not is_left_out(name)):
        raise ValueError(f"sessions do not know {', '.join(unknown)}")
    if kind is redis.BlockingConnectionPool:
        options["timeout"] = pool.timeout
    return kind(connection_class=connection_class, max_connections=pool.max_connections, **options)


def _ours(kind: type, known: Mapping[str, Any]) -> Any:
    """Return redis-py's class for one of valkey-py, which has them under the same names."""
    if kind.__module__ != "valkey.connection" or kind.__name__ not in known:
        name = f"{kind.__module__}.{kind.__name__}"
        raise ValueError(f"sessions know no {name}; with django-redis, which speaks to Valkey, they may")
    return known[kind.__name__]
