"""What the checks and the doctor say of the Redis in front of a database."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from redis import ConnectionPool

from django_srvsession import checks
from django_srvsession.backends.cached_db import CachedDatabaseStore
from django_srvsession.backends.cached_db.checks import messages
from django_srvsession.backends.redis.alias import CLUSTER_FACTORY
from django_srvsession.store.health import Finding, Level
from django_srvsession.testing.sessions import create, new_sid, stored
from tests.backends.redis_tools import own_pool, use
from tests.servers import RedisServer, free_port

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture(autouse=True)
def engine(settings: Any, redis_prefix: str) -> None:
    settings.SESSION_ENGINE = "django_srvsession.backends.cached_db"


@pytest.fixture
def silent(redis_server: RedisServer, settings: Any) -> Any:
    """A user of Redis who may do all but ask for INFO."""
    name = f"silent-{secrets.token_hex(4)}"
    with redis_server.client() as client:
        client.execute_command("ACL", "SETUSER", name, "on", "nopass", "~*", "+@all", "-info")
        own_pool(settings, redis_server.url.replace("redis://", f"redis://{name}:x@"))
        yield name
        client.execute_command("ACL", "DELUSER", name)


def ids(deploy: bool = False) -> list[str]:
    return [str(message.id) for message in messages(deploy)]


def test_an_alias_that_serves_has_nothing_said_of_it_though_it_is_the_sites_cache(redis_alias: str) -> None:
    assert ids() == ids(deploy=True) == []


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (None, "srvsession.E101"),
        ({"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}, "srvsession.E102"),
        ({"OPTIONS": {"CONNECTION_FACTORY": CLUSTER_FACTORY}}, "srvsession.E131"),
        ({"OPTIONS": {"CONNECTION_POOL_CLASS": f"{__name__}.PoolOfTheirs"}}, "srvsession.E131"),
    ],
)
def test_an_alias_that_cannot_serve_is_an_error(entry: dict[str, Any] | None, expected: str, settings: Any) -> None:
    settings.SESSION_CACHE_ALIAS = "nowhere"
    if entry is not None:
        address = f"redis://127.0.0.1:{free_port()}/0"
        use(settings, {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": address, **entry})
    assert ids() == [expected]
    assert ids(deploy=True) == []
    assert expected in [message.id for message in checks.check_site()]


class PoolOfTheirs(ConnectionPool):
    """A pool of a project's own."""


def test_a_pool_of_a_projects_own_is_refused_when_it_is_used(settings: Any) -> None:
    own_pool(settings, NOWHERE, CONNECTION_POOL_CLASS=f"{__name__}.PoolOfTheirs")
    with pytest.raises(ImproperlyConfigured, match="pool of redis-py's own"):
        CachedDatabaseStore().load(new_sid())


def test_sentinels_without_time_limits_are_reported(settings: Any) -> None:
    own_pool(
        settings,
        NOWHERE,
        CLIENT_CLASS="django_redis.client.SentinelClient",
        CONNECTION_FACTORY="django_redis.pool.SentinelConnectionFactory",
        SENTINELS=[("127.0.0.1", 1)],
    )
    assert ids() == ["srvsession.W108"]


@pytest.mark.parametrize(
    ("database", "options", "expected"),
    [
        ("django_tenants.postgresql_backend", {}, ["srvsession.E132"]),
        ("django_tenants.postgresql_backend", {"KEY_FUNCTION": f"{__name__}.key_of_a_tenant"}, []),
        ("django.db.backends.postgresql", {}, []),
    ],
)
def test_a_cache_that_keeps_tenants_in_one_is_an_error(
    database: str, options: dict[str, Any], expected: list[str], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_pool(settings, NOWHERE)
    settings.CACHES = {**settings.CACHES, "sessions": settings.CACHES["sessions"] | options}
    monkeypatch.setitem(settings.DATABASES, "tenants", {"ENGINE": database})
    assert ids() == expected


def key_of_a_tenant(key: str, prefix: str, version: int) -> str:
    return f"tenant:{key}"


def test_a_server_that_does_not_answer_or_does_not_tell_its_run_is_reported_for_deployment(
    silent: str, settings: Any
) -> None:
    assert ids(deploy=True) == ["srvsession.W131"]
    own_pool(settings, NOWHERE)
    assert ids(deploy=True) == ["srvsession.W103"]


@pytest.mark.parametrize("database_alias", ["sqlite"], indirect=True)
class TestDoctor:
    """What ``doctorsessions_srv`` finds."""

    @staticmethod
    def found(alias: str) -> list[Finding]:
        return [finding for finding in CachedDatabaseStore(alias).examine() if finding.name == "cache"]

    def test_a_redis_that_answers_is_well(self, database_alias: str, redis_alias: str) -> None:
        findings = list(CachedDatabaseStore(database_alias).examine())
        assert {"cache", "reachable", "version", "memory"} & {finding.name for finding in findings} >= {"cache"}
        assert [finding.level for finding in self.found(database_alias)] == [Level.OK]

    def test_one_that_does_not_tell_its_run_makes_no_copies(self, database_alias: str, silent: str) -> None:
        (finding,) = self.found(database_alias)
        assert finding.level == Level.ERROR
        assert "no copies" in finding.text

    def test_one_that_is_out_is_an_error_and_the_database_is_examined_all_the_same(
        self, database_alias: str, settings: Any
    ) -> None:
        own_pool(settings, NOWHERE)
        findings = list(CachedDatabaseStore(database_alias).examine())
        assert len(findings) > 1
        assert (findings[-1].name, findings[-1].level) == ("cache", Level.ERROR)
        assert "503" in findings[-1].advice

    def test_without_info_every_read_is_the_databases(
        self, database_alias: str, silent: str, django_assert_num_queries: Any
    ) -> None:
        store = CachedDatabaseStore(database_alias)
        session = create(store)
        with django_assert_num_queries(2, connection=connections[database_alias]):
            for _ in range(2):
                assert stored(store, session.record.sid).record == session.record
        assert store.copies.breaker.is_closed
