"""Private Redis, PostgreSQL and MariaDB servers for tests.

Each listens on 127.0.0.1 on a free port and keeps its files in the run's directory. They trade the safety of the
*machine* for speed (no fsync), not that of the *process*: what was committed survives ``kill()`` and ``restart()``.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import secrets
import shutil
import signal
import socket
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import Any, ClassVar, Final, NoReturn

import pymysql
import pytest
import redis
import redis.utils
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.patience import patient
from tests.runs import Job, new_directory, unprivileged_user, wait_until

try:
    import psycopg
except ImportError:  # As on a site that has psycopg 2.
    import psycopg2 as psycopg

_numbers = itertools.count(1)
# redis-py reads the metadata of its package for each new client, of which each test has some.
redis.utils.get_lib_version = functools.cache(redis.utils.get_lib_version)  # type: ignore[attr-defined]


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on at this moment.

    It is none that the system gives to outgoing connections: one of them could take the port while a server restarts.
    """
    while True:
        port = 20_000 + secrets.randbelow(10_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def missing(what: str) -> NoReturn:
    """Skip the test on a laptop; fail it in CI, where a skipped server would hide a broken store."""
    reason = f"{what} is not installed"
    if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def find_program(*names: str) -> Path | None:
    """Return the path of the first installed program of these names, also where packages hide them."""
    newest_first = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -int(path.parts[-2]))
    places = [*os.environ.get("PATH", "").split(os.pathsep), "/usr/sbin", "/usr/local/sbin", *map(str, newest_first)]
    found = (shutil.which(name, path=os.pathsep.join(places)) for name in names)
    return next((Path(path) for path in found if path), None)


class Server(ABC):
    """A private server: start, stop, kill, freeze, thaw, restart."""

    names: ClassVar[Sequence[str]]
    stop_signal: ClassVar[int] = signal.SIGTERM
    host = "127.0.0.1"

    def __init__(self) -> None:
        self.program = self.find()
        self.user = self.run_as()
        self.directory = new_directory(f"{self.names[0]}-{next(_numbers)}", self.user)
        self.data = self.directory / "data"
        self.port = 0
        self.job: Job | None = None

    @classmethod
    def installed(cls) -> bool:
        """Whether this machine has the server."""
        return find_program(*cls.names) is not None

    @classmethod
    def run_as(cls) -> str | None:
        """Return who runs the server, None: ourselves."""
        return unprivileged_user()

    @classmethod
    def find(cls) -> Path:
        """Return the server's program, or skip or fail the test."""
        return find_program(*cls.names) or missing(cls.names[0])

    @abstractmethod
    def prepare(self) -> None:
        """Make the data directory, once."""

    @abstractmethod
    def command(self) -> list[str | Path]:
        """Return the command line that serves ``self.data`` on ``self.port``."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether this very server, not another on the same port, answers a question."""

    def start(self) -> None:
        """Start the server and wait until it answers. The first start picks the port, later ones keep it."""
        if not self.data.exists():
            self.prepare()
        for attempts_left in (0,) if self.port else (2, 1, 0):
            port, self.port = self.port, self.port or free_port()
            self.job = Job(self.command(), self.directory, user=self.user)
            try:
                wait_until(self.answers, self.job)
                break
            except RuntimeError:
                # Somebody else may have taken the port in between.
                if not attempts_left:
                    raise
                self.port = port

    def run(self, *argv: str | Path) -> None:
        """Run a program that ends, as the server's user."""
        Job(argv, self.directory, user=self.user).finish()

    def _running(self) -> Job:
        assert self.job, "the server was not started"
        return self.job

    @property
    def pid(self) -> int:
        """The number of the server's first process."""
        return self._running().process.pid

    def stop(self) -> None:
        """Shut the server down in good order."""
        self._running().stop(self.stop_signal)

    def kill(self) -> None:
        """Crash the server: SIGKILL to all its processes."""
        self._running().kill()

    def freeze(self) -> None:
        """Make the server hang: SIGSTOP to all its processes. Its port still accepts connections."""
        self._running().freeze()

    def thaw(self) -> None:
        """End a ``freeze()``."""
        self._running().thaw()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze the server for the length of a block."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def restart(self) -> None:
        """Shut down, if it runs, and start on the same port with the same data."""
        self.stop()
        self.start()

    def ensure(self) -> None:
        """Bring the server back from whatever a test did to it."""
        job = self._running()
        if not job.alive:
            self.start()
        elif job.frozen:
            self.thaw()


