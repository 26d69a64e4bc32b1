"""What can be wrong with the Redis in front of a database, as system checks.

Unlike sessions that are in Redis alone, copies may be evicted, and flushed with all else that is there.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured

from django_srvsession.backends.cached_db.transport import CacheTransport, open_cache
from django_srvsession.backends.redis.checks import alias_messages, is_for_a_cluster, is_node, sentinel_messages
from django_srvsession.backends.redis.clock import RedisClock
from django_srvsession.backends.redis.tenants import Tenants
from django_srvsession.store import StoreUnavailableError

_NO_CLUSTER = (
    "Let it be one Redis, or one behind Sentinels: what is lost of copies is read from the database once more."
)


def messages(deploy: bool) -> list[CheckMessage]:
    """Return what is wrong with ``CACHES[SESSION_CACHE_ALIAS]``; with ``deploy``, with its server."""
    alias = settings.SESSION_CACHE_ALIAS
    unusable = alias_messages(alias)
    if not unusable and is_for_a_cluster(settings.CACHES[alias]):
        text = f"SESSION_CACHE_ALIAS names the cache {alias!r}, which is a Redis Cluster."
        unusable = [Error(text, hint=_NO_CLUSTER, id="srvsession.E131")]
    if unusable:
        return [] if deploy else unusable
    try:
        transport = open_cache(alias)
    except ImproperlyConfigured as error:
        hint = "Leave CONNECTION_POOL_CLASS as it is."
        return [] if deploy else [Error(str(error), hint=hint, id="srvsession.E131")]
    if deploy:
        return list(_of_server(f"CACHES[{alias!r}]", transport))
    return [*sentinel_messages(alias, settings.CACHES[alias]), *_tenants(alias)]


def _tenants(alias: str) -> Iterator[CheckMessage]:
    """Yield that a database tells tenants apart, each with a schema of its own, and the cache does not."""
    engines = {str(entry.get("ENGINE", "")) for entry in settings.DATABASES.values()}
    if any("tenant" in engine for engine in engines) and Tenants(RedisClock()).only is not None:
        text = f"CACHES[{alias!r}] keeps the tenants of the database in one: a session of one would open at another."
        hint = "Set its KEY_FUNCTION, as for the site's own cache (django_tenants.cache.make_key)."
        yield Error(text, hint=hint, id="srvsession.E132")


def _of_server(whose: str, transport: CacheTransport) -> Iterator[CheckMessage]:
    try:
        *_, run = transport.exchange([("PING",)])
        is_of_a_cluster = is_node(lambda command: transport.exchange([command])[0])
    except StoreUnavailableError as error:
        text = f"The Redis of {whose} does not answer: {error}"
        yield Warning(text, hint="Run this check where Redis can be reached.", id="srvsession.W103")
        return
    if run is None:
        text = f"The Redis of {whose} does not tell by INFO whether it is the same as before."
        hint = "Permit the user of the alias INFO: as it is the database is asked at each request."
        yield Warning(text, hint=hint, id="srvsession.W131")
    if is_of_a_cluster:
        text = f"The Redis of {whose} is a node of a Redis Cluster."
        yield Error(text, hint=_NO_CLUSTER, id="srvsession.E131")
