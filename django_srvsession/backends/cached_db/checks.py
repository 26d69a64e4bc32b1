"""What can be wrong with the Redis in front of a database, as system checks."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured

from django_srvsession.backends.cached_db.transport import CacheTransport, open_cache
from django_srvsession.backends.redis.checks import alias_messages, is_for_a_cluster
from django_srvsession.store import StoreUnavailableError


def messages(deploy: bool) -> list[CheckMessage]:
    """Return what is wrong with ``CACHES[SESSION_CACHE_ALIAS]``; with ``deploy``, with its server.

    Unlike sessions that are in Redis alone, copies may be evicted, and flushed with all else that is there.
    """
    alias = settings.SESSION_CACHE_ALIAS
    unusable = alias_messages(alias)
    if not unusable and is_for_a_cluster(settings.CACHES[alias]):
        text = f"SESSION_CACHE_ALIAS names the cache {alias!r}, which is a Redis Cluster."
        hint = "Let backends.cached_db have one Redis, or one behind Sentinels: what is lost of it is only read anew."
        unusable = [Error(text, hint=hint, id="srvsession.E131")]
    if unusable:
        return [] if deploy else unusable
    try:
        transport = open_cache(alias)
    except ImproperlyConfigured as error:
        hint = "Leave CONNECTION_POOL_CLASS as it is."
        return [] if deploy else [Error(str(error), hint=hint, id="srvsession.E131")]
    return list(_of_server(alias, transport)) if deploy else []


def _of_server(alias: str, transport: CacheTransport) -> Iterator[CheckMessage]:
    try:
        *_, run = transport.exchange([("PING",)])
    except StoreUnavailableError as error:
        text = f"The Redis of CACHES[{alias!r}] does not answer: {error}"
        yield Warning(text, hint="Run this check where Redis can be reached.", id="srvsession.W103")
        return
    if run is None:
        text = (
            f"The Redis of CACHES[{alias!r}] does not tell by INFO whether it is the same as before: no copy is made."
        )
        yield Warning(text, hint="Permit the user of the alias INFO.", id="srvsession.W131")
