"""``manage.py doctorsessions_srv``: what it finds on each store, what it repairs, and its exit status."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError
from redis.exceptions import ResponseError

from django_srvsession import services
from django_srvsession.backends.memory.health import workers_asked_for
from django_srvsession.backends.redis import health
from django_srvsession.backends.redis.alias import CLUSTER_FACTORY
from django_srvsession.engine import current_store
from django_srvsession.models import ClearingRun
from django_srvsession.operations import doctor
from django_srvsession.store import Store, StoreUnavailableError
from django_srvsession.store.health import Finding, Level, StorageInfo, clock_finding
from django_srvsession.testing.sessions import create, new_user
from tests.backends.redis_tools import Cluster, own_pool
from tests.every_store import every_store_fixture  # noqa: F401 - used as a fixture
from tests.memory import memory_store_fixture  # noqa: F401 - used as a fixture
from tests.servers import free_port

HOUR_MS = 3_600_000


def run(*arguments: str) -> tuple[int, str]:
    """Return the exit status and what was printed."""
    stdout, status = io.StringIO(), 0
    try:
        call_command("doctorsessions_srv", "--no-color", *arguments, stdout=stdout)
    except SystemExit as ending:
        status = int(str(ending.code))
    return status, stdout.getvalue()


def found(*arguments: str) -> dict[str, list[dict[str, str]]]:
    """Return the findings by name."""
    findings: dict[str, list[dict[str, str]]] = {}
    for finding in json.loads(run("--json", *arguments)[1]):
        findings.setdefault(finding["name"], []).append(finding)
    return findings


def levels(name: str, *arguments: str) -> list[str]:
    return [finding["level"] for finding in found(*arguments).get(name, [])]


def test_every_store_is_examined_and_what_is_wrong_is_explained(every_store: str) -> None:
    create(current_store(), user_id=new_user(), changed={"a": b"1"})
    findings = found()
    assert levels("engine") == ["ok"]
    assert levels("size") == ["ok"]
    expected = {"redis": "version", "file": "disk", "memory": "memory", "sqlite": "journal"}
    assert expected.get(every_store, "clock") in findings
    if every_store in ("redis", "file"):
        assert findings["index"][0]["text"] == "The lists and the sessions (1) fit each other."
    worse = [one for many in findings.values() for one in many if one["level"] in ("warning", "error")]
    assert all(one["advice"] for one in worse), worse


def test_the_text_is_wrapped_and_names_level_finding_and_advice(store: Store) -> None:
    status, text = run()
    assert status == 0
    assert "\nwarning   clearing: clearsessions_srv has never run to its end.\n          -> Run clearsess" in text
    assert max(map(len, text.splitlines())) <= 88


@pytest.fixture(autouse=True)
def database(request: pytest.FixtureRequest) -> None:
    """A database for the mark of the last clearing, unless the test brings one."""
    if "every_store" not in request.fixturenames and "redis_alias" not in request.fixturenames:
        request.getfixturevalue("db")


def test_the_exit_status_is_1_for_errors_and_if_asked_for_warnings(store: Store, settings: Any) -> None:
    settings.SESSION_COOKIE_SECURE = True
    assert run()[0] == 0
    assert run("--fail-level", "warning")[0] == 1
    settings.SRVSESSION_IDLE_TIMEOUT = "soon"
    assert run()[0] == 1


def test_what_the_checks_say_is_found_djangos_cookie_checks_too(store: Store, settings: Any) -> None:
    settings.SRVSESSION_IDLE_TIMEOUTS = 60
    findings = found()
    assert findings["srvsession.W001"][0]["advice"] == "Did you mean SRVSESSION_IDLE_TIMEOUT?"
    assert "security.W010" in findings
    assert "settings" not in findings


def test_an_engine_that_is_not_ours_is_an_error_and_the_rest_is_still_told(settings: Any) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.db"
    findings = found()
    assert findings["engine"][0]["level"] == "error"
    assert "clearing" in findings
    assert run()[0] == 1


# The clearing job.


def cleared(hours_ago: float, **fields: Any) -> None:
    started_ms = time.time_ns() // 1_000_000 - int(hours_ago * HOUR_MS)
    ClearingRun.objects.create(**{"started_ms": started_ms, "seconds": 1, "ended": 5, "is_complete": True, **fields})


def test_a_clearing_job_that_has_not_run_lately_is_reported(store: Store) -> None:
    assert levels("clearing") == ["warning"]
    cleared(1, is_complete=False)
    assert levels("clearing") == ["warning"]
    cleared(49)
    assert levels("clearing") == ["warning"]
    call_command("clearsessions_srv", verbosity=0)
    assert levels("clearing") == ["ok"]


def test_a_site_that_has_not_been_migrated_is_told_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**conditions: Any) -> Any:
        raise DatabaseError("no such table")

    monkeypatch.setattr(ClearingRun.objects, "filter", fail)
    assert "migrate" in found()["clearing"][0]["advice"]


# Sizes, workers, clocks.


def test_a_large_session_is_reported_with_its_largest_key(store: Store) -> None:
    create(store, changed={"cart": b"x" * 70_000, "b": b"1"})
    (finding,) = found()["size"]
    assert finding["level"] == "warning"
    assert "70001 bytes" in finding["text"] and "'cart'" in finding["text"]


@pytest.mark.parametrize(
    ("environment", "count"),
    [
        ({}, 1),
        ({"WEB_CONCURRENCY": "4"}, 4),
        ({"WEB_CONCURRENCY": "many"}, 1),
        ({"GUNICORN_CMD_ARGS": "--bind :80 --workers=3"}, 3),
        ({"GUNICORN_CMD_ARGS": "-w 2"}, 2),
        ({"GUNICORN_CMD_ARGS": "--log-file some-w9"}, 1),
    ],
)
def test_several_workers_on_the_memory_store_are_an_error(
    store: Store, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], count: int
) -> None:
    for name in ("WEB_CONCURRENCY", "GUNICORN_CMD_ARGS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert workers_asked_for() == count
    assert levels("workers") == (["error"] if count > 1 else [])


@pytest.mark.parametrize(("ahead_ms", "level"), [(0, "ok"), (-999, "ok"), (1000, "warning"), (-5000, "warning")])
def test_clocks_that_differ_are_reported(ahead_ms: float, level: str) -> None:
    finding = clock_finding(ahead_ms, "The database's")
    assert finding.level == level
    assert ("behind" in finding.text) == (ahead_ms < 0)


# Redis.


@pytest.fixture
def redis_store(settings: Any, redis_alias: str, transactional_db: None) -> Store:
    settings.SESSION_ENGINE = "django_srvsession.backends.redis"
    return current_store()


def test_a_redis_that_does_not_answer_is_an_error_and_no_traceback(settings: Any) -> None:
    settings.SESSION_ENGINE = "django_srvsession.backends.redis"
    own_pool(settings, f"redis://127.0.0.1:{free_port()}/0")
    status, text = run()
    assert status == 1
    assert "error     reachable: The session store does not answer: " in text
    assert "clearing:" in text


@pytest.fixture
def server(redis_alias: str) -> Any:
    """The private server, whose settings are put back afterwards."""
    from django_redis import get_redis_connection

    server = get_redis_connection(redis_alias)
    names = ("maxmemory-policy", "maxmemory", "appendonly", "appendfsync")
    before = {name: server.config_get(name)[name] for name in names}
    yield server
    for name, value in before.items():
        server.config_set(name, value)


def test_what_redis_would_drop_or_lose_is_reported(redis_store: Store, server: Any) -> None:
    server.config_set("maxmemory-policy", "noeviction")
    assert levels("maxmemory-policy") == ["ok"]
    server.config_set("maxmemory-policy", "allkeys-lru")
    assert levels("maxmemory-policy") == ["error"]
    server.config_set("maxmemory-policy", "volatile-ttl")
    assert levels("maxmemory-policy") == ["warning"]
    server.config_set("maxmemory-policy", "noeviction")
    server.config_set("maxmemory", str(int(server.info("memory")["used_memory"] * 1.05)))
    assert levels("memory") == ["warning"]
    server.config_set("maxmemory", "0")
    assert levels("memory") == []
    server.config_set("appendonly", "no")
    assert levels("persistence") == ["warning"]
    server.config_set("appendonly", "yes")
    server.config_set("appendfsync", "everysec")
    assert "up to a second" in found()["persistence"][0]["text"]


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ("role:master", []),
        ("role:slave", ["error"]),
        ("role:master\r\nslave0:ip=10.0.0.2,port=1,state=online,offset=1,lag=0", ["note"]),
        ("role:master\r\nslave0:ip=10.0.0.2,port=1,state=wait_bgsave,offset=0,lag=0", ["warning", "note"]),
        ("role:master\r\nslave0:ip=10.0.0.2,port=1,state=online,offset=1,lag=11", ["warning", "note"]),
    ],
)
def test_replicas_are_told_of(info: str, expected: list[str]) -> None:
    parsed = health.parse_info(f"# Replication\r\n{info}\r\n".encode())
    assert [finding.level for finding in health.replication(parsed)] == expected


@pytest.mark.parametrize(("version", "level"), [("6.2.0", "ok"), ("7.0.15", "ok"), ("6.0.16", "error"), ("", "error")])
def test_a_redis_that_is_too_old_is_an_error(version: str, level: str) -> None:
    assert health.version({"redis_version": version}).level == level


def test_a_server_that_forbids_config_is_examined_as_far_as_it_goes(redis_store: Store, server: Any) -> None:
    def ask(command: Any) -> Any:
        if command[0] == "CONFIG":
            return ResponseError("NOPERM")
        (reply,) = redis_store.transport.exchange([command])  # type: ignore[attr-defined]
        return reply.replace(b"maxmemory_policy", b"hidden") if isinstance(reply, bytes) else reply

    (finding,) = [one for one in health.RedisExam(ask).findings() if one.name == "maxmemory-policy"]
    assert finding.level == Level.NOTE


def test_a_server_that_forbids_info_still_has_a_name() -> None:
    class Shy:
        is_one_server = True

        def exchange(self, commands: Any) -> Any:
            return [ResponseError("NOPERM") for _ in commands]

    assert health.storage_info(Shy(), "sessions") == StorageInfo("Redis", "sessions")  # type: ignore[arg-type]


def test_a_server_that_forbids_info_is_a_note_and_no_outage(redis_store: Store) -> None:
    def ask(command: Any) -> Any:
        if command[0] == "INFO":
            return ResponseError("NOPERM")
        return redis_store.transport.exchange([command])[0]  # type: ignore[attr-defined]

    findings = list(health.RedisExam(ask).findings())
    assert [(one.level, one.name) for one in findings][-1] == (Level.NOTE, "info")
    assert {one.name for one in findings} == {"reachable", "clock", "info"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    cluster.start()
    yield cluster
    cluster.stop()


def test_each_primary_of_a_cluster_is_examined(cluster: Cluster, redis_prefix: str, settings: Any) -> None:
    settings.SESSION_ENGINE = "django_srvsession.backends.redis"
    own_pool(settings, cluster.url, CONNECTION_FACTORY=CLUSTER_FACTORY)
    bad = cluster.servers[2]
    bad.client().config_set("maxmemory-policy", "allkeys-lru")
    findings = found()
    assert {one["level"] for one in findings["reachable"]} == {"ok"}
    (version,) = findings["version"]
    assert version["text"].startswith("All 3 nodes: Redis ")
    error, fine = sorted(findings["maxmemory-policy"], key=lambda one: one["level"])
    assert (error["level"], fine["level"]) == ("error", "ok")
    assert error["text"].startswith(f"{bad.host}:{bad.port}: maxmemory-policy is allkeys-lru")
    assert fine["text"].count(bad.host) == 2


def test_a_node_that_does_not_answer_keeps_no_other_from_being_examined() -> None:
    def silent(command: Any) -> Any:
        raise StoreUnavailableError("for the test")

    fine = [Finding(Level.OK, "version", "Redis 7.0.")]
    told = list(health._of_nodes({"a:1": fine, "b:1": health._of_node(silent), "c:1": fine}))
    assert [(one.level, one.text.partition(" ")[0]) for one in told] == [(Level.OK, "a:1,"), (Level.ERROR, "b:1:")]


def test_sessions_that_no_list_shows_are_found_and_repaired_on_redis(
    redis_store: Store, settings: Any, server: Any
) -> None:
    user_id = new_user()
    lost, listed = create(redis_store, user_id=user_id).record, create(redis_store, user_id=user_id).record
    visitor = create(redis_store).record
    prefix = settings.SRVSESSION_REDIS_PREFIX
    for key in [*server.scan_iter(f"{prefix}u:*"), *server.scan_iter(f"{prefix}live:*")]:
        server.zrem(key, lost.sid, visitor.sid)
    assert [record.sid for record in services.sessions_of(user_id)] == [listed.sid]
    (finding,) = found()["index"]
    assert (finding["level"], finding["text"].split()[0]) == ("error", "2")
    assert run()[0] == 1
    assert levels("index", "--repair") == ["note"]
    assert levels("index") == ["ok"]
    assert {record.sid for record in services.sessions_of(user_id)} == {lost.sid, listed.sid}
    assert {record.sid for record in services.live_sessions()} == {lost.sid, listed.sid, visitor.sid}


def test_entries_that_point_nowhere_are_found_and_removed_on_redis(
    redis_store: Store, settings: Any, server: Any
) -> None:
    gone = create(redis_store).record.sid
    prefix = settings.SRVSESSION_REDIS_PREFIX
    server.delete(f"{prefix}s:{gone}")
    for key in server.scan_iter(f"{prefix}live:*"):
        server.zadd(key, {gone: 1}, xx=True)
    assert levels("index") == ["note"]
    assert levels("index", "--repair") == ["note"]
    assert levels("index") == ["ok"]


def test_the_marks_of_the_file_store_are_compared_and_repaired(settings: Any, session_directory: Path) -> None:
    settings.SESSION_ENGINE = "django_srvsession.backends.file"
    store, user_id = current_store(), new_user()
    lost, gone = create(store, user_id=user_id).record.sid, create(store, user_id=user_id).record.sid
    next(session_directory.glob(f"users/*/*/{lost}")).unlink()
    (session_directory / gone[:2] / f"{gone}.json").unlink()
    assert levels("index") == ["error", "note"]
    assert levels("index", "--repair") == ["note", "note"]
    assert levels("index") == ["ok"]
    assert [record.sid for record in services.sessions_of(user_id)] == [lost]


def test_a_store_that_offers_no_examination_is_no_error() -> None:
    assert not list(doctor._store(object(), repair=True))  # type: ignore[arg-type]


def test_an_outage_half_way_is_a_finding(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    create(store)

    def fail(sid: str) -> Any:
        raise StoreUnavailableError("gone fishing")

    monkeypatch.setattr(store, "load", fail)
    assert found()["reachable"][0]["text"] == "The session store does not answer: gone fishing"
