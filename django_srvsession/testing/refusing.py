"""The contract of ``update``: what it refuses."""

from __future__ import annotations

import pytest

from django_srvsession.records import TOUCH, Client, Delta, Ending, Loaded, Tombstone
from django_srvsession.store import Store, UpdateError
from django_srvsession.testing.sessions import (
    SAYS_SOMETHING,
    create,
    make_due,
    new_delta,
    new_sid,
    new_user,
    new_verifier,
    snapshot,
    stored,
)


def assert_refused(store: Store, session: Loaded, verifier: str, delta: Delta, base: Loaded | None = None) -> None:
    """Assert that an update is refused and changes nothing."""
    before = snapshot(store, session.record.sid)
    with pytest.raises(UpdateError, match=SAYS_SOMETHING):
        store.update(session.record.sid, verifier, delta, base)
    assert snapshot(store, session.record.sid) == before


class RefusalContract:
    """``update``: of a live session only, by who has its key, and for its own user."""

    @pytest.mark.parametrize("base", ["with base", "without base"])
    def test_a_session_never_passes_to_another_user(self, store: Store, base: str) -> None:
        session, other = create(store, user_id=new_user(), changed={"a": b"a"}), new_user()
        delta = Delta(user_id=other, changed={"a": b"A"})
        assert_refused(store, session, session.record.verifier, delta, session if base == "with base" else None)
        assert list(store.records(other)) == []

    def test_a_stale_base_from_before_the_sign_in_does_not_let_another_user_in(self, store: Store) -> None:
        anonymous, other = create(store), new_user()
        store.update(anonymous.record.sid, anonymous.record.verifier, Delta(user_id=new_user()))
        assert_refused(store, anonymous, anonymous.record.verifier, Delta(user_id=other), anonymous)
        assert list(store.records(other)) == []

    @pytest.mark.parametrize("base", ["with base", "without base"])
    def test_a_wrong_verifier_changes_nothing(self, store: Store, base: str) -> None:
        session = create(store, changed={"a": b"a"})
        delta = Delta(changed={"a": b"A"}, client=Client("192.0.2.1", "thief"))
        assert_refused(store, session, new_verifier(), delta, session if base == "with base" else None)
        assert_refused(store, session, "", delta)
        assert_refused(store, session, new_verifier(), TOUCH)

    def test_an_update_never_creates(self, store: Store) -> None:
        sid, verifier, user_id = new_sid(), new_verifier(), new_user()
        for delta in (TOUCH, new_delta(user_id=user_id, changed={"a": b"a"}), Delta(expected={"a": b"a"})):
            with pytest.raises(UpdateError, match=SAYS_SOMETHING):
                store.update(sid, verifier, delta)
        assert store.load(sid) is None
        assert list(store.records(user_id)) == []

    @pytest.mark.parametrize("base", ["with base", "without base"])
    @pytest.mark.parametrize(
        "delta",
        [
            TOUCH,
            new_delta(changed={"a": b"A"}),
            Delta(expected={"a": b"a"}, changed={"a": b"A"}),
            Delta(deadline_ms=None),
        ],
        ids=["touch", "change", "compare-and-set", "deadline"],
    )
    def test_an_update_never_revives_an_ended_session(self, store: Store, delta: Delta, base: str) -> None:
        user_id = new_user()
        session = create(store, user_id=user_id, changed={"a": b"a"})
        store.end(session.record.sid, Ending("logout"))
        with pytest.raises(UpdateError, match=SAYS_SOMETHING):
            store.update(session.record.sid, session.record.verifier, delta, session if base == "with base" else None)
        tombstone = store.load(session.record.sid)
        assert isinstance(tombstone, Tombstone)
        assert tombstone.reason == "logout"
        assert list(store.records(user_id)) == []

    @pytest.mark.parametrize("base", ["with base", "without base"])
    @pytest.mark.parametrize(
        "delta",
        [TOUCH, new_delta(changed={"a": b"A"}), new_delta(deadline_ms=None)],
        ids=["touch", "change", "deadline"],
    )
    def test_an_update_never_revives_an_expired_session(self, store: Store, delta: Delta, base: str) -> None:
        live = create(store, changed={"a": b"a"})
        due = make_due(store, live)
        assert_refused(store, due, due.record.verifier, delta, live if base == "with base" else None)

    @pytest.mark.parametrize("base", ["with base", "without base"])
    @pytest.mark.parametrize("delta", [TOUCH, Delta(changed={"a": b"A"})], ids=["touch", "change"])
    @pytest.mark.parametrize("lifetime_ms", [0, 1])
    def test_an_update_never_revives_a_session_whose_lifetime_is_over(
        self, store: Store, delta: Delta, lifetime_ms: int, base: str
    ) -> None:
        short = create(store, lifetime_ms=lifetime_ms)
        while (due := stored(store, short.record.sid)).record.is_live(due.now_ms):
            pass
        assert_refused(store, due, due.record.verifier, delta, short if base == "with base" else None)
