"""A site on each of our stores, and on Django's engines; each is started once and serves all races on it in a row."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User

from tests.databases import add_database, sqlite_file_settings
from tests.every_store import CACHED, MONGODB
from tests.mongodb_servers import mongodb_settings
from tests.processes import Site, WSGISite
from tests.runs import new_directory
from tests.trust import WHOLE

OURS = ("memory", "sqlite", "postgresql", "mariadb", "redis", "file", *(CACHED if WHOLE else ()), *MONGODB)
USERS = 8
WORKERS = 4
THREADS = 8
# The servers' processes keep their connections, as a busy site would.
KEEP = {"CONN_MAX_AGE": 600}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the races as slow."""
    for item in items:
        if "tests/races/" in item.path.as_posix():
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: Any) -> Any:
    """Return a function that gives the ``DATABASES`` entry of a kind, migrated and with users, made when asked for."""
    made: dict[str, dict[str, Any]] = {}

    def entry(kind: str) -> dict[str, Any]:
        if kind not in made:
            made[kind] = KEEP | _new_database(kind, request)
            with django_db_blocker.unblock():
                add_database(f"races_{kind}", made[kind])
                _add_users(f"races_{kind}")
        return made[kind]

    return entry


def _new_database(kind: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    if kind == "sqlite":
        return sqlite_file_settings(new_directory("races") / "db.sqlite3")
    server = request.getfixturevalue(f"{kind}_server")
    server.create_database("races")
    entry: dict[str, Any] = server.database_settings("races")
    return entry


def _add_users(alias: str) -> None:
    password = make_password("secret")
    users = [User(username=f"user{number}", password=password) for number in range(USERS)]
    User.objects.using(alias).bulk_create(users)


class Engines:
    """Settings that put the sessions of a site on an engine."""

    def __init__(self, request: pytest.FixtureRequest, databases: Any) -> None:
        self.request = request
        self.databases = databases

    def of(self, name: str) -> dict[str, Any]:
        """Return the settings for one of ``OURS`` ("redis") or for an engine of Django's ("stock file")."""
        stock = name.startswith("stock ")
        kind = name.removeprefix("stock ")
        backends = "django.contrib.sessions.backends" if stock else "django_srvsession.backends"
        engine = kind.split("-")[0]
        # Ours behind Redis is on the database on which most requests overlap.
        database = "postgresql" if name in CACHED else kind if kind in ("postgresql", "mariadb") else "sqlite"
        settings = {
            "SESSION_ENGINE": f"{backends}.{'db' if engine in ('sqlite', 'postgresql', 'mariadb') else engine}",
            "DATABASES": {"default": self.databases(database)},
            "ROOT_URLCONF": "tests.races.views",
            "MIDDLEWARE": [
                "django_srvsession.middleware.SessionMiddleware",
                "django.contrib.auth.middleware.AuthenticationMiddleware",
            ],
            "SRVSESSION_TOUCH_INTERVAL": 0,  # every reader is a writer: the hardest case
        }
        if engine in ("redis", "cache", "cached_db"):
            server = self.request.getfixturevalue("redis_server")
            settings["CACHES"] = {"default": server.cache_settings() | {"KEY_PREFIX": secrets.token_hex(6)}}
            settings["SRVSESSION_REDIS_PREFIX"] = f"races-{secrets.token_hex(6)}:"
        if engine == "mongodb":
            uri = self.request.getfixturevalue("mongodb_uri")
            settings["SRVSESSION_MONGODB"] = mongodb_settings(uri, f"races_{secrets.token_hex(6)}")
        if engine == "file":
            settings["SESSION_FILE_PATH"] = str(new_directory(f"races-files-{secrets.token_hex(6)}"))
        return settings


@pytest.fixture(scope="session")
def engines(request: pytest.FixtureRequest, databases: Any) -> Engines:
    """Settings for each engine."""
    return Engines(request, databases)


def _serve(settings: dict[str, Any]) -> Iterator[Site]:
    alone = settings["SESSION_ENGINE"].endswith(".memory")
    with WSGISite(workers=1 if alone else WORKERS, threads=WORKERS * THREADS if alone else THREADS, **settings) as site:
        yield site


@pytest.fixture(scope="session", params=OURS)
def site(request: pytest.FixtureRequest, engines: Engines) -> Iterator[Site]:
    """A site on each of our stores."""
    yield from _serve(engines.of(request.param))


@pytest.fixture(scope="session")
def stock_site(request: pytest.FixtureRequest, engines: Engines) -> Iterator[Site]:
    """A site on the engine of Django's that ``on_stock`` names."""
    yield from _serve(engines.of(f"stock {request.param}"))
