"""Sites on a Redis Cluster under load while its slots move to a node that they do not know, or while a node is lost.

Slots move by default, few of them; more of them, and lost nodes, under ``make trust``.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from django.contrib.auth.models import User

from django_srvsession.backends.redis.alias import CLUSTER_FACTORY
from tests.backends.redis_tools import pool_entry
from tests.checker import Doubt, Load, SiteDoor
from tests.databases import add_database, sqlite_file_settings
from tests.processes import ASGISite, Site, WSGISite
from tests.redis_servers import ClusterNode, ReplicatedCluster
from tests.runs import new_directory
from tests.test_redis_failover import tell
from tests.trust import WHOLE, rounds

USERS = 12
FACTS = 200 if WHOLE else 40
SLOTS = 1500 if WHOLE else 40

pytestmark = pytest.mark.slow

Sites = list[tuple[Site, str]]


@pytest.fixture(scope="module")
def sites(
    replicated_cluster: ReplicatedCluster, django_db_setup: None, django_db_blocker: object
) -> Iterator[list[tuple[Site, str]]]:
    """Gunicorn and uvicorn on one cluster, with the prefix of the views to ask each for."""
    database = sqlite_file_settings(new_directory("resharding") / "db.sqlite3")
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        add_database("resharding", database)
        User.objects.using("resharding").bulk_create(User(username=f"user{number}") for number in range(USERS))
    known = [(node.host, node.port) for node in replicated_cluster.running]
    settings = {
        "SESSION_ENGINE": "django_srvsession.backends.redis",
        "DATABASES": {"default": database | {"CONN_MAX_AGE": 600}},
        "CACHES": {
            "default": pool_entry(
                replicated_cluster.running[0].url, CONNECTION_FACTORY=CLUSTER_FACTORY, STARTUP_NODES=known
            )
        },
        "SRVSESSION_REDIS_PREFIX": f"resharding-{secrets.token_hex(6)}:",
    }
    wsgi = WSGISite(workers=2 if WHOLE else 1, threads=4, **settings)
    asgi = ASGISite(workers=1, **settings)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(Site.start, [wsgi, asgi]))
    yield [(wsgi, ""), (asgi, ""), (asgi, "/a")]
    wsgi.stop()
    asgi.stop()


def visitors(sites: Sites) -> Load:
    return Load([partial(SiteDoor, site.url, prefix, f"user{n}") for n, (site, prefix) in enumerate(sites * 4)])


def largest(cluster: ReplicatedCluster) -> ClusterNode:
    """Return the primary node with the most keys."""
    return max((node for node in cluster.running if node.is_primary), key=lambda node: node.ask("DBSIZE"))


def test_nothing_is_lost_and_nobody_gets_503_while_slots_move_to_a_node_that_the_sites_do_not_know(
    sites: Sites, replicated_cluster: ReplicatedCluster
) -> None:
    with visitors(sites) as load:
        load.wait_for_facts(FACTS)
        newcomer = replicated_cluster.add_node()
        replicated_cluster.reshard(largest(replicated_cluster), newcomer, SLOTS)
        load.wait_for_facts(FACTS)
    load.look_at_all()
    nothing = Doubt(0, 0)
    tell(f"resharding: {load.report(nothing)}")
    assert not load.faults(nothing), load.stories(nothing)
    assert not load.broken
    assert not load.outages


def kill(cluster: ReplicatedCluster, node: ClusterNode) -> Callable[[], None]:
    node.kill()
    return node.start


def freeze(cluster: ReplicatedCluster, node: ClusterNode) -> Callable[[], None]:
    node.freeze()
    return node.thaw


@pytest.mark.skipif(not WHOLE, reason="make trust: nodes are lost")
@pytest.mark.parametrize("lose", [kill, freeze], ids=["SIGKILL", "SIGSTOP"])
def test_what_was_acknowledged_holds_when_a_node_is_lost_under_load(
    sites: Sites, replicated_cluster: ReplicatedCluster, lose: Callable[..., Callable[[], None]]
) -> None:
    for _ in range(rounds(3)):
        replicated_cluster.wait_ready()
        node = next(node for node in replicated_cluster.running if replicated_cluster.replicas_of(node))
        with visitors(sites) as load:
            load.wait_for_facts(FACTS)
            begin = time.monotonic() - 0.5  # Replicas are milliseconds behind; this machine may be busy.
            bring_back = lose(replicated_cluster, node)
            replicated_cluster.wait_ready()
            at = time.monotonic()
            load.wait_for_facts(FACTS)
            bring_back()
            replicated_cluster.wait_ready()
            load.wait_for_facts(FACTS)
        load.look_at_all()
        doubt = Doubt(begin, at)
        tell(f"a node lost: {load.report(doubt)}")
        assert not load.faults(doubt), load.stories(doubt)
        assert not load.broken
