"""The contract of an update that names a new verifier."""

from __future__ import annotations

import pytest

from django_srvsession.records import ROTATION_GRACE_MS, TOUCH, Delta, Ending, Tombstone, rotated
from django_srvsession.store import ConflictError, Store, UpdateError
from django_srvsession.testing.sessions import (
    HOUR_MS,
    SAYS_SOMETHING,
    create,
    make_due,
    new_delta,
    new_sid,
    new_user,
    new_verifier,
    snapshot,
    stored,
    touch_later,
)
from django_srvsession.testing.updating import forwarded


class RotateContract:
    """``update`` with ``new_verifier``: a delta and a new key, in one step."""

    @pytest.mark.parametrize("final", [True, False], ids=["final", "not final"])
    @pytest.mark.parametrize("base", ["with base", "without base"])
    def test_a_rotation_replaces_the_verifier_and_applies_the_delta(self, store: Store, base: str, final: bool) -> None:
        new, user_id = new_verifier(), new_user()
        session = create(store, changed={"a": b"a", "b": b"b"})
        touch_later(store, session)
        session = stored(store, session.record.sid)
        delta = Delta(changed={"a": b"A"}, removed=frozenset({"b"}), user_id=user_id, lifetime_ms=2 * HOUR_MS)
        given = session if base == "with base" else None
        after = store.update(
            session.record.sid, session.record.verifier, delta._replace(new_verifier=new, final=final), given
        )
        expected = rotated(forwarded(session, delta, after), new, final, signs_in=True)
        assert after.record == expected.record
        assert snapshot(store, session.record.sid) == (expected.record, {"a": b"A"})
        assert list(store.records(user_id)) == [expected.record]

    def test_a_rotation_remembers_where_it_came_from(self, store: Store) -> None:
        session, new = create(store, user_id=new_user()), new_verifier()
        record = store.update(session.record.sid, session.record.verifier, Delta(new_verifier=new)).record
        assert (record.verifier, record.previous_verifier) == (new, session.record.verifier)
        assert record.rotated_ms is not None and record.signed_in_ms is not None and record.rotation_final
        assert record.rotated_ms == max(record.last_seen_ms, record.signed_in_ms + 1)
        assert (record.sid, record.created_ms) == (session.record.sid, session.record.created_ms)
        assert record.signed_in_ms == session.record.signed_in_ms
        assert stored(store, record.sid).record == record

    def test_a_key_that_was_signed_in_can_be_told_from_one_that_was_not(self, store: Store) -> None:
        """A rotation is later than the sign-in before it, though both take less than a millisecond."""
        for _ in range(20):
            session, new = create(store, changed={"a": b"a"}), new_verifier()
            sid, old = session.record.sid, session.record.verifier
            at_sign_in = store.update(sid, old, Delta(user_id=new_user(), new_verifier=new), session)
            assert at_sign_in.record.rotated_ms == at_sign_in.record.signed_in_ms
            record = store.update(sid, new, Delta(new_verifier=new_verifier()), at_sign_in).record
            assert record.rotated_ms is not None and at_sign_in.record.signed_in_ms is not None
            assert record.rotated_ms > at_sign_in.record.signed_in_ms
            assert stored(store, sid).record == record

    def test_what_was_rotated_is_kept_by_later_updates(self, store: Store) -> None:
        session, new = create(store), new_verifier()
        rotated_record = store.update(
            session.record.sid, session.record.verifier, Delta(new_verifier=new, final=False)
        ).record
        record = store.update(session.record.sid, new, Delta(changed={"a": b"a"})).record
        for name in ("verifier", "previous_verifier", "rotated_ms", "rotation_final"):
            assert getattr(record, name) == getattr(rotated_record, name)

    def test_rotating_to_the_verifier_that_stands_succeeds_and_applies_nothing(self, store: Store) -> None:
        session, new = create(store, changed={"n": b"0"}), new_verifier()
        sid, old = session.record.sid, session.record.verifier
        store.update(sid, old, Delta(changed={"n": b"1"}, expected={"n": b"0"}, new_verifier=new))
        before = snapshot(store, sid)
        delta = Delta(changed={"n": b"2"}, expected={"n": b"0"}, user_id=new_user())
        again = store.update(sid, old, delta._replace(new_verifier=new), session)
        assert snapshot(store, sid) == before
        assert again.record == before[0]

    @pytest.mark.parametrize("base", ["with base", "without base"])
    def test_who_has_the_key_already_rotates_nothing(self, store: Store, base: str) -> None:
        session = create(store, changed={"a": b"a"})
        sid, verifier = session.record.sid, session.record.verifier
        before = snapshot(store, sid)
        delta = Delta(changed={"a": b"A"}, user_id=new_user(), new_verifier=verifier, details=b"d")
        assert store.update(sid, verifier, delta, session if base == "with base" else None).record == session.record
        assert snapshot(store, sid) == before

    def test_the_old_verifier_is_dead_after_a_final_rotation(self, store: Store) -> None:
        session, new = create(store, changed={"a": b"a"}), new_verifier()
        sid, old = session.record.sid, session.record.verifier
        store.update(sid, old, Delta(new_verifier=new))
        before = snapshot(store, sid)
        for base in (None, session):
            with pytest.raises(UpdateError, match=SAYS_SOMETHING):
                store.update(sid, old, Delta(changed={"a": b"late"}), base)
        assert store.end(sid, Ending("logout", verifier=old)) is None
        assert snapshot(store, sid) == before
        assert store.update(sid, new, Delta(changed={"a": b"A"})).record.verifier == new

    def test_the_old_verifier_is_accepted_for_a_while_after_a_rotation_that_is_not_final(self, store: Store) -> None:
        session, new = create(store, changed={"a": b"a"}), new_verifier()
        sid, old = session.record.sid, session.record.verifier
        store.update(sid, old, Delta(new_verifier=new, final=False))
        for base in (None, session):
            assert store.update(sid, old, Delta(changed={"a": b"A"}), base).record.verifier == new
        assert stored(store, sid).values == {"a": b"A"}
        assert stored(store, sid).record.verifier == new
        ended = store.end(sid, Ending("logout", verifier=old))
        assert ended is not None
        assert ended.verifier == new

    def test_a_verifier_from_two_rotations_ago_is_dead(self, store: Store) -> None:
        session = create(store)
        sid, verifiers = session.record.sid, [session.record.verifier, new_verifier(), new_verifier()]
        store.update(sid, verifiers[0], Delta(new_verifier=verifiers[1], final=False))
        store.update(sid, verifiers[1], Delta(new_verifier=verifiers[2], final=False))
        with pytest.raises(UpdateError, match=SAYS_SOMETHING):
            store.update(sid, verifiers[0], TOUCH)
        store.update(sid, verifiers[1], TOUCH)

    @pytest.mark.parametrize("final", [True, False], ids=["final", "not final"])
    def test_a_rotation_needs_the_current_verifier(self, store: Store, final: bool) -> None:
        session, new = create(store, changed={"a": b"a"}), new_verifier()
        sid, old = session.record.sid, session.record.verifier
        store.update(sid, old, Delta(new_verifier=new, final=final))
        before = snapshot(store, sid)
        for verifier in (old, new_verifier(), ""):
            for base in (None, session):
                with pytest.raises(UpdateError, match=SAYS_SOMETHING):
                    store.update(sid, verifier, Delta(changed={"a": b"late"}, new_verifier=new_verifier()), base)
        assert snapshot(store, sid) == before

    def test_a_rotation_refuses_what_an_update_refuses(self, store: Store) -> None:
        session, other = create(store, user_id=new_user(), changed={"a": b"a"}), new_user()
        sid, verifier = session.record.sid, session.record.verifier
        before = snapshot(store, sid)
        with pytest.raises(UpdateError, match=SAYS_SOMETHING):
            store.update(sid, verifier, Delta(user_id=other, changed={"a": b"A"}, new_verifier=new_verifier()))
        with pytest.raises(ConflictError) as caught:
            store.update(sid, verifier, Delta(expected={"a": None}, changed={"a": b"A"}, new_verifier=new_verifier()))
        assert dict(caught.value.current) == {"a": b"a"}
        assert snapshot(store, sid) == before
        assert list(store.records(other)) == []

    def test_a_rotation_never_creates_and_never_revives(self, store: Store) -> None:
        missing, ended, due = new_sid(), create(store), make_due(store, create(store))
        store.end(ended.record.sid, Ending("logout"))
        for sid, verifier in (
            (missing, new_verifier()),
            (ended.record.sid, ended.record.verifier),
            (due.record.sid, due.record.verifier),
        ):
            with pytest.raises(UpdateError, match=SAYS_SOMETHING):
                store.update(sid, verifier, new_delta(deadline_ms=None)._replace(new_verifier=new_verifier()))
        assert store.load(missing) is None
        assert isinstance(store.load(ended.record.sid), Tombstone)
        assert stored(store, due.record.sid).record == due.record

    def test_the_minute_of_grace_is_counted_from_the_rotation(self, store: Store) -> None:
        """Checked on the record, whose rule stores share; a store must hand it the instant of the rotation."""
        session, new = create(store), new_verifier()
        record = store.update(session.record.sid, session.record.verifier, Delta(new_verifier=new, final=False)).record
        assert record.rotated_ms is not None
        end_ms = record.rotated_ms + ROTATION_GRACE_MS
        assert record.accepts(session.record.verifier, end_ms - 1)
        assert not record.accepts(session.record.verifier, end_ms)
