"""A site of several tenants: what tells them apart, in the ways that such sites do it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.http import HttpRequest
from django_redis.client import DefaultClient
from django_redis.util import CacheKey

tenant: ContextVar[str] = ContextVar("tenant", default="public")
of_thread = threading.local()


@contextmanager
def at(name: str) -> Iterator[None]:
    """Be this tenant for a while."""
    before = tenant.set(name)
    try:
        yield
    finally:
        tenant.reset(before)


def prefix() -> str:
    """Return a prefix of the tenant's, as a function for ``SRVSESSION_REDIS_PREFIX``."""
    return f"{tenant.get()}:sessions:"


def key_function(key: str, key_prefix: str, version: int) -> str:
    """Make a key as django-tenants does."""
    return f"{tenant.get()}:{key_prefix}:{version}:{key}"


def suffix_function(key: str, key_prefix: str, version: int) -> str:
    """Name the tenant behind the key, and nest the tenants' names."""
    return f"{key_prefix}:{key}{tenant.get()}"


def key_function_of_thread(key: str, key_prefix: str, version: int) -> str:
    """Make a key by what a thread holds, as a database connection is held."""
    return f"{getattr(of_thread, 'tenant', 'public')}:{key_prefix}:{version}:{key}"


class Client(DefaultClient):  # type: ignore[type-arg]
    """Make keys of a client's own."""

    def make_key(self, key: Any, version: Any = None, prefix: Any = None) -> CacheKey:
        """Name the tenant first."""
        return CacheKey(f"{tenant.get()}/{super().make_key(key, version, prefix)}")


class ByHeader:
    """A middleware: a header names the tenant, for the context and for the thread."""

    async_capable = False

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        """Answer as that tenant."""
        of_thread.tenant = request.headers.get("X-Tenant", "public")
        with at(of_thread.tenant):
            return self.get_response(request)
