"""The lines of docs/why/express.rst about stores."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest
from django.contrib.sessions.serializers import JSONSerializer
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connections
from django_redis import get_redis_connection

from django_srvsession import services
from django_srvsession.engine import registry
from django_srvsession.store import UpdateError
from tests.engine.every_store import CACHED_DB, DB, on_every_store
from tests.engine.pages import Browser, put, read, set_cookie
from tests.express.asking import key_of
from tests.mongodb_servers import own_database

HOUR = 3600


class PlainJSON(JSONSerializer):
    """A serializer of the site's own."""


# Memory.


def test_memory_has_a_cap_and_evicts_the_session_unseen_for_longest(engine: Any, settings: Any) -> None:
    settings.SRVSESSION_MEMORY_MAX_SESSIONS = 3
    browsers = [Browser() for _ in range(4)]
    for one in browsers:
        one.visit(put(a=1))
    assert len(services.live_sessions()) == 3
    assert browsers[0].show(read) == {}


def test_memory_is_reported_by_the_check_for_deployment(engine: Any) -> None:
    messages = run_checks(include_deployment_checks=True)
    assert "srvsession.W105" in [message.id for message in messages]


@on_every_store
def test_what_was_read_is_a_copy_that_changes_nothing_until_it_is_saved(browser: Browser, engine: Any) -> None:
    browser.visit(put(basket=["tea"]))
    engine.SessionStore(browser.cookie)["basket"].append("cup")
    assert browser.show(read) == {"basket": ["tea"]}


# All that last.


@pytest.mark.parametrize(
    "engine",
    ["redis", "mongodb", "file", DB, CACHED_DB],
    indirect=True,
)
def test_another_process_sees_the_session(browser: Browser, engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    browser.visit(put(a=1))
    # A store of its own, as a restarted server and its neighbours have.
    monkeypatch.setattr(registry, "_stores", {})
    assert browser.show(read) == {"a": 1}


@on_every_store
def test_a_serializer_of_the_sites_own_is_used(browser: Browser, settings: Any) -> None:
    settings.SESSION_SERIALIZER = f"{__name__}.PlainJSON"
    browser.visit(put(a=[1]))
    assert browser.show(read) == {"a": [1]}


@pytest.mark.django_db(transaction=True)
@on_every_store
def test_what_has_expired_is_cleared_by_a_command(browser: Browser, capsys: pytest.CaptureFixture[str]) -> None:
    browser.visit(put(a=1))
    browser.copy().visit(lambda request: request.session.set_expiry(-1))
    call_command("clearsessions_srv")
    assert list(services.live_sessions()) == []
    assert "1" in capsys.readouterr().out


# Redis.


@pytest.mark.parametrize("engine", ["redis"], indirect=True)
def test_redis_keys_begin_with_the_prefix_and_hold_no_session_key(browser: Browser, settings: Any) -> None:
    browser.visit(put(a=1))
    connection = get_redis_connection("sessions")
    prefix = settings.SRVSESSION_REDIS_PREFIX
    names = [name.decode() for name in connection.scan_iter(match=f"{prefix}*")]
    assert f"{prefix}s:{key_of(browser).sid}" in names
    assert not [name for name in names if str(browser.cookie) in name]


@pytest.mark.parametrize("engine", ["redis"], indirect=True)
def test_a_session_in_redis_lives_as_long_as_its_cookie_and_then_leaves_a_tombstone(
    browser: Browser, settings: Any
) -> None:
    settings.SRVSESSION_ENDED_KEEP = 100
    browser.visit(put(a=1))
    response = browser.visit(lambda request: request.session.set_expiry(HOUR))
    left = get_redis_connection("sessions").ttl(f"{settings.SRVSESSION_REDIS_PREFIX}s:{key_of(browser).sid}")
    assert set_cookie(response)["max-age"] == pytest.approx(HOUR, abs=3)
    assert HOUR + 100 - 5 <= left <= HOUR + 100 + 60 + 5  # It moves by the minute.


# The database behind Redis.


@pytest.mark.parametrize("engine", [CACHED_DB], indirect=True)
def test_redis_answers_reads_and_the_database_decides(
    browser: Browser, engine: Any, django_assert_num_queries: Any
) -> None:
    browser.visit(put(a=1))
    assert browser.show(read) == {"a": 1}
    with django_assert_num_queries(0):
        assert browser.show(read) == {"a": 1}
    late = browser.copy()
    browser.visit(lambda request: request.session.flush())
    assert late.show(read) == {}


# MongoDB.


@pytest.mark.parametrize("engine", ["mongodb"], indirect=True)
def test_sessions_are_documents_of_the_database_that_the_settings_name(browser: Browser) -> None:
    browser.visit(put(a=1))
    with own_database() as database:
        (document,) = database["srvsession_mongodb"].find({})
    assert document["_id"] == key_of(browser).sid
    assert str(browser.cookie) not in str(document)


@pytest.mark.parametrize("engine", ["mongodb"], indirect=True)
def test_mongodb_deletes_by_itself_only_what_has_ended(browser: Browser) -> None:
    browser.visit(put(a=1))
    with own_database() as database:
        sessions = database["srvsession_mongodb"]
        kept = [index["key"] for index in sessions.list_indexes() if "expireAfterSeconds" in index]
        assert [list(key) for key in kept] == [["gone"]]
        assert "gone" not in (sessions.find_one({}) or {})
        browser.visit(lambda request: request.session.flush())
        assert "gone" in (sessions.find_one({}) or {})


# Files.


@pytest.mark.parametrize("engine", ["file"], indirect=True)
def test_the_file_store_makes_its_directory_and_one_readable_file_for_each_session(
    browser: Browser, session_directory: Path
) -> None:
    session_directory.rmdir()
    browser.visit(put(basket="tea"))
    (path,) = session_directory.rglob("*.json")
    text = path.read_text()
    assert path.stem == json.loads(text)["record"]["sid"] == key_of(browser).sid
    assert "tea" in base64.b64decode(json.loads(text)["values"]["basket"]).decode(errors="replace")
    assert str(browser.cookie) not in text


@pytest.mark.parametrize("engine", ["file"], indirect=True)
def test_session_files_are_for_their_owner_alone(browser: Browser, session_directory: Path) -> None:
    browser.visit(put(a=1))
    (path,) = session_directory.rglob("*.json")
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.stat(path.parent).st_mode & 0o777 == 0o700


@pytest.mark.parametrize("engine", ["file"], indirect=True)
def test_a_file_that_is_gone_is_not_made_again_by_a_touch_or_a_save(
    browser: Browser, engine: Any, session_directory: Path
) -> None:
    browser.visit(put(a=1))
    session = engine.SessionStore(browser.cookie)
    session["a"] = 2
    (path,) = session_directory.rglob("*.json")
    path.unlink()
    for attempt in (session.save, session.touch):
        with pytest.raises(UpdateError):
            attempt()
    assert list(session_directory.rglob("*.json")) == []


# MySQL.


@pytest.mark.parametrize("database_alias", ["mariadb"], indirect=True)
def test_migrate_makes_the_table_and_the_sessions_are_rows(database_alias: str, settings: Any) -> None:
    settings.SESSION_ENGINE = "django_srvsession.backends.db"
    browser = Browser()
    browser.visit(put(a=1))
    assert browser.show(read) == {"a": 1}
    connection = connections[database_alias]
    table = "srvsession_session"
    assert table in connection.introspection.table_names()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT sid FROM {table}")
        rows = cursor.fetchall()
    assert rows == ((key_of(browser).sid,),)
