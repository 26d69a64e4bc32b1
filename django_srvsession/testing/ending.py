"""The contract of ``end`` and ``end_many``."""

from __future__ import annotations

import pytest

from django_srvsession import records
from django_srvsession.records import EXPIRED, Client, Delta, Ending, Tombstone
from django_srvsession.store import Store
from django_srvsession.testing.sessions import (
    HOUR_MS,
    create,
    make_due,
    new_sid,
    new_user,
    new_verifier,
    sids,
    snapshot,
    stored,
    touch_later,
)


class EndContract:
    """``end``: for good, to one caller."""

    def test_ending_returns_the_record_as_it_was_once(self, store: Store) -> None:
        record = touch_later(store, create(store, user_id=new_user(), client=Client("192.0.2.1", "agent"))).record
        assert store.end(record.sid, Ending("logout")) == record
        assert store.end(record.sid, Ending("revoked", by="admin")) is None
        assert store.end(record.sid, Ending("logout", verifier=record.verifier)) is None

    def test_a_session_that_was_written_since_a_version_is_not_ended_under_that_version(self, store: Store) -> None:
        before = create(store, user_id=new_user(), changed={"a": b"1"})
        sid, verifier = before.record.sid, before.record.verifier
        after = store.update(sid, verifier, Delta(changed={"b": b"2"}), before)
        assert store.end(sid, Ending("moved", base=before, version=before.record.version)) is None
        assert store.end(sid, Ending("moved", None, verifier, {"a": b"1"}, version=before.record.version)) is None
        assert stored(store, sid).values == {"a": b"1", "b": b"2"}
        assert store.end(sid, Ending("moved", base=after, version=after.record.version)) == after.record
        assert isinstance(store.load(sid), Tombstone)

    def test_the_tombstone_says_who_ended_what_and_why(self, store: Store) -> None:
        user_id, new = new_user(), new_verifier()
        session = create(store, user_id=user_id, changed={"secret": b"s3cret"})
        store.update(session.record.sid, session.record.verifier, Delta(new_verifier=new))
        store.end(session.record.sid, Ending("revoked", by="admin:ünï"))
        store.end(session.record.sid, Ending("logout", by="somebody else"))
        tombstone = store.load(session.record.sid)
        assert isinstance(tombstone, Tombstone)
        assert (tombstone.sid, tombstone.reason, tombstone.by) == (session.record.sid, "revoked", "admin:ünï")
        assert tombstone.user_id == user_id
        assert set(tombstone.verifiers) == {new, session.record.verifier}
        assert session.record.created_ms <= tombstone.ended_ms <= tombstone.now_ms
        assert tombstone.was_of(new)
        assert not tombstone.was_of(new_verifier())

    def test_the_tombstone_of_an_anonymous_session_has_one_verifier_and_nobody(self, store: Store) -> None:
        record = create(store).record
        store.end(record.sid, Ending("logout"))
        tombstone = store.load(record.sid)
        assert isinstance(tombstone, Tombstone)
        assert (tombstone.verifiers, tombstone.by, tombstone.user_id) == ((record.verifier,), None, None)

    def test_an_ended_session_is_not_listed(self, store: Store) -> None:
        user_id = new_user()
        ended, live = create(store, user_id=user_id).record, create(store, user_id=user_id).record
        store.end(ended.sid, Ending("logout"))
        assert list(store.records(user_id)) == [live]

    def test_there_is_nothing_to_end_under_an_unknown_sid(self, store: Store) -> None:
        sid = new_sid()
        assert store.end(sid, Ending("logout")) is None
        assert store.load(sid) is None

    @pytest.mark.parametrize("verifier", ["", "0" * 64], ids=["empty", "wrong"])
    def test_a_wrong_verifier_ends_nothing(self, store: Store, verifier: str) -> None:
        user_id = new_user()
        session = create(store, user_id=user_id, changed={"a": b"a"})
        before = snapshot(store, session.record.sid)
        assert store.end(session.record.sid, Ending("logout", verifier=verifier)) is None
        assert snapshot(store, session.record.sid) == before
        assert sids(store.records(user_id)) == [session.record.sid]

    def test_a_session_is_ended_only_where_the_expected_bytes_stand(self, store: Store) -> None:
        session = create(store, changed={"hash": b"new"})
        sid, verifier = session.record.sid, session.record.verifier
        before = snapshot(store, sid)
        for expected in ({"hash": b"old"}, {"hash": None}, {"hash": b"new", "absent": b"x"}, {"hash": b""}):
            assert store.end(sid, Ending("password_changed", None, verifier, expected)) is None
        assert store.end(sid, Ending("password_changed", None, new_verifier(), {"hash": b"new"})) is None
        assert snapshot(store, sid) == before
        ended = store.end(sid, Ending("password_changed", None, verifier, {"hash": b"new", "absent": None}))
        assert ended == session.record

    def test_what_the_caller_knows_of_the_session_is_not_trusted(self, store: Store) -> None:
        """The base is from before somebody signed in, changed the key and the contents."""
        base, user_id, new = create(store, changed={"a": b"a"}), new_user(), new_verifier()
        sid, old = base.record.sid, base.record.verifier
        delta = Delta(user_id=user_id, changed={"a": b"A"}, details=b"new", new_verifier=new)
        changed = store.update(sid, old, delta, base)
        for ending in (Ending("logout", verifier=old), Ending("logout", expected={"a": b"a"}), EXPIRED):
            assert store.end(sid, ending._replace(base=base)) is None
        assert store.end(sid, Ending("logout", verifier=new, base=base)) == changed.record
        tombstone = store.load(sid)
        assert isinstance(tombstone, Tombstone)
        assert (tombstone.user_id, set(tombstone.verifiers)) == (user_id, {old, new})
        assert list(store.records(user_id)) == []
        assert sid not in sids(list(store.records()))

    @pytest.mark.parametrize("base", ["with base", "without base"])
    def test_a_session_ends_once_whatever_its_caller_knows(self, store: Store, base: str) -> None:
        session = touch_later(store, create(store, user_id=new_user(), changed={"a": b"a"}))
        given = session if base == "with base" else None
        assert store.end(session.record.sid, Ending("logout", base=given)) == session.record
        assert store.end(session.record.sid, Ending("logout", base=given)) is None
        assert list(store.records(session.record.user_id)) == []

    def test_a_session_whose_time_is_up_is_nothing_to_end(self, store: Store) -> None:
        due = create(store, lifetime_ms=0).record
        assert store.end(due.sid, Ending("logout")) is None
        assert store.end(due.sid, Ending("logout", verifier=due.verifier)) is None
        assert stored(store, due.sid).record == due

    def test_a_user_has_no_session_after_all_were_ended_and_may_start_anew(self, store: Store) -> None:
        user_id = new_user()
        for _ in range(3):
            create(store, user_id=user_id)
        for record in store.records(user_id)[:]:
            store.end(record.sid, Ending("revoked", by=user_id))
        assert (len(store.records(user_id)), list(store.records(user_id))) == (0, [])
        record = create(store, user_id=user_id).record
        assert list(store.records(user_id)) == [record]


