"""What one kind of store alone does for lists of very many sessions: windows and samples in SQL, times of files."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from django_srvsession import listings
from django_srvsession.backends.db import DatabaseStore, listing
from django_srvsession.backends.file import FileStore
from django_srvsession.backends.file.directory import SessionDirectory
from django_srvsession.listings import Wanted
from django_srvsession.records import SessionRecord
from django_srvsession.store import StoreUnavailableError
from tests.backends.sessions import create, new_user, sids, touch_later

MINUTE_MS = 60_000


def test_rare_sessions_of_one_kind_are_found_windows_away(database_alias: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_WINDOW", 4)
    store = DatabaseStore()
    rare = create(store, user_id=new_user()).record.sid
    for _ in range(11):
        touch_later(store, create(store))
    wanted = Wanted(signed_in=True)
    assert sids(store.portion(wanted, 5).records) == [rare]
    monkeypatch.setattr(listings, "LOOK_AT", 8)
    portion = store.portion(wanted, 5)
    assert (portion.records, portion.looked_at) == ([], 8)
    assert portion.further is not None
    last = store.portion(wanted, 5, portion.further)
    assert (sids(last.records), last.further) == ([rare], None)


def test_nothing_is_looked_for_before_the_moment_that_is_asked_for(
    database_alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_WINDOW", 2)
    store = DatabaseStore()
    for _ in range(5):
        touch_later(store, create(store))
    newest = store.portion(count=1).records[0]
    portion = store.portion(Wanted(signed_in=True, seen_from_ms=newest.last_seen_ms), 5)
    assert (portion.records, portion.further, portion.looked_at) == ([], None, 0)


def test_above_a_number_activity_is_a_sample_or_of_the_newest(
    database_alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DatabaseStore()
    for _ in range(7):
        create(store)
    exact = store.activity()
    assert (exact.live, exact.precision, exact.has_all_minutes, sum(exact.minutes)) == (7, "exact", True, 7)
    monkeypatch.setattr(listing, "_COUNTED", 5)
    some = store.activity()
    if database_alias == "postgresql":  # All pages of so small a table are in the sample.
        assert (some.live, some.precision, some.has_all_minutes, sum(some.minutes)) == (7, "about", True, 7)
    else:
        assert (some.live, some.precision, some.has_all_minutes, sum(some.minutes)) == (5, "at least", False, 5)


@pytest.mark.parametrize("database_alias", ["postgresql"], indirect=True)
def test_a_sample_counts_neither_ended_sessions_nor_old_ones_as_of_the_last_hour(
    database_alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django_srvsession.models import Session

    monkeypatch.setattr(listing, "_COUNTED", 1)
    store = DatabaseStore()
    ended, old, _ = (create(store).record for _ in range(3))
    store.end(ended.sid, "logout")
    Session.objects.filter(sid=old.sid).update(last_seen_ms=old.last_seen_ms - 120 * MINUTE_MS)
    activity = store.activity()
    assert (activity.live, sum(activity.minutes)) == (2, 1)


def written_at(monkeypatch: pytest.MonkeyPatch, *moments: tuple[int, str]) -> None:
    monkeypatch.setattr(SessionDirectory, "by_last_write", lambda self: list(moments))


def test_files_are_listed_without_being_read(session_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileStore()
    made = [create(store).record.sid for _ in range(20)]
    written_at(monkeypatch, *enumerate(made))
    read: list[str] = []
    live = FileStore._live
    monkeypatch.setattr(FileStore, "_live", lambda self, sid, *args: read.append(sid) or live(self, sid, *args))
    assert sids(store.portion(count=5).records) == made[:14:-1]
    assert len(read) == 6


def test_files_of_one_moment_are_in_order_of_their_use(
    session_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStore()
    made = [touch_later(store, create(store)).record.sid for _ in range(7)]
    written_at(monkeypatch, *((9, sid) for sid in made[:5]), *((8, sid) for sid in made[5:]))
    first = store.portion(count=3)
    assert sids(first.records) == made[4:1:-1]
    assert first.further is not None
    assert sids(store.portion(count=9, after=first.further).records) == [made[1], made[0], made[6], made[5]]
    written_at(monkeypatch, *((9, sid) for sid in made[:2]))  # Where the page ended nothing is any more.
    assert sids(store.portion(count=9, after=first.further).records) == [made[1], made[0]]


def test_a_file_that_goes_while_the_list_is_made_is_left_out(
    session_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStore()
    first, second = (create(store).record for _ in range(2))
    written_at(monkeypatch, (1, first.sid), (2, second.sid))
    steps = store.walk()
    assert next(steps).place.endswith(second.sid)
    os.unlink(session_directory / first.sid[:2] / f"{first.sid}.json")
    assert next(steps).record is None


def test_session_files_that_cannot_be_looked_at_are_an_outage(session_directory: Path) -> None:
    store = FileStore()
    shard = session_directory / create(store).record.sid[:2]
    shard.rename(session_directory / "aside")
    shard.symlink_to(shard.name)  # A loop.
    with pytest.raises(StoreUnavailableError):
        store.portion()


def record(**fields: Any) -> SessionRecord:
    now_ms = time.time_ns() // 1_000_000
    return SessionRecord(**{"sid": "0" * 18, "verifier": "v", "created_ms": 0, "last_seen_ms": now_ms,
                            "lifetime_ms": 1, "expires_ms": now_ms + 1, **fields})  # fmt: skip


def test_minutes_are_those_of_the_clock_and_what_lies_ahead_is_now() -> None:
    now_ms = 1_000_000 * MINUTE_MS + 30_000
    moments = [now_ms, now_ms + 5 * MINUTE_MS, now_ms - 31_000, now_ms - 59 * MINUTE_MS, now_ms - 60 * MINUTE_MS]
    minutes = listings.by_minute(moments, now_ms)
    assert (len(minutes), minutes[59], minutes[58], minutes[0], sum(minutes)) == (60, 2, 1, 1, 4)
    assert listings.hour_begins(now_ms) == 999_941 * MINUTE_MS


def test_a_place_is_read_as_it_was_written() -> None:
    one = record(sid="0123456789abcdef01", last_seen_ms=17)
    assert listings.parse_place(listings.place_of(one)) == (17, one.sid)


def test_the_newest_alone_make_an_activity_that_says_so() -> None:
    newest = listings.Portion([record(), record()], further="1-" + "0" * 18)
    activity = listings.activity_of(newest)
    assert (activity.live, activity.precision, activity.has_all_minutes) == (2, "at least", False)
    old = listings.Portion([record(), record(last_seen_ms=1)], further="1-" + "0" * 18)
    assert listings.activity_of(old).has_all_minutes
