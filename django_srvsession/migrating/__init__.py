"""The sessions of another engine, from which a site moves to ours, or to which it goes back.

``coming_from`` and ``going_to`` say what the settings say of it. A ``source`` reads the other engine's sessions by that
engine's own class, one at a time, and ends them. What is done with them is not said here (``engine/carrying.py``).
"""

from __future__ import annotations

import time
from functools import lru_cache
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from django_srvsession import conf
from django_srvsession.migrating.source import Source, unusable

__all__ = [
    "Source",
    "coming_from",
    "engine_at",
    "engines",
    "going_to",
    "is_ours",
    "is_under_way",
    "our_engine",
    "source",
]


def coming_from() -> Any:
    """Return the engine that visitors are carried over from; None where the site does not move, or its date is there.

    Raises ``ImproperlyConfigured`` where there is no such engine, or no date. So do the others.
    """
    path = conf.migrate_from
    return None if path is None or not is_under_way() else engine_at(path)


def going_to() -> Any:
    """Return the engine that other servers carry visitors over to; None as :func:`coming_from`."""
    path = conf.migrate_to
    return None if path is None or not is_under_way() else engine_at(path)


def engines() -> tuple[Any, Any] | None:
    """Return the engines that the site moves from and to, whichever has the sessions now; None as :func:`coming_from`.

    Raises ``ImproperlyConfigured`` as that.
    """
    if (other := coming_from()) is not None:
        return other, engine_at(settings.SESSION_ENGINE)
    other = going_to()
    return None if other is None else (engine_at(settings.SESSION_ENGINE), other)


def is_under_way() -> bool:
    """Tell whether the date is still to come until which the site moves.

    Raises ``ImproperlyConfigured`` where there is none: keys of other engines must not open anything for ever.
    """
    until_ms = conf.migrate_until_ms
    if until_ms is None:
        raise ImproperlyConfigured(
            "SRVSESSION_MIGRATE_FROM and SRVSESSION_MIGRATE_TO need SRVSESSION_MIGRATE_UNTIL: a date from which the "
            "keys of the other engine open nothing any more."
        )
    return time.time_ns() < until_ms * 1_000_000


def source(path: str | None = None) -> Source | None:
    """Return what reads the sessions of the engine that visitors come from, or of another one that is not ours.

    None where visitors come from nowhere, or from an engine of ours.
    """
    if path is None and (path := conf.migrate_from) is None:
        return None
    return None if not is_under_way() or is_ours(engine_at(path)) else _source(path)


@lru_cache(maxsize=4)
def _source(path: str) -> Source:
    from django_srvsession.migrating.kinds import source_of  # With all of Django's engines; most sites do not move.

    return source_of(path)


def engine_at(path: str) -> Any:
    """Return the class of the session engine at a path; raises ``ImproperlyConfigured`` where there is none."""
    try:
        engine = import_module(path).SessionStore
    except (ImportError, AttributeError, RuntimeError) as error:  # The last one: its app is not in INSTALLED_APPS.
        raise unusable(path, error) from error
    if isinstance(engine, type):
        return engine
    raise ImproperlyConfigured(f"{path} cannot be used as a session engine: its SessionStore is no class.")


def is_ours(engine: Any) -> bool:
    """Tell whether a session engine is one of ours."""
    return hasattr(engine, "store_class")


def our_engine() -> Any:
    """Return the engine of ours that a site has: ``SESSION_ENGINE``, or while it moves the other one; None without."""
    engine = import_module(settings.SESSION_ENGINE).SessionStore
    if is_ours(engine):
        return engine
    path = conf.migrate_to or conf.migrate_from
    other = None if path is None or not is_under_way() else engine_at(path)
    return other if is_ours(other) else None


def _forget(**kwargs: object) -> None:
    _source.cache_clear()


setting_changed.connect(_forget, dispatch_uid="srvsession.migrating")
