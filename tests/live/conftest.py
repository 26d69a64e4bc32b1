"""The live site on real servers and on each store; each is started once, for all tests on it."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterator
from math import ceil
from typing import Any

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User

from tests.databases import add_database, sqlite_file_settings
from tests.every_store import CACHED, DATABASES, STORES
from tests.live.servers import KINDS, LiveSite
from tests.mongodb_servers import mongodb_settings
from tests.patience import patient
from tests.runs import new_directory
from tests.trust import WHOLE

USERS = 1500 if WHOLE else 600
Users = Callable[[int], list[str]]
_numbers = itertools.count()

# Each server; that memory tells of ends is tested with the push.
DEFAULT = [("daphne", "sqlite"), ("uvicorn", "redis")]
PAIRS = [(kind, store) for kind in KINDS for store in STORES] if WHOLE else DEFAULT


@pytest.fixture(scope="session")
def live_databases(request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: Any) -> Any:
    """Return a function that gives the ``DATABASES`` entry of a kind, migrated and with users."""
    made: dict[str, dict[str, Any]] = {}

    def entry(kind: str) -> dict[str, Any]:
        if kind not in made:
            if kind == "sqlite":
                made[kind] = sqlite_file_settings(new_directory("live") / "db.sqlite3")
            else:
                server = request.getfixturevalue(f"{kind}_server")
                server.create_database("live")
                made[kind] = server.database_settings("live")
            if kind == "mariadb":  # A frozen server is to be noticed soon.
                made[kind]["OPTIONS"] |= {"read_timeout": ceil(patient(2)), "write_timeout": ceil(patient(2))}
            with django_db_blocker.unblock():
                add_database(f"live_{kind}", made[kind])
                password = make_password("secret")
                users = [User(username=f"user{number}", password=password) for number in range(USERS)]
                User.objects.using(f"live_{kind}").bulk_create(users)
        return made[kind]

    return entry


@pytest.fixture(scope="session")
def live_settings(request: pytest.FixtureRequest, live_databases: Any) -> Any:
    """Return a function that gives the settings of a site on a store."""

    def settings_of(store: str, **more: Any) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "SESSION_ENGINE": f"django_srvsession.backends.{'db' if store in DATABASES else store}",
            "DATABASES": {"default": live_databases(store if store in DATABASES else "sqlite")},
            "ROOT_URLCONF": "tests.live.site",
            "MIDDLEWARE": [
                "django_srvsession.middleware.SessionMiddleware",
                "django.contrib.auth.middleware.AuthenticationMiddleware",
            ],
            "SRVSESSION_BIND": "offer",
        }
        if store in ("redis", *CACHED):
            server = request.getfixturevalue("redis_server")
            settings["CACHES"] = {"default": server.cache_settings()}
            settings["SRVSESSION_REDIS_PREFIX"] = f"live-{secrets.token_hex(6)}:"
        if store == "file":
            settings["SESSION_FILE_PATH"] = str(new_directory(f"live-files-{next(_numbers)}"))
        if store == "mongodb":
            uri = request.getfixturevalue("mongodb_uri")
            settings["SRVSESSION_MONGODB"] = mongodb_settings(uri, f"live_{secrets.token_hex(6)}")
        return settings | more

    return settings_of


@pytest.fixture(scope="module", params=PAIRS, ids="-".join)
def site(request: pytest.FixtureRequest, live_settings: Any) -> Iterator[LiveSite]:
    """The site on a server and a store."""
    kind, store = request.param
    with KINDS[kind](**live_settings(store)) as site:
        site.store = store
        yield site


@pytest.fixture
def users() -> Users:
    """Return a function that names so many users whom no other test has."""
    return lambda count: [f"user{next(_numbers)}" for _ in range(count)]
