"""A process of this version, and one of the next, share sessions: in a rolling deploy a request comes to either."""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections

from tests.databases import add_database, sqlite_file_settings
from tests.every_store import MONGODB
from tests.mongodb_servers import make_indexes, mongodb_settings, new_database
from tests.processes import Visitor, WSGISite
from tests.runs import new_directory
from tests.trust import WHOLE
from tests.versions import next_version

CACHED = ("cached_db",) if WHOLE else ()
STORES = ("db", "redis", "file", *CACHED, *MONGODB)


class NextSite(WSGISite):
    """The site on the next version."""

    def __init__(self, path: Path, **settings: Any) -> None:
        super().__init__(workers=1, threads=2, **settings)
        self.path = path

    def environment(self) -> dict[str, str]:
        """Put the copy before everything else."""
        known = super().environment()
        return {**known, "PYTHONPATH": os.pathsep.join([str(self.path), known["PYTHONPATH"]])}


@pytest.fixture(scope="module")
def database(django_db_setup: None, django_db_blocker: Any) -> dict[str, Any]:
    """A ``DATABASES`` entry, migrated by the next version, and with a user."""
    entry = sqlite_file_settings(new_directory("versions") / "db.sqlite3")
    with django_db_blocker.unblock():
        add_database("versions", entry)
        with connections["versions"].cursor() as cursor:
            cursor.execute(next_version.COLUMN)
        User.objects.using("versions").create(username="user0", password="!")
    return entry


@pytest.fixture(params=STORES)
def sites(
    request: pytest.FixtureRequest, database: dict[str, Any], tmp_path: Path, settings: Any
) -> Iterator[tuple[WSGISite, WSGISite]]:
    """A server of this version and one of the next, on one store."""
    shared: dict[str, Any] = {
        "SESSION_ENGINE": f"django_srvsession.backends.{request.param}",
        "DATABASES": {"default": database},
        "ROOT_URLCONF": "tests.versions.views",
        "MIDDLEWARE": [
            "django_srvsession.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
    }
    if request.param in ("redis", "cached_db"):
        shared["CACHES"] = {"default": request.getfixturevalue("redis_server").cache_settings()}
        shared["SRVSESSION_REDIS_PREFIX"] = f"versions-{secrets.token_hex(6)}:"
    if request.param == "file":
        shared["SESSION_FILE_PATH"] = str(new_directory(f"versions-{secrets.token_hex(6)}"))
    if request.param == "mongodb":
        uri = request.getfixturevalue("mongodb_uri")
        with new_database(uri) as name:
            shared["SRVSESSION_MONGODB"] = settings.SRVSESSION_MONGODB = mongodb_settings(uri, name)
            make_indexes()
            yield from _serve(shared, tmp_path)
        return
    yield from _serve(shared, tmp_path)


def _serve(shared: dict[str, Any], directory: Path) -> Iterator[tuple[WSGISite, WSGISite]]:
    with (
        WSGISite(workers=1, threads=2, **shared) as this,
        NextSite(next_version.make(directory), **shared) as following,
    ):
        assert isinstance(this, WSGISite)
        assert isinstance(following, WSGISite)
        yield this, following


def in_column(site: WSGISite) -> list[int | None]:
    """Return what the next version's column holds of the live sessions."""
    with contextlib.closing(sqlite3.connect(site.settings["DATABASES"]["default"]["NAME"])) as connection:
        rows = connection.execute("SELECT added FROM srvsession_session WHERE ended_ms IS NULL").fetchall()
    return [added for (added,) in rows]


@pytest.mark.slow
def test_a_visitor_goes_to_and_fro_between_two_versions(sites: tuple[WSGISite, WSGISite]) -> None:
    this, following = sites
    for first, second in ((this, following), (following, this)):
        visitor = Visitor(first.url)

        def visit(site: WSGISite, page: str, visitor: Visitor = visitor, **query: str) -> dict[str, Any]:
            visitor.address = site.url.removeprefix("http://")
            answer = visitor.get(f"/{page}/", **query)
            assert answer.status == 200, site.log[-3000:]
            shown: dict[str, Any] = answer.json()
            assert ("/next/" in shown["code"]) is (site is following)
            return shown

        assert visit(first, "enter")["n"] == 0
        assert visit(second, "bump") | {"code": ""} == {
            **{"user": "user0", "n": 1, "name": "", "sessions": 1, "code": ""},
            "added": "" if second is following else None,
        }
        assert visit(following, "note", field="added", text="by the next")["added"] == "by the next"
        assert visit(this, "note", field="name", text="my laptop")["name"] == "my laptop"
        assert visit(this, "bump")["n"] == 2
        assert visit(second, "rotate")["n"] == 2
        shown = visit(following, "bump")
        assert (shown["n"], shown["name"], shown["added"], shown["sessions"]) == (3, "my laptop", "by the next", 1)
        if this.settings["SESSION_ENGINE"].endswith((".db", ".cached_db")):
            assert in_column(this) == [7 if first is following else None]  # Left alone by this version.
        cookies = dict(visitor.cookies)
        assert visit(second, "out")["user"] == ""
        visitor.cookies = cookies
        assert visit(first, "rotate")["user"] == ""
