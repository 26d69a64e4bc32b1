"""Whose keys: what stands before every key of the store, which may differ from one use to the next.

It is ``SRVSESSION_REDIS_PREFIX``, as the cache alias makes a key of it (``KEY_FUNCTION``, ``KEY_PREFIX``, ``VERSION``):
what keeps the tenants of a site apart in its cache keeps their sessions apart too.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any, cast

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured

from django_srvsession import conf
from django_srvsession.backends.redis.alias import default_client, why_unusable
from django_srvsession.backends.redis.clock import RedisClock
from django_srvsession.backends.redis.ghosts import Ghosts
from django_srvsession.backends.redis.keys import Keys
from django_srvsession.backends.redis.limit import Limit
from django_srvsession.backends.redis.listing import Lists
from django_srvsession.backends.redis.sessions import Sessions

_MOST_KEPT = 1000


class Tenant:
    """Hold what is made of one prefix. Whatever begins with it ends with it, if the tenant changes meanwhile."""

    def __init__(self, prefix: str, clock: RedisClock, ghosts: Ghosts) -> None:
        self.keys = Keys(prefix)
        self.sessions = Sessions(self.keys, clock, ghosts)
        self.lists = Lists(self.keys, clock)
        self.limit = Limit(self.keys, clock)


class Tenants:
    """Find the tenant of the moment; where there is one only, without asking anybody."""

    def __init__(self, clock: RedisClock) -> None:
        ghosts = Ghosts(clock)
        self._of = lru_cache(_MOST_KEPT)(lambda prefix: Tenant(prefix, clock, ghosts))

    def now(self) -> Tenant:
        """Return the tenant of this thread or request.

        Raises ``ImproperlyConfigured`` when a function of the settings returns no text.
        """
        return self.only or self._of(self._prefix())

    async def anow(self) -> Tenant:
        """Do as :meth:`now`.

        The alias is asked where Django's own cache asks it, in the thread of the site's sync code: what it looks at,
        such as the schema of a connection, may be there only.
        """
        if self.only is not None:
            return self.only
        prefix = await sync_to_async(self._prefix)() if self._alias_is_asked else _chosen_prefix()
        return self._of(prefix)

    def namespace(self) -> str:
        """Return the prefix of the moment where that is a tenant's; what the alias makes of it is not asked for."""
        return _chosen_prefix() if callable(conf.redis_prefix) else ""

    @cached_property
    def only(self) -> Tenant | None:
        """Return the tenant where there is one only."""
        is_one = not self._alias_is_asked and not callable(conf.redis_prefix)
        return self._of(_chosen_prefix()) if is_one else None

    @cached_property
    def _alias_is_asked(self) -> bool:
        return not _is_plain(settings.SESSION_CACHE_ALIAS)

    def _prefix(self) -> str:
        prefix = _chosen_prefix()
        if not self._alias_is_asked:
            return prefix
        cache: Any = caches[settings.SESSION_CACHE_ALIAS]
        return _text("KEY_FUNCTION", cache.client.make_key(prefix))  # As those of stock sessions are made.


def _is_plain(alias: str) -> bool:
    """Tell whether an alias says nothing of its keys."""
    if why_unusable(alias)[0]:
        return True  # It makes no keys for us: whoever uses it is told so.
    entry, cache = settings.CACHES[alias], cast(Any, caches[alias])
    if entry.get("KEY_FUNCTION") or entry.get("KEY_PREFIX") or entry.get("VERSION", 1) != 1:
        return False
    default = default_client(alias)
    return not isinstance(cache.client, default) or type(cache.client).make_key is default.make_key


def _chosen_prefix() -> str:
    prefix = conf.redis_prefix
    return _text("SRVSESSION_REDIS_PREFIX", prefix()) if callable(prefix) else prefix


def _text(name: str, value: object) -> str:
    """Return a prefix that a function has returned; nothing at all would be the prefix of somebody else."""
    if isinstance(value, str) and value:
        return value
    raise ImproperlyConfigured(f"{name} returned {value!r}; it must return a text that is not empty.")