class EndManyContract:
    """``end_many``: as ``end``, for several at once."""

    def test_those_that_are_live_end_and_their_records_are_returned_once(self, store: Store) -> None:
        user_id = new_user()
        live = [create(store, user_id=user_id, changed={"a": b"a"}).record for _ in range(4)]
        anonymous, kept = create(store).record, create(store, user_id=user_id).record
        gone, due = create(store).record, create(store, lifetime_ms=0).record
        store.end(gone.sid, Ending("logout"))
        chosen = [*(record.sid for record in live), anonymous.sid, gone.sid, due.sid, new_sid()]
        ended = store.end_many(chosen, Ending("revoked", "somebody"))
        assert {record.sid: record for record in ended} == {record.sid: record for record in (*live, anonymous)}
        assert list(store.end_many(chosen, Ending("logout"))) == list(store.end_many([], Ending("logout"))) == []
        for record in (*live, anonymous):
            tombstone = store.load(record.sid)
            assert isinstance(tombstone, Tombstone)
            assert (tombstone.reason, tombstone.by) == ("revoked", "somebody")
            assert tombstone.was_of(record.verifier)
        assert stored(store, due.sid).record == due
        assert list(store.records(user_id)) == [kept]

    def test_those_whose_time_is_up_end_and_no_others(self, store: Store) -> None:
        idle, deadline = create(store, lifetime_ms=0).record, make_due(store, create(store, user_id=new_user())).record
        live, gone = create(store).record, create(store).record
        store.end(gone.sid, Ending("logout"))
        chosen = [idle.sid, live.sid, gone.sid, deadline.sid, new_sid()]
        assert {record.sid: record for record in store.end_many(chosen, EXPIRED)} == {
            idle.sid: idle,
            deadline.sid: deadline,
        }
        assert list(store.end_many(chosen, EXPIRED)) == []
        reasons = {sid: found.reason for sid in chosen if isinstance(found := store.load(sid), Tombstone)}
        assert reasons == {idle.sid: "expired_idle", deadline.sid: "expired_lifetime", gone.sid: "logout"}
        assert stored(store, live.sid).record == live

    def test_a_sid_that_is_named_twice_ends_once(self, store: Store) -> None:
        record = create(store).record
        assert list(store.end_many([record.sid, record.sid], Ending("revoked"))) == [record]

    def test_more_than_a_statement_names_end_in_one_step(self, store: Store) -> None:
        user_id = new_user()
        made = {create(store, user_id=user_id).record.sid for _ in range(120)}
        assert {
            record.sid for record in store.end_many([*made, *(new_sid() for _ in range(900))], Ending("revoked"))
        } == made
        assert len(store.records(user_id)) == 0