REDIS_CACHE: Final = os.environ.get("SRVSESSION_TESTS_REDIS_CACHE", "django_redis.cache.RedisCache")
"""The cache of all sites of the tests on Redis; a row of ``make ecosystem`` wants another one."""


class RedisServer(Server):
    """Redis; with ``appendonly`` it keeps its data over a restart."""

    names = ("redis-server", "valkey-server")

    def __init__(self, appendonly: bool = False, extra: Sequence[str] = ()) -> None:
        super().__init__()
        self.appendonly = appendonly
        self.extra = extra

    def prepare(self) -> None:
        self.run("/bin/mkdir", self.data)

    def command(self) -> list[str | Path]:
        options = {
            "bind": self.host,
            "port": self.port,
            "dir": self.data,
            "save": "",
            "appendonly": "yes" if self.appendonly else "no",
            "appendfsync": "no",
            "maxmemory": "256mb",
            "maxmemory-policy": "noeviction",
        }
        return [self.program, *(str(word) for name in options for word in (f"--{name}", options[name])), *self.extra]

    @property
    def url(self) -> str:
        """Where it answers; database number 0."""
        return f"redis://{self.host}:{self.port}/0"

    def client(self, **options: Any) -> redis.Redis:
        """Return a new plain client, which does not retry: an outage shows at once."""
        defaults = {"socket_timeout": patient(2), "socket_connect_timeout": patient(2), "retry": Retry(NoBackoff(), 0)}
        return redis.Redis(host=self.host, port=self.port, **{**defaults, **options})

    def answers(self) -> bool:
        try:
            with self.client() as client:
                return int(client.info("server")["process_id"]) == self.pid
        except redis.RedisError:
            return False

    def cache_settings(self, **options: Any) -> dict[str, Any]:
        """Return a ``CACHES`` entry of django-redis for this server, with short time limits."""
        limits = {"SOCKET_TIMEOUT": patient(0.5), "SOCKET_CONNECT_TIMEOUT": patient(0.5)}
        return {"BACKEND": REDIS_CACHE, "LOCATION": self.url, "OPTIONS": {**limits, **options}}


class DatabaseServer(Server):
    """A server that Django's ``DATABASES`` can name."""

    @abstractmethod
    def connect(self) -> Any:
        """Open an administrator's connection."""

    @abstractmethod
    def database_settings(self, name: str) -> dict[str, Any]:
        """Return a ``DATABASES`` entry for one of its databases."""

    def execute(self, statement: str) -> None:
        """Execute one statement as the administrator."""
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def create_database(self, name: str) -> None:
        """Create an empty database."""
        self.execute(f"CREATE DATABASE {name}")


POSTGRESQL_OPTIONS: Final = json.loads(os.environ.get("SRVSESSION_TESTS_POSTGRESQL_OPTIONS", "{}"))
"""What else all sites of the tests have in their ``OPTIONS``, as rows of ``make ecosystem`` want: a pool, for one."""


