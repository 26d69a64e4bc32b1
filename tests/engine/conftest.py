"""Fixtures: an engine on an empty store, a watch on that store, browsers, and stock Django to compare with."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from django.conf import settings as django_settings

from django_srvsession.backends.memory import MemoryStore
from django_srvsession.backends.memory.table import SessionTable
from django_srvsession.engine import registry
from tests.engine.pages import STOCK, Browser, make_user
from tests.engine.watched import WatchedStore
from tests.every_store import FIXTURES


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    """The pages of ``pages.py``."""
    settings.ROOT_URLCONF = "tests.engine.pages"


@pytest.fixture
def engine(request: pytest.FixtureRequest, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of ``SESSION_ENGINE`` on an empty store: memory, or what ``every_store.py`` names."""
    kind = getattr(request, "param", "memory")
    if kind in FIXTURES:
        request.getfixturevalue(FIXTURES[kind])
    if kind == "memory":
        monkeypatch.setattr(MemoryStore, "table", SessionTable())
    settings.SESSION_ENGINE = f"django_srvsession.backends.{kind}"
    return import_module(settings.SESSION_ENGINE)


@pytest.fixture(autouse=True)
def store(engine: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The store of ``engine``, watched: it notes all calls, and can be told to be out."""
    store_class = engine.SessionStore.store_class
    watched = WatchedStore(store_class())
    monkeypatch.setitem(registry._stores, store_class, watched)  # type: ignore[arg-type]
    return watched


@pytest.fixture
def browser() -> Browser:
    """A browser without cookies, over WSGI."""
    return Browser()


@pytest.fixture(params=["wsgi", "asgi"])
def either_browser(request: pytest.FixtureRequest) -> Browser:
    """A browser without cookies, over WSGI and over ASGI."""
    return Browser(asgi=request.param == "asgi")


@pytest.fixture
def ann(transactional_db: None) -> Any:
    """A user; the database has real commits."""
    return make_user("ann")


@pytest.fixture
def bob(transactional_db: None) -> Any:
    """Another user."""
    return make_user("bob")


@pytest.fixture
def stock(settings: Any) -> Callable[..., None]:
    """A function that makes the site one of stock Django, with the engine of this name."""

    def use(name: str = "db") -> None:
        settings.SESSION_ENGINE = f"{STOCK}.backends.{name}"
        ours, theirs = "django_srvsession.middleware.SessionMiddleware", f"{STOCK}.middleware.SessionMiddleware"
        settings.MIDDLEWARE = [theirs if entry == ours else entry for entry in django_settings.MIDDLEWARE]

    return use


@pytest.fixture
def middleware(settings: Any) -> Callable[[Any], None]:
    """A function that puts a middleware of the test's own behind all others."""

    def use(made: Any) -> None:
        own = f"{__name__}.own_middleware"
        globals()["own_middleware"] = made
        settings.MIDDLEWARE = [*django_settings.MIDDLEWARE, own]

    return use


own_middleware: Any = None


@pytest.fixture
def atomic_requests(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """``ATOMIC_REQUESTS`` for the default database."""
    from django.db import connection

    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
