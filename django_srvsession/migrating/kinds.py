"""What is known of each kind of engine: where its sessions say when they expire, and how an outage of it shows.

Django's engines for caches and files take an outage for a session that is gone. So they are asked once more, in a way
that tells the two apart, before a session counts as gone.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, ClassVar, Final

from django.contrib.sessions.backends import cache, cached_db, db, file, signed_cookies
from django.core import signing
from django.core.exceptions import ImproperlyConfigured
from django.db import Error
from django.utils import timezone

from django_srvsession.escaping import escaped
from django_srvsession.migrating.source import Found, Source, expiry_of, instant_ms, is_live, unavailable, unusable
from django_srvsession.records import AUTH_KEYS, Client
from django_srvsession.store import StoreUnavailableError

_KEYS_AT_ONCE: Final = 1000

log = logging.getLogger("django_srvsession")


class DatabaseSource(Source):
    """Read sessions that are rows: of Django's ``db`` and ``cached_db``, django-user-sessions, django-qsessions.

    Raises ``ImproperlyConfigured`` where the app of these rows is not installed, too.
    """

    def __init__(self, engine: Any) -> None:
        super().__init__(engine)
        self.model = _model_of(engine)

    def read(self, key: str) -> Found | None:
        """Ask for the row, which says when the session expires, and load by the engine."""
        try:
            row = self.model._default_manager.filter(session_key=key, expire_date__gt=timezone.now()).first()
            contents = self._contents(key, row) if row is not None and row.session_key == key else None
        except Error as error:
            raise unavailable("read", error) from error
        if not contents:
            return None
        created = getattr(row, "created_at", None)
        client = Client(getattr(row, "ip", None) or "", getattr(row, "user_agent", None) or "")
        created_ms = None if created is None else instant_ms(created)
        return Found(contents, instant_ms(row.expire_date), client, created_ms)

    def _contents(self, key: str, row: Any) -> Any:
        return self._open(key).load()

    def end(self, key: str) -> None:
        """Delete the row."""
        try:
            super().end(key)
        except Error as error:
            raise unavailable("ended", error) from error

    def walk(self) -> Iterator[str]:
        """Go through the rows by their keys."""
        last = ""
        while True:
            try:
                rows = self.model._default_manager.filter(session_key__gt=last, expire_date__gt=timezone.now())
                found = list(rows.order_by("session_key").values_list("session_key", flat=True)[:_KEYS_AT_ONCE])
            except Error as error:
                raise unavailable("listed", error) from error
            yield from found
            if len(found) < _KEYS_AT_ONCE:
                return
            last = found[-1]


class CachedDatabaseSource(DatabaseSource):
    """Read sessions that are rows, and in a cache too. The row decides; a cache that is out is in nobody's way."""

    def _contents(self, key: str, row: Any) -> Any:
        try:
            return super()._contents(key, row)
        except Error:
            raise
        except Exception as error:  # noqa: BLE001 - caches raise what their clients raise, of any class.
            log.info("A session is read from its row, as its cache is out: %s", escaped(error))
            return self._open(key).decode(row.session_data)

    def end(self, key: str) -> None:
        """Delete the row, and then from the cache."""
        try:
            super().end(key)
        except StoreUnavailableError:
            raise
        except Exception as error:
            raise unavailable("taken out of their cache", error) from error


def _model_of(engine: Any) -> Any:
    """Return the model that an engine names, or that stands in the module of its class, or of a base of it."""
    if hasattr(engine, "get_model_class"):
        try:
            return engine.get_model_class()
        except RuntimeError as error:  # Its app is not in INSTALLED_APPS.
            raise unusable(engine.__module__, error) from error
    for base in engine.__mro__:
        model = getattr(sys.modules[base.__module__], "Session", None)
        if model is not None:
            return model
    raise ImproperlyConfigured(f"{engine.__module__} has no model of its sessions.")


