"""The contract of ``walk``, ``portion`` and ``activity``."""

from __future__ import annotations

from secrets import token_hex

import pytest

from django_srvsession.records import Client, Delta, Ending, SessionRecord
from django_srvsession.store import Store, listings
from django_srvsession.store.listings import EVERYONE, Filter
from django_srvsession.testing.listing import several
from django_srvsession.testing.sessions import create, make_due, new_user, sids, stored, touch_later


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
