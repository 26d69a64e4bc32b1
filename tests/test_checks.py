"""System checks: one bad setting, one message with a stable id; good settings, none."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks

OURS = "django_srvsession.middleware.SessionMiddleware"
STOCK = "django.contrib.sessions.middleware.SessionMiddleware"
REDIS = {
    "BACKEND": "django_redis.cache.RedisCache",
    "LOCATION": "redis://127.0.0.1:1/1",
    "OPTIONS": {"SOCKET_TIMEOUT": 0.5, "SOCKET_CONNECT_TIMEOUT": 0.5},
}
LOCMEM = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}


def ids(deploy: bool = False) -> set[str]:
    """Return the ids of our messages; only those of ``--deploy`` with ``deploy``."""
    plain = {message.id for message in run_checks() if message.id}
    found = {message.id for message in run_checks(include_deployment_checks=True) if message.id} - plain
    return {id_ for id_ in (found if deploy else plain) if id_.startswith("srvsession.")}


@pytest.fixture
def redis_engine(settings: Any) -> Any:
    """Use the Redis engine with an alias of its own; nothing listens on its port."""
    settings.SESSION_ENGINE = "django_srvsession.backends.redis"
    settings.SESSION_CACHE_ALIAS = "sessions"
    settings.CACHES = {"default": LOCMEM, "sessions": REDIS}
    return settings


@pytest.mark.parametrize("engine", ["memory", "db", "file"])
def test_good_settings_give_no_message(settings: Any, engine: str, tmp_path: Any) -> None:
    settings.SESSION_ENGINE = f"django_srvsession.backends.{engine}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    assert ids() == set()


def test_a_good_redis_alias_gives_no_message_and_asks_no_server(redis_engine: Any) -> None:
    assert ids() == set()


def test_a_misspelt_setting_is_reported_with_the_nearest_name(settings: Any) -> None:
    settings.SRVSESSION_IDLE_TIMEOUTS = 60
    (message,) = [message for message in run_checks() if message.id == "srvsession.W001"]
    assert message.hint == "Did you mean SRVSESSION_IDLE_TIMEOUT?"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IDLE_TIMEOUT", "soon"),
        ("IDLE_TIMEOUT", -1),
        ("TOUCH_INTERVAL", None),
        ("LATE_SAVE", "maybe"),
        ("MEMORY_MAX_SESSIONS", 0),
        ("MEMORY_MAX_SESSIONS", True),
        ("STORE_IP", "half"),
    ],
)
def test_a_value_that_is_not_of_its_kind_is_reported(settings: Any, name: str, value: Any) -> None:
    setattr(settings, f"SRVSESSION_{name}", value)
    (message,) = [message for message in run_checks() if message.id == "srvsession.E002"]
    assert f"SRVSESSION_{name}" in message.msg


@pytest.mark.parametrize("engine", ["django.contrib.sessions.backends.db", "no.such.engine", "django_srvsession"])
def test_an_engine_that_is_not_ours_is_an_error(settings: Any, engine: str) -> None:
    settings.SESSION_ENGINE = engine
    assert ids() == {"srvsession.E001"}


def test_our_middleware_must_be_there_once(settings: Any) -> None:
    settings.MIDDLEWARE = [STOCK if path == OURS else path for path in settings.MIDDLEWARE]
    assert ids() == {"srvsession.W002"}
    settings.MIDDLEWARE = [OURS, OURS, *settings.MIDDLEWARE[1:]]
    assert ids() == {"srvsession.W002"}


def test_the_memory_engine_is_reported_for_a_deployment_only(settings: Any) -> None:
    assert ids() == set()
    assert ids(deploy=True) == {"srvsession.W105"}
    settings.SESSION_ENGINE = "django_srvsession.backends.db"
    assert ids(deploy=True) == set()


def test_a_missing_cache_alias_is_an_error(redis_engine: Any) -> None:
    redis_engine.SESSION_CACHE_ALIAS = "elsewhere"
    assert ids() == {"srvsession.E101"}


def test_an_alias_that_is_not_django_redis_is_an_error(redis_engine: Any) -> None:
    redis_engine.CACHES = {"default": LOCMEM, "sessions": LOCMEM}
    assert ids() == {"srvsession.E102"}
    redis_engine.CACHES = {
        "default": LOCMEM,
        "sessions": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS["LOCATION"]},
    }
    assert ids() == {"srvsession.E102"}


def test_an_alias_that_another_cache_shares_is_reported(redis_engine: Any) -> None:
    redis_engine.CACHES = {"default": REDIS, "sessions": REDIS}
    assert ids() == {"srvsession.W101"}
    redis_engine.CACHES = {"default": REDIS}
    redis_engine.SESSION_CACHE_ALIAS = "default"
    assert ids() == {"srvsession.W101"}
    redis_engine.SESSION_CACHE_ALIAS = "sessions"
    redis_engine.CACHES = {"default": {**REDIS, "LOCATION": "redis://127.0.0.1:1/2"}, "sessions": REDIS}
    assert ids() == set()


def test_an_alias_without_time_outs_is_reported(redis_engine: Any) -> None:
    redis_engine.CACHES = {"default": LOCMEM, "sessions": {**REDIS, "OPTIONS": {"SOCKET_TIMEOUT": 1}}}
    assert ids() == {"srvsession.W102"}


def test_a_server_that_does_not_answer_is_reported_for_a_deployment_only(redis_engine: Any) -> None:
    assert ids() == set()
    assert ids(deploy=True) == {"srvsession.W103"}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("noeviction", set()), ("allkeys-lru", {"srvsession.E103"}), ("volatile-ttl", {"srvsession.W104"})],
)
def test_a_server_that_evicts_is_reported(
    settings: Any, redis_alias: str, redis_server: Any, policy: str, expected: set[str]
) -> None:
    from django_redis import get_redis_connection

    settings.SESSION_ENGINE = "django_srvsession.backends.redis"
    server = get_redis_connection(redis_alias)
    before = server.config_get("maxmemory-policy")["maxmemory-policy"]
    server.config_set("maxmemory-policy", policy)
    try:
        assert ids(deploy=True) == expected
    finally:
        server.config_set("maxmemory-policy", before)
