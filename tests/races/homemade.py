"""What sites build where stock Django lists no sessions: a list of keys per user in the cache, kept by signals."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in
from django.core.cache import cache

SessionStore = import_module(settings.SESSION_ENGINE).SessionStore


def _entry(user: Any) -> str:
    return f"sessions-of-{user.pk}"


def _remember(*, request: Any, user: Any, **kwargs: Any) -> None:
    keys = cache.get(_entry(user), [])
    cache.set(_entry(user), [*keys, request.session.session_key])


def sessions_of(user: Any) -> list[SimpleNamespace]:
    """Return a user's sessions, and forget the keys that open none any more."""
    keys = [key for key in cache.get(_entry(user), []) if SessionStore(key).get("_auth_user_id")]
    cache.set(_entry(user), keys)
    return [SimpleNamespace(sid=key) for key in keys]


def revoke_all(user: Any) -> list[str]:
    """End the sessions that the list names, and empty it."""
    keys: list[str] = cache.get(_entry(user), [])
    for key in keys:
        SessionStore(key).delete()
    cache.delete(_entry(user))
    return keys


# The model is asked for by name: signals are connected when the urls load, and apps are ready then.
user_logged_in.connect(_remember, sender=get_user_model(), dispatch_uid="races.homemade")