class PostgreSQLServer(DatabaseServer):
    """PostgreSQL, with the superuser ``postgres`` and no password."""

    names = ("postgres",)
    stop_signal = signal.SIGINT  # "fast": does not wait for clients

    def prepare(self) -> None:
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        self.run(self.program.resolve().with_name("initdb"), "-D", self.data, *options)

    def command(self) -> list[str | Path]:
        options = {
            "listen_addresses": self.host,
            "port": self.port,
            "unix_socket_directories": "",
            "dynamic_shared_memory_type": "mmap",  # in the data directory: a killed server leaves nothing elsewhere
            "shared_buffers": "32MB",
            "max_connections": 100,
            "wal_level": "minimal",
            "max_wal_senders": 0,
            "autovacuum": "off",
            "fsync": "off",
        }
        return [
            self.program,
            "-D",
            self.data,
            *(word for name in options for word in ("-c", f"{name}={options[name]}")),
        ]

    def connect(self, port: int = 0) -> Any:
        """Open an administrator's connection, also through another port that leads here."""
        limit = ceil(patient(2))
        connection: Any = psycopg.connect(
            host=self.host, port=port or self.port, user="postgres", dbname="postgres", connect_timeout=limit
        )
        connection.autocommit = True
        return connection

    def answers(self) -> bool:
        try:
            with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
                cursor.execute("SHOW data_directory")
                return Path(cursor.fetchone()[0]) == self.data
        except psycopg.Error:
            return False

    def database_settings(self, name: str) -> dict[str, Any]:
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": name,
            "USER": "postgres",
            "HOST": self.host,
            "PORT": str(self.port),
            "OPTIONS": {"connect_timeout": ceil(patient(2)), **POSTGRESQL_OPTIONS},
        }


class MariaDBServer(DatabaseServer):
    """MariaDB, with the superuser ``root`` and no password."""

    names = ("mariadbd", "mysqld")

    def prepare(self) -> None:
        program = find_program("mariadb-install-db", "mysql_install_db") or missing("mariadb-install-db")
        options = ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
        self.run(program, "--no-defaults", f"--datadir={self.data}", f"--tmpdir={self.directory}", *options)

    def command(self) -> list[str | Path]:
        options = {
            "datadir": self.data,
            "tmpdir": self.directory,
            "socket": self.directory / "socket",
            "pid-file": self.directory / "pid",
            "bind-address": self.host,
            "port": self.port,
            "innodb-buffer-pool-size": "32M",
            "innodb-log-file-size": "16M",
            "innodb-flush-log-at-trx-commit": 2,  # written at every commit, flushed to disk every second
            "performance-schema": "OFF",
            "character-set-server": "utf8mb4",
        }
        flags = ["--skip-log-bin", "--skip-name-resolve"]
        return [self.program, "--no-defaults", *(f"--{name}={options[name]}" for name in options), *flags]

    def connect(self) -> Any:
        # PyMySQL's connect_timeout ends with the TCP handshake, which a frozen server still completes.
        limit = patient(2)
        options = {"connect_timeout": limit, "read_timeout": limit, "write_timeout": limit, "ssl_disabled": True}
        return pymysql.connect(
            host=self.host, port=self.port, user="root", database="mysql", autocommit=True, **options
        )

    def answers(self) -> bool:
        try:
            with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
                cursor.execute("SELECT @@datadir")
                return Path(cursor.fetchone()[0]) == self.data
        except pymysql.Error:
            return False

    def database_settings(self, name: str) -> dict[str, Any]:
        return {
            "ENGINE": "django.db.backends.mysql",
            "NAME": name,
            "USER": "root",
            "HOST": self.host,
            "PORT": str(self.port),
            "OPTIONS": {
                "connect_timeout": ceil(patient(2)),
                "read_timeout": ceil(patient(10)),
                "write_timeout": ceil(patient(10)),
                "charset": "utf8mb4",
                # Without TLS: PyMySQL makes an SSL context for each connection, which takes longer than most tests.
                **({"ssl_disabled": True} if sys.modules.get("MySQLdb") is pymysql else {}),
            },
        }


SERVERS: tuple[type[Server], ...] = (RedisServer, PostgreSQLServer, MariaDBServer)
