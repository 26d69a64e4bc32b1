"""The contract, second part: a user's sessions, all sessions, and those whose time is up."""

from __future__ import annotations

import uuid
from itertools import pairwise
from secrets import randbelow, token_hex

import pytest
from django.test import override_settings

from django_srvsession.records import EXPIRED, Client, Delta, Ending, SessionRecord, Tombstone
from django_srvsession.store import LimitReachedError, Store, created_and_sid, listings
from django_srvsession.store.listings import EVERYONE, Filter
from tests.backends.sessions import create, make_due, new_user, new_verifier, sids, snapshot, stored, touch_later

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


class PortionContract:
    """``portion``, ``walk`` and ``activity``: lists for administrators, however many sessions there are."""

    def test_portions_hold_every_session_once_newest_first(self, store: Store) -> None:
        oldest_first = [*several(store, None, 3), *several(store, new_user(), 3), *several(store, None, 2)]
        everyone = everyone_in_portions(store, 3)
        assert sids(everyone)[:8] == oldest_first[::-1]
        assert len(set(sids(everyone))) == len(everyone)
        assert [stored(store, sid).record for sid in oldest_first[::-1]] == everyone[:8]

    def test_sessions_that_came_at_once_can_be_had_in_portions(self, store: Store) -> None:
        made = {create(store).record.sid for _ in range(300)}
        everyone = sids(everyone_in_portions(store, 37))
        assert made <= set(everyone)
        assert len(set(everyone)) == len(everyone)

    def test_the_last_portion_says_that_it_is_the_last(self, store: Store) -> None:
        several(store, None, 2)
        count = len(everyone_in_portions(store, 1000))
        assert store.portion(count=count).further is None
        portion = store.portion(count=count - 1)
        assert portion.further is not None
        assert len(store.portion(count=5, after=portion.further).records) == 1

    def test_signed_in_and_anonymous_sessions_can_be_had_apart(self, store: Store) -> None:
        mine, nobodys = several(store, new_user(), 3), several(store, None, 3)
        assert sids(everyone_in_portions(store, 2, Filter(signed_in=True)))[:3] == mine[::-1]
        assert sids(everyone_in_portions(store, 2, Filter(signed_in=False)))[:3] == nobodys[::-1]

    def test_who_signs_in_changes_lists(self, store: Store) -> None:
        record = create(store).record
        store.update(record.sid, record.verifier, Delta(user_id=new_user()))
        assert sids(store.portion(Filter(signed_in=True), 1).records) == [record.sid]
        assert record.sid not in sids(everyone_in_portions(store, 50, Filter(signed_in=False)))

    def test_only_those_seen_since_a_moment_can_be_had(self, store: Store) -> None:
        older, newer = several(store, None, 2)
        seen_ms = stored(store, newer).record.last_seen_ms
        assert sids(everyone_in_portions(store, 2, Filter(seen_from_ms=seen_ms))) == [newer]
        both = everyone_in_portions(store, 2, Filter(seen_from_ms=stored(store, older).record.last_seen_ms))
        assert sids(both)[:2] == [newer, older]
        assert store.portion(Filter(seen_from_ms=seen_ms + 3_600_000)) == ([], None, 0)

    def test_what_no_index_knows_is_looked_for_among_so_many_and_further_on(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(listings, "LOOK_AT", 4)
        wanted, *_ = several(store, None, 6)
        mine = Filter(matches=lambda record: record.sid == wanted)
        portion = store.portion(mine, 2)
        assert (portion.records, portion.looked_at) == ([], 4)
        assert portion.further is not None
        assert sids(store.portion(mine, 2, portion.further).records) == [wanted]

    def test_ended_and_expired_sessions_are_in_no_portion(self, store: Store) -> None:
        live, ended, due = several(store, new_user(), 3)
        store.end(ended, Ending("logout"))
        make_due(store, stored(store, due))
        for signed_in in (None, True):
            found = sids(everyone_in_portions(store, 2, Filter(signed_in=signed_in)))
            assert found[0] == live
            assert not {ended, due} & set(found)

    @pytest.mark.parametrize(
        "place", ["x", "-", "1", "1-", "1-" + "g" * 18, "1-" + "A" * 18, "-1-" + "0" * 18, "9" * 30 + "-" + "0" * 18]
    )
    @pytest.mark.parametrize("signed_in", [None, True])
    def test_what_is_no_place_is_refused(self, store: Store, place: str, signed_in: bool | None) -> None:
        with pytest.raises(ValueError, match="no place"):
            store.portion(Filter(signed_in=signed_in), 2, place)

    def test_sessions_of_one_address_can_be_had(self, store: Store) -> None:
        ip = f"2001:db8::{token_hex(2)}:1"
        here = Client(ip, "agent")
        mine = [create(store, client=here).record.sid, create(store, client=here, user_id=new_user()).record.sid]
        create(store, client=Client(f"{ip}1", "agent"))
        assert set(sids(everyone_in_portions(store, 1, Filter(ip=ip)))) == set(mine)
        assert sids(everyone_in_portions(store, 5, Filter(ip=ip, signed_in=True))) == mine[1:]

    def test_sessions_on_some_families_of_devices_can_be_had(self, store: Store) -> None:
        """Marked by an address, because tests share a server."""
        agents = ("iPhone", "Android Mobile", "iPad", "Windows NT 10.0", "iPhone; later")
        marks = [Client(f"2001:db8::{token_hex(2)}:{number}", agent) for number, agent in enumerate(agents)]
        phone, android, _, _, again = (touch_later(store, create(store, client=mark)).record.sid for mark in marks)
        wanted = Filter(devices=frozenset({"iphone", "android-phone"}), matches=lambda record: record.client in marks)
        for count in (1, 2, 7):
            assert sids(everyone_in_portions(store, count, wanted)) == [again, android, phone]
        changed = stored(store, phone).record
        store.update(phone, changed.verifier, Delta(client=Client(marks[0].ip, "iPad")))
        assert sids(everyone_in_portions(store, 2, wanted)) == [again, android]
        moved = Client(marks[0].ip, "iPad")
        on_ipad = Filter(devices=frozenset({"ipad"}), matches=lambda record: record.client == moved)
        assert sids(everyone_in_portions(store, 2, on_ipad)) == [phone]
        combined = Filter(devices=frozenset({"iphone"}), ip=marks[4].ip)
        assert sids(everyone_in_portions(store, 2, combined)) == [again]
        assert everyone_in_portions(store, 2, combined._replace(signed_in=True)) == []

    def test_activity_counts_live_sessions_and_those_of_each_minute(self, store: Store) -> None:
        before = store.activity()
        several(store, None, 2)
        several(store, new_user(), 2)
        after = store.activity()
        assert len(after.minutes) == 60
        if "at least" not in (before.precision, after.precision):
            assert after.live == before.live + 4
        assert sum(after.minutes[-2:]) >= 4
        assert after.precision in ("exact", "about", "at least")


def everyone_in_portions(store: Store, count: int, wanted: Filter = EVERYONE) -> list[SessionRecord]:
    """Go through all portions, and return what they hold."""
    found, after = [], ""
    while True:
        portion = store.portion(wanted, count, after)
        assert len(portion.records) <= count
        found += portion.records
        if portion.further is None:
            return found
        assert portion.further != after, "a portion goes nowhere"
        after = portion.further


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
            store.clear_expired()
            assert store.load(record.sid) is None
        assert list(store.records(user_id)) == []

    def test_fresh_tombstones_are_kept(self, store: Store) -> None:
        record = create(store).record
        store.end(record.sid, Ending("revoked", by="admin"))
        store.clear_expired()
        tombstone = store.load(record.sid)
        assert isinstance(tombstone, Tombstone)
        assert (tombstone.reason, tombstone.by) == ("revoked", "admin")