class CacheSource(Source):
    """Read sessions that are in a cache and nowhere else; a cache that tells for how long says when they expire."""

    def read(self, key: str) -> Found | None:
        """Load by the engine; where that finds nothing, ask the cache in a way that an outage shows."""
        stock = self._open(key)
        cache_key = stock.cache_key
        try:
            contents = stock.load()
            if not contents and stock._cache.get(cache_key) is None:
                return None
            left_s = stock._cache.ttl(cache_key) if contents and hasattr(stock._cache, "ttl") else None
        except Exception as error:
            # Caches raise what their clients raise, of any class.
            raise unavailable("read", error) from error
        if not contents:
            return None
        expires_ms = expiry_of(stock, contents)
        if isinstance(left_s, int | float):
            expires_ms = min(expires_ms, instant_ms(timezone.now()) + int(left_s * 1000))
        return Found(contents, expires_ms) if is_live(expires_ms) else None

    def end(self, key: str) -> None:
        """Delete it from the cache."""
        try:
            super().end(key)
        except Exception as error:
            raise unavailable("ended", error) from error

    @property
    def can_list(self) -> bool:
        """Tell whether the cache goes through its keys, as django-redis does."""
        return hasattr(self._open("")._cache, "iter_keys")

    def walk(self) -> Iterator[str]:
        """Go through the cache's keys."""
        stock = self._open("")
        prefix = stock.cache_key_prefix
        try:
            for name in stock._cache.iter_keys(f"{prefix}*"):
                key = name.removeprefix(prefix)
                if self.is_key(key):
                    yield key
        except Exception as error:
            raise unavailable("listed", error) from error


class FileSource(Source):
    """Read sessions that are files."""

    def read(self, key: str) -> Found | None:
        """Load by the engine; a file that cannot be read is not gone."""
        stock = self._open(key)
        try:
            path = stock._key_to_file()
            with open(path, "rb"):
                saved = datetime.fromtimestamp(os.stat(path).st_mtime, UTC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unavailable("read", error) from error
        contents = stock.load()
        if not contents:
            return None
        expires_ms = expiry_of(stock, contents, saved if timezone.is_aware(timezone.now()) else _naive(saved))
        return Found(contents, expires_ms) if is_live(expires_ms) else None

    def walk(self) -> Iterator[str]:
        """Go through the directory."""
        prefix = self.engine("").file_prefix
        try:
            with os.scandir(self.engine._get_storage_path()) as entries:
                for entry in entries:
                    key = entry.name.removeprefix(prefix)
                    if entry.name.startswith(prefix) and self.is_key(key):
                        yield key
        except OSError as error:
            raise unavailable("listed", error) from error


def _naive(moment: datetime) -> datetime:
    return timezone.make_naive(moment, timezone.get_default_timezone())


class CookieSource(Source):
    """Read sessions that are signed cookies. They have no other place: none of them can be ended there, or listed."""

    pattern: ClassVar[re.Pattern[str]] = re.compile(r"[A-Za-z0-9_.-]{1,4000}:[A-Za-z0-9]{1,16}:[A-Za-z0-9_-]{1,128}")

    @property
    def can_list(self) -> bool:
        """Tell that there is no way."""
        return False

    def read(self, key: str) -> Found | None:
        """Verify the signature by the engine; an expiry of the session's own counts from when it was signed."""
        stock = self._open(key)
        contents = stock.load()
        if not contents:
            return None
        signed_s = signing.b62_decode(key.rsplit(":", 2)[1])
        saved = datetime.fromtimestamp(signed_s, UTC)
        expires_ms = expiry_of(stock, contents, saved if timezone.is_aware(timezone.now()) else _naive(saved))
        return Found(contents, expires_ms) if is_live(expires_ms) else None

    def is_one_visitor_s(self, contents: Mapping[Any, Any]) -> bool:
        """Tell whether somebody is signed in: else two who began in one second may have the same cookie."""
        return AUTH_KEYS[0] in contents

    def end(self, key: str) -> None:
        """Do nothing: only the browser has it."""


def source_of(path: str) -> Source:
    """Return what reads the sessions of the engine at a path, which is there, and not ours.

    Raises ``ImproperlyConfigured`` where its sessions cannot be read.
    """
    engine = import_module(path).SessionStore
    if issubclass(engine, signed_cookies.SessionStore):
        return CookieSource(engine)
    if issubclass(engine, file.SessionStore):
        return FileSource(engine)
    if issubclass(engine, cache.SessionStore):
        return CacheSource(engine)
    if issubclass(engine, cached_db.SessionStore):
        return CachedDatabaseSource(engine)
    if issubclass(engine, db.SessionStore) or any(
        hasattr(sys.modules[base.__module__], "Session") for base in engine.__mro__
    ):
        return DatabaseSource(engine)
    raise ImproperlyConfigured(f"{path} is an engine whose sessions cannot be read here.")
