"""Fixtures: private servers, databases and caches on them, started when the first test asks for them.

``database_alias`` runs a test three times, on SQLite, PostgreSQL and MariaDB, with real commits and threads: it opens
pytest-django's lock on databases for the length of the test (no ``django_db`` mark, which would wrap the test in a
transaction that other threads cannot see) and empties the database afterwards.
"""

from __future__ import annotations

import gc
import os
import secrets
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from django_srvsession import services
from tests.browser.browsers import Driver
from tests.databases import (
    SendEverythingTo,
    add_database,
    empty_between_tests,
    forget_connections,
    lent,
    sqlite_file_settings,
)
from tests.mongodb_servers import MongoServer, make_indexes, mongodb_settings, new_database, uri_of_another_server
from tests.one_local import keep_one_local
from tests.patience import patient
from tests.pgbouncer import IS_THROUGH_PGBOUNCER, PgBouncer
from tests.redis_sentinels import SentinelGroup
from tests.redis_servers import ReplicatedCluster
from tests.runs import new_directory, restore_signals_of_children
from tests.servers import DatabaseServer, MariaDBServer, PostgreSQLServer, RedisServer, Server


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Scale pytest's own time-out with the machine, and let the tests' programs have their signals."""
    gc.disable()  # Until all tests are collected: they all stay.
    restore_signals_of_children()
    keep_one_local()
    empty_between_tests()
    if config.getoption("timeout", None) is None:
        config.option.timeout = patient(float(config.getini("timeout")))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a test that fails break no other: it may have failed before it put back what it set on a connection."""
    if call.excinfo is not None:
        forget_connections()
    return (yield)


def pytest_collection_finish() -> None:
    """Keep the garbage collector from looking at thousands of tests again and again, and from coming often at all."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    gc.enable()


def running(server: Server) -> Iterator[Any]:
    """Start a server and lend it out; the end of the run removes it."""
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session", autouse=True)
def _counting_from_zero(request: pytest.FixtureRequest) -> None:
    """Let stores on Redis look for ghosts after as many sessions as they say: tests count round trips."""
    from django_srvsession.backends.redis import ghosts

    ghosts._first = lambda: 0


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A private Redis."""
    yield from running(RedisServer())


@pytest.fixture(scope="session")
def replicated_cluster() -> Iterator[ReplicatedCluster]:
    """A private Redis Cluster of three primary nodes, each with a replica; tests may add nodes and move slots."""
    cluster = ReplicatedCluster()
    cluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQLServer]:
    """A private PostgreSQL."""
    yield from running(PostgreSQLServer())


@pytest.fixture(scope="session")
def pgbouncer_server(postgresql_server: PostgreSQLServer) -> Iterator[PgBouncer]:
    """A PgBouncer in front of the private PostgreSQL."""
    yield from running(PgBouncer(postgresql_server))


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDBServer]:
    """A private MariaDB."""
    yield from running(MariaDBServer())


@pytest.fixture(scope="session")
def sqlite_alias(django_db_setup: None, django_db_blocker: Any) -> str:
    """A database alias: SQLite in a file, WAL, migrated."""
    path = new_directory("sqlite") / "db.sqlite3"
    return _migrated("sqlite_file", sqlite_file_settings(path), django_db_blocker)


# The aliases wait for `django_db_setup`: pytest-django must not take them for databases that it has to create.
@pytest.fixture(scope="session")
def postgresql_alias(
    request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: Any, postgresql_server: PostgreSQLServer
) -> str:
    """A database alias: PostgreSQL, migrated; through PgBouncer where the environment says so."""
    server: Any = request.getfixturevalue("pgbouncer_server") if IS_THROUGH_PGBOUNCER else postgresql_server
    return _on_server("postgresql", server, django_db_blocker)


@pytest.fixture(scope="session")
def mariadb_alias(django_db_setup: None, django_db_blocker: Any, mariadb_server: MariaDBServer) -> str:
    """A database alias: MariaDB, migrated."""
    return _on_server("mariadb", mariadb_server, django_db_blocker)


