"""Private servers, a Django set up on them, and the pairs of engines that keep sessions in the same place."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

import django
from django.conf import settings

from tests import settings as test_settings
from tests.databases import SendEverythingTo, sqlite_file_settings
from tests.runs import new_directory
from tests.servers import DatabaseServer, MariaDBServer, PostgreSQLServer, RedisServer

NAMES = ("redis", "postgresql", "sqlite", "mariadb", "file", "memory", "cached_db")
CACHED_DB_IN: Final = "postgresql"
"""Where the sessions of ``cached_db`` are, in front of which it has Redis."""
_SERVERS: dict[str, type[DatabaseServer]] = {"postgresql": PostgreSQLServer, "mariadb": MariaDBServer}

router = SendEverythingTo("default")


@dataclass(frozen=True)
class Place:
    """Somewhere to keep sessions, our engine for it, and Django's."""

    name: str
    ours: str
    stock: str
    stock_title: str

    @property
    def is_database(self) -> bool:
        """Whether it is a database alone."""
        return self.ours == "db"

    @property
    def database(self) -> str | None:
        """The alias of the database that has the sessions, if one has."""
        return {"db": self.name, "cached_db": CACHED_DB_IN}.get(self.ours)

    def engines(self) -> tuple[type[Any], type[Any]]:
        """Return our ``SessionStore`` and Django's."""
        return (
            import_module(f"django_srvsession.backends.{self.ours}").SessionStore,
            import_module(self.stock).SessionStore,
        )

    def use(self) -> None:
        """Send the statements of the database engines here."""
        if self.database is not None:
            router.alias = self.database


def place(name: str) -> Place:
    """Return the place of a name."""
    stock, title = {
        "redis": ("django.contrib.sessions.backends.cache", "cache + django-redis"),
        "memory": ("benchmarks.local_memory", "cache + local memory"),
        "file": ("django.contrib.sessions.backends.file", "file"),
        "cached_db": ("django.contrib.sessions.backends.cached_db", f"cached_db, {CACHED_DB_IN} + django-redis"),
    }.get(name, ("django.contrib.sessions.backends.db", "db"))
    return Place(name, "db" if name in ("sqlite", *_SERVERS) else name, stock, title)


@contextlib.contextmanager
def served(names: Sequence[str]) -> Iterator[list[Place]]:
    """Start what these places need, set Django up, and create the tables."""
    needed = set(names) | ({"redis", CACHED_DB_IN} if "cached_db" in names else set())
    with contextlib.ExitStack() as stack:
        databases = {"default": sqlite_file_settings(new_directory("benchmark-sqlite") / "db.sqlite3")}
        databases["sqlite"] = databases["default"]
        databases |= {name: _database(name, stack) for name in needed & set(_SERVERS)}
        caches: dict[str, Any] = {"local": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
        caches["local"]["OPTIONS"] = {"MAX_ENTRIES": 10**6}
        caches["default"] = _redis(stack) if "redis" in needed else caches["local"]
        _set_up(databases, caches)
        yield [place(name) for name in names]


def _database(name: str, stack: contextlib.ExitStack) -> dict[str, Any]:
    server = _SERVERS[name]()
    server.start()
    stack.callback(server.kill)
    server.create_database("benchmark")
    return server.database_settings("benchmark")


def _redis(stack: contextlib.ExitStack) -> dict[str, Any]:
    server = RedisServer()
    server.start()
    stack.callback(server.kill)
    return server.cache_settings(SOCKET_TIMEOUT=10)


def _set_up(databases: dict[str, Any], caches: dict[str, Any]) -> None:
    from django.core.management import call_command

    base = {name: getattr(test_settings, name) for name in dir(test_settings) if name.isupper()}
    own = {
        "DATABASES": databases,
        "CACHES": caches,
        "DATABASE_ROUTERS": [router],
        "SESSION_FILE_PATH": str(new_directory("benchmark-files")),
        "SRVSESSION_REDIS_PREFIX": f"benchmark-{secrets.token_hex(6)}:",
        "SRVSESSION_MEMORY_MAX_SESSIONS": 10**6,
    }
    settings.configure(**base | own)
    django.setup()
    for alias in databases.keys() - {"sqlite"}:
        call_command("migrate", database=alias, verbosity=0)
