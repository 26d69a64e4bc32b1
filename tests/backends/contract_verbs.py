"""The contract, first part: the verbs on one session, one caller at a time."""

from __future__ import annotations

import os

import pytest

from django_srvsession import records
from django_srvsession.records import (
    EXPIRED,
    ROTATION_GRACE_MS,
    TOUCH,
    Client,
    Delta,
    Ending,
    Loaded,
    Tombstone,
    rotated,
    updated,
)
from django_srvsession.store import ConflictError, CreateError, Store, UpdateError
from tests.backends.sessions import (
    HOUR_MS,
    create,
    make_due,
    new_delta,
    new_sid,
    new_user,
    new_verifier,
    sids,
    snapshot,
    stored,
    touch_later,
)

SAYS_SOMETHING = r"\w"

HOSTILE_NAMES = [
    "",
    " ",
    "v:",
    "v:v:a",
    "verifier",
    "user_id",
    "expires_ms",
    "__proto__",
    "a\0b",
    "\0",
    "\n",
    "quote'quote\"back\\slash`",
    "'; DROP TABLE srvsession_session; --",
    "%s %(a)s {0} $1 ?",
    "naïve 세션 \U0001f36a",
    "é",
    "e\u0301",
    "KEY",
    "key",
    "key ",
    "n" * 300,
    "lone surrogate \ud800",
]
BINARY_VALUES = {
    "empty": b"",
    "nul": b"\0",
    "every byte": bytes(range(256)),
    "not utf-8": b"\xff\xfe\x80",
    "crlf": b"\r\n\r\n",
    "300 kB": os.urandom(300_000),
}


def forwarded(session: Loaded, delta: Delta, after: Loaded) -> Loaded:
    """Return what the rule for merging makes of ``session``, at the instant that the store wrote."""
    return updated(session, delta, after.record.last_seen_ms)


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
    """``update``: apply a delta to a live session, and to nothing else."""

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

    @pytest.mark.parametrize("base", ["with base", "without base"])
    def test_a_session_never_passes_to_another_user(self, store: Store, base: str) -> None:
        session, other = create(store, user_id=new_user(), changed={"a": b"a"}), new_user()
        delta = Delta(user_id=other, changed={"a": b"A"})
        self._assert_refused(store, session, session.record.verifier, delta, session if base == "with base" else None)
        assert list(store.records(other)) == []

    def test_a_stale_base_from_before_the_sign_in_does_not_let_another_user_in(self, store: Store) -> None:
        anonymous, other = create(store), new_user()
        store.update(anonymous.record.sid, anonymous.record.verifier, Delta(user_id=new_user()))
        self._assert_refused(store, anonymous, anonymous.record.verifier, Delta(user_id=other), anonymous)
        assert list(store.records(other)) == []

    @pytest.mark.parametrize("base", ["with base", "without base"])
    def test_a_wrong_verifier_changes_nothing(self, store: Store, base: str) -> None:
        session = create(store, changed={"a": b"a"})
        delta = Delta(changed={"a": b"A"}, client=Client("192.0.2.1", "thief"))
        self._assert_refused(store, session, new_verifier(), delta, session if base == "with base" else None)
        self._assert_refused(store, session, "", delta)
        self._assert_refused(store, session, new_verifier(), TOUCH)

    def _assert_refused(
        self, store: Store, session: Loaded, verifier: str, delta: Delta, base: Loaded | None = None
    ) -> None:
        before = snapshot(store, session.record.sid)
        with pytest.raises(UpdateError, match=SAYS_SOMETHING):
            store.update(session.record.sid, verifier, delta, base)
        assert snapshot(store, session.record.sid) == before

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
        self._assert_refused(store, due, due.record.verifier, delta, live if base == "with base" else None)

    @pytest.mark.parametrize("base", ["with base", "without base"])
    @pytest.mark.parametrize("delta", [TOUCH, Delta(changed={"a": b"A"})], ids=["touch", "change"])
    @pytest.mark.parametrize("lifetime_ms", [0, 1])
    def test_an_update_never_revives_a_session_whose_lifetime_is_over(
        self, store: Store, delta: Delta, lifetime_ms: int, base: str
    ) -> None:
        short = create(store, lifetime_ms=lifetime_ms)
        while (due := stored(store, short.record.sid)).record.is_live(due.now_ms):
            pass
        self._assert_refused(store, due, due.record.verifier, delta, short if base == "with base" else None)

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

    def test_names_of_values_may_be_any_text(self, store: Store) -> None:
        values = {name: b"%d" % number for number, name in enumerate(HOSTILE_NAMES)}
        created = create(store, user_id=new_user(), changed=values)
        record = created.record
        assert stored(store, record.sid).values == values
        assert stored(store, record.sid).record == record
        doubled = {name: value * 2 for name, value in values.items()}
        store.update(record.sid, record.verifier, Delta(changed=doubled, expected=values), created)
        assert stored(store, record.sid).values == doubled
        store.update(record.sid, record.verifier, Delta(resealed={n: (doubled[n], values[n]) for n in values}))
        assert stored(store, record.sid).values == values
        store.update(record.sid, record.verifier, Delta(removed=frozenset(HOSTILE_NAMES), changed={"left": b"1"}))
        assert stored(store, record.sid).values == {"left": b"1"}
        assert stored(store, record.sid).record.user_id == record.user_id

    def test_values_are_bytes_of_any_kind_and_size(self, store: Store) -> None:
        session = create(store, changed=BINARY_VALUES)
        sid, verifier = session.record.sid, session.record.verifier
        assert stored(store, sid).values == BINARY_VALUES
        delta = Delta(expected=BINARY_VALUES, changed={"empty": BINARY_VALUES["300 kB"], "nul": b""})
        store.update(sid, verifier, delta)
        assert stored(store, sid).values == {**BINARY_VALUES, "empty": BINARY_VALUES["300 kB"], "nul": b""}

    def test_ten_thousand_values_fit_in_one_update(self, store: Store) -> None:
        session = create(store, changed={"first": b"1"})
        sid, verifier = session.record.sid, session.record.verifier
        many = {f"name-{number}": b"%d" % number for number in range(10_000)}
        store.update(sid, verifier, Delta(changed=many))
        assert stored(store, sid).values == {"first": b"1", **many}
        resealed = {name: (value, value + b"!") for name, value in many.items()}
        store.update(sid, verifier, Delta(expected=many, resealed=resealed))
        assert stored(store, sid).values == {"first": b"1", **{name: new for name, (_, new) in resealed.items()}}
        store.update(sid, verifier, Delta(removed=frozenset(many)))
        assert stored(store, sid).values == {"first": b"1"}


class RotateContract:
    """``rotate``: a delta and a new verifier, in one step."""

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


class EndContract:
    """``end``: for good, to one caller."""

    def test_ending_returns_the_record_as_it_was_once(self, store: Store) -> None:
        record = touch_later(store, create(store, user_id=new_user(), client=Client("192.0.2.1", "agent"))).record
        assert store.end(record.sid, Ending("logout")) == record
        assert store.end(record.sid, Ending("revoked", by="admin")) is None
        assert store.end(record.sid, Ending("logout", verifier=record.verifier)) is None

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

    def test_more_than_a_statement_names_end_in_one_step(self, store: Store) -> None:
        user_id = new_user()
        made = {create(store, user_id=user_id).record.sid for _ in range(120)}
        assert {
            record.sid for record in store.end_many([*made, *(new_sid() for _ in range(900))], Ending("revoked"))
        } == made
        assert len(store.records(user_id)) == 0


class ExpireContract:
    """``expire``: when the time is up, and only then."""

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