def _on_server(alias: str, server: DatabaseServer, blocker: Any) -> str:
    server.create_database("srvsession")
    return _migrated(alias, server.database_settings("srvsession"), blocker)


def _migrated(alias: str, entry: dict[str, Any], blocker: Any) -> str:
    with blocker.unblock():
        add_database(alias, entry)
    return alias


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database_alias(request: pytest.FixtureRequest, settings: Any) -> Iterator[str]:
    """Each database in turn, empty, with every model routed to it and everything allowed: threads, commits, crashes.

    To pick some of them: ``@pytest.mark.parametrize("database_alias", ["postgresql"], indirect=True)``.
    """
    with lent(request.param, request) as alias:
        settings.DATABASE_ROUTERS = [SendEverythingTo(alias)]
        yield alias


@pytest.fixture
def database_settings(database_alias: str) -> dict[str, Any]:
    """The ``DATABASES`` entry of ``database_alias``, for a site in processes of its own."""
    return dict(connections.settings[database_alias])


@pytest.fixture
def redis_prefix(settings: Any) -> str:
    """A random ``SRVSESSION_REDIS_PREFIX``: tests share a server, never their keys, and never flush."""
    settings.SRVSESSION_REDIS_PREFIX = f"test-{secrets.token_hex(6)}:"
    return str(settings.SRVSESSION_REDIS_PREFIX)


@pytest.fixture
def redis_alias(redis_server: RedisServer, redis_prefix: str, settings: Any) -> Iterator[str]:
    """The name of a django-redis cache on the private server, made ``SESSION_CACHE_ALIAS``."""
    settings.CACHES = {**settings.CACHES, "sessions": redis_server.cache_settings()}
    settings.SESSION_CACHE_ALIAS = "sessions"
    redis_server.ensure()
    yield "sessions"
    redis_server.ensure()
    with redis_server.client() as client:
        # All later tests that walk the keys of the server would walk these too.
        own = client.scan_iter(f"*{redis_prefix}*", count=10_000) if client.dbsize() > 10_000 else ()
        if found := list(own):
            client.unlink(*found)


@pytest.fixture(scope="session")
def mongodb_server() -> Iterator[MongoServer]:
    """A private server that speaks MongoDB's protocol, and forgets all when it ends."""
    yield from running(MongoServer())


@pytest.fixture(scope="session")
def mongodb_uri(request: pytest.FixtureRequest) -> str:
    """Where a MongoDB answers: the one that the environment names, or a private one."""
    return uri_of_another_server() or str(request.getfixturevalue("mongodb_server").uri)


@pytest.fixture
def mongodb(mongodb_uri: str, settings: Any) -> Iterator[str]:
    """The name of a database with our indexes and nothing else, made ``SRVSESSION_MONGODB``."""
    with new_database(mongodb_uri) as name:
        settings.SRVSESSION_MONGODB = mongodb_settings(mongodb_uri, name)
        make_indexes()
        yield name


@pytest.fixture(scope="session")
def _sentinel_group() -> Iterator[SentinelGroup]:
    group = SentinelGroup()
    group.start()
    yield group
    group.stop()


@pytest.fixture
def sentinels(_sentinel_group: SentinelGroup) -> SentinelGroup:
    """A primary Redis, its replica and three Sentinels, in good order; a test may leave them in any state."""
    _sentinel_group.heal()
    return _sentinel_group


@pytest.fixture
def session_directory(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty ``SESSION_FILE_PATH``. As on the servers nothing waits for the disk: no test cuts the power."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    directory = tmp_path / "sessions"
    directory.mkdir(mode=0o700)
    settings.SESSION_FILE_PATH = str(directory)
    return directory


@pytest.fixture
def after_the_first_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every session counts as older than the minute for which a user who is not found may not be known yet."""
    monkeypatch.setattr(services, "_NOT_KNOWN_YET_MS", 0)


@pytest.fixture(scope="session")
def driver() -> Iterator[Driver]:
    """The chromedriver of all browsers."""
    driver = Driver()
    yield driver
    driver.job.stop()
