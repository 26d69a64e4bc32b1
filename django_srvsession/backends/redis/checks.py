"""What can be wrong with the cache alias that the Redis store uses, as system checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from redis.exceptions import RedisError

_TIMEOUTS = ("SOCKET_TIMEOUT", "SOCKET_CONNECT_TIMEOUT")


def messages(deploy: bool) -> list[CheckMessage]:
    """Return what is wrong with ``CACHES[SESSION_CACHE_ALIAS]``; with ``deploy``, with its server."""
    alias = settings.SESSION_CACHE_ALIAS
    entry = settings.CACHES.get(alias)
    if entry is None:
        text = f"SESSION_CACHE_ALIAS is {alias!r}, which is not in CACHES."
        return [] if deploy else [Error(text, hint="Add an alias of its own for sessions.", id="srvsession.E101")]
    if not _is_django_redis(alias):
        text = f"CACHES[{alias!r}] is not django-redis: the session engine needs Redis itself."
        hint = 'Set its BACKEND to "django_redis.cache.RedisCache".'
        return [] if deploy else [Error(text, hint=hint, id="srvsession.E102")]
    return list(_server_messages(alias) if deploy else _entry_messages(alias, entry))


def _is_django_redis(alias: str) -> bool:
    try:
        from django_redis.cache import RedisCache

        return isinstance(caches[alias], RedisCache)
    except (ImportError, ImproperlyConfigured):
        return False


def _entry_messages(alias: str, entry: dict[str, Any]) -> Iterator[CheckMessage]:
    sharing = [other for other, its in settings.CACHES.items() if other != alias and _servers(its) & _servers(entry)]
    if alias == "default" or sharing:
        text = f"CACHES[{alias!r}] is {'the default cache' if not sharing else 'also ' + ', '.join(sharing)}."
        hint = (
            "cache.clear() empties the whole Redis database, and ends every session. Give sessions a database number."
        )
        yield Warning(text, hint=hint, id="srvsession.W101")
    missing = [name for name in _TIMEOUTS if not (entry.get("OPTIONS") or {}).get(name)]
    if missing:
        text = f"CACHES[{alias!r}] has no {' and no '.join(missing)}: a Redis that hangs would hang every request."
        yield Warning(text, hint="Set both in its OPTIONS, to a second or less.", id="srvsession.W102")
    if _ignores_exceptions(entry):
        text = f"CACHES[{alias!r}] has IGNORE_EXCEPTIONS: sessions do not obey it, and an outage stays an outage (503)."
        hint = "Take it out: what else uses this alias would take an outage for an empty cache."
        yield Warning(text, hint=hint, id="srvsession.W106")


def _ignores_exceptions(entry: dict[str, Any]) -> bool:
    everywhere = getattr(settings, "DJANGO_REDIS_IGNORE_EXCEPTIONS", False)
    return bool((entry.get("OPTIONS") or {}).get("IGNORE_EXCEPTIONS", everywhere))


def _servers(entry: dict[str, Any]) -> set[str]:
    location = entry.get("LOCATION") or ()
    return set(location.split(",")) if isinstance(location, str) else set(map(str, location))


def _server_messages(alias: str) -> Iterator[CheckMessage]:
    from django_redis import get_redis_connection

    try:
        server = get_redis_connection(alias)
        policy = str(server.config_get("maxmemory-policy").get("maxmemory-policy", ""))
    except (RedisError, OSError) as error:
        # A managed Redis may forbid CONFIG; its panel tells the policy.
        text = f"The maxmemory-policy of CACHES[{alias!r}] is not known: {error}"
        yield Warning(text, hint="Make sure that it is noeviction.", id="srvsession.W103")
        return
    if policy.startswith("allkeys-"):
        text = f"The Redis of CACHES[{alias!r}] evicts any key (maxmemory-policy {policy}), the users' indexes too."
        yield Error(text, hint="Set maxmemory-policy noeviction.", id="srvsession.E103")
    elif policy.startswith("volatile-"):
        text = f"The Redis of CACHES[{alias!r}] ends sessions when it is full (maxmemory-policy {policy})."
        yield Warning(text, hint="Set maxmemory-policy noeviction.", id="srvsession.W104")
