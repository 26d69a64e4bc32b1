"""A site on each store in turn: memory, a database on each server, Redis, one behind the other, files, MongoDB.

Import the fixture by its function's name, and ask for ``every_store``.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import override_settings

from django_srvsession.backends.memory import MemoryStore
from django_srvsession.backends.memory.table import SessionTable
from tests.databases import SendEverythingTo, empty_database, lent
from tests.mongodb_servers import mongodb_settings, new_database
from tests.trust import WHOLE

DATABASES = ("sqlite", "postgresql", "mariadb")
MONGODB = ("mongodb",) if WHOLE else ()
"""Its server of tests is slow: by default the contract and its own tests run on it, all others in whole runs."""
CACHED = ("cached_db",)
"""SQLite behind Redis. Its lists are the database's: they are tried in whole runs."""
_CACHED = CACHED if WHOLE else ()
STORES = (*DATABASES, "memory", "redis", "file", *_CACHED, *MONGODB)
FIXTURES = {"redis": "redis_alias", "cached_db": "redis_alias", "file": "session_directory", "mongodb": "mongodb"}
"""What makes an empty store, where a fixture does."""
# Beside these stores the users are in the default database.
OTHERS = [
    pytest.param(name, marks=pytest.mark.django_db(transaction=True, databases=["default"]))
    for name in ("memory", "redis", "file", *MONGODB)
]


on_two_stores = pytest.mark.parametrize(
    "every_store", [*DATABASES, *_CACHED, *OTHERS] if WHOLE else ["sqlite", OTHERS[1]], indirect=True
)
"""Run by default on a database and on Redis alone what is decided above the stores."""


@pytest.fixture(name="every_store", params=[*DATABASES, *_CACHED, *OTHERS])
def every_store_fixture(
    request: pytest.FixtureRequest, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Each store in turn, empty, with users in a database of real commits; yields its name."""
    kind = request.param
    if kind in DATABASES or kind in CACHED:
        yield from _on_database(kind, request, settings)
    else:
        settings.SESSION_ENGINE = f"django_srvsession.backends.{kind}"
        if kind == "memory":
            monkeypatch.setattr(MemoryStore, "table", SessionTable())
        else:
            request.getfixturevalue(FIXTURES[kind])
        yield kind


@contextmanager
def lasting_store(kind: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """Have a store for as long as the block lasts, for fixtures that many tests share; as ``every_store``."""
    settings: dict[str, Any] = {"SESSION_ENGINE": f"django_srvsession.backends.{kind}"}
    has_database = kind in DATABASES or kind in CACHED
    database = lent("sqlite" if kind in CACHED else kind, request) if has_database else _default_database(request)
    if kind == "redis" or kind in CACHED:
        caches = {**django_settings.CACHES, "sessions": request.getfixturevalue("redis_server").cache_settings()}
        prefix = f"lasting-{secrets.token_hex(6)}:"
        settings |= {"CACHES": caches, "SESSION_CACHE_ALIAS": "sessions", "SRVSESSION_REDIS_PREFIX": prefix}
    if kind == "file":
        directory = request.getfixturevalue("tmp_path_factory").mktemp("sessions")
        directory.chmod(0o700)
        settings["SESSION_FILE_PATH"] = str(directory)
    with ExitStack() as stack:
        if kind == "mongodb":
            uri = request.getfixturevalue("mongodb_uri")
            settings["SRVSESSION_MONGODB"] = mongodb_settings(uri, stack.enter_context(new_database(uri)))
        alias, patch = stack.enter_context(database), stack.enter_context(pytest.MonkeyPatch.context())
        if has_database:
            settings["DATABASE_ROUTERS"] = [SendEverythingTo(alias)]
        if kind in DATABASES:
            settings["SESSION_ENGINE"] = "django_srvsession.backends.db"
        patch.setattr(MemoryStore, "table", SessionTable())
        with override_settings(**settings):
            yield kind


@contextmanager
def _default_database(request: pytest.FixtureRequest) -> Iterator[str]:
    with request.getfixturevalue("django_db_blocker").unblock():
        yield "default"
        empty_database("default")


def _on_database(kind: str, request: pytest.FixtureRequest, settings: Any) -> Iterator[str]:
    if kind in CACHED:
        request.getfixturevalue("redis_alias")
    with lent("sqlite" if kind in CACHED else kind, request) as alias:
        settings.DATABASE_ROUTERS = [SendEverythingTo(alias)]
        settings.SESSION_ENGINE = f"django_srvsession.backends.{'db' if kind in DATABASES else kind}"
        yield kind
