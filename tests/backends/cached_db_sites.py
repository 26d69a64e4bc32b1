"""Redis in front of a database, and what may happen to that Redis while browsers visit: on our store and on Django's.

A *story* is what browsers do before, during and after an outage of Redis. Each is told to two processes of a real site,
``HERE`` and ``THERE``: what one of them has seen fail, the other knows nothing of.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from django.contrib.auth.models import User

from tests.databases import add_database, sqlite_file_settings
from tests.patience import patient
from tests.processes import Answer, ASGISite, Site, WSGISite
from tests.races.browsers import Held, Lane, cookie_after
from tests.runs import new_directory
from tests.servers import RedisServer

HERE, THERE = 0, 1
STATUSES: Final = (200, 400, 500, 503)
DUE_SECONDS: Final = 1
"""How long a copy is believed by a process that has not seen a write fail: ``SRVSESSION_CACHE_CHECK`` here."""

Outage = Callable[[RedisServer], AbstractContextManager[None]]


# What may happen to Redis.


@contextmanager
def frozen(server: RedisServer) -> Iterator[None]:
    """It hangs (SIGSTOP): connections stay open, and what was sent is done when it goes on."""
    with server.frozen():
        yield


@contextmanager
def killed(server: RedisServer) -> Iterator[None]:
    """It is gone (SIGKILL), and comes back with all it had."""
    server.kill()
    try:
        yield
    finally:
        server.start()


@contextmanager
def frozen_then_killed(server: RedisServer) -> Iterator[None]:
    """It hangs, and somebody kills it for that: what was sent meanwhile is never done."""
    server.freeze()
    try:
        yield
    finally:
        server.kill()
        server.start()


@contextmanager
def flushed(server: RedisServer) -> Iterator[None]:
    """Somebody empties it, and again at the end."""
    with server.client() as client:
        client.flushall()
        yield
        client.flushall()


@contextmanager
def configured(server: RedisServer, **settings: object) -> Iterator[None]:
    """It has other settings meanwhile; an underscore stands for a hyphen."""
    with server.client() as client:
        before = client.config_get()
        names = {name.replace("_", "-"): value for name, value in settings.items()}
        for name, value in names.items():
            client.config_set(name, value)
        try:
            yield
        finally:
            for name in names:
                client.config_set(name, before[name])


def full(server: RedisServer) -> AbstractContextManager[None]:
    """It is above its limit, and takes nothing that needs room (OOM)."""
    return configured(server, maxmemory="1mb", maxmemory_policy="noeviction")


def without_replicas(server: RedisServer) -> AbstractContextManager[None]:
    """It refuses writes, since too few replicas follow it (NOREPLICAS)."""
    return configured(server, min_replicas_to_write=1)


@contextmanager
def replica(server: RedisServer) -> Iterator[None]:
    """It follows another server that is gone: it answers reads, and refuses writes (READONLY)."""
    with server.client() as client:
        client.replicaof("127.0.0.1", "1")
        try:
            yield
        finally:
            client.replicaof("NO", "ONE")


@contextmanager
def old_snapshot(server: RedisServer) -> Iterator[None]:
    """It is killed at the end, and comes back with what it had in the beginning."""
    data, kept = server.data / "appendonlydir", server.data / "kept"
    server.run("/bin/cp", "-r", data, kept)
    yield
    server.kill()
    server.run("/bin/rm", "-r", data)
    server.run("/bin/mv", kept, data)
    server.start()


OUTAGES: Final[dict[str, Outage]] = {
    "frozen": frozen,
    "killed": killed,
    "frozen, then killed": frozen_then_killed,
    "flushed": flushed,
    "full": full,
    "replica": replica,
    "without replicas": without_replicas,
    "old snapshot": old_snapshot,
}


# The site.


def cached_db_site(
    engine: str, server: RedisServer, database: dict[str, Any], *, is_async: bool = False, **settings: Any
) -> Site:
    """Return a site of two processes with the ``SESSION_ENGINE`` of this name on this Redis and this database."""
    given = {
        "ROOT_URLCONF": "tests.site_urls" if is_async else "tests.races.views",
        "SESSION_ENGINE": engine,
        "DATABASES": {"default": database | {"CONN_MAX_AGE": 600}},
        "CACHES": {"default": server.cache_settings() | {"KEY_PREFIX": secrets.token_hex(6)}},
        "SRVSESSION_REDIS_PREFIX": f"outages-{secrets.token_hex(6)}:",
        "SRVSESSION_CACHE_CHECK": DUE_SECONDS,
    }
    return (ASGISite if is_async else WSGISite)(workers=2, threads=4, **given | settings)


def with_user(alias: str, database: dict[str, Any]) -> dict[str, Any]:
    """Migrate a database, and have two users in it, ann and bob; returns it."""
    add_database(alias, database)
    User.objects.using(alias).bulk_create([User(username="ann"), User(username="bob")])
    return database


def new_sqlite(name: str) -> dict[str, Any]:
    """Return a database in a file, with ann and bob."""
    return with_user(name, sqlite_file_settings(new_directory(name) / "db.sqlite3"))


# Who visits.


@dataclass
class Browser:
    """One cookie, and ways to each process; remembers how long the slowest answer took."""

    lane: Lane
    cookie: str | None = None
    prefix: str = ""
    slowest_seconds: float = 0.0

    def ask(self, process: int, view: str, **query: object) -> Answer:
        """Ask a process, and keep the cookie that it gives."""
        began = time.monotonic()
        answer = self.lane[process].get(f"{self.prefix}/{view}/", self.cookie, **query)
        self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began)
        if answer.status < 500:
            self.cookie = cookie_after(answer, self.cookie)
        return answer

    def user(self, process: int) -> str:
        """Return whom the process takes it for; an outage is an ``AssertionError``."""
        return str(self._shown(process, "whoami")["user"])

    def items(self, process: int) -> dict[str, Any]:
        """Return what is in the session, as the process sees it."""
        return dict(self._shown(process, "read")["items"])

    def _shown(self, process: int, view: str) -> Any:
        answer = self.ask(process, view)
        assert answer.status == 200, f"{view} was answered by {answer.status}"
        return answer.json()

    def log_in(self, user: str = "ann") -> Browser:
        """Sign somebody in, and let both processes, and Redis, know the session."""
        assert self.ask(HERE, "login", user=user).status == 200
        assert [self.user(process) for process in (HERE, THERE)] == [user, user]
        return self

    @contextmanager
    def held(self, view: str, outage: Outage, server: RedisServer, **query: object) -> Iterator[Held]:
        """Let Redis go out between a request's load and the rest of it, HERE; the block runs before Redis is back."""
        with ExitStack() as stack:
            with self.hold(view, **query) as held:
                stack.enter_context(outage(server))
            yield held

    def hold(self, view: str, **query: object) -> AbstractContextManager[Held]:
        """Hold a request HERE, when it has loaded its session, for the length of a block."""
        return self.lane.hold(f"/held/{view}/", self.cookie, **query)

    def copy(self) -> Browser:
        """Return a browser with the same cookie."""
        return Browser(self.lane, self.cookie, self.prefix)


