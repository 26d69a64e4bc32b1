"""The contract of every verb with many callers at one moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from django_srvsession.records import EXPIRED, TOUCH, Delta, Ending, Loaded, SessionRecord, Tombstone
from django_srvsession.store import (
    ConflictError,
    CreateError,
    LimitReachedError,
    Store,
    StoreUnavailableError,
    UpdateError,
)
from django_srvsession.testing.limit import login
from django_srvsession.testing.sessions import (
    create,
    in_threads,
    new_delta,
    new_sid,
    new_user,
    new_verifier,
    sids,
    stored,
    unexpected,
)


class ThreadsContract:
    """Every verb, against itself and the others."""

    def thread_done(self) -> None:
        """Release what the thread that ends here has opened (a database connection, say)."""

    def _together(self, functions: Sequence[Callable[[], Any]], *allowed: type[BaseException]) -> list[Any]:
        outcomes = in_threads(functions, self.thread_done)
        assert unexpected(outcomes, *allowed) == []
        return outcomes

    def test_of_many_creators_of_one_sid_one_wins(self, store: Store) -> None:
        sid, verifiers = new_sid(), [new_verifier() for _ in range(16)]
        outcomes = self._together([partial(store.create, sid, v, new_delta()) for v in verifiers], CreateError)
        winners = [o.record.verifier for o in outcomes if isinstance(o, Loaded)]
        assert winners == [stored(store, sid).record.verifier]

    @pytest.mark.parametrize("base", ["with base", "without base"])
    def test_of_32_threads_that_change_different_keys_none_loses(self, store: Store, base: str) -> None:
        session = create(store, changed={"old": b"old"})
        sid, verifier = session.record.sid, session.record.verifier
        given = session if base == "with base" else None
        self._together([partial(store.update, sid, verifier, Delta(changed={f"k{n}": b"x"}), given) for n in range(32)])
        assert stored(store, sid).values == {"old": b"old", **{f"k{n}": b"x" for n in range(32)}}

    def test_of_many_compare_and_sets_one_wins(self, store: Store) -> None:
        session = create(store, changed={"n": b"0"})
        sid, verifier = session.record.sid, session.record.verifier
        deltas = [Delta(expected={"n": b"0"}, changed={"n": b"%d" % n}) for n in range(1, 9)]
        outcomes = self._together(
            [partial(store.update, sid, verifier, delta, session) for delta in deltas], ConflictError
        )
        winners = [number for number, o in enumerate(outcomes, 1) if isinstance(o, Loaded)]
        assert len(winners) == 1
        assert stored(store, sid).values == {"n": b"%d" % winners[0]}
        losers = [o.current for o in outcomes if isinstance(o, ConflictError)]
        assert losers == [{"n": b"%d" % winners[0]}] * 7

    @pytest.mark.parametrize("count", [2, 16])
    @pytest.mark.parametrize("base", ["with base", "without base"])
    def test_of_many_rotations_one_wins(self, store: Store, count: int, base: str) -> None:
        session = create(store, changed={"a": b"a"})
        sid, old = session.record.sid, session.record.verifier
        given = session if base == "with base" else None
        new = [new_verifier() for _ in range(count)]
        deltas = [Delta(changed={f"k{n}": b"x"}, new_verifier=verifier) for n, verifier in enumerate(new)]
        outcomes = self._together([partial(store.update, sid, old, delta, given) for delta in deltas], UpdateError)
        winners = [number for number, o in enumerate(outcomes) if isinstance(o, Loaded)]
        assert len(winners) == 1
        assert stored(store, sid).record.verifier == new[winners[0]]
        assert stored(store, sid).values == {"a": b"a", f"k{winners[0]}": b"x"}

    def test_the_record_of_an_ended_session_goes_to_one_of_many(self, store: Store) -> None:
        for _ in range(3):
            session = create(store, user_id=new_user())
            sid = session.record.sid
            outcomes = self._together([partial(store.end, sid, Ending("revoked", by=f"caller {n}")) for n in range(16)])
            assert [o for o in outcomes if o is not None] == [session.record]
            tombstone = store.load(sid)
            assert isinstance(tombstone, Tombstone)
            assert outcomes[int(str(tombstone.by).removeprefix("caller "))] is not None

    def test_of_many_who_end_the_same_sessions_each_gets_different_records(self, store: Store) -> None:
        user_id = new_user()
        made = [create(store, user_id=user_id).record for _ in range(20)]
        chosen = [record.sid for record in made]
        calls = [partial(store.end_many, chosen[n:] + chosen[:n], Ending("revoked")) for n in range(0, 20, 4)]
        outcomes = self._together(calls, StoreUnavailableError)  # A database may give up after several deadlocks.
        told = [record for outcome in outcomes if isinstance(outcome, list) for record in outcome]
        assert len({record.sid for record in told}) == len(told)
        assert store.end_many(chosen, Ending("revoked")) == []
        assert len(store.records(user_id)) == 0

    def test_the_record_of_an_expired_session_goes_to_one_of_many(self, store: Store) -> None:
        for _ in range(3):
            record = create(store, user_id=new_user(), lifetime_ms=0).record
            outcomes = self._together([partial(store.end, record.sid, EXPIRED)] * 8)
            assert [o for o in outcomes if o is not None] == [record]

    def test_an_end_among_updates_is_final(self, store: Store) -> None:
        for _ in range(5):
            user_id = new_user()
            session = create(store, user_id=user_id, changed={"a": b"a"})
            sid, verifier = session.record.sid, session.record.verifier
            writers = [partial(store.update, sid, verifier, Delta(changed={f"k{n}": b"x"}), session) for n in range(4)]
            rotation = partial(store.update, sid, verifier, Delta(new_verifier=new_verifier(), final=False), session)
            outcomes = self._together(
                [
                    *writers,
                    partial(store.update, sid, verifier, TOUCH),
                    rotation,
                    partial(store.end, sid, Ending("logout")),
                ],
                UpdateError,
            )
            assert isinstance(outcomes[-1], SessionRecord)
            assert isinstance(store.load(sid), Tombstone)
            assert list(store.records(user_id)) == []

    def test_of_parallel_logins_as_many_stay_as_the_limit_allows(self, store: Store) -> None:
        user_id = new_user()
        self._together([partial(login, store, user_id, 3)] * 20)
        assert len(list(store.records(user_id))) == 3
        assert len(store.records(user_id)) == 3

    def test_of_parallel_logins_as_many_are_admitted_as_the_limit_allows(self, store: Store) -> None:
        user_id = new_user()
        outcomes = self._together([partial(login, store, user_id, 3, "refuse")] * 12, LimitReachedError)
        assert len([o for o in outcomes if isinstance(o, SessionRecord)]) == 3

    def test_parallel_logins_are_all_listed(self, store: Store) -> None:
        user_id = new_user()

        def sign_in() -> bool:
            record = create(store, user_id=user_id).record
            return record.sid in sids(store.records(user_id))

        assert self._together([sign_in] * 16) == [True] * 16
        assert len(store.records(user_id)) == 16

    def test_sessions_that_are_used_while_they_are_listed_are_listed(self, store: Store) -> None:
        """Or "sign out everywhere" would pass over the one in which somebody is just then."""
        user_id = new_user()
        made = [create(store, user_id=user_id).record for _ in range(12)]

        def use(records: Sequence[SessionRecord]) -> None:
            for _ in range(5):
                for record in records:
                    store.update(record.sid, record.verifier, TOUCH)

        def look() -> list[int]:
            return [len(set(sids(list(store.records(user_id))))) for _ in range(10)]

        *_, first, second = self._together([partial(use, made[:6]), partial(use, made[6:]), look, look])
        assert first == second == [12] * 10

    def test_parallel_sign_ins_of_two_users_leave_the_session_to_one(self, store: Store) -> None:
        for _ in range(5):
            session, users = create(store), [new_user(), new_user()]
            sid, verifier = session.record.sid, session.record.verifier
            outcomes = self._together(
                [partial(store.update, sid, verifier, Delta(user_id=user_id), session) for user_id in users],
                UpdateError,
            )
            winners = [user for user, o in zip(users, outcomes, strict=True) if isinstance(o, Loaded)]
            assert winners == [stored(store, sid).record.user_id]
            assert [sids(store.records(user)) for user in users if user not in winners] == [[]]

    def test_two_clearers_hand_over_each_session_once(self, store: Store) -> None:
        due = {create(store, lifetime_ms=0).record.sid for _ in range(40)}
        ended: list[SessionRecord] = []
        clear = partial(store.clear_expired, batch_size=5, on_ended=ended.append)
        counts = self._together([clear, clear])
        assert sorted(sid for sid in sids(ended) if sid in due) == sorted(due)
        assert sum(counts) == len(ended)

    def test_clearing_beside_users_ends_no_live_session(self, store: Store) -> None:
        live = [create(store) for _ in range(8)]
        for _ in range(20):
            create(store, lifetime_ms=0)
        touches = [partial(store.update, s.record.sid, s.record.verifier, Delta(changed={"a": b"a"}), s) for s in live]
        self._together([*touches, store.clear_expired])
        assert [stored(store, session.record.sid).values for session in live] == [{"a": b"a"}] * 8
