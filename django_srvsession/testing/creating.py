"""The contract of ``create`` and ``load``."""

from __future__ import annotations

import pytest

from django_srvsession.records import Client, Delta, Ending, Tombstone
from django_srvsession.store import CreateError, Store
from django_srvsession.testing.sessions import (
    HOUR_MS,
    SAYS_SOMETHING,
    create,
    new_delta,
    new_sid,
    new_user,
    new_verifier,
    sids,
    snapshot,
    stored,
    touch_later,
)


class CreateContract:
    """``create``: a new session, once."""

    def test_a_created_session_is_returned_as_it_is_stored(self, store: Store) -> None:
        client = Client("192.0.2.7", "Mozilla/5.0 (“quoted”; ünïcode)")
        values = {"a": b"1", "b": b"\0\xff"}
        created = create(store, user_id=new_user(), client=client, deadline_ms=4_102_444_800_000, changed=values)
        record = created.record
        assert (record.client, created.values) == (client, values)
        assert record.created_ms == record.last_seen_ms == record.signed_in_ms
        assert record.expires_ms == record.created_ms + HOUR_MS
        assert record.deadline_ms == 4_102_444_800_000
        assert (record.previous_verifier, record.rotated_ms) == (None, None)
        assert snapshot(store, record.sid) == (record, values)

    def test_an_anonymous_session_has_no_user_and_no_sign_in(self, store: Store) -> None:
        record = create(store).record
        assert (record.user_id, record.signed_in_ms, record.deadline_ms) == (None, None, None)
        assert record.client == Client()
        assert stored(store, record.sid).record == record

    def test_a_new_session_never_outlives_its_deadline(self, store: Store) -> None:
        deadline_ms = create(store).now_ms + 1000
        record = create(store, deadline_ms=deadline_ms).record
        assert stored(store, record.sid).record.expires_ms == deadline_ms

    def test_a_created_session_is_listed_on_return(self, store: Store) -> None:
        user_id = new_user()
        record = create(store, user_id=user_id).record
        assert list(store.records(user_id)) == [record]

    def test_creating_what_is_stored_with_the_same_verifier_succeeds(self, store: Store) -> None:
        sid, verifier, user_id = new_sid(), new_verifier(), new_user()
        delta = new_delta(user_id=user_id, changed={"a": b"1"})
        first = store.create(sid, verifier, delta)
        second = store.create(sid, verifier, delta)
        assert second.record.sid == sid
        assert stored(store, sid).values == {"a": b"1"}
        assert stored(store, sid).record.created_ms == first.record.created_ms
        assert sids(store.records(user_id)) == [sid]

    def test_a_sid_taken_by_a_live_session_is_refused_and_its_session_kept(self, store: Store) -> None:
        taken = create(store, user_id=new_user(), changed={"a": b"1"})
        before, other = snapshot(store, taken.record.sid), new_user()
        with pytest.raises(CreateError, match=SAYS_SOMETHING):
            store.create(taken.record.sid, new_verifier(), new_delta(user_id=other, changed={"a": b"2"}))
        assert snapshot(store, taken.record.sid) == before
        assert list(store.records(other)) == []

    def test_creating_again_what_has_expired_meanwhile_is_refused(self, store: Store) -> None:
        short = create(store, lifetime_ms=0)
        while (due := stored(store, short.record.sid)).record.is_live(due.now_ms):
            pass
        with pytest.raises(CreateError, match=SAYS_SOMETHING):
            store.create(due.record.sid, due.record.verifier, new_delta())

    def test_a_sid_taken_by_an_expired_session_is_refused(self, store: Store) -> None:
        taken = create(store, lifetime_ms=0)
        with pytest.raises(CreateError, match=SAYS_SOMETHING):
            store.create(taken.record.sid, new_verifier(), new_delta())
        assert stored(store, taken.record.sid).record.verifier == taken.record.verifier

    def test_a_sid_taken_by_an_ended_session_is_refused_also_to_its_own_verifier(self, store: Store) -> None:
        record = create(store).record
        store.end(record.sid, Ending("logout"))
        for verifier in (new_verifier(), record.verifier):
            with pytest.raises(CreateError, match=SAYS_SOMETHING):
                store.create(record.sid, verifier, new_delta())
        assert isinstance(store.load(record.sid), Tombstone)

    def test_the_lifetime_is_required(self, store: Store) -> None:
        sid = new_sid()
        with pytest.raises(ValueError, match="lifetime"):
            store.create(sid, new_verifier(), Delta())
        assert store.load(sid) is None


class LoadContract:
    """``load``: what stands under a sid, without changing it."""

    def test_nothing_stands_under_an_unknown_sid(self, store: Store) -> None:
        assert store.load(new_sid()) is None

    def test_loading_changes_nothing(self, store: Store) -> None:
        record = create(store, user_id=new_user(), changed={"a": b"1"}).record
        touch_later(store, stored(store, record.sid))
        before = snapshot(store, record.sid)
        assert [snapshot(store, record.sid) for _ in range(3)] == [before] * 3

    def test_a_session_whose_time_is_up_is_loaded_until_somebody_ends_it(self, store: Store) -> None:
        record = create(store, lifetime_ms=0, changed={"a": b"1"}).record
        for _ in range(2):
            loaded = stored(store, record.sid)
            assert loaded.record.expires_ms <= loaded.now_ms
            assert loaded.values == {"a": b"1"}

    def test_a_live_session_is_loaded_with_the_time_it_has_left(self, store: Store) -> None:
        loaded = stored(store, create(store).record.sid)
        assert 0 <= loaded.now_ms - loaded.record.last_seen_ms < HOUR_MS
        assert loaded.record.is_live(loaded.now_ms)

    def test_an_ended_session_is_loaded_as_its_tombstone(self, store: Store) -> None:
        record = create(store).record
        store.end(record.sid, Ending("revoked"))
        for _ in range(2):
            assert isinstance(store.load(record.sid), Tombstone)

    def test_what_is_loaded_is_a_copy(self, store: Store) -> None:
        sid, values = new_sid(), {"a": b"1"}
        store.create(sid, new_verifier(), new_delta(changed=values))
        values["a"] = b"changed by the caller"
        first = stored(store, sid).values
        if isinstance(first, dict):
            first["b"] = b"2"
        assert stored(store, sid).values == {"a": b"1"}
