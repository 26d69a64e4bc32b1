"""The contract of ``clear_expired``."""

from __future__ import annotations

import pytest
from django.test import override_settings

from django_srvsession.records import EXPIRED, Ending, SessionRecord, Tombstone
from django_srvsession.store import Store
from django_srvsession.testing.sessions import create, make_due, new_user, sids, snapshot, stored


class ClearExpiredContract:
    """``clear_expired``: end what is due, forget what ended long ago."""

    def test_what_is_due_is_ended_and_handed_over_once(self, store: Store) -> None:
        user_id = new_user()
        idle = create(store, user_id=user_id, lifetime_ms=0).record
        anonymous = create(store, lifetime_ms=0, changed={"a": b"a"}).record
        deadline = make_due(store, create(store, user_id=user_id)).record
        ended: list[SessionRecord] = []
        count = store.clear_expired(on_ended=ended.append)
        assert count == len(ended) >= 3
        for record in (idle, anonymous, deadline):
            assert ended.count(record) == 1
            tombstone = store.load(record.sid)
            assert tombstone is None or isinstance(tombstone, Tombstone)
            assert store.end(record.sid, EXPIRED) is None
        again: list[SessionRecord] = []
        store.clear_expired(on_ended=again.append)
        assert not {idle.sid, anonymous.sid, deadline.sid} & set(sids(again))

    def test_a_cleared_session_leaves_a_tombstone_that_says_why(self, store: Store) -> None:
        idle, deadline = create(store, lifetime_ms=0).record, make_due(store, create(store)).record
        store.clear_expired()
        found = [store.load(idle.sid), store.load(deadline.sid)]
        assert [tombstone.reason for tombstone in found if isinstance(tombstone, Tombstone)] == [
            "expired_idle",
            "expired_lifetime",
        ]

    def test_live_sessions_are_left_as_they_are(self, store: Store) -> None:
        user_id = new_user()
        made = [create(store, user_id=user_id, changed={"a": b"a"}).record, create(store).record]
        before = [snapshot(store, record.sid) for record in made]
        ended: list[SessionRecord] = []
        store.clear_expired(on_ended=ended.append)
        assert [snapshot(store, record.sid) for record in made] == before
        assert not {record.sid for record in made} & set(sids(ended))
        assert sids(store.records(user_id)) == [made[0].sid]

    def test_a_dry_run_counts_and_changes_nothing(self, store: Store) -> None:
        due = [create(store, lifetime_ms=0).record for _ in range(3)]
        ended: list[SessionRecord] = []
        assert store.clear_expired(dry_run=True, on_ended=ended.append) >= 3
        assert ended == []
        assert [stored(store, record.sid).record for record in due] == due
        assert store.clear_expired() >= 3

    @pytest.mark.parametrize("batch_size", [1, 2, 1000])
    def test_batches_are_no_larger_than_asked_and_progress_is_told(self, store: Store, batch_size: int) -> None:
        store.clear_expired()
        due = {create(store, lifetime_ms=0).record.sid for _ in range(5)}
        ended: list[SessionRecord] = []
        progress: list[int] = []
        count = store.clear_expired(batch_size=batch_size, on_ended=ended.append, on_progress=progress.append)
        assert due <= set(sids(ended))
        assert progress[-1] == count == len(ended)
        steps = [after - before for before, after in zip([0, *progress], progress, strict=False)]
        assert all(0 <= step <= batch_size for step in steps)

    def test_clearing_can_be_interrupted_and_repeated(self, store: Store) -> None:
        due = {create(store, lifetime_ms=0).record.sid for _ in range(5)}
        ended: list[SessionRecord] = []

        def stop(total: int) -> None:
            if ended:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            store.clear_expired(batch_size=2, on_ended=ended.append, on_progress=stop)
        store.clear_expired(batch_size=2, on_ended=ended.append)
        assert sorted(sid for sid in sids(ended) if sid in due) == sorted(due)

    def test_old_tombstones_are_forgotten(self, store: Store) -> None:
        user_id = new_user()
        with override_settings(SRVSESSION_ENDED_KEEP=0):
            record = create(store, user_id=user_id).record
            assert store.end(record.sid, Ending("logout")) == record
            for _ in range(1000):  # In the very millisecond of the end it may be there.
                store.clear_expired()
                if store.load(record.sid) is None:
                    break
            assert store.load(record.sid) is None
        assert list(store.records(user_id)) == []

    def test_fresh_tombstones_are_kept(self, store: Store) -> None:
        record = create(store).record
        store.end(record.sid, Ending("revoked", by="admin"))
        store.clear_expired()
        tombstone = store.load(record.sid)
        assert isinstance(tombstone, Tombstone)
        assert (tombstone.reason, tombstone.by) == ("revoked", "admin")