@dataclass
class Stage:
    """A site whose Redis is out for as long as a block lasts."""

    site: Site
    server: RedisServer
    lane: Lane = field(init=False)

    def __post_init__(self) -> None:
        self.lane = Lane(self.site, 3, STATUSES)  # The last is HERE again: what is held does not keep others waiting.

    def browser(self) -> Browser:
        """Return a browser without a cookie."""
        return Browser(self.lane, prefix="/a" if isinstance(self.site, ASGISite) else "")

    def wait_until_well(self, seconds: float = 10) -> None:
        """Wait until each process reads from Redis: what was read once is found there."""
        browser = self.browser().log_in()
        with self.server.client() as client:

            def is_read(process: int) -> bool:
                browser.user(process)
                before = client.info("stats")["keyspace_hits"]
                browser.user(process)
                return bool(client.info("stats")["keyspace_hits"] > before)

            began = time.monotonic()
            for process in (HERE, THERE):
                while not is_read(process):
                    assert time.monotonic() - began < patient(seconds), f"not well within {patient(seconds)} s"
                    time.sleep(0.02)


@contextmanager
def stage(site: Site, server: RedisServer) -> Iterator[Stage]:
    """Open the connections to a site, for as long as the block lasts."""
    opened = Stage(site, server)
    with closing(opened.lane):
        yield opened


def wait_until_due() -> None:
    """Wait until no copy that was made before now is believed without a look into the database."""
    time.sleep(DUE_SECONDS * 1.1)
