"""The contract of ``update``: what others have changed meanwhile."""

from __future__ import annotations

import pytest

from django_srvsession.records import TOUCH, Client, Delta
from django_srvsession.store import ConflictError, Store
from django_srvsession.testing.sessions import HOUR_MS, create, new_user, snapshot, stored


class ConflictContract:
    """``update``: expected bytes, and a base that is out of date."""

    @pytest.mark.parametrize("base", ["with base", "without base"])
    def test_a_conflict_names_what_stands_now_and_writes_nothing(self, store: Store, base: str) -> None:
        session = create(store, user_id=new_user(), changed={"a": b"a", "b": b"b"})
        before = snapshot(store, session.record.sid)
        delta = Delta(
            expected={"a": b"other", "b": b"b", "b2": b"x", "a2": None},
            changed={"a": b"A", "c": b"C"},
            removed=frozenset({"b"}),
            client=Client("192.0.2.1", "new"),
            lifetime_ms=5,
        )
        with pytest.raises(ConflictError) as caught:
            store.update(session.record.sid, session.record.verifier, delta, session if base == "with base" else None)
        assert dict(caught.value.current) == {"a": b"a", "b2": None}
        assert snapshot(store, session.record.sid) == before

    def test_a_key_expected_to_be_absent_conflicts_when_it_is_there_also_when_empty(self, store: Store) -> None:
        session = create(store, changed={"a": b""})
        with pytest.raises(ConflictError) as caught:
            store.update(session.record.sid, session.record.verifier, Delta(expected={"a": None}, changed={"a": b"A"}))
        assert dict(caught.value.current) == {"a": b""}
        assert stored(store, session.record.sid).values == {"a": b""}

    def test_expected_bytes_are_compared_with_what_stands_not_with_the_base(self, store: Store) -> None:
        base = create(store, changed={"a": b"a"})
        sid, verifier = base.record.sid, base.record.verifier
        store.update(sid, verifier, Delta(changed={"a": b"theirs"}))
        with pytest.raises(ConflictError) as caught:
            store.update(sid, verifier, Delta(expected={"a": b"a"}, changed={"a": b"mine"}), base)
        assert dict(caught.value.current) == {"a": b"theirs"}
        after = store.update(sid, verifier, Delta(expected={"a": b"theirs"}, changed={"a": b"mine"}), base)
        assert stored(store, sid).values == {"a": b"mine"}
        assert stored(store, sid).record == after.record

    def test_a_stale_base_merges_with_what_another_wrote(self, store: Store) -> None:
        base = create(store, changed={"mine": b"0", "theirs": b"0", "dropped": b"0", "resealed": b"0"})
        sid, verifier = base.record.sid, base.record.verifier
        theirs = Delta(
            changed={"theirs": b"1", "new": b"1", "resealed": b"1"},
            removed=frozenset({"dropped"}),
            client=Client("192.0.2.1", "theirs"),
            lifetime_ms=2 * HOUR_MS,
            user_id=new_user(),
        )
        written = store.update(sid, verifier, theirs).record
        mine = Delta(changed={"mine": b"1"}, resealed={"resealed": (b"0", b"x")})
        record = store.update(sid, verifier, mine, base).record
        assert stored(store, sid).values == {"mine": b"1", "theirs": b"1", "new": b"1", "resealed": b"1"}
        assert stored(store, sid).record == record
        assert (record.user_id, record.client, record.lifetime_ms) == (written.user_id, written.client, 2 * HOUR_MS)

    def test_a_stale_base_does_not_bring_back_what_another_cleared(self, store: Store) -> None:
        base = create(store, changed={"a": b"a", "b": b"b"})
        sid, verifier = base.record.sid, base.record.verifier
        store.update(sid, verifier, Delta(cleared=True))
        store.update(sid, verifier, Delta(changed={"c": b"c"}), base)
        assert stored(store, sid).values == {"c": b"c"}

    def test_a_stale_touch_undoes_nothing(self, store: Store) -> None:
        base = create(store, changed={"a": b"a"})
        sid, verifier = base.record.sid, base.record.verifier
        store.update(sid, verifier, Delta(changed={"a": b"A"}, lifetime_ms=1000))
        record = store.update(sid, verifier, TOUCH, base).record
        assert record.expires_ms == record.last_seen_ms + 1000
        assert stored(store, sid).values == {"a": b"A"}

    def test_results_can_be_the_base_of_the_next_update(self, store: Store) -> None:
        session = create(store, changed={"n": b"0"})
        sid, verifier = session.record.sid, session.record.verifier
        for number in range(1, 6):
            delta = Delta(changed={"n": b"%d" % number, f"k{number}": b"x"}, expected={"n": b"%d" % (number - 1)})
            session = store.update(sid, verifier, delta, session)
        assert session.values == stored(store, sid).values == {"n": b"5", **{f"k{n}": b"x" for n in range(1, 6)}}
