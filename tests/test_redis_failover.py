"""Sites whose Redis fails over under load: what was acknowledged holds, but for what Redis itself may lose.

One by default, each scenario several times under ``make trust``. Beside the sites redis-py alone does the same.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import redis
from django.contrib.auth.models import User
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from tests.checker import Doubt, Load, RedisDoor, SiteDoor
from tests.databases import add_database, sqlite_file_settings
from tests.patience import patient
from tests.processes import ASGISite, Site, WSGISite
from tests.redis_sentinels import NAME, ReplicatedServer, SentinelGroup
from tests.runs import new_directory
from tests.trust import WHOLE, rounds

USERS = 12
CLIENTS = "failover-sites"
FACTS = 200 if WHOLE else 40
"""How many facts there are to be before, between and after what happens."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sites(
    _sentinel_group: SentinelGroup, django_db_setup: None, django_db_blocker: object
) -> Iterator[list[tuple[Site, str]]]:
    """Gunicorn and uvicorn, on one Redis, with the prefix of the views to ask each for."""
    database = sqlite_file_settings(new_directory("failover") / "db.sqlite3")
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        add_database("failover", database)
        User.objects.using("failover").bulk_create(User(username=f"user{number}") for number in range(USERS))
    limits = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), patient(0.5))  # What JSON can say.
    alias = _sentinel_group.cache_settings(SENTINEL_KWARGS=limits)
    settings = {
        "SESSION_ENGINE": "django_srvsession.backends.redis",
        "DATABASES": {"default": database | {"CONN_MAX_AGE": 600}},
        "CACHES": {"default": alias | {"LOCATION": f"{alias['LOCATION']}?client_name={CLIENTS}"}},
        "SRVSESSION_REDIS_PREFIX": f"failover-{secrets.token_hex(6)}:",
    }
    wsgi = WSGISite(workers=2 if WHOLE else 1, threads=4, **settings)
    asgi = ASGISite(workers=1, **settings)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(Site.start, [wsgi, asgi]))
    yield [(wsgi, ""), (asgi, ""), (asgi, "/a")]
    wsgi.stop()
    asgi.stop()


def control_of(group: SentinelGroup) -> Load:
    """Make visitors who use redis-py alone."""
    addresses = [(sentinel.host, sentinel.port) for sentinel in group.sentinels]
    limit = patient(0.5)
    limits = {"socket_timeout": limit, "socket_connect_timeout": limit, "retry": Retry(NoBackoff(), 0)}
    clients = [Sentinel(addresses, sentinel_kwargs=limits, **limits).master_for(NAME) for _ in range(2)]
    return Load([partial(RedisDoor, client) for client in clients])


def replicated(server: ReplicatedServer) -> float:
    """Return a moment before which all that was acknowledged is on the replica by now."""
    at = time.monotonic()
    with server.client() as client:
        client.set("replicated", 1)
        assert client.wait(1, 5000) == 1
    return at


def freeze(group: SentinelGroup, old: ReplicatedServer, new: ReplicatedServer, load: Load) -> float:
    """The primary hangs, another is promoted, the first awakes; it takes the Sentinels a while to reach it."""
    with old.frozen():
        old.proxy.cut()
        group.wait_promoted(new)
        load.wait_for_facts(FACTS // 2)  # While the first still hangs.
    return leave(group, old, load)


def kill(group: SentinelGroup, old: ReplicatedServer, new: ReplicatedServer, load: Load) -> float:
    """The primary is killed, another is promoted, and the first starts again with what it had."""
    old.kill()
    group.wait_promoted(new)
    at = time.monotonic()
    load.visitors = len(load)
    old.start()
    return at


def fail_over(group: SentinelGroup, old: ReplicatedServer, new: ReplicatedServer, load: Load) -> float:
    """The operator asks for it."""
    assert group.failover() is new
    group.wait(lambda: is_replica(old))
    return time.monotonic()


def cut_off(group: SentinelGroup, old: ReplicatedServer, new: ReplicatedServer, load: Load) -> float:
    """The Sentinels cannot reach the primary; the sites can."""
    old.proxy.cut()
    group.wait_promoted(new)
    return leave(group, old, load)


def leave(group: SentinelGroup, old: ReplicatedServer, load: Load) -> float:
    """Wait until the sites have left a primary that nobody has told that it is none; return when that was."""
    group.wait(lambda: clients_of(old) == 0)
    at = time.monotonic()
    load.visitors = len(load)  # Each makes use of a connection, also of those that were idle.
    load.wait_for_facts(FACTS)
    assert old.role == "master"
    assert clients_of(old) == 0
    old.proxy.mend()
    return at


def cut_off_where_a_replica_must_follow(
    group: SentinelGroup, old: ReplicatedServer, new: ReplicatedServer, load: Load
) -> float:
    """The Sentinels cannot reach the primary; it refuses writes (NOREPLICAS) from when its replica was promoted."""
    ask_for_replicas(group, 1)
    try:
        old.proxy.cut()
        group.wait_promoted(new)
        refused = len(load.outages)
        group.wait(lambda: len(load.outages) > refused + FACTS // 4)
        at = time.monotonic()
        group.heal()
    finally:
        ask_for_replicas(group, 0)
    return at


SCENARIOS = {
    "SENTINEL FAILOVER": fail_over,
    "SIGSTOP": freeze,
    "SIGKILL": kill,
    "cut off": cut_off,
    "cut off, min-replicas-to-write": cut_off_where_a_replica_must_follow,
}


def ask_for_replicas(group: SentinelGroup, number: int) -> None:
    """Set how many replicas a primary must have to take a write."""
    for server in group.servers:
        with server.client() as client:
            client.config_set("min-replicas-to-write", number)


def is_replica(server: ReplicatedServer) -> bool:
    """Whether it takes itself for a replica."""
    try:
        return server.role == "slave"
    except redis.RedisError:
        return False


def clients_of(server: ReplicatedServer) -> int:
    """Return how many connections of the sites a server has."""
    with server.client() as client:
        return sum(entry["name"] == CLIENTS for entry in client.client_list())


@pytest.mark.parametrize("scenario", SCENARIOS if WHOLE else ["SIGSTOP"])
def test_what_was_acknowledged_holds_when_the_primary_changes_under_load(
    sites: list[tuple[Site, str]], sentinels: SentinelGroup, scenario: str
) -> None:
    for _ in range(rounds(5)):
        sentinels.heal()
        doors = [partial(SiteDoor, site.url, prefix, f"user{n}") for n, (site, prefix) in enumerate(sites * 4)]
        with Load(doors) as load, control_of(sentinels) as control:
            old, new = sentinels.primary, sentinels.replica
            load.wait_for_facts(FACTS)
            load.visitors = len(sites)  # Fewer than before: connections are idle.
            begin = replicated(old)
            doubt = Doubt(begin, SCENARIOS[scenario](sentinels, old, new, load))
            load.wait_for_facts(FACTS)
        sentinels.heal()
        load.look_at_all()
        control.look_at_all()
        tell(f"{scenario}: {load.report(doubt)}; redis-py alone: {control.report(doubt)}")
        assert not load.faults(doubt), load.stories(doubt)
        assert not load.broken


def tell(text: str) -> None:
    """Print it, for ``pytest -s``."""
    print(text)  # noqa: T201
