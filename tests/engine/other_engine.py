"""A site that had another engine until now: visitors with its keys, and what its store holds of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.sessions.backends import file as file_engine
from django.test import override_settings

from tests.engine.pages import STOCK, Browser, View, login
from tests.trust import WHOLE

STOCK_ENGINES = ("db", "cache", "cached_db", "file", "signed_cookies")
OURS, THEIRS = "django_srvsession.middleware.SessionMiddleware", f"{STOCK}.middleware.SessionMiddleware"


def in_days(days: float) -> datetime:
    """Return an instant so many days from now."""
    return datetime.now(UTC) + timedelta(days=days)


class OtherEngine:
    """One of Django's engines, from which the site of the test moves."""

    def __init__(self, name: str, path: str) -> None:
        self.name, self.path = name, path

    @property
    def session_store(self) -> Any:
        """The engine's class."""
        return import_module(self.path).SessionStore

    @contextmanager
    def in_charge(self) -> Iterator[None]:
        """Have the site as it was: with this engine, and without our middleware."""
        middleware = [THEIRS if entry == OURS else entry for entry in django_settings.MIDDLEWARE]
        with override_settings(SESSION_ENGINE=self.path, MIDDLEWARE=middleware, SRVSESSION_MIGRATE_FROM=None):
            yield

    def browser(self, *views: View, user: Any = None, asgi: bool = False) -> Browser:
        """Return a browser that has visited these pages while the site was as it was, signed in if there is a user."""
        browser = Browser()
        with self.in_charge():
            for view in (*([] if user is None else [login(user)]), *views):
                assert browser.visit(view).status_code == 200
        assert browser.cookie
        return Browser(browser.cookie, asgi)

    def has(self, key: str) -> bool:
        """Tell whether this engine has a session of a key."""
        return bool(self.session_store(key).load()) if self.name == "signed_cookies" else self._has(key)

    def _has(self, key: str) -> bool:
        return bool(self.session_store(None).exists(key))


@pytest.fixture
def other(
    request: pytest.FixtureRequest,
    settings: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    transactional_db: None,
) -> OtherEngine:
    """The engine that the site moves from: Django's of this name, ``db`` unless the test says otherwise."""
    name = getattr(request, "param", "db")
    path = tmp_path / "old"
    os.mkdir(path)
    monkeypatch.setattr(file_engine.SessionStore, "_storage_path", str(path), raising=False)
    backend = "django.core.cache.backends.locmem.LocMemCache"
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": str(path)}, **settings.CACHES}
    settings.SRVSESSION_MIGRATE_FROM = f"{STOCK}.backends.{name}"
    settings.SRVSESSION_MIGRATE_UNTIL = in_days(30)
    return OtherEngine(name, settings.SRVSESSION_MIGRATE_FROM)


ENGINES = STOCK_ENGINES if WHOLE else ("db", "cache", "signed_cookies")
"""By default the rows, and the two that have no rows: a cache cannot be gone through, and a cookie cannot be ended."""
on_every_engine = pytest.mark.parametrize("other", ENGINES, indirect=True)
on_every_engine_that_ends = pytest.mark.parametrize(
    "other", [name for name in ENGINES if name != "signed_cookies"], indirect=True
)
