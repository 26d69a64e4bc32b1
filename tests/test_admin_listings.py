"""What one kind of store alone does for lists of very many sessions: windows and samples in SQL, times of files."""

from __future__ import annotations

import itertools
import os
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

from django_srvsession.backends.db import DatabaseStore, listing
from django_srvsession.backends.file import FileStore, directory
from django_srvsession.backends.file.directory import SessionDirectory
from django_srvsession.backends.file.listing import Listing as FileListing
from django_srvsession.backends.file.minutes import MinuteMarkers
from django_srvsession.records import TOUCH, Client, Ending, SessionRecord
from django_srvsession.store import StoreUnavailableError, listings
from django_srvsession.store.health import IndexHealth
from django_srvsession.store.listings import EVERYONE, Filter
from django_srvsession.testing.sessions import create, new_user, sids, touch_later

MINUTE_MS = 60_000


def test_rare_sessions_of_one_kind_are_found_windows_away(database_alias: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_WINDOW", 4)
    store = DatabaseStore()
    rare = create(store, user_id=new_user()).record.sid
    for _ in range(11):
        touch_later(store, create(store))
    wanted = Filter(signed_in=True)
    assert sids(store.portion(wanted, 5).records) == [rare]
    monkeypatch.setattr(listings, "LOOK_AT", 8)
    portion = store.portion(wanted, 5)
    assert (portion.records, portion.looked_at) == ([], 8)
    assert portion.further is not None
    last = store.portion(wanted, 5, portion.further)
    assert (sids(last.records), last.further) == ([rare], None)


def test_behind_very_many_ended_sessions_the_live_ones_are_found_step_by_step(
    database_alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day after everybody was signed out, the newest million rows are tombstones."""
    for name in ("_WINDOW", "_FIRST_WINDOW"):
        monkeypatch.setattr(listing, name, 4)
    monkeypatch.setattr(listings, "LOOK_AT", 8)
    store = DatabaseStore()
    live = create(store, client=Client("", "iPhone")).record.sid
    for _ in range(11):
        store.end(touch_later(store, create(store, client=Client("", "iPhone"))).record.sid, Ending("revoked"))
    for wanted in (EVERYONE, Filter(devices=frozenset({"iphone", "ipad"}))):
        first = store.portion(wanted, 5)
        assert (first.records, first.looked_at) == ([], 8)
        assert first.further is not None
        second = store.portion(wanted, 5, first.further)
        assert (sids(second.records), second.further) == ([live], None)


def test_activity_looks_at_so_many_rows_whatever_they_are(database_alias: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_COUNTED", "_COUNTED_ANYWHERE"):
        monkeypatch.setattr(listing, name, 4)
    store = DatabaseStore()
    create(store)
    for _ in range(2):
        store.end(touch_later(store, create(store)).record.sid, Ending("revoked"))
    activity = store.activity()
    assert (activity.live, activity.precision, sum(activity.minutes)) == (1, "exact", 1)
    for _ in range(2):
        store.end(touch_later(store, create(store)).record.sid, Ending("revoked"))
    activity = store.activity()
    assert (activity.live, activity.precision, sum(activity.minutes)) == (0, "at least", 0)


def test_nothing_is_looked_for_before_the_moment_that_is_asked_for(
    database_alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_WINDOW", 2)
    store = DatabaseStore()
    for _ in range(5):
        touch_later(store, create(store))
    newest = store.portion(count=1).records[0]
    portion = store.portion(Filter(signed_in=True, seen_from_ms=newest.last_seen_ms), 5)
    assert (portion.records, portion.further, portion.looked_at) == ([], None, 0)


def test_above_a_number_activity_is_a_sample_or_of_the_newest(
    database_alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DatabaseStore()
    for _ in range(7):
        create(store)
    exact = store.activity()
    assert (exact.live, exact.precision, exact.has_all_minutes, sum(exact.minutes)) == (7, "exact", True, 7)
    for name in ("_COUNTED", "_COUNTED_ANYWHERE"):
        monkeypatch.setattr(listing, name, 5)
    monkeypatch.setattr(listing, "_SAMPLED_FROM_PAGES", 0)
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

    monkeypatch.setattr(listing, "_SAMPLED_FROM_PAGES", 0)
    store = DatabaseStore()
    ended, old, _ = (create(store).record for _ in range(3))
    store.end(ended.sid, Ending("logout"))
    Session.objects.filter(sid=old.sid).update(last_seen_ms=old.last_seen_ms - 120 * MINUTE_MS)
    activity = store.activity()
    assert (activity.live, sum(activity.minutes)) == (2, 1)


MINUTE: Final = 29_000_000  # In the year 2025.


@pytest.fixture
def one_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all that the file store does happen in one minute, and a millisecond after the other."""
    ticks = itertools.count(MINUTE * MINUTE_MS)
    monkeypatch.setattr(directory, "now_ms", lambda: next(ticks))


def written_at(monkeypatch: pytest.MonkeyPatch, *moments: tuple[int, str]) -> None:
    written = [(MINUTE * MINUTE_MS * 1000 + moment, sid) for moment, sid in moments]
    monkeypatch.setattr(SessionDirectory, "by_last_write", lambda self, minute: written if minute == MINUTE else [])


@pytest.mark.usefixtures("one_minute")
def test_files_are_listed_without_being_read(session_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileStore()
    made = [create(store).record.sid for _ in range(20)]
    written_at(monkeypatch, *enumerate(made))
    read: list[str] = []
    live = FileListing._listed_live
    monkeypatch.setattr(
        FileListing, "_listed_live", lambda self, sid, *args: read.append(sid) or live(self, sid, *args)
    )
    assert sids(store.portion(count=5).records) == made[:14:-1]
    assert len(read) == 6


def test_files_of_other_minutes_are_not_even_looked_at(
    session_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, now = FileStore(), iter(range(10**12, 10**13, 61_000))
    monkeypatch.setattr(directory, "now_ms", lambda: moment)
    made = []
    for _ in range(30):
        moment = next(now)
        made.append(create(store, lifetime_ms=10**12).record.sid)
    looked_at: list[str] = []
    lstat = os.lstat
    monkeypatch.setattr(os, "lstat", lambda path: looked_at.append(str(path)) or lstat(path))
    first = store.portion(count=3)
    assert sids(first.records) == made[:26:-1]
    deep = store.portion(count=3, after=store.portion(count=20).further or "")
    assert sids(deep.records) == made[9:6:-1]
    looked_at.clear()
    assert store.portion(count=3, after=first.further or "").records
    assert 0 < len({path for path in looked_at if path.endswith(".json")}) <= 5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listings, "LOOK_AT", 4)
        assert store.activity().precision == "exact"


@pytest.mark.usefixtures("one_minute")
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


@pytest.mark.usefixtures("one_minute")
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


def marks(session_directory: Path) -> dict[str, int]:
    """Return how many marks each session has."""
    return Counter(path.name for path in session_directory.glob("recent/*/*/*"))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A clock of the file store that is set by hand."""
    clock = SimpleNamespace(now_ms=time.time_ns() // 1_000_000)
    monkeypatch.setattr(directory, "now_ms", lambda: clock.now_ms)
    return clock


def test_a_session_is_marked_once_wherever_it_was_used_and_not_at_all_once_ended(
    session_directory: Path, clock: Any
) -> None:
    store = FileStore()
    used, other = create(store).record, create(store).record
    for _ in range(3):
        clock.now_ms += 2 * MINUTE_MS
        store.update(used.sid, used.verifier, TOUCH)
        assert marks(session_directory) == {used.sid: 1, other.sid: 1}
        assert sids(store.portion().records) == [used.sid, other.sid]
    store.end(used.sid, Ending("logout"))
    assert marks(session_directory) == {other.sid: 1}
    assert len(list(session_directory.glob("recent/*/*"))) == 1


def test_a_writer_that_is_killed_at_any_step_leaves_the_session_listed_once(
    session_directory: Path, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStore()
    used = create(store).record
    steps = {(directory, "write_file"): 1, (MinuteMarkers, "remove"): 2, (MinuteMarkers, "add"): 1}
    for (owner, name), marked in steps.items():
        clock.now_ms += 2 * MINUTE_MS
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, lambda *args, **options: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                store.update(used.sid, used.verifier, TOUCH)
        assert marks(session_directory)[used.sid] >= marked
        assert sids(store.portion().records) == [used.sid]
    assert store.check_index() == IndexHealth(1, marks(session_directory)[used.sid] - 1, 0, 0)
    store.clear_expired()
    assert sids(store.portion().records) == [used.sid]
    assert marks(session_directory)[used.sid] <= 2


def test_a_lost_mark_is_found_and_made_anew(session_directory: Path, clock: Any) -> None:
    store = FileStore()
    lost = [create(store).record.sid, create(store, user_id=new_user()).record.sid]
    for path in session_directory.glob("recent/*/*/*"):
        path.unlink()
    assert store.portion().records == []
    assert store.check_index() == IndexHealth(2, 0, 2, 0)
    assert store.check_index(repair=True) == IndexHealth(2, 0, 2, 2)
    assert set(sids(store.portion().records)) == set(lost)


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
