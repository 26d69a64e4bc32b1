"""Logouts race with requests that only read, on Redis in front of each database: who reads makes the copies there.

In the other races every reader writes. Here most copies are made by who has read a session from the database, above all
where Redis keeps losing them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.processes import Site, WSGISite
from tests.races.browsers import Race
from tests.races.conftest import THREADS, WORKERS, Engines
from tests.races.test_logout import ROUNDS, crowd_and_logout, logout_of_a_stale_request, rotation_of_an_ended_session
from tests.servers import RedisServer
from tests.trust import WHOLE

DATABASES = ("postgresql", "mariadb", "sqlite") if WHOLE else ("postgresql",)


@pytest.fixture(scope="module", params=DATABASES)
def readers(request: pytest.FixtureRequest, engines: Engines) -> Iterator[Site]:
    """A site on Redis in front of a database, whose readers do not write."""
    settings: dict[str, Any] = engines.of("cached_db") | {
        "DATABASES": {"default": engines.databases(request.param)},
        "SRVSESSION_TOUCH_INTERVAL": 3600,
    }
    with WSGISite(workers=WORKERS, threads=THREADS, **settings) as site:
        yield site


@contextmanager
def losing(server: RedisServer, prefix: str) -> Iterator[None]:
    """Have Redis lose all that a site has there, again and again, for as long as the block lasts."""
    stop = threading.Event()

    def lose() -> None:
        with server.client() as client:
            while not stop.wait(0.002):
                for key in client.scan_iter(match=f"{prefix}*", count=1000):
                    client.delete(key)

    thread = threading.Thread(target=lose, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_no_copy_brings_a_session_back_after_its_logout(readers: Site, redis_server: RedisServer) -> None:
    with losing(redis_server, readers.settings["SRVSESSION_REDIS_PREFIX"]):
        assert Race(crowd_and_logout).faults(readers, ROUNDS) == 0
    if WHOLE:
        assert Race(crowd_and_logout).faults(readers, ROUNDS) == 0


@pytest.mark.parametrize("race", [logout_of_a_stale_request, rotation_of_an_ended_session])
def test_no_copy_undoes_what_happened_under_a_request(readers: Site, race: Any) -> None:
    assert Race(race).faults(readers, 30) == 0
