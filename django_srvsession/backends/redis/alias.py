"""The cache alias that names the server: what it has to be, and the way to Redis that it gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.conf import settings
from django.core.cache import BaseCache, caches
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string
from django_redis import get_redis_connection
from django_redis.cache import RedisCache
from django_redis.client import DefaultClient
from django_redis.pool import ConnectionFactory
from redis.cluster import RedisCluster

from django_srvsession.backends.redis import valkey
from django_srvsession.backends.redis.transport import BlockingTransport
from django_srvsession.backends.redis.transport.cluster import BlockingCluster
from django_srvsession.backends.redis.transport.replies import FAILURES, unavailable
from django_srvsession.backends.redis.transport.threads import ThreadTransport

_MISTAKES: Final = (NotImplementedError, AttributeError, ImportError, TypeError, ValueError)
"""What django-redis and redis-py raise for options that they cannot use."""

CLUSTER_FACTORY: Final = "django_srvsession.backends.redis.cluster.ConnectionFactory"


def open_transport(alias: str) -> BlockingTransport:
    """Return the way to the cache alias's server, or to its cluster, which is asked for its nodes.

    Raises ``ImproperlyConfigured`` when the alias is a cache of neither django-redis nor django-valkey, or its options
    make no client.
    """
    why, hint = why_unusable(alias)
    if why:
        raise ImproperlyConfigured(f"SESSION_CACHE_ALIAS names the cache {alias!r}, {why} {hint}")
    try:
        client = client_of(alias)
        if isinstance(client, RedisCluster):
            return BlockingCluster(client)
        return ThreadTransport(client.connection_pool)
    except FAILURES as error:
        raise unavailable(error) from error
    except _MISTAKES as error:
        text = f"The OPTIONS of the cache {alias!r} make no client that sessions can use: {error}"
        raise ImproperlyConfigured(text) from error


def client_of(alias: str) -> Any:
    """Return redis-py's client of an alias that is not unusable; raises what it and the cache raise."""
    cache: Any = caches[alias]
    return valkey.client_of(cache) if valkey.is_django_valkeys(cache) else get_redis_connection(alias, write=True)


def default_client(alias: str) -> Any:
    """Return the class of what an alias has by default as its ``client``, which makes keys and values."""
    return valkey.default_client() if valkey.is_django_valkeys(caches[alias]) else DefaultClient


def why_unusable(alias: str) -> tuple[str, str]:
    """Say what is wrong with an alias, without asking its server, and what to do; two empty texts if nothing is."""
    is_valkeys = _is_a(alias, valkey.is_django_valkeys)
    if not is_valkeys and not _is_a(alias, lambda cache: isinstance(cache, RedisCache)):
        hint = 'Set its BACKEND to "django_redis.cache.RedisCache".'
        if str(settings.CACHES.get(alias, {}).get("BACKEND", "")).startswith("django_valkey."):
            hint = (
                'Set its BACKEND to "django_valkey.cache.ValkeyCache", with django-valkey installed. For a cluster use '
                "django-redis, which speaks to Valkey, too."
            )
        return "which is neither one of django-redis nor of django-valkey.", hint
    options: Any = settings.CACHES[alias].get("OPTIONS") or {}
    if not is_valkeys and _makes_a_cluster_of_one_pool(options):
        why = "whose REDIS_CLIENT_CLASS is a client of clusters, which django-redis does not know how to make."
        return why, f'Take it out of its OPTIONS, and set CONNECTION_FACTORY to "{CLUSTER_FACTORY}".'
    cache: Any = caches[alias]
    try:
        _ = valkey.client_of(cache) if is_valkeys else cache.client
    except _MISTAKES as error:
        return f"whose OPTIONS make no client: {error}.", "Name what is there."
    return "", ""


def _is_a(alias: str, is_one: Callable[[BaseCache], bool]) -> bool:
    try:
        return is_one(caches[alias])
    except (ImportError, ImproperlyConfigured):
        return False


def _makes_a_cluster_of_one_pool(options: dict[str, Any]) -> bool:
    """Tell whether django-redis would give a client of clusters what it gives a client of one server: a pool."""
    default = getattr(settings, "DJANGO_REDIS_CONNECTION_FACTORY", "django_redis.pool.ConnectionFactory")
    try:
        client_class = import_string(options.get("REDIS_CLIENT_CLASS", "redis.client.Redis"))
        factory = import_string(options.get("CONNECTION_FACTORY") or default)
    except ImportError:
        return False  # Said when the client is made.
    is_cluster = isinstance(client_class, type) and issubclass(client_class, RedisCluster)
    makes_it_as_any = all(
        getattr(factory, name, None) is getattr(ConnectionFactory, name) for name in ("connect", "get_connection")
    )
    return is_cluster and makes_it_as_any
