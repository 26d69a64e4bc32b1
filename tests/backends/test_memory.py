"""The memory store: the contract, and its bounds."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from django_srvsession.backends import memory
from django_srvsession.backends.memory import MemoryStore
from django_srvsession.backends.memory.table import SessionTable
from django_srvsession.records import EXPIRED, ROTATION_GRACE_MS, TOUCH, Delta, Ending, Loaded, SessionRecord, Tombstone
from django_srvsession.signals import session_ended
from django_srvsession.store import Store, UpdateError
from django_srvsession.testing import StoreContract
from django_srvsession.testing.sessions import (
    HOUR_MS,
    create,
    make_due,
    new_delta,
    new_sid,
    new_user,
    new_verifier,
    sids,
    stored,
)


@pytest.fixture
def store() -> MemoryStore:
    """Make a memory store with a table of its own."""

    class OwnTable(MemoryStore):
        table = SessionTable()
        lock = threading.Lock()

    return OwnTable()


@pytest.fixture
def ended() -> Iterator[list[tuple[SessionRecord, str]]]:
    """Collect what ``session_ended`` tells."""
    told: list[tuple[SessionRecord, str]] = []

    def note(*, record: SessionRecord, reason: str, **kwargs: Any) -> None:
        told.append((record, reason))

    session_ended.connect(note)
    yield told
    session_ended.disconnect(note)


@pytest.fixture
def room_for_ten(settings: Any) -> None:
    """Bound the store: ten sessions, nine of them signed in."""
    settings.SRVSESSION_MEMORY_MAX_SESSIONS = 10


class TestMemoryStore(StoreContract):
    """The contract."""


class Clock:
    """A clock that tests set."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replace the store's clock."""
    clock = Clock(memory.now_ms())
    monkeypatch.setattr(memory, "now_ms", clock)
    return clock


def test_all_instances_hold_the_same_sessions_whatever_settings_change(settings: Any) -> None:
    record = create(MemoryStore()).record
    settings.SRVSESSION_MEMORY_MAX_SESSIONS = 20_000
    assert stored(MemoryStore(), record.sid).record == record
    assert MemoryStore().end(record.sid, Ending("logout")) == record


def test_a_session_expires_by_the_clock(store: Store, clock: Clock) -> None:
    record = create(store).record
    clock.now_ms += HOUR_MS - 1
    assert store.end(record.sid, EXPIRED) is None
    clock.now_ms += 1
    with pytest.raises(UpdateError):
        store.update(record.sid, record.verifier, TOUCH)
    assert store.end(record.sid, Ending("logout")) is None
    assert store.end(record.sid, EXPIRED) == record


def test_the_old_verifier_is_refused_a_minute_after_a_rotation(store: Store, clock: Clock) -> None:
    record = create(store).record
    store.update(record.sid, record.verifier, Delta(new_verifier=new_verifier(), final=False))
    clock.now_ms += ROTATION_GRACE_MS - 1
    store.update(record.sid, record.verifier, TOUCH)
    clock.now_ms += 1
    with pytest.raises(UpdateError):
        store.update(record.sid, record.verifier, TOUCH)
    assert store.end(record.sid, Ending("logout", verifier=record.verifier)) is None


def test_a_clock_that_goes_back_takes_nothing_back(store: Store, clock: Clock) -> None:
    record = create(store).record
    clock.now_ms -= 5000
    assert store.update(record.sid, record.verifier, TOUCH).record.last_seen_ms == record.last_seen_ms


def test_tombstones_are_forgotten_after_their_time(store: MemoryStore, clock: Clock) -> None:
    record = create(store).record
    store.end(record.sid, Ending("logout"))
    clock.now_ms += 86_400_000 - 1
    store.clear_expired()
    assert isinstance(store.load(record.sid), Tombstone)
    clock.now_ms += 1
    assert store.load(record.sid) is None
    store.clear_expired()
    assert not store.table.tombstones


def test_a_caller_that_did_not_end_what_it_was_given_is_replaced_after_a_minute(store: Store, clock: Clock) -> None:
    user_id = new_user()
    first, second, third = (create(store, user_id=user_id).record for _ in range(3))
    given = set(store.admit(user_id, first.sid, 1, "end_oldest"))
    assert given == {second.sid, third.sid}
    clock.now_ms += 60_000
    fourth = create(store, user_id=user_id).record
    assert set(store.admit(user_id, fourth.sid, 1, "end_oldest")) == {first.sid, second.sid, third.sid}


