"""What ``clearsessions_srv`` clears beside expired sessions, on every store, and at which pace."""

from __future__ import annotations

import io
import json
import logging
import re
import time
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connections, transaction

from django_srvsession import conf, services
from django_srvsession.backends.db import clearing_in_one, listing
from django_srvsession.backends.db.database import Database, Runner
from django_srvsession.engine import current_store
from django_srvsession.models import ClearingRun, Session, SessionEvent
from django_srvsession.operations import clearing
from django_srvsession.operations.clearing import PacedClearing
from django_srvsession.records import EXPIRED, SessionRecord, Tombstone
from django_srvsession.signals import session_ended
from django_srvsession.store import Store
from django_srvsession.testing.sessions import create, in_threads, make_due, new_sid, new_user, touch_later
from tests.every_store import DATABASES, every_store_fixture  # noqa: F401 - used as a fixture
from tests.memory import memory_store_fixture  # noqa: F401 - used as a fixture

DAY_MS = 86_400_000


def run(*arguments: str) -> dict[str, Any]:
    stdout = io.StringIO()
    call_command("clearsessions_srv", "--json", "--pause=0", *arguments, stdout=stdout)
    return dict(json.loads(stdout.getvalue()))


def due(store: Store, count: int) -> list[str]:
    return [make_due(store, create(store, user_id=new_user())).record.sid for _ in range(count)]


def test_every_store_says_how_many_expired_and_how_many_tombstones_went(every_store: str, settings: Any) -> None:
    store = current_store()
    live = create(store).record.sid
    due(store, 3)
    assert run("--dry-run")["expired"] == 3
    found = run("--batch-size=2")
    assert (found["expired"], found["of_missing_users"], found["is_complete"]) == (3, 0, True)
    settings.SRVSESSION_ENDED_KEEP = 0
    for _ in range(2):
        services.revoke(create(store).record.sid)
    forgets_by_itself = every_store in ("redis", "memory")
    assert run("--batch-size=2")["removed"] == ({} if forgets_by_itself else {"tombstones": 2})
    assert run()["removed"] == {}
    assert [record.sid for record in services.live_sessions()] == [live]