class ExpireContract:
    """``end`` without a reason: when the time is up, and only then."""

    def test_a_session_that_was_not_used_expires_as_idle(self, store: Store) -> None:
        record = create(store, lifetime_ms=0, user_id=new_user(), changed={"a": b"a"}).record
        assert store.end(record.sid, EXPIRED) == record
        self._assert_expired(store, record, "expired_idle")

    def test_a_session_at_its_deadline_expires_by_its_lifetime(self, store: Store) -> None:
        record = make_due(store, create(store, user_id=new_user())).record
        assert store.end(record.sid, EXPIRED) == record
        self._assert_expired(store, record, "expired_lifetime")

    def _assert_expired(self, store: Store, record: records.SessionRecord, reason: str) -> None:
        assert store.end(record.sid, EXPIRED) is None
        tombstone = store.load(record.sid)
        assert isinstance(tombstone, Tombstone)
        assert (tombstone.reason, tombstone.by, tombstone.user_id) == (reason, None, record.user_id)
        assert record.verifier in tombstone.verifiers
        assert not tombstone.was_replaced_just_now
        assert list(store.records(record.user_id)) == []

    def test_a_live_session_is_not_expired(self, store: Store) -> None:
        session = create(store, changed={"a": b"a"})
        before = snapshot(store, session.record.sid)
        assert store.end(session.record.sid, EXPIRED) is None
        assert snapshot(store, session.record.sid) == before

    def test_a_session_that_another_request_extended_is_not_expired(self, store: Store) -> None:
        """The one that found it due asks the store again, which knows better."""
        session = create(store, lifetime_ms=60_000)
        found_due = session.record._replace(expires_ms=session.now_ms)
        store.update(session.record.sid, session.record.verifier, Delta(lifetime_ms=HOUR_MS))
        assert store.end(found_due.sid, EXPIRED) is None
        assert stored(store, session.record.sid).record.lifetime_ms == HOUR_MS

    def test_there_is_nothing_to_expire_under_unknown_and_ended_sids(self, store: Store) -> None:
        sid, ended = new_sid(), create(store).record
        store.end(ended.sid, Ending("logout"))
        assert store.end(sid, EXPIRED) is None
        assert store.end(ended.sid, EXPIRED) is None
        assert store.load(sid) is None
        tombstone = store.load(ended.sid)
        assert isinstance(tombstone, Tombstone)
        assert tombstone.reason == "logout"


class AliveContract:
    """``alive``: one question for many sessions."""

    def test_those_that_are_live_are_named(self, store: Store) -> None:
        live = [create(store, user_id=new_user()).record, create(store, changed={"a": b"a"}).record]
        ended, idle = create(store).record, create(store, lifetime_ms=0).record
        due = make_due(store, create(store)).record
        store.end(ended.sid, Ending("logout"))
        asked = [ended.sid, live[0].sid, new_sid(), due.sid, live[1].sid, idle.sid, live[0].sid]
        before = snapshot(store, live[1].sid)
        assert store.alive(asked) == {record.sid: (record.verifier,) for record in live}
        assert snapshot(store, live[1].sid) == before
        assert store.alive([]) == {}

    def test_what_is_no_sid_is_no_live_session(self, store: Store) -> None:
        live = create(store).record.sid
        assert store.alive([live, "", "x" * 18, live.upper() + " ", "../" + live, "\0"]).keys() == {live}

    def test_a_thousand_can_be_asked_for_at_once(self, store: Store) -> None:
        live = {create(store).record.sid for _ in range(50)}
        assert store.alive([*(new_sid() for _ in range(950)), *live]).keys() == live

    def test_each_is_named_with_the_verifiers_that_open_it(self, store: Store) -> None:
        renewed, replaced, twice = (create(store).record for _ in range(3))
        keys = {record.sid: new_verifier() for record in (renewed, replaced, twice)}
        store.update(twice.sid, twice.verifier, Delta(new_verifier=(between := new_verifier()), final=False))
        for sid, verifier, final in (
            (renewed.sid, renewed.verifier, False),
            (replaced.sid, replaced.verifier, True),
            (twice.sid, between, False),
        ):
            store.update(sid, verifier, Delta(new_verifier=keys[sid], final=final))
        assert store.alive(list(keys)) == {
            renewed.sid: (keys[renewed.sid], renewed.verifier),
            replaced.sid: (keys[replaced.sid],),
            twice.sid: (keys[twice.sid], between),
        }