@pytest.mark.usefixtures("room_for_ten")
class TestFull:
    """What makes room for what."""

    def test_expired_sessions_go_first(self, store: MemoryStore, ended: list[tuple[SessionRecord, str]]) -> None:
        oldest = create(store).record
        due = make_due(store, create(store, user_id=new_user())).record
        for _ in range(9):
            create(store)
        assert [(record.sid, reason) for record, reason in ended] == [(due.sid, "expired_lifetime")]
        assert isinstance(store.load(due.sid), Tombstone)
        assert isinstance(store.load(oldest.sid), Loaded)
        assert len(store.table) == 10

    def test_a_session_that_was_extended_is_not_taken_for_expired(self, store: Store, clock: Clock) -> None:
        kept = create(store, lifetime_ms=1000, user_id=new_user()).record
        store.update(kept.sid, kept.verifier, Delta(lifetime_ms=HOUR_MS))
        clock.now_ms += 2000
        for _ in range(20):
            create(store)
        assert isinstance(store.load(kept.sid), Loaded)
        assert store.clear_expired() == 0

    def test_a_session_whose_lifetime_was_shortened_goes_when_its_time_is_up(self, store: Store, clock: Clock) -> None:
        shortened = create(store, user_id=new_user()).record
        store.update(shortened.sid, shortened.verifier, Delta(lifetime_ms=1000))
        clock.now_ms += 1000
        assert store.clear_expired() == 1
        assert isinstance(store.load(shortened.sid), Tombstone)

    def test_then_anonymous_sessions_go_the_longest_unseen_first(
        self, store: MemoryStore, ended: list[tuple[SessionRecord, str]]
    ) -> None:
        signed_in = create(store, user_id=new_user()).record
        made = [create(store) for _ in range(9)]
        store.update(made[0].record.sid, made[0].record.verifier, TOUCH)
        for _ in range(2):
            create(store)
        assert [(record.sid, reason) for record, reason in ended] == [
            (made[1].record.sid, "evicted"),
            (made[2].record.sid, "evicted"),
        ]
        assert isinstance(store.load(signed_in.sid), Loaded)
        assert isinstance(store.load(made[0].record.sid), Loaded)

    def test_a_signed_in_session_never_goes_for_an_anonymous_one(self, store: MemoryStore) -> None:
        signed_in = [create(store, user_id=new_user()).record.sid for _ in range(9)]
        newest = [create(store).record.sid for _ in range(50)][-1]
        assert all(isinstance(store.load(sid), Loaded) for sid in [*signed_in, newest])
        assert len(store.table) == 10

    def test_where_all_are_signed_in_a_visitor_still_begins_a_session_and_signs_in(
        self, store: MemoryStore, ended: list[tuple[SessionRecord, str]]
    ) -> None:
        signed_in = [create(store, user_id=new_user()).record.sid for _ in range(9)]
        visitor, user_id = create(store).record, new_user()
        assert ended == []
        store.update(visitor.sid, visitor.verifier, Delta(user_id=user_id))
        assert [(record.sid, reason) for record, reason in ended] == [(signed_in[0], "evicted")]
        assert sids(store.records(user_id)) == [visitor.sid]
        assert all(isinstance(store.load(sid), Loaded) for sid in signed_in[1:])

    def test_an_evicted_session_is_gone_for_good_and_leaves_its_sid_to_nobody(self, store: MemoryStore) -> None:
        user_id = new_user()
        evicted = create(store, user_id=user_id, changed={"a": b"a"}).record
        for _ in range(9):
            create(store, user_id=new_user())
        assert store.load(evicted.sid) is None  # No tombstone: its browser may begin anew at once.
        assert list(store.records(user_id)) == []
        assert user_id not in store.table.users
        with pytest.raises(UpdateError):
            store.update(evicted.sid, evicted.verifier, TOUCH)

    def test_a_lowered_bound_is_kept_from_the_next_session_on(self, store: MemoryStore, settings: Any) -> None:
        for _ in range(10):
            create(store)
        settings.SRVSESSION_MEMORY_MAX_SESSIONS = 3
        newest = create(store).record
        assert len(store.table) == 3
        assert isinstance(store.load(newest.sid), Loaded)

    def test_one_account_does_not_push_everybody_out(self, store: MemoryStore, settings: Any) -> None:
        """It is ended by its own last sign-ins, also where everybody else was unseen for longer."""
        settings.SRVSESSION_MEMORY_MAX_SESSIONS = 100
        others = [create(store, user_id=new_user()).record.sid for _ in range(50)]
        greedy = new_user()
        made = [create(store, user_id=greedy).record.sid for _ in range(500)]
        assert all(isinstance(store.load(sid), Loaded) for sid in others)
        assert set(sids(store.records(greedy))) == set(made[-40:])
        later = [create(store, user_id=new_user()).record.sid for _ in range(20)]
        assert all(isinstance(store.load(sid), Loaded) for sid in [*others, *later])
        assert set(sids(store.records(greedy))) == set(made[-20:])

    def test_of_several_that_crowd_the_largest_goes_first_and_then_nobody_in_particular(
        self, store: MemoryStore, settings: Any
    ) -> None:
        settings.SRVSESSION_MEMORY_MAX_SESSIONS = 50  # 45 signed in; four are the share of one.
        oldest, one, two = create(store, user_id=new_user()).record.sid, new_user(), new_user()
        for user_id in [one] * 24 + [two] * 20:
            create(store, user_id=user_id)
        for count in range(36):
            create(store, user_id=new_user())
            found = len(store.records(one)), len(store.records(two))
            assert sum(found) == 44 - count - 1
            assert abs(found[0] - found[1]) <= 4
            assert isinstance(store.load(oldest), Loaded)
        assert found == (4, 4)
        create(store, user_id=new_user())
        assert store.load(oldest) is None
        assert (len(store.records(one)), len(store.records(two))) == (4, 4)

    @pytest.mark.parametrize("bound", [1, 2])
    def test_the_least_bound_leaves_room_for_a_visitor_and_a_user(
        self, store: MemoryStore, settings: Any, bound: int
    ) -> None:
        settings.SRVSESSION_MEMORY_MAX_SESSIONS = bound
        user = create(store, user_id=new_user()).record
        visitors = [create(store).record for _ in range(3)]
        assert isinstance(store.load(user.sid), Loaded)
        assert isinstance(store.load(visitors[-1].sid), Loaded)
        assert len(store.table) == 2

    def test_tombstones_are_no_more_than_sessions(self, store: MemoryStore) -> None:
        records = [create(store).record for _ in range(30)]
        for record in records:
            store.end(record.sid, Ending("logout"))
        last = [create(store).record for _ in range(15)]
        for record in last:
            store.end(record.sid, Ending("logout"))
        assert len(store.table.tombstones) == 10
        assert isinstance(store.load(last[-1].sid), Tombstone)

    def test_nothing_is_left_of_many_short_sessions(self, store: MemoryStore) -> None:
        for number in range(3000):
            record = create(store, user_id=f"user {number}").record
            store.admit(f"user {number}", record.sid, 3, "end_oldest")
            for _ in range(2):
                store.update(record.sid, record.verifier, Delta(lifetime_ms=HOUR_MS - number))
            store.end(record.sid, Ending("logout"))
        assert len(store.table) == 0
        assert store.table.users == {}
        assert len(store.table._due) < 100

    def test_receivers_may_use_sessions(self, store: MemoryStore) -> None:
        seen: list[object] = []

        def look(*, record: SessionRecord, **kwargs: Any) -> None:
            seen.append((store.load(record.sid), len(store.records())))

        session_ended.connect(look)
        try:
            for _ in range(11):
                create(store)
        finally:
            session_ended.disconnect(look)
        assert seen == [(None, 10)]

    def test_the_async_twins_tell_async_receivers(self, store: MemoryStore) -> None:
        told: list[str] = []

        async def note(*, record: SessionRecord, reason: str, **kwargs: Any) -> None:
            await asyncio.sleep(0)
            told.append(reason)

        async def fill() -> None:
            for _ in range(11):
                await store.face().create(new_sid(), new_verifier(), new_delta())

        session_ended.connect(note)
        try:
            asyncio.run(fill())
        finally:
            session_ended.disconnect(note)
        assert told == ["evicted"]


