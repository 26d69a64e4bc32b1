"""The sessions of another engine, from which a site moves to ours, or to which it goes back.

``coming_from`` and ``going_to`` say what the settings say of it. A ``source`` reads the other engine's sessions by that
engine's own class, one at a time, and ends them. What is done with them is not said here (``engine/carrying.py``).
"""

from __future__ import annotations

import time
from functools import lru_cache

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from django_srvsession import conf
from django_srvsession.migrating.kinds import source_of
from django_srvsession.migrating.source import Source

__all__ = ["Source", "coming_from", "is_under_way", "source_of"]


def coming_from() -> Source | None:
    """Return where visitors are carried over from; None where the site does not move, and once the date is there.

    Raises ``ImproperlyConfigured`` where there is no such engine, or no date.
    """
    path = conf.migrate_from
    return None if path is None or not is_under_way() else _source(path)


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


@lru_cache(maxsize=4)
def _source(path: str) -> Source:
    return source_of(path)


def _forget(**kwargs: object) -> None:
    _source.cache_clear()


setting_changed.connect(_forget, dispatch_uid="srvsession.migrating")
