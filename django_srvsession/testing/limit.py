"""The contract of ``admit``."""

from __future__ import annotations

import pytest

from django_srvsession.records import EXPIRED, Ending, SessionRecord
from django_srvsession.store import LimitReachedError, Store
from django_srvsession.testing.listing import several
from django_srvsession.testing.sessions import create, make_due, new_user, sids, snapshot, stored, touch_later


def login(store: Store, user_id: str, limit: int, policy: str = "end_oldest") -> SessionRecord:
    """Do as a login does: create, admit, end what is to end."""
    record = create(store, user_id=user_id).record
    for sid in store.admit(user_id, record.sid, limit, policy):
        store.end(sid, Ending("limit"))
    return record


class AdmitContract:
    """``admit``: a limit per user."""

    def test_below_the_limit_nothing_is_to_end(self, store: Store) -> None:
        user_id = new_user()
        for count in range(1, 4):
            record = create(store, user_id=user_id).record
            assert list(store.admit(user_id, record.sid, 3, "end_oldest")) == []
            assert len(store.records(user_id)) == count

    def test_above_the_limit_the_longest_unseen_is_to_end(self, store: Store) -> None:
        user_id = new_user()
        oldest, middle, newest = (login(store, user_id, 3) for _ in range(3))
        seen_ms = touch_later(store, stored(store, middle.sid)).record.last_seen_ms
        seen_ms = touch_later(store, stored(store, newest.sid), seen_ms).record.last_seen_ms
        touch_later(store, stored(store, oldest.sid), seen_ms)  # The first one created was used last.
        fourth = create(store, user_id=user_id).record
        assert list(store.admit(user_id, fourth.sid, 3, "end_oldest")) == [middle.sid]

    def test_admitting_alone_ends_nothing(self, store: Store) -> None:
        user_id = new_user()
        first, second = login(store, user_id, 1), create(store, user_id=user_id).record
        before = snapshot(store, first.sid)
        assert list(store.admit(user_id, second.sid, 1, "end_oldest")) == [first.sid]
        assert snapshot(store, first.sid) == before

    def test_a_session_is_never_given_itself_to_end(self, store: Store) -> None:
        user_id = new_user()
        oldest, newer = several(store, user_id, 2)
        assert oldest not in store.admit(user_id, oldest, 1, "end_oldest")
        assert newer not in store.admit(user_id, newer, 1, "end_oldest")

    def test_no_session_is_given_to_two_callers(self, store: Store) -> None:
        user_id = new_user()
        first = login(store, user_id, 1)
        second, third = (create(store, user_id=user_id).record for _ in range(2))
        given = [*store.admit(user_id, second.sid, 1, "end_oldest"), *store.admit(user_id, third.sid, 1, "end_oldest")]
        assert len(given) == len(set(given))
        for sid in given:
            store.end(sid, Ending("limit"))
        assert len(store.records(user_id)) == 1
        assert first.sid not in sids(store.records(user_id))

    @pytest.mark.parametrize("policy", ["end_oldest", "refuse"])
    def test_admitting_a_session_again_changes_nothing(self, store: Store, policy: str) -> None:
        user_id = new_user()
        records = [login(store, user_id, 3, policy) for _ in range(3)]
        for _ in range(2):
            for record in records:
                assert list(store.admit(user_id, record.sid, 3, policy)) == []
        assert set(sids(store.records(user_id))) == {record.sid for record in records}

    def test_sessions_from_before_there_was_a_limit_are_ended_too(self, store: Store) -> None:
        user_id = new_user()
        old = several(store, user_id, 5)
        new = login(store, user_id, 3)
        assert set(sids(store.records(user_id))) == {*old[-2:], new.sid}

    def test_a_lowered_limit_ends_as_many_as_it_takes(self, store: Store) -> None:
        user_id = new_user()
        for _ in range(5):
            login(store, user_id, 5)
        last = login(store, user_id, 2)
        left = sids(store.records(user_id))
        assert len(left) == 2
        assert last.sid in left

    def test_at_the_limit_a_login_is_refused_and_nothing_changes(self, store: Store) -> None:
        user_id = new_user()
        admitted = {login(store, user_id, 2, "refuse").sid for _ in range(2)}
        extra = create(store, user_id=user_id).record
        for _ in range(2):
            with pytest.raises(LimitReachedError):
                store.admit(user_id, extra.sid, 2, "refuse")
        assert set(sids(store.records(user_id))) == {*admitted, extra.sid}
        store.end(extra.sid, Ending("limit"))
        assert set(sids(store.records(user_id))) == admitted

    def test_logins_that_are_under_way_do_not_refuse_each_other(self, store: Store) -> None:
        user_id = new_user()
        first, second = (create(store, user_id=user_id).record for _ in range(2))
        assert list(store.admit(user_id, first.sid, 1, "refuse")) == []
        with pytest.raises(LimitReachedError):
            store.admit(user_id, second.sid, 1, "refuse")

    def test_a_refused_user_is_admitted_when_a_session_has_ended(self, store: Store) -> None:
        user_id = new_user()
        first, _ = (login(store, user_id, 2, "refuse") for _ in range(2))
        store.end(first.sid, Ending("logout"))
        extra = create(store, user_id=user_id).record
        assert list(store.admit(user_id, extra.sid, 2, "refuse")) == []

    def test_ended_and_expired_sessions_refuse_nobody(self, store: Store) -> None:
        user_id = new_user()
        ended, due, expired = (login(store, user_id, 3, "refuse") for _ in range(3))
        store.end(ended.sid, Ending("logout"))
        make_due(store, stored(store, due.sid))
        make_due(store, stored(store, expired.sid))
        store.end(expired.sid, EXPIRED)
        for _ in range(3):
            record = create(store, user_id=user_id).record
            assert list(store.admit(user_id, record.sid, 3, "refuse")) == []
        extra = create(store, user_id=user_id).record
        with pytest.raises(LimitReachedError):
            store.admit(user_id, extra.sid, 3, "refuse")

    def test_ended_and_expired_sessions_are_not_given_in_place_of_live_ones(self, store: Store) -> None:
        user_id = new_user()
        records = [login(store, user_id, 4) for _ in range(4)]
        store.end(records[0].sid, Ending("logout"))
        make_due(store, stored(store, records[1].sid))
        for _ in range(2):
            record = create(store, user_id=user_id).record
            assert list(store.admit(user_id, record.sid, 4, "end_oldest")) == []
        assert {records[2].sid, records[3].sid} <= set(sids(store.records(user_id)))

    def test_a_session_that_was_ended_before_it_was_admitted_costs_nobody_their_place(self, store: Store) -> None:
        """Another login was given it to end, and was faster."""
        user_id = new_user()
        kept = {login(store, user_id, 3).sid for _ in range(3)}
        ended = create(store, user_id=user_id).record
        store.end(ended.sid, Ending("limit"))
        assert list(store.admit(user_id, ended.sid, 3, "end_oldest")) == []
        assert set(sids(store.records(user_id))) == kept

    def test_users_do_not_share_a_limit(self, store: Store) -> None:
        first, second = new_user(), new_user()
        kept = login(store, first, 1)
        login(store, second, 1)
        login(store, second, 1)
        assert sids(store.records(first)) == [kept.sid]
