"""The harness itself: databases with threads and commits, and sites in processes of their own, with stock engines."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from django.contrib.auth import get_user_model
from django.core.cache import caches
from django.db import connections

from tests.processes import ASGISite, Site, Visitor, WSGISite
from tests.servers import RedisServer


def test_threads_commit_to_one_database(database_alias: str) -> None:
    users = get_user_model().objects
    assert not users.exists()

    def add(number: int) -> None:
        try:
            users.create_user(f"user{number}")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(8)))
    assert users.using(database_alias).count() == 8


def test_a_crash_in_one_test(database_alias: str, request: pytest.FixtureRequest) -> None:
    get_user_model().objects.create_user("ann")
    if database_alias != "sqlite_file":
        request.getfixturevalue(f"{database_alias}_server").kill()


def test_does_not_show_in_the_next(database_alias: str) -> None:
    assert not get_user_model().objects.exists()


def test_a_frozen_redis_is_an_error_in_good_time(redis_alias: str, redis_server: RedisServer) -> None:
    client = caches[redis_alias].client.get_client()
    assert client.ping()
    with redis_server.frozen(), pytest.raises(redis.TimeoutError):
        client.ping()


@pytest.mark.parametrize("database_alias", ["postgresql"], indirect=True)
@pytest.mark.parametrize("kind", [WSGISite, ASGISite])
def test_a_site_runs_stock_django_in_several_processes(
    kind: type[Site], database_alias: str, database_settings: dict[str, Any]
) -> None:
    get_user_model().objects.create_user("ann")
    engine = "django.contrib.sessions.backends.db"
    with kind(SESSION_ENGINE=engine, DATABASES={"default": database_settings}) as site:
        for prefix in ("", "/a"):
            ann = Visitor(site.url)
            assert ann.get(f"{prefix}/whoami/").json()["user"] == ""
            assert ann.get(f"{prefix}/login/", user="ann").status == 200
            ann.get(f"{prefix}/set/", key="colour", value="red")
            ann.get(f"{prefix}/slow_set/", key="shape", value="round", ms=1)
            ann.get(f"{prefix}/incr/", key="views")
            ann.get(f"{prefix}/incr/", key="views")
            ann.get(f"{prefix}/nested/", value="1")
            ann.get(f"{prefix}/rotate/")
            ann.get(f"{prefix}/delete/", key="colour")
            items = ann.get(f"{prefix}/read/").json()["items"]
            assert {name: items[name] for name in items if name[0] != "_"} == {
                "shape": "round",
                "views": 2,
                "nested": {"list": ["1"]},
            }
            with ThreadPoolExecutor(8) as pool:
                answers = [pool.submit(ann.twin().get, f"{prefix}/whoami/") for _ in range(40)]
            seen = {(a.result().json()["user"], a.result().json()["address"]) for a in answers}
            assert seen == {("ann", "127.0.0.1")}
            assert ann.get(f"{prefix}/logout/", "POST").status == 200
            assert "sessionid" not in ann.cookies
            assert ann.get(f"{prefix}/whoami/").json()["user"] == ""
    with pytest.raises(ConnectionError):
        ann.get("/none/")
