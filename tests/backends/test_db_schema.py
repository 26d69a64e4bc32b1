"""The table: its migration, its indexes, its place in a project."""

from __future__ import annotations

import io
import re
import time
import uuid
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.db import connections

from django_srvsession.backends.db import DatabaseStore, SessionStore
from django_srvsession.backends.db.sql import BY_KEY_BEFORE
from django_srvsession.models import LiveSession, Session
from django_srvsession.records import Delta, Ending
from django_srvsession.store.clock import LocalClock
from django_srvsession.testing.sessions import create, new_sid, new_verifier, sids, snapshot, stored
from tests.databases import SendEverythingTo


@pytest.fixture
def store(database_alias: str) -> DatabaseStore:
    """A store on each database in turn."""
    return DatabaseStore(database_alias)


def test_no_migration_is_missing(store: DatabaseStore) -> None:
    call_command("makemigrations", "srvsession", check=True, dry_run=True, verbosity=0)


def test_the_migration_goes_backwards_and_forwards(store: DatabaseStore) -> None:
    connection = connections[store.using]
    call_command("migrate", "srvsession", "zero", database=store.using, verbosity=0)
    assert "srvsession_session" not in connection.introspection.table_names()
    call_command("migrate", "srvsession", database=store.using, verbosity=0)
    assert stored(store, create(store).record.sid)


def test_a_write_has_few_indexes_to_keep(store: DatabaseStore) -> None:
    connection = connections[store.using]
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, "srvsession_session")
    indexed = sorted(tuple(c["columns"]) for c in constraints.values() if c["index"] or c["primary_key"])
    assert indexed == [("device_family", "last_seen_ms"), ("expires_ms",), ("last_seen_ms",), ("sid",), ("user_id",)]


def test_each_look_up_has_an_index(store: DatabaseStore) -> None:
    """With some thousand rows, because small tables are read as a whole; PostgreSQL's autovacuum is off in tests."""
    verifier = new_verifier()
    numbers = {"created_ms": 1, "lifetime_ms": 1, "expires_ms": 2**61}
    rows = [
        Session(
            sid=new_sid(),
            verifier=verifier,
            user_id=str(number % 1000),
            last_seen_ms=number,
            **{"device_family": "linux" if number % 50 else "mac", "data": b"", **numbers},
        )
        for number in range(4000)
    ]
    Session.objects.using(store.using).bulk_create(
        rows, batch_size=40 if connections[store.using].vendor == "sqlite" else 2000
    )
    connection, database = connections[store.using], store._database(store.using)
    params = {"sid": rows[7].sid, "user_id": "7", "now": 1, "bound": 0, "limit": 10, "offset": 0, "seen": 2000}
    params |= {"device_family": "mac", "window": 500}
    explain = "EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN "
    used = {
        "read": "pkey|PRIMARY|autoindex",
        "of_user": "srvsession_user",
        "admitted": "srvsession_user",
        "due": "srvsession_expires",
        "page": "srvsession_last_seen",
        "further": "srvsession_last_seen",
        "everyone": "srvsession_last_seen",
        "of_device": "srvsession_device",
    }
    if connection.vendor == "mysql":
        del used["page"]  # of so few rows it sorts all; of a hundred thousand it goes through the index
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("ANALYZE srvsession_session")
        for name, index in used.items():
            cursor.execute(explain + (getattr(database.sql, name, None) or getattr(database.lists, name)), params)
            plan = str(cursor.fetchall())
            assert re.search(index, plan), (name, plan)


PARAMS: dict[str, Any] = {
    "sids": ["7" * 18, "8" * 18],
    **{"sid": "7" * 18, "sid0": "7" * 18, "sid1": "8" * 18, "verifier": b"7", "version": 1, "step": 1, "user_id": "7"},
    **{"now": 1, "keep_ms": 1, "nothing": b"", "reason": "logout", "by": None},
    **{"new_last_seen_ms": 1, "new_expires_ms": 1, "new_user_id": "7", "new_signed_in_ms": 1, "new_verifier": b"8"},
    **{"new_data": b"", "new_ip": ""},
}


@pytest.mark.parametrize("rows", [1, 40, 1000])
def test_a_write_goes_to_its_row_by_the_sid_alone(store: DatabaseStore, rows: int) -> None:
    """MariaDB went through the index of expiries, locked its entries first, and two writers of a row deadlocked."""
    now_ms = create(store, lifetime_ms=1).now_ms
    numbers = {"created_ms": 1, "lifetime_ms": 1, "last_seen_ms": 1, "expires_ms": now_ms - 10**6}
    past = [Session(sid=new_sid(), verifier=new_verifier(), data=b"", **numbers) for _ in range(rows)]
    Session.objects.using(store.using).bulk_create(past, batch_size=40)
    connection, database = connections[store.using], store._database(store.using)
    sql = database.sql
    parts = ((), (BY_KEY_BEFORE,), ("user_id", "signed_in_ms"), ("verifier", "data", "ip"))
    writes = [sql.update(("last_seen_ms", "expires_ms", *part)) for part in parts]
    writes += [sql.end, sql.end_of_verifier, sql.end_of_version, sql.expire, sql.expire_of_version, sql.bind]
    writes += [sql.of_sids(verb, 2) for verb in ("delete", "expire", "evict")]
    writes += [sql.read_locked, sql.take_lock or sql.read]
    explain = "EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN "
    with connection.cursor() as cursor:
        for write in writes:
            cursor.execute(explain + write, PARAMS)
            plan = str(cursor.fetchall())
            assert not re.search("srvsession_(expires|user|last_seen)", plan), (write, plan)


