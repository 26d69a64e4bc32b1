"""What stands between the stores and their servers: drivers of databases, clients of Redis, a pooler."""

from __future__ import annotations

import json
from typing import Any

from tests.ecosystem.entry import Entry, Own

TITLE = "Drivers, clients and poolers"
_CONTRACT = tuple(f"tests/backends/test_db{name}.py" for name in ("", "_statements", "_rules", "_transactions"))
_DATABASE = (*_CONTRACT, "tests/backends/test_db_cursors.py", "tests/test_clearing_databases.py")
_FAULTS = (
    "tests/backends/test_db_faults.py",
    "tests/backends/test_limits_of_stores.py",
    "tests/backends/test_waiting.py",
)
_REDIS = (
    "tests/backends/test_redis.py",
    "tests/backends/test_redis_async.py",
    "tests/backends/test_redis_faults.py",
    "tests/backends/test_redis_py.py",
    "tests/backends/test_redis_scripts.py",
)
_POOL = {"pool": {"min_size": 1, "max_size": 40, "timeout": 20}}
_WITHOUT_PSYCOPG_3 = ("psycopg",)


def _on_postgresql(name: str, *tests: str, distribution: str, options: Any = None, **more: Any) -> Entry:
    own = {"SRVSESSION_TESTS_POSTGRESQL_OPTIONS": json.dumps(options or {}), **more.pop("environment", {})}
    return Entry(
        name,
        distribution=distribution,
        own=Own((*tests, "-k", "postgresql"), more.pop("without", ()), own),
        **more,
    )


def _redis_py(version: str) -> Entry:
    tests = ("tests/backends/test_redis_sentinel.py", "tests/backends/test_redis_cluster.py")
    return Entry(
        f"redis-py-{version}",
        distribution="redis",
        version=f"=={version}.*",
        shown=f"redis-py {version}",
        requirements=("hiredis>=3",),
        own=Own((*_REDIS, *tests, "-k", "not OnACluster"), without=("redis",)),
        seconds=1200,
    )


ENTRIES = (
    _on_postgresql("psycopg", *_DATABASE, *_FAULTS, "tests/backends/test_db_prepared.py", distribution="psycopg"),
    _on_postgresql(
        "psycopg2", *_DATABASE, *_FAULTS, distribution="psycopg2-binary", shown="psycopg 2", without=_WITHOUT_PSYCOPG_3
    ),
    _on_postgresql("psycopg-pool", *_DATABASE, distribution="psycopg-pool", shown="psycopg, pool", options=_POOL),
    _on_postgresql(
        "psycopg-server-side-binding",
        *_DATABASE,
        *_FAULTS,
        distribution="psycopg",
        shown="psycopg, binding on the server",
        options={"server_side_binding": True},
    ),
    _on_postgresql(
        "pgbouncer",
        "tests/backends/test_db.py",
        "tests/backends/test_db_statements.py",
        "tests/backends/test_db_rules.py",
        "tests/backends/test_db_drivers.py",
        distribution="psycopg",
        shown="PgBouncer",
        environment={"SRVSESSION_TESTS_PGBOUNCER": "1"},
        requirements=("psycopg2-binary",),
        packages=("pgbouncer",),
        why="In transaction mode, from Debian; the version is psycopg's.",
    ),
    Entry("mysqlclient", own=Own((*_DATABASE, *_FAULTS, "-k", "mariadb")), packages=("libmariadb-dev", "pkg-config")),
    Entry("PyMySQL", own=Own((*_DATABASE, *_FAULTS, "-k", "mariadb"), without=("PyMySQL",))),
    *(_redis_py(version) for version in ("6", "7", "8")),
    Entry(
        "django-valkey",
        own=Own(
            ("tests/backends/test_valkey.py", *_REDIS[:2], "-k", "not OnACluster"),
            environment={"SRVSESSION_TESTS_REDIS_CACHE": "django_valkey.cache.ValkeyCache"},
        ),
        why="The server is Redis.",
    ),
)
