"""The contract of ``update``: what it changes, and what stays."""

from __future__ import annotations

import pytest

from django_srvsession.records import TOUCH, Client, Delta, Loaded, updated
from django_srvsession.store import Store
from django_srvsession.testing.sessions import HOUR_MS, create, new_user, sids, snapshot, stored, touch_later


def forwarded(session: Loaded, delta: Delta, after: Loaded) -> Loaded:
    """Return what the rule for merging makes of ``session``, at the instant that the store wrote."""
    return updated(session, delta, after.record.last_seen_ms)


DELTAS = {
    "touch": TOUCH,
    "no extension": Delta(extend=False),
    "changed": Delta(changed={"a": b"A", "new": b"N"}),
    "removed": Delta(removed=frozenset({"a", "never there"})),
    "cleared": Delta(cleared=True),
    "cleared but": Delta(cleared=True, changed={"a": b"A"}),
    "cleared and removed": Delta(cleared=True, removed=frozenset({"b"}), changed={"c": b"C"}),
    "changed and removed": Delta(changed={"a": b"A"}, removed=frozenset({"b"})),
    "resealed": Delta(resealed={"a": (b"a", b"A")}),
    "resealed and cleared": Delta(resealed={"a": (b"a", b"A")}, cleared=True),
    "resealed too late": Delta(resealed={"a": (b"not this", b"A"), "never there": (b"x", b"y"), "b": (b"b", b"B")}),
    "resealed and removed": Delta(resealed={"a": (b"a", b"A")}, removed=frozenset({"a"})),
    "resealed and changed": Delta(resealed={"a": (b"a", b"A")}, changed={"a": b"changed"}),
    "expected": Delta(expected={"a": b"a", "never there": None}, changed={"b": b"B"}),
    "client": Delta(client=Client("2001:db8::1", "agent")),
    "client removed": Delta(client=Client()),
    "shorter lifetime": Delta(lifetime_ms=1000),
    "lifetime kept for later": Delta(lifetime_ms=1000, extend=False),
    "sign-in": Delta(user_id="123", lifetime_ms=2 * HOUR_MS, deadline_ms=4_102_444_800_000),
    "far deadline": Delta(deadline_ms=4_102_444_800_000),
    "deadline gone": Delta(deadline_ms=None),
    "due deadline": Delta(deadline_ms=1_000_000_000_000),
    "due deadline without extension": Delta(deadline_ms=1_000_000_000_000, extend=False),
    "everything": Delta(
        changed={"a": b"A"},
        removed=frozenset({"b"}),
        expected={"c": b"c"},
        resealed={"c": (b"c", b"C")},
        user_id="123",
        client=Client("192.0.2.1", ""),
        lifetime_ms=5000,
        deadline_ms=4_102_444_800_000,
    ),
}


class UpdateContract:
    """``update``: apply a delta to a live session."""

    @pytest.mark.parametrize("base", ["with base", "without base"])
    @pytest.mark.parametrize("delta", DELTAS.values(), ids=DELTAS)
    def test_a_delta_is_applied_by_the_rule_for_merging(self, store: Store, delta: Delta, base: str) -> None:
        values = {"a": b"a", "b": b"b", "c": b"c"}
        session = create(store, changed=values, client=Client("192.0.2.9", "first"), deadline_ms=4_000_000_000_000)
        touch_later(store, session)
        session = stored(store, session.record.sid)
        given = session if base == "with base" else None
        after = store.update(session.record.sid, session.record.verifier, delta, given)
        expected = forwarded(session, delta, after)
        assert after.record == expected.record
        assert snapshot(store, session.record.sid) == (expected.record, dict(expected.values))
        if base == "with base":
            assert after.values == expected.values

    def test_what_the_delta_does_not_name_stays(self, store: Store) -> None:
        client, user_id = Client("192.0.2.9", "first"), new_user()
        session = create(store, user_id=user_id, client=client, changed={"a": b"a", "b": b"b"})
        record = store.update(session.record.sid, session.record.verifier, Delta(changed={"a": b"A"})).record
        assert stored(store, record.sid).values == {"a": b"A", "b": b"b"}
        assert (record.user_id, record.client, record.lifetime_ms) == (user_id, client, HOUR_MS)
        assert record.signed_in_ms == session.record.signed_in_ms
        assert (record.created_ms, record.verifier) == (session.record.created_ms, session.record.verifier)

    def test_a_touch_moves_last_seen_and_expiry_and_nothing_else(self, store: Store) -> None:
        session = create(store, user_id=new_user(), changed={"a": b"a"})
        touched = touch_later(store, session)
        moved = touched.record.last_seen_ms - session.record.last_seen_ms
        assert moved > 0
        assert touched.record.expires_ms == session.record.expires_ms + moved
        kept = session.record._replace(version=0, last_seen_ms=0, expires_ms=0)
        assert touched.record._replace(version=0, last_seen_ms=0, expires_ms=0) == kept
        assert snapshot(store, session.record.sid) == (touched.record, {"a": b"a"})

    def test_without_extension_the_expiry_stays_where_it_was(self, store: Store) -> None:
        session = create(store)
        touch_later(store, create(store), session.record.last_seen_ms)
        after = store.update(session.record.sid, session.record.verifier, Delta(extend=False, changed={"a": b"a"}))
        assert after.record.last_seen_ms > session.record.last_seen_ms
        assert stored(store, session.record.sid).record.expires_ms == session.record.expires_ms

    def test_no_activity_moves_the_deadline(self, store: Store) -> None:
        deadline_ms = create(store).now_ms + 60_000
        session = create(store, deadline_ms=deadline_ms)
        record = touch_later(store, session).record
        assert (record.deadline_ms, record.expires_ms) == (deadline_ms, deadline_ms)

    def test_signing_in_sets_the_user_and_the_time(self, store: Store) -> None:
        session, user_id = touch_later(store, create(store)), new_user()
        after = store.update(session.record.sid, session.record.verifier, Delta(user_id=user_id))
        assert after.record.user_id == user_id
        assert after.record.signed_in_ms == after.record.last_seen_ms
        assert after.record.created_ms < after.record.signed_in_ms
        assert stored(store, session.record.sid).record == after.record

    def test_signing_in_again_as_the_same_user_starts_the_time_anew(self, store: Store) -> None:
        user_id = new_user()
        session = touch_later(store, create(store, user_id=user_id))
        after = store.update(session.record.sid, session.record.verifier, Delta(user_id=user_id))
        assert after.record.signed_in_ms is not None
        assert session.record.signed_in_ms is not None
        assert after.record.signed_in_ms > session.record.signed_in_ms
        assert sids(store.records(user_id)) == [session.record.sid]
