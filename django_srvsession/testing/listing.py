"""The contract of ``records``: a user's sessions, and all."""

from __future__ import annotations

import uuid
from itertools import pairwise
from secrets import randbelow, token_hex

import pytest

from django_srvsession.records import EXPIRED, Delta, Ending
from django_srvsession.store import Store, created_and_sid
from django_srvsession.testing.sessions import create, make_due, new_user, new_verifier, sids, stored, touch_later

ODD_USERS = {
    "a number": lambda: str(randbelow(10**18)),
    "zero": lambda: f"0{randbelow(10**18)}",
    "negative": lambda: f"-{randbelow(10**18)}",
    "a UUID": lambda: str(uuid.uuid4()),
    "an e-mail": lambda: f"zoë.{token_hex(4)}@exämple.org",
    "braces and colons": lambda: f"{{{token_hex(4)}}}:u:*?[a]",
    "a path": lambda: f"../../{token_hex(4)}/./x",
    "quotes": lambda: f"""o'hara "{token_hex(4)}" \\ %s""",
    "200 characters": lambda: token_hex(100),
    "emoji": lambda: "\U0001f36a" * 20 + token_hex(4),
}


def several(store: Store, user_id: str | None, count: int) -> list[str]:
    """Create sessions, each seen later than the one before; return their sids, oldest first."""
    fields = {} if user_id is None else {"user_id": user_id}
    return [touch_later(store, create(store, **fields)).record.sid for _ in range(count)]


