"""What can be wrong with the cache alias that the Redis store uses, as system checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.conf import settings
from django.core.cache import caches
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured

from django_srvsession.backends.redis.alias import CLUSTER_FACTORY, default_client, open_transport, why_unusable
from django_srvsession.backends.redis.completeness import incarnation
from django_srvsession.backends.redis.health import config
from django_srvsession.backends.redis.transport import Ask
from django_srvsession.backends.redis.transport.replies import parse_info
from django_srvsession.store import StoreUnavailableError

_TIMEOUTS = ("SOCKET_TIMEOUT", "SOCKET_CONNECT_TIMEOUT")
_OF_VALUES: Final = {
    "SERIALIZER": ".serializers.pickle.PickleSerializer",
    "COMPRESSOR": ".compressors.identity.IdentityCompressor",
    "PICKLE_VERSION": None,
}
"""Options about stored values, and what of the cache's package is used when they are not set."""
_OF_STOCK_SESSIONS: Final = ("get", "set", "add", "delete", "has_key", "encode", "decode")
"""The methods of a client that values of stock sessions pass through."""


def messages(deploy: bool) -> list[CheckMessage]:
    """Return what is wrong with ``CACHES[SESSION_CACHE_ALIAS]``; with ``deploy``, with its server."""
    alias = settings.SESSION_CACHE_ALIAS
    if unusable := alias_messages(alias):
        return [] if deploy else unusable
    return list(_server_messages(alias) if deploy else _entry_messages(alias, settings.CACHES[alias]))


def alias_messages(alias: str) -> list[CheckMessage]:
    """Return why an alias leads to no Redis; nothing if it does."""
    if alias not in settings.CACHES:
        text = f"SESSION_CACHE_ALIAS is {alias!r}, which is not in CACHES."
        return [Error(text, hint="Add an alias of its own for sessions.", id="srvsession.E101")]
    why, hint = why_unusable(alias)
    text = f"SESSION_CACHE_ALIAS names the cache {alias!r}, {why}"
    return [Error(text, hint=hint, id="srvsession.E102")] if why else []


def _entry_messages(alias: str, entry: dict[str, Any]) -> Iterator[CheckMessage]:
    sharing = [other for other, its in settings.CACHES.items() if other != alias and _servers(its) & _servers(entry)]
    if alias == "default" or sharing:
        text = f"CACHES[{alias!r}] is {'the default cache' if not sharing else 'also ' + ', '.join(sharing)}."
        own = "a cluster" if is_for_a_cluster(entry) else "a database number"  # A cluster has database 0 only.
        hint = f"cache.clear() empties the whole Redis database, and ends every session. Give sessions {own}."
        yield Warning(text, hint=hint, id="srvsession.W101")
    missing = [name for name in _TIMEOUTS if not (entry.get("OPTIONS") or {}).get(name)]
    if missing:
        text = f"CACHES[{alias!r}] has no {' and no '.join(missing)}: a Redis that hangs would hang every request."
        yield Warning(text, hint="Set both in its OPTIONS, to a second or less.", id="srvsession.W102")
    yield from sentinel_messages(alias, entry)
    ignored = list(_ignored(alias, entry))
    if ignored:
        text = (
            f"CACHES[{alias!r}] has {', '.join(ignored)}: Django's own session engine obeys that, and sessions here "
            "do not."
        )
        hint = (
            "Take it out. Values are made by SESSION_SERIALIZER and sealed, an outage is answered with 503, and "
            "everything is asked of the first server."
        )
        yield Error(text, hint=hint, id="srvsession.E106")


def sentinel_messages(alias: str, entry: dict[str, Any]) -> Iterator[CheckMessage]:
    """Yield what lets requests wait for a Sentinel that hangs."""
    patient = _patience_with_sentinels(entry.get("OPTIONS") or {})
    if patient:
        text = f"The SENTINEL_KWARGS of CACHES[{alias!r}] have no {' and no '.join(patient)}."
        hint = (
            "A Sentinel that hangs would hang requests: redis-py asks it ten times more before it asks the next. Set "
            "both time-outs there to a second or less, and retry to redis.retry.Retry(redis.backoff.NoBackoff(), 0)."
        )
        yield Warning(text, hint=hint, id="srvsession.W108")