def test_two_at_once_share_the_work_and_each_end_is_told_once(
    every_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, told = current_store(), list[str]()
    expired = sorted(due(store, 60))
    live = {create(store).record.sid for _ in range(5)}

    def hear(*, record: Any, **kwargs: Any) -> None:
        told.append(record.sid)

    session_ended.connect(hear)
    try:
        outcomes = in_threads([lambda: cleared(batch_size=7) for _ in range(2)], connections.close_all)
    finally:
        session_ended.disconnect(hear)
    assert sum(one.expired for one in outcomes) == 60, outcomes
    assert sorted(told) == expired
    assert {record.sid for record in services.live_sessions()} == live


@pytest.mark.parametrize("every_store", ["sqlite", "postgresql", "mariadb"], indirect=True)
def test_a_batch_walks_along_the_index_and_never_sorts_all_that_is_due(every_store: str) -> None:
    """With statistics from before a million were due, PostgreSQL sorted them all for each batch."""
    store: Any = current_store()
    numbers = {"created_ms": 1, "lifetime_ms": 1, "last_seen_ms": 1, "verifier": "7" * 64, "data": b""}
    due = [Session(sid=new_sid(), expires_ms=number + 1, **numbers) for number in range(2000)]
    Session.objects.bulk_create(due, batch_size=40)
    connection, database = connections[store.using], store._database(store.using)
    burial = {"keep_ms": 0, "past_ms": 0, "nothing": b""}
    explain = "EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN "
    with transaction.atomic(using=store.using):
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL random_page_cost = 10000")  # Let it think that an index is dear.
        table = Runner(connection, database)
        for statement in statements(database):
            plan = str(table.rows_in_order_of_index(explain + statement, {"bound": 0, "limit": 10, **burial}))
            assert "srvsession_expires" in plan
            assert not re.search("(?i)sort|b-tree", plan), plan
    assert cleared(batch_size=300).expired == 2000


def statements(database: Database) -> list[str]:
    if database.vendor == "postgresql":
        return [clearing_in_one.of_index(database, with_records) for with_records in (True, False)]
    return [database.lists.due, database.lists.due_briefly]


def cleared(**options: Any) -> PacedClearing:
    one = PacedClearing(pause=0, **options)
    one.run()
    return one


@pytest.mark.django_db(transaction=True)
def test_index_entries_that_point_nowhere_are_repaired_and_counted_on_redis(settings: Any, redis_alias: str) -> None:
    from django_redis import get_redis_connection

    settings.SESSION_ENGINE = "django_srvsession.backends.redis"
    store, user_id = current_store(), new_user()
    gone, live = create(store, user_id=user_id).record.sid, create(store, user_id=user_id).record.sid
    server = get_redis_connection(redis_alias)
    prefix = settings.SRVSESSION_REDIS_PREFIX
    server.delete(f"{prefix}s:{gone}")
    for key in server.scan_iter(f"{prefix}live:*"):
        server.zadd(key, {gone: 1}, xx=True)  # As if last used long ago.
    for key in server.scan_iter(f"{prefix}u:*"):
        server.zadd(key, {gone: 1}, xx=True)
    assert run()["removed"] == {"index entries": 2}
    assert run()["removed"] == {}
    assert [record.sid for record in services.sessions_of(user_id)] == [live]


@pytest.mark.django_db(transaction=True)
def test_leftovers_and_lost_marks_of_the_file_store_are_removed_and_counted(
    settings: Any, session_directory: Path
) -> None:
    settings.SESSION_ENGINE = "django_srvsession.backends.file"
    store, user_id = current_store(), new_user()
    gone, live = create(store, user_id=user_id).record.sid, create(store, user_id=user_id).record.sid
    (session_directory / gone[:2] / f"{gone}.json").unlink()
    (session_directory / live[:2] / "half-written.tmp").touch()
    assert run()["removed"] == {"leftovers": 1, "index entries": 2}
    assert run()["removed"] == {}
    assert [record.sid for record in services.sessions_of(user_id)] == [live]


@pytest.mark.django_db(transaction=True)
def test_a_file_that_expired_long_ago_is_removed_at_once_and_a_recent_one_leaves_a_tombstone(
    settings: Any, session_directory: Path
) -> None:
    settings.SESSION_ENGINE = "django_srvsession.backends.file"
    store = current_store()
    old, noticed, recent = (
        create(store, deadline_ms=1000),
        create(store, deadline_ms=1000),
        make_due(store, create(store)),
    )
    assert store.end(noticed.record.sid, EXPIRED) == noticed.record
    ended: list[SessionRecord] = []
    assert store.clear_expired(on_ended=ended.append) == 2
    assert {record.sid: record for record in ended} == {one.record.sid: one.record for one in (old, recent)}
    assert store.load(old.record.sid) is None
    assert [isinstance(store.load(one.record.sid), Tombstone) for one in (noticed, recent)] == [True, True]
    assert not list(session_directory.glob(f"??/{old.record.sid}*"))


@pytest.mark.django_db
def test_the_time_budget_stops_after_a_batch_and_the_next_run_goes_on(store: Store) -> None:
    due(store, 10)
    first = cleared(batch_size=3, budget_seconds=0)
    assert (first.expired, first.is_complete) == (3, False)
    second = cleared(batch_size=3)
    assert (second.expired, second.is_complete) == (7, True)


@pytest.mark.usefixtures("after_the_first_minute")
def test_the_search_for_users_who_are_gone_goes_on_where_the_time_was_up(
    every_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run has time to look at one session, and the one to end is the one used longest ago."""
    monkeypatch.setattr(services, "clear_expired", lambda **options: 0)
    user = get_user_model().objects.create(username="ann")
    store = current_store()
    gone = create(store, user_id="123456789")
    live = touch_later(store, create(store, user_id=str(user.pk)), gone.record.last_seen_ms)
    touch_later(store, create(store, user_id=str(user.pk)), live.record.last_seen_ms)
    runs = [cleared(batch_size=1, budget_seconds=0) for _ in range(6)]
    assert sum(one.missing for one in runs) == 1, [(one.missing, one.is_complete) for one in runs]
    assert isinstance(store.load(gone.record.sid), Tombstone)
    assert cleared().is_complete
    assert ClearingRun.objects.latest("pk").resume_at == ""


@pytest.mark.django_db
@pytest.mark.usefixtures("after_the_first_minute")
def test_a_place_that_is_none_of_this_stores_begins_anew(store: Store) -> None:
    gone = create(store, user_id="123456789").record
    ClearingRun.objects.create(started_ms=1, seconds=1, ended=0, is_complete=False, resume_at="of another engine")
    one = cleared()
    assert (one.missing, one.is_complete) == (1, True)
    assert isinstance(store.load(gone.sid), Tombstone)


def test_the_search_pauses_also_where_nobody_is_signed_in(every_store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A walk through a million visitors is no excuse for not keeping to the budget."""
    monkeypatch.setattr(listing, "_FIRST_WINDOW", 4)
    monkeypatch.setattr(listing, "_WINDOW", 4)
    paused: list[int] = []
    for _ in range(30):
        create(current_store())
    services.end_sessions_of_missing_users(batch_size=4, on_progress=paused.append)
    assert len(paused) >= (7 if every_store in DATABASES else 0)


@pytest.mark.django_db
def test_a_used_up_budget_is_said_and_is_no_error(store: Store) -> None:
    due(store, 3)
    stdout = io.StringIO()
    call_command("clearsessions_srv", "--time-budget=0s", "--batch-size=1", stdout=stdout)
    assert stdout.getvalue().startswith("Ended 1 expired session. ")
    assert stdout.getvalue().endswith("The time budget is used up; the next run goes on.\n")


@pytest.mark.django_db
@pytest.mark.parametrize("pause", [0, 0.5, 3])
def test_the_pause_is_a_part_of_the_time_that_the_batch_took(
    store: Store, monkeypatch: pytest.MonkeyPatch, pause: float
) -> None:
    clock, waits = [0.0], list[float]()
    monkeypatch.setattr(clearing.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(clearing.time, "sleep", lambda seconds: (waits.append(seconds), clock.append(0)))

    def clear_expired(*, on_progress: Any, **options: Any) -> int:
        for total in (1, 2):
            clock[0] += total  # The first batch takes a second, the next one two.
            on_progress(total)
        return 2

    monkeypatch.setattr(services, "clear_expired", clear_expired)
    PacedClearing(pause=pause).run()
    assert waits[:2] == [pause * 1, pause * 2]


@pytest.mark.parametrize("pause", ["-1", "many", "1001", "nan", "inf"])
def test_a_pause_that_makes_no_sense_is_refused(pause: str) -> None:
    with pytest.raises(CommandError, match="--pause"):
        run(f"--pause={pause}")


@pytest.mark.django_db
def test_a_run_is_remembered_and_a_dry_run_is_not(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    due(store, 2)
    cleared(dry_run=True)
    assert not ClearingRun.objects.exists()
    cleared(batch_size=1, budget_seconds=0)
    cleared()
    assert list(ClearingRun.objects.order_by("pk").values_list("ended", "is_complete")) == [(1, False), (1, True)]
    monkeypatch.setattr(clearing, "_RUNS_KEPT", 2)
    for _ in range(3):
        cleared()
    assert ClearingRun.objects.count() == 2


@pytest.mark.django_db
def test_a_site_without_our_tables_is_cleared_all_the_same(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_table(alias: str) -> None:
        raise DatabaseError("no such table")

    due(store, 1)
    monkeypatch.setattr(ClearingRun.objects, "using", no_table)
    assert cleared().expired == 1


@pytest.mark.django_db
def test_old_events_are_deleted_and_newer_ones_stay(
    store: Store, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms = time.time_ns() // 1_000_000
    for age_days in (0, 6, 8, 9, 10):
        fields = {"kind": "started", "sid": "0" * 18, "user_id": "1"}
        SessionEvent.objects.create(at_ms=now_ms - age_days * DAY_MS, **fields)
    assert conf.event_log is None
    assert run()["events"] == 0
    settings.SRVSESSION_EVENT_LOG = 7
    monkeypatch.setattr("django_srvsession.events.log._PORTION", 2)
    assert run("--dry-run")["events"] == 3
    waits: list[int] = []
    monkeypatch.setattr(PacedClearing, "_wait", lambda self: waits.append(self.events))
    assert run()["events"] == 3
    assert waits[-2:] == [2, 3]  # This part keeps to the pace, and to the budget, too.
    assert SessionEvent.objects.count() == 2


@pytest.mark.django_db
def test_each_record_is_read_only_if_somebody_wants_to_hear_of_it(
    store: Store, settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[bool] = []

    def clear_expired(*, on_ended: Any, **options: Any) -> int:
        heard.append(on_ended is not None)
        return 0

    def hear(**kwargs: Any) -> None:
        """Be a receiver."""

    monkeypatch.setattr(store, "clear_expired", clear_expired)
    services.clear_expired()
    settings.SRVSESSION_EVENT_LOG = 7
    services.clear_expired()
    del settings.SRVSESSION_EVENT_LOG
    session_ended.connect(hear)
    try:
        services.clear_expired()
    finally:
        session_ended.disconnect(hear)
    with caplog.at_level(logging.INFO, logger="django_srvsession"):
        services.clear_expired()
    assert heard == [False, True, True, True]


@pytest.mark.parametrize("every_store", ["sqlite", "postgresql"], indirect=True)
def test_where_there_is_one_writer_each_pause_is_long_enough_for_who_waits_to_meet_it(
    every_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite asks for a lock that is taken every 25 ms at least, so a gap of 30 ms is never missed."""
    waits: list[float] = []
    monkeypatch.setattr(clearing.time, "monotonic", lambda: 0.0)  # A batch takes no time at all.
    monkeypatch.setattr(clearing.time, "sleep", waits.append)
    due(current_store(), 1)
    PacedClearing().run()
    assert set(waits) == ({0.03} if every_store == "sqlite" else {0})
    waits.clear()
    PacedClearing(pause=0).run()
    assert set(waits) == {0}
