"""A site on each store in turn: memory, a database on each server, Redis, files.

Import the fixture by its function's name, and ask for ``every_store``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from django_srvsession.backends.memory import MemoryStore
from django_srvsession.backends.memory.table import Table
from tests.databases import SendEverythingTo, lent

DATABASES = ("sqlite", "postgresql", "mariadb")
# Beside these stores the users are in the default database.
OTHERS = [
    pytest.param(name, marks=pytest.mark.django_db(transaction=True, databases=["default"]))
    for name in ("memory", "redis", "file")
]


@pytest.fixture(name="every_store", params=[*DATABASES, *OTHERS])
def every_store_fixture(
    request: pytest.FixtureRequest, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Each store in turn, empty, with users in a database of real commits; yields its name."""
    kind = request.param
    if kind in DATABASES:
        yield from _on_database(kind, request, settings)
    else:
        settings.SESSION_ENGINE = f"django_srvsession.backends.{kind}"
        if kind == "memory":
            monkeypatch.setattr(MemoryStore, "table", Table())
        else:
            request.getfixturevalue({"redis": "redis_alias", "file": "session_directory"}[kind])
        yield kind


def _on_database(kind: str, request: pytest.FixtureRequest, settings: Any) -> Iterator[str]:
    with lent(kind, request) as alias:
        settings.DATABASE_ROUTERS = [SendEverythingTo(alias)]
        settings.SESSION_ENGINE = "django_srvsession.backends.db"
        yield kind