def _ignored(alias: str, entry: dict[str, Any]) -> Iterator[str]:
    """Yield the options that change what stock sessions do, and change nothing here."""
    options, default = entry.get("OPTIONS") or {}, default_client(alias)
    package = default.__module__.partition(".")[0]
    for name, usual in _OF_VALUES.items():
        if options.get(name) not in (None, usual and package + usual):
            yield name
    if options.get("IGNORE_EXCEPTIONS", getattr(settings, f"{package.upper()}_IGNORE_EXCEPTIONS", False)):
        yield "IGNORE_EXCEPTIONS"
    if len(_servers(entry)) > 1:
        yield "more than one server as its LOCATION"
    client = type(getattr(caches[alias], "client", None))
    if any(getattr(client, name, None) is not getattr(default, name) for name in _OF_STOCK_SESSIONS):
        yield "a CLIENT_CLASS that stores values in its own way"


def _patience_with_sentinels(options: dict[str, Any]) -> list[str]:
    """Return which limits are missing of how long, and how often, one Sentinel is asked."""
    if not options.get("SENTINELS"):
        return []
    own = options.get("SENTINEL_KWARGS")
    needed = ("retry",) if own is None else ("retry", "socket_timeout", "socket_connect_timeout")
    # Without SENTINEL_KWARGS redis-py takes the time limits of the connections to Redis itself.
    return [name for name in needed if (own or {}).get(name) is None]


def is_for_a_cluster(entry: dict[str, Any]) -> bool:
    """Tell whether an entry of ``CACHES`` leads to a Redis Cluster."""
    everywhere = getattr(settings, "DJANGO_REDIS_CONNECTION_FACTORY", None)
    return bool((entry.get("OPTIONS") or {}).get("CONNECTION_FACTORY", everywhere) == CLUSTER_FACTORY)


def _servers(entry: dict[str, Any]) -> set[str]:
    location = entry.get("LOCATION") or ()
    return set(location.split(",")) if isinstance(location, str) else set(map(str, location))


def _server_messages(alias: str) -> Iterator[CheckMessage]:
    try:
        to = open_transport(alias)
        for name, ask in to.primaries().items():
            whose = f"CACHES[{alias!r}]" + (f", node {name}," if name else "")
            yield from _of_server(whose, ask, is_cluster=not to.is_one_server)
    except ImproperlyConfigured as error:
        yield Error(str(error), hint="See the page on stores.", id="srvsession.E102")
    except StoreUnavailableError as error:
        text = f"The Redis of CACHES[{alias!r}] does not answer: {error}"
        yield Warning(text, hint="Run this check where Redis can be reached.", id="srvsession.W103")


def _of_server(whose: str, ask: Ask, is_cluster: bool) -> Iterator[CheckMessage]:
    """Yield what is wrong with a server, or with one of a cluster's; raises ``StoreUnavailableError``."""
    if incarnation(ask) is None:
        text = f"The Redis of {whose} does not tell by INFO whether it is the same as before (run_id, master_replid)."
        hint = "Permit the user of the alias INFO: else, to sign somebody out everywhere is to look at all sessions."
        yield Warning(text, hint=hint, id="srvsession.W107")
    if not is_cluster and is_node(ask):
        text = f"The Redis of {whose} is a node of a Redis Cluster, and the alias is not one for a cluster."
        hint = f'Set CONNECTION_FACTORY in its OPTIONS to "{CLUSTER_FACTORY}".'
        yield Error(text, hint=hint, id="srvsession.E107")
    policy = config(ask, "maxmemory-policy")
    if policy is None:
        # A managed Redis may forbid CONFIG; its panel tells the policy.
        text = f"The maxmemory-policy of {whose} is not known: it refuses CONFIG GET."
        yield Warning(text, hint="Make sure that it is noeviction.", id="srvsession.W103")
    elif policy.startswith("allkeys-"):
        text = f"The Redis of {whose} evicts any key (maxmemory-policy {policy}), the users' indexes too."
        yield Error(text, hint="Set maxmemory-policy noeviction.", id="srvsession.E103")
    elif policy.startswith("volatile-"):
        text = f"The Redis of {whose} ends sessions when it is full (maxmemory-policy {policy})."
        yield Warning(text, hint="Set maxmemory-policy noeviction.", id="srvsession.W104")


def is_node(ask: Ask) -> bool:
    """Tell whether a server is a node of a cluster, as far as it tells."""
    reply = ask(("INFO",))
    return isinstance(reply, bytes) and parse_info(reply).get("cluster_enabled") == "1"