def test_making_room_costs_the_same_in_a_large_store(store: MemoryStore, settings: Any) -> None:
    assert calls_of_create(store, settings, 5000) < 2 * calls_of_create(store, settings, 50)


def test_making_room_for_signed_in_sessions_costs_the_same_in_a_large_store(store: MemoryStore, settings: Any) -> None:
    few = calls_of_create(store, settings, 200, signed_in=True)
    assert calls_of_create(store, settings, 4000, signed_in=True) < 2 * few


def calls_of_create(store: MemoryStore, settings: Any, bound: int, *, signed_in: bool = False) -> int:
    """Count function calls, and resumed generators, of ten creations in a full store: time would tell less surely."""
    settings.SRVSESSION_MEMORY_MAX_SESSIONS = bound

    def create_one() -> None:
        create(store, **({"user_id": new_user()} if signed_in else {}))

    for _ in range(bound + 10):
        create_one()
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        for _ in range(10):
            create_one()
    finally:
        sys.setprofile(None)
    return calls


def test_the_async_twins_stay_on_the_loop(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        sid, verifier = new_sid(), new_verifier()
        await store.face().create(sid, verifier, new_delta(user_id="user"))
        await store.face().load(sid)
        await store.face().update(sid, verifier, TOUCH)
        await store.face().update(sid, verifier, Delta(new_verifier=new_verifier()))
        await store.face().admit("user", sid, 1, "end_oldest")
        await store.face().records()
        await store.face().end(sid, EXPIRED)
        await store.face().end(sid, Ending("logout"))

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a thread hop")

    monkeypatch.setattr(type(sync_to_async(len)), "__call__", refuse)
    asyncio.run(work())


def test_values_that_were_loaded_cannot_be_changed(store: MemoryStore) -> None:
    values: Any = stored(store, create(store, changed={"a": b"a"}).record.sid).values
    with pytest.raises(TypeError):
        values["a"] = b"A"