def test_sessions_survive_a_dump_and_a_load(store: DatabaseStore, tmp_path: Path) -> None:
    live = create(store, user_id="zoë", changed={"a": b"\0\xff", "b\ud800": b""}).record
    store.update(live.sid, live.verifier, Delta(new_verifier=new_verifier(), final=False))
    ended = create(store).record
    store.end(ended.sid, Ending("logout", by="admin"))
    before, tombstone = snapshot(store, live.sid), store.load(ended.sid)
    dump = tmp_path / "dump.json"
    call_command("dumpdata", "srvsession", database=store.using, output=str(dump), verbosity=0)
    Session.objects.using(store.using).all().delete()
    call_command("loaddata", str(dump), database=store.using, verbosity=0)
    assert snapshot(store, live.sid) == before
    loaded = store.load(ended.sid)
    assert type(loaded) is type(tombstone)
    assert (loaded.reason, loaded.by) == ("logout", "admin")  # type: ignore[union-attr]


def test_a_project_can_be_dumped_and_tidied_as_a_whole(store: DatabaseStore) -> None:
    create(store)
    call_command("dumpdata", database=store.using, stdout=io.StringIO(), verbosity=0)
    out = io.StringIO()
    call_command(
        "remove_stale_contenttypes", database=store.using, include_stale_apps=True, interactive=False, stdout=out
    )
    assert "srvsession" not in out.getvalue()


def test_there_are_permissions_to_see_and_to_end_and_no_others(store: DatabaseStore) -> None:
    permissions = Permission.objects.using(store.using).filter(content_type__app_label="srvsession")
    assert sorted(permissions.values_list("codename", flat=True)) == ["delete_livesession", "view_livesession"]


def test_a_row_is_shown_by_its_public_name() -> None:
    assert [str(model(sid="abc")) for model in (Session, LiveSession)] == ["abc", "abc"]


class ReadsElsewhere(SendEverythingTo):
    """Write to one database, read from a lagging copy of it."""

    def db_for_read(self, model: object, **hints: object) -> str:
        """Return the copy."""
        return "default"


def test_sessions_are_read_where_they_are_written(database_alias: str, settings: Any) -> None:
    settings.DATABASE_ROUTERS = [ReadsElsewhere(database_alias)]
    store = DatabaseStore()
    assert store.using == database_alias
    record = create(store, user_id="1").record
    assert stored(store, record.sid).record == record
    assert sids(store.records("1")) == [record.sid]
    assert record in list(store.records())


@pytest.mark.parametrize("use_tz", [True, False])
def test_times_are_aware_whatever_the_project_uses(store: DatabaseStore, settings: Any, use_tz: bool) -> None:
    settings.USE_TZ, settings.TIME_ZONE = use_tz, "Asia/Seoul"
    connections[store.using].close()
    loaded = stored(store, create(store, user_id="1").record.sid)
    assert loaded.record.created_at.tzinfo is UTC
    assert abs(loaded.now_ms - loaded.record.created_ms) < 60_000


@pytest.mark.parametrize("user_id", [7, uuid.UUID(int=7), "zoë@example.org"], ids=str)
def test_a_user_of_any_primary_key_is_found_through_the_engine(database_alias: str, user_id: object) -> None:
    session = SessionStore()
    session["_auth_user_id"] = user_id if isinstance(user_id, int) else str(user_id)
    session["cart"] = [1, 2]
    session.save()
    again = SessionStore(session.session_key)
    assert again["cart"] == [1, 2]
    again["cart"].append(3)
    again.save()
    assert SessionStore(session.session_key)["cart"] == [1, 2, 3]
    assert sids(SessionStore.store().records(str(user_id))) == [session.sid]
    again.flush()
    assert SessionStore(session.session_key).is_empty() or "cart" not in SessionStore(session.session_key)
    assert list(SessionStore.store().records(str(user_id))) == []


def test_the_clock_of_a_server_is_its_own(store: DatabaseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalClock, "now_ms", 1)
    created = create(store)
    updated = store.update(created.record.sid, created.record.verifier, Delta(changed={"a": b"a"}), created)
    clocks = [created.now_ms, updated.now_ms, stored(store, created.record.sid).now_ms]
    assert clocks == sorted(clocks)
    if connections[store.using].vendor == "sqlite":  # runs in this process
        assert clocks == [1, 1, 1]
    else:
        assert all(abs(now_ms - time.time() * 1000) < 60_000 for now_ms in clocks)
