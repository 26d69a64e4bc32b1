"""Examine a running set-up: the engine, its server, its indexes, the settings, the clearing job, the sessions' sizes.

Changes nothing, unless it is asked to repair, and is safe beside a running site.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from typing import Final

from django.core.checks import ERROR, WARNING, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError

from django_srvsession import services
from django_srvsession.engine import current_store
from django_srvsession.models import ClearingRun
from django_srvsession.records import Loaded
from django_srvsession.store import CorruptSessionError, Store, StoreUnavailableError
from django_srvsession.store.health import Examinable, Finding, Indexed, IndexHealth, Level, Preparable

_ALSO_DJANGOS: Final = frozenset(f"security.W{number:03}" for number in range(10, 16))
# What a store's own examination says, and says better.
_SAID_BY_STORES: Final = frozenset(
    f"srvsession.{number}" for number in ("E103", "W103", "W104", "W105", "W125", "W126")
)
_RELISTING: Final = "Run doctorsessions_srv --repair. On Redis clearsessions_srv lists them, too."
_DAY_MS: Final = 86_400_000
_LATE_MS: Final = 2 * _DAY_MS
_MEASURED: Final = 200
_LARGE_BYTES: Final = 64 * 1024


def examine(*, repair: bool = False) -> Iterator[Finding]:
    """Yield what is found, part by part; never raises for what is wrong with the set-up.

    ``repair``: make indexes that are missing, list sessions that no list shows, remove entries that point nowhere.
    """
    yield from _settings()
    try:
        store = current_store()
        yield Finding(Level.OK, "engine", f"The engine is {type(store).__name__}, of django-srvsession.")
        yield from _store(store, repair)
        yield from _sizes(store)
    except ImproperlyConfigured as error:
        yield Finding(Level.ERROR, "engine", str(error), "Nothing else can be looked at until this is put right.")
    except StoreUnavailableError as error:
        advice = "Until it answers, requests that need a session get 503, and nobody is signed out by it."
        yield Finding(Level.ERROR, "reachable", f"The session store does not answer: {error}", advice)
    yield from _clearing()


def _settings() -> Iterator[Finding]:
    """Yield what the system checks say of sessions, those for a deployment too."""
    found = False
    for message in run_checks(include_deployment_checks=True):
        id_ = message.id or ""
        if id_ in _SAID_BY_STORES or not (id_.startswith("srvsession.") or id_ in _ALSO_DJANGOS):
            continue
        found = True
        level = Level.ERROR if message.level >= ERROR else Level.WARNING if message.level >= WARNING else Level.NOTE
        yield Finding(level, id_, str(message.msg), str(message.hint or "Set what it names."))
    if not found:
        yield Finding(Level.OK, "settings", "The system checks find nothing wrong with the settings of sessions.")


def _store(store: Store, repair: bool) -> Iterator[Finding]:
    if repair and isinstance(store, Preparable):
        yield from store.prepare()
    if isinstance(store, Examinable):
        yield from store.examine()
    if isinstance(store, Indexed):
        yield from _index(store.check_index(repair=repair), repair)


def _index(health: IndexHealth, repair: bool) -> Iterator[Finding]:
    if not health.ghosts and not health.unlisted:
        yield Finding(Level.OK, "index", f"The lists and the sessions ({health.looked_at}) fit each other.")
    if health.unlisted:
        text = f"{health.unlisted} live sessions are in no list: they open, and nobody can see or end them."
        if repair:
            yield Finding(Level.NOTE, "index", f"{text} {health.repaired} of them are listed now.")
        else:
            yield Finding(Level.ERROR, "index", text, _RELISTING)
    if health.ghosts:
        text = f"{health.ghosts} entries point nowhere: readers skip them."
        if repair:
            services.clear_expired()
            yield Finding(Level.NOTE, "index", f"{text} They are removed now.")
        else:
            yield Finding(Level.NOTE, "index", text, "clearsessions_srv, or doctorsessions_srv --repair, removes them.")


def _sizes(store: Store) -> Iterator[Finding]:
    """Yield how large the sessions are that were used last."""
    sizes: list[tuple[int, str]] = []
    for record in itertools.islice(services.live_sessions(), _MEASURED):
        with contextlib.suppress(CorruptSessionError):
            found = store.load(record.sid)
            if isinstance(found, Loaded):
                largest = max(found.values, key=lambda name: len(found.values[name]), default="")
                sizes.append((sum(map(len, found.values.values())), largest))
    if not sizes:
        return
    size, key = max(sizes)
    text = f"Of the {len(sizes)} sessions used last, the largest has {size} bytes"
    if size <= _LARGE_BYTES:
        yield Finding(Level.OK, "size", f"{text}.")
    else:
        advice = "Every request reads the whole session. Keep large things elsewhere, and their names in the session."
        yield Finding(Level.WARNING, "size", f"{text}, most of it in its key {key!r}.", advice)


def _clearing() -> Iterator[Finding]:
    """Yield when ``clearsessions_srv`` last ran to its end."""
    advice = "Run clearsessions_srv regularly, say every hour, by cron, a systemd timer or a scheduled task."
    try:
        last = ClearingRun.objects.filter(is_complete=True).order_by("-pk").first()
    except DatabaseError as error:
        text = f"It is not known when clearsessions_srv last ran: {error}"
        yield Finding(Level.WARNING, "clearing", text, "Run migrate; its table is in the default database.")
        return
    if last is None:
        yield Finding(Level.WARNING, "clearing", "clearsessions_srv has never run to its end.", advice)
        return
    if not last.is_sound:
        text = "It is not known when clearsessions_srv last ran: what it wrote down is damaged."
        yield Finding(Level.WARNING, "clearing", text, advice)
        return
    age_ms = time.time_ns() // 1_000_000 - last.started_ms
    text = f"clearsessions_srv last ran to its end {age_ms / 3_600_000:.1f} hours ago, and ended {last.ended} sessions"
    text += f" in {last.seconds:.1f} s."
    is_late = age_ms > _LATE_MS
    yield Finding(Level.WARNING if is_late else Level.OK, "clearing", text, advice if is_late else "")
