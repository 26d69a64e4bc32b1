"""Tenants that are told apart by a schema, or by a context variable, on servers that speak ASGI.

Reported of django-tenants (518, 820, 1168) and django-multitenant (176): a schema is a matter of one connection, and so
of one thread; what an event loop hands to another thread is asked of another schema, or of none. What a thread keeps
for a tenant is found by the next request of another one.

Right: whatever runs where, a session, its user and its lists are those of the tenant whose request it is. A cookie of
one tenant opens nothing at another, though their users have equal keys.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User

from tests.databases import add_database, remove_database
from tests.processes import ASGISite, Site, Visitor, WSGISite
from tests.servers import PostgreSQLServer, RedisServer
from tests.trust import WHOLE, rounds

TENANTS = ("green", "blue")
VISITORS = 8


@pytest.fixture(scope="module")
def schemas(postgresql_server: PostgreSQLServer, django_db_setup: None, django_db_blocker: Any) -> dict[str, Any]:
    """The entry of a database with a schema for each tenant, each with a user whose primary key is 1."""
    postgresql_server.create_database("tenants")
    entry = postgresql_server.database_settings("tenants")
    with django_db_blocker.unblock():
        for tenant in TENANTS:
            alias, options = f"tenant_{tenant}", {**entry["OPTIONS"], "options": f"-c search_path={tenant}"}
            make_schema(postgresql_server, tenant)
            add_database(alias, {**entry, "OPTIONS": options})
            User.objects.using(alias).create(pk=1, username=f"boss of {tenant}")
            remove_database(alias)
    return entry


def make_schema(server: PostgreSQLServer, name: str) -> None:
    with psycopg.connect(host=server.host, port=server.port, user="postgres", dbname="tenants") as connection:
        connection.execute(f"CREATE SCHEMA {name}")  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def started(schemas: dict[str, Any], redis_server: RedisServer) -> Iterator[Any]:
    """Return a function that gives the site of ``tenant_site.py`` on an engine, on a kind of server."""
    with ExitStack() as stack:

        def of(engine: str, kind: Any) -> Site:
            site = kind(
                workers=2,
                ROOT_URLCONF="tests.reports.tenant_site",
                ALLOWED_HOSTS=["*"],
                SESSION_ENGINE=f"django_srvsession.backends.{engine}",
                DATABASES={"default": schemas},
                CACHES={"default": redis_server.cache_settings()},
                PREFIX=f"tenants-{secrets.token_hex(6)}:",
                SRVSESSION_REDIS_PREFIX="tests.reports.tenant_site.prefix",
                SRVSESSION_TOUCH_INTERVAL=0,
                MIDDLEWARE=[
                    "tests.reports.tenant_site.ByHost",
                    "django_srvsession.middleware.SessionMiddleware",
                    "django.contrib.auth.middleware.AuthenticationMiddleware",
                ],
            )
            return stack.enter_context(site)  # type: ignore[no-any-return]

        yield of


class Tenant(Visitor):
    """Somebody who visits one tenant's site."""

    def __init__(self, url: str, tenant: str) -> None:
        super().__init__(url)
        self.tenant = tenant

    def ask(self, path: str) -> Any:
        answer = self.get(path, headers={"Host": f"{self.tenant}.example.com"})
        assert answer.status == 200, answer.body[-2000:]
        return answer.json()


@pytest.mark.parametrize("engine", ["db", "redis"])
@pytest.mark.parametrize("kind", [ASGISite, WSGISite] if WHOLE else [ASGISite])
def test_requests_of_two_tenants_at_once_each_see_their_own(started: Any, engine: str, kind: Any) -> None:
    site = started(engine, kind)
    visitors = [Tenant(site.url, TENANTS[number % 2]) for number in range(VISITORS)]
    own: dict[str, set[str]] = {tenant: set() for tenant in TENANTS}
    for number, visitor in enumerate(visitors):
        visitor.ask("/a/login/" if number % 4 < 2 else "/login/")
        own[visitor.tenant].add(visitor.ask("/see/")["sid"])

    def visit(number: int) -> list[Any]:
        wrong, visitor = [], visitors[number]
        for turn in range(rounds(40)):
            seen = visitor.ask("/a/see/" if (turn + number) % 2 else "/see/")
            name = f"boss of {visitor.tenant}"
            if (seen["user"], seen["tenant"], seen["number"]) != (name, name, turn + 2):
                wrong.append(seen)
            others = set().union(*(sids for tenant, sids in own.items() if tenant != visitor.tenant))
            if not own[visitor.tenant] <= set(seen["listed"]) or others & set(seen["listed"]):
                wrong.append(seen)
        return wrong

    with ThreadPoolExecutor(VISITORS) as pool:
        assert [seen for each in pool.map(visit, range(VISITORS)) for seen in each] == []
    green, blue = visitors[:2]
    thief = Tenant(site.url, blue.tenant)
    thief.cookies = dict(green.cookies)
    assert thief.ask("/a/see/")["user"] == ""
    assert thief.ask("/see/")["user"] == ""
    assert green.ask("/a/see/")["user"] == "boss of green"