class RecordsContract:
    """``records``: who is here, newest activity first."""

    def test_the_most_recently_seen_come_first(self, store: Store) -> None:
        user_id = new_user()
        oldest_first = several(store, user_id, 4)
        assert sids(store.records(user_id)) == oldest_first[::-1]
        newest = stored(store, oldest_first[-1]).record
        touch_later(store, stored(store, oldest_first[1]), newest.last_seen_ms)
        assert sids(store.records(user_id)) == [oldest_first[i] for i in (1, 3, 2, 0)]

    def test_a_users_sessions_are_a_sequence(self, store: Store) -> None:
        user_id = new_user()
        made = several(store, user_id, 7)[::-1]
        listed = store.records(user_id)
        assert len(listed) == 7
        assert [listed[number].sid for number in range(7)] == made
        assert [listed[-number].sid for number in range(1, 8)] == made[::-1]
        for part in (slice(0, 3), slice(2, 5), slice(5, 50), slice(50, 60), slice(None), slice(-3, None), slice(3, 3)):
            assert sids(listed[part]) == made[part]
        assert [record.sid for record in listed] == [record.sid for record in listed] == made
        for number in (7, -8, 100):
            with pytest.raises(IndexError):
                listed[number]

    def test_of_nobodys_sessions_there_are_none(self, store: Store) -> None:
        listed = store.records(new_user())
        assert (len(listed), list(listed), list(listed[0:10]), bool(listed)) == (0, [], [], False)

    def test_records_are_the_stored_ones(self, store: Store) -> None:
        user_id = new_user()
        for sid in several(store, user_id, 2):
            store.update(
                sid, stored(store, sid).record.verifier, Delta(changed={"a": b"a"}, new_verifier=new_verifier())
            )
        assert [stored(store, record.sid).record for record in store.records(user_id)] == list(store.records(user_id))

    def test_all_sessions_hold_those_of_users_and_of_nobody_newest_first(self, store: Store) -> None:
        """``len()`` for all may be approximate (Redis counts its index), so only a lower bound is asked of it."""
        oldest_first = [*several(store, None, 2), *several(store, new_user(), 2), *several(store, None, 1)]
        listed = store.records()
        assert sids(listed[0:5]) == oldest_first[::-1]
        assert listed[0].sid == oldest_first[-1]
        assert sids(listed[1:3]) == oldest_first[2:4][::-1]
        assert len(listed) >= 5
        everyone = sids(list(store.records()))
        assert everyone[:5] == oldest_first[::-1]
        assert len(everyone) == len(set(everyone))

    def test_a_thousand_sessions_can_be_paged(self, store: Store) -> None:
        user_id = new_user()
        made = {create(store, user_id=user_id).record.sid for _ in range(1000)}
        listed = store.records(user_id)
        assert len(listed) == 1000
        pages = [sids(listed[start : start + 100]) for start in range(0, 1000, 100)]
        assert [len(page) for page in pages] == [100] * 10
        assert {sid for page in pages for sid in page} == made
        seen = [record.last_seen_ms for record in listed]
        # Of so many a store may put those of one second in any order, as long as it keeps to it.
        assert all(later <= earlier + 1000 for earlier, later in pairwise(seen))
        assert sids(listed[990:2000]) == sids(listed)[990:]
        everyone = store.records()
        pages = [sids(everyone[start : start + 100]) for start in range(0, 1000, 100)]
        assert [len(set(page)) for page in pages] == [100] * 10
        assert len({sid for page in pages for sid in page}) == 1000

    def test_ended_and_expired_sessions_are_not_listed(self, store: Store) -> None:
        user_id = new_user()
        live, ended, due, expired = several(store, user_id, 4)
        anonymous_due = create(store, lifetime_ms=0).record.sid
        store.end(ended, Ending("logout"))
        make_due(store, stored(store, due))
        make_due(store, stored(store, expired))
        store.end(expired, EXPIRED)
        assert sids(store.records(user_id)) == sids(store.records(user_id)[0:10]) == [live]
        assert len(store.records(user_id)) == 1
        everyone = sids(list(store.records()))
        assert live in everyone
        assert not {ended, due, expired, anonymous_due} & set(everyone)

    def test_listing_does_not_end_what_is_due(self, store: Store) -> None:
        user_id = new_user()
        due = create(store, user_id=user_id, lifetime_ms=0).record
        assert list(store.records(user_id)) == []
        assert due.sid not in sids(list(store.records()))
        assert store.end(due.sid, EXPIRED) == due

    def test_signing_in_lists_an_anonymous_session(self, store: Store) -> None:
        user_id = new_user()
        by_update, by_rotation = create(store).record, create(store).record
        store.update(by_update.sid, by_update.verifier, Delta(user_id=user_id))
        assert sids(store.records(user_id)) == [by_update.sid]
        store.update(by_rotation.sid, by_rotation.verifier, Delta(user_id=user_id, new_verifier=new_verifier()))
        assert set(sids(store.records(user_id))) == {by_update.sid, by_rotation.sid}

    def test_a_rotated_session_is_listed_once(self, store: Store) -> None:
        user_id = new_user()
        record = create(store, user_id=user_id).record
        store.update(record.sid, record.verifier, Delta(user_id=user_id, new_verifier=new_verifier()))
        assert sids(store.records(user_id)) == [record.sid]

    def test_what_was_listed_before_can_be_read_after_a_session_ended(self, store: Store) -> None:
        user_id = new_user()
        several(store, user_id, 3)
        for record in store.records(user_id):
            assert store.end(record.sid, Ending("revoked")) is not None
        assert list(store.records(user_id)) == []

    @pytest.mark.parametrize("kind", ODD_USERS)
    def test_a_user_id_may_be_any_text(self, store: Store, kind: str) -> None:
        user_id = ODD_USERS[kind]()
        created = create(store, user_id=user_id).record
        bound = create(store).record
        store.update(bound.sid, bound.verifier, Delta(user_id=user_id))
        assert {record.user_id for record in store.records(user_id)} == {user_id}
        assert set(sids(store.records(user_id))) == {created.sid, bound.sid}
        assert list(store.admit(user_id, bound.sid, 1, "end_oldest")) == [created.sid]
        assert store.end(created.sid, Ending("limit")) == created
        assert sids(store.records(user_id)) == [bound.sid]

    def test_a_users_sessions_can_be_had_from_behind_one_on_latest_created_first(self, store: Store) -> None:
        user_id = new_user()
        several(store, new_user(), 2)
        made = [create(store, user_id=user_id).record for _ in range(7)]
        touch_later(store, stored(store, made[2].sid))
        ordered = [record.sid for record in sorted(made, key=created_and_sid, reverse=True)]
        found, after = list[str](), None
        while portion := store.records_from(user_id, after, 3):
            found += sids(portion)
            after = created_and_sid(portion[-1])
        assert found == ordered

    def test_user_ids_that_look_alike_are_different_users(self, store: Store) -> None:
        token = token_hex(6)
        alike = [f"a{token}", f"A{token}", f"á{token}", f"a{token} ", f" a{token}", f"a{token}:", f"0{token}"]
        made = {user_id: create(store, user_id=user_id).record.sid for user_id in alike}
        assert {user_id: sids(store.records(user_id)) for user_id in alike} == {u: [sid] for u, sid in made.items()}
