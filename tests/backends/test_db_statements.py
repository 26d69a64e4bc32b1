"""The database store: which statements it sends, how it lists, clears and limits."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext, override_settings

from django_srvsession.backends.db import DatabaseStore
from django_srvsession.backends.db.table import Table
from django_srvsession.models import Session
from django_srvsession.records import EXPIRED, TOUCH, Client, Delta, Ending, SessionRecord, Tombstone
from django_srvsession.store import CorruptSessionError, LimitReachedError, StoreUnavailableError
from django_srvsession.testing.sessions import (
    create,
    make_due,
    new_delta,
    new_sid,
    new_user,
    new_verifier,
    sids,
    stored,
)


@pytest.fixture
def store(database_alias: str) -> DatabaseStore:
    """A store on each database in turn."""
    return DatabaseStore(database_alias)


def sent(alias: str) -> CaptureQueriesContext:
    """Record the statements that this thread sends."""
    return CaptureQueriesContext(connections[alias])


def verbs(queries: CaptureQueriesContext) -> list[str]:
    """What each of the recorded statements does."""
    return [query["sql"].split()[0] for query in queries.captured_queries]


def test_each_verb_of_the_hot_path_is_one_statement(store: DatabaseStore) -> None:
    sid, verifier, new = new_sid(), new_verifier(), new_verifier()
    create(store)  # From now on, for a minute, the store knows what time it is there.
    with sent(store.using) as creating:
        store.create(sid, verifier, new_delta(user_id=new_user(), changed={"a": b"a"}))
    with sent(store.using) as loading:
        base = stored(store, sid)
    with sent(store.using) as updating:
        base = store.update(sid, verifier, Delta(changed={"a": b"A"}, expected={"a": b"a"}), base)
    with sent(store.using) as rotating:
        store.update(sid, verifier, Delta(new_verifier=new), base)
    with sent(store.using) as ending:
        assert store.end(sid, Ending("logout", verifier=new)) is not None
    assert [len(queries) for queries in (creating, loading, updating, rotating)] == [1, 1, 1, 1]
    # No UPDATE returns columns on MariaDB: the record is read before.
    assert len(ending) == (2 if connections[store.using].vendor == "mysql" else 1)


def test_the_end_of_a_session_that_the_caller_knows_is_one_statement(store: DatabaseStore) -> None:
    base = create(store, changed={"a": b"a"})
    ending = Ending("replaced", verifier=base.record.verifier, expected={"a": b"a"}, base=base)
    with sent(store.using) as queries:
        assert store.end(base.record.sid, ending) == base.record
        assert len(queries) == 1
    other = create(store, changed={"a": b"a"})
    now = store.update(other.record.sid, other.record.verifier, Delta(changed={"a": b"b"}), other)
    stale = Ending("replaced", expected={"a": b"a"}, base=other)
    assert store.end(other.record.sid, stale) is None
    assert store.end(other.record.sid, stale._replace(expected={"a": b"b"})) == now.record


def test_an_update_without_a_base_reads_once(store: DatabaseStore) -> None:
    record = create(store).record
    with sent(store.using) as queries:
        store.update(record.sid, record.verifier, Delta(changed={"a": b"a"}))
    assert verbs(queries) == ["SELECT", "UPDATE"], queries.captured_queries


def test_an_update_on_a_stale_base_is_tried_again_once(store: DatabaseStore) -> None:
    base = create(store)
    store.update(base.record.sid, base.record.verifier, Delta(changed={"theirs": b"1"}))
    with sent(store.using) as queries:
        store.update(base.record.sid, base.record.verifier, Delta(changed={"mine": b"1"}), base)
    assert len(queries) == 3
    assert stored(store, base.record.sid).values == {"theirs": b"1", "mine": b"1"}


def test_a_touch_does_not_write_the_values(store: DatabaseStore) -> None:
    base = create(store, changed={"a": b"a"})
    with sent(store.using) as queries:
        store.update(base.record.sid, base.record.verifier, TOUCH, base)
    (statement,) = queries.captured_queries
    for column in ("data", "user_id", "lifetime_ms", "deadline_ms", "ip"):
        quoted = connections[store.using].ops.quote_name(column)
        assert f"{quoted} =" not in statement["sql"], column


def test_who_is_overtaken_again_and_again_locks_the_row(store: DatabaseStore, monkeypatch: Any) -> None:
    base = create(store, changed={"n": b"0"})
    write, tries = Table._compare_and_set, []

    def overtaken(table: Table, verifier: str, delta: Delta, current: Any, after: Any) -> Any:
        tries.append(table.connection.in_atomic_block)
        stale = current.record._replace(version=current.record.version - 1)
        return write(table, verifier, delta, current._replace(record=stale) if len(tries) < 3 else current, after)

    monkeypatch.setattr(Table, "_compare_and_set", overtaken)
    with sent(store.using) as queries:
        store.update(base.record.sid, base.record.verifier, Delta(changed={"n": b"1"}), base)
    assert tries == [False, False, True]
    locking = [query["sql"] for query in queries.captured_queries if "FOR UPDATE" in query["sql"]]
    assert len(locking) == (0 if connections[store.using].vendor == "sqlite" else 1)
    assert stored(store, base.record.sid).values == {"n": b"1"}


def test_a_write_that_is_overtaken_for_good_is_an_outage_not_the_end(store: DatabaseStore, monkeypatch: Any) -> None:
    base = create(store)
    monkeypatch.setattr(Table, "_compare_and_set", lambda *args: None)
    with pytest.raises(StoreUnavailableError):
        store.update(base.record.sid, base.record.verifier, TOUCH, base)


@pytest.mark.parametrize(
    "sid", ["", "x\0", "a" * 17, "a" * 19, "A" * 18, "g" * 18, "a" * 18 + "\n", "à" * 18, "١" * 18]
)
def test_a_sid_of_another_form_never_reaches_the_database(store: DatabaseStore, sid: str) -> None:
    with sent(store.using) as queries:
        assert store.load(sid) is None
        assert store.end(sid, Ending("logout")) is None
        assert store.end(sid, EXPIRED) is None
    assert len(queries) == 0


def test_a_sid_is_found_in_its_own_spelling_only(store: DatabaseStore) -> None:
    record = store.create("abcdef" + new_sid()[6:], new_verifier(), new_delta()).record
    Session.objects.using(store.using).get(sid=record.sid)
    for alike in (record.sid.upper(), record.sid + " ", record.sid.replace("a", "á", 1)):
        assert not Session.objects.using(store.using).filter(sid=alike).exists()


def test_a_user_id_that_no_database_takes_has_no_sessions(store: DatabaseStore) -> None:
    assert list(store.records("1\0")) == []


def test_what_a_database_would_refuse_of_a_client_is_left_out(store: DatabaseStore) -> None:
    record = create(store, client=Client("1" * 100, "a\0b\ud800c\U0001f36a" + "x" * 5000)).record
    client = stored(store, record.sid).record.client
    assert (client.ip, client.user_agent) == ("1" * 64, "ab?c\U0001f36a" + "x" * 5000)


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x02\0\0\0\0", b"{}"])
def test_damaged_values_are_told_from_no_session_and_can_be_ended(store: DatabaseStore, data: bytes) -> None:
    record = create(store, changed={"a": b"a"}).record
    Session.objects.using(store.using).filter(sid=record.sid).update(data=data)
    with pytest.raises(CorruptSessionError):
        store.load(record.sid)
    with pytest.raises(CorruptSessionError):
        store.update(record.sid, record.verifier, Delta(changed={"b": b"b"}))
    assert store.end(record.sid, Ending("cleared", expected={"a": b"a"})) is None
    assert store.end(record.sid, Ending("cleared", verifier=record.verifier)) == record


def test_the_row_of_an_ended_session_holds_no_values(store: DatabaseStore) -> None:
    record, expired = create(store, changed={"a": b"secret"}).record, create(store, lifetime_ms=0).record
    store.end(record.sid, Ending("logout"))
    store.end(expired.sid, EXPIRED)
    rows = Session.objects.using(store.using).filter(sid__in=[record.sid, expired.sid])
    assert [bytes(row.data) for row in rows] == [b"", b""]


def test_who_of_many_is_alive_is_asked_in_one_statement(store: DatabaseStore) -> None:
    live, due, ended = create(store).record, create(store, lifetime_ms=0).record, create(store).record
    store.end(ended.sid, Ending("logout"))
    others = [new_sid() for _ in range(300)]
    with sent(store.using) as queries:
        assert store.alive([live.sid, due.sid, ended.sid, "x", *others]) == {live.sid: (live.verifier,)}
    assert len(queries) == 1
    with sent(store.using) as queries:
        assert store.alive([]) == store.alive(["no sid"]) == {}
    assert len(queries) == 0


def test_details_are_written_when_they_are_named_and_read_with_every_list(store: DatabaseStore) -> None:
    details, user_id = bytes(range(256)) * 4, new_user()
    base = create(store, user_id=user_id, details=b"\0")
    with sent(store.using) as queries:
        touched = store.update(base.record.sid, base.record.verifier, TOUCH, base)
    assert "details" not in queries.captured_queries[0]["sql"]
    assert touched.record.details == stored(store, base.record.sid).record.details == b"\0"
    named = store.update(base.record.sid, base.record.verifier, Delta(details=details), touched)
    assert [record.details for record in store.records(user_id)] == [named.record.details] == [details]
    assert store.end(base.record.sid, Ending("logout")) == named.record


# Listing.


def test_a_users_sessions_are_one_statement_and_no_values(store: DatabaseStore) -> None:
    user_id = new_user()
    for _ in range(3):
        create(store, user_id=user_id, changed={"a": b"a"})
    with sent(store.using) as queries:
        listed = store.records(user_id)
        assert len(queries) == 0
        assert (len(listed), len(list(listed)), len(listed[0:2])) == (3, 3, 2)
    assert len(queries) == 1
    assert connections[store.using].ops.quote_name("data") not in queries.captured_queries[0]["sql"]


def test_a_page_of_all_sessions_is_one_statement(store: DatabaseStore) -> None:
    for _ in range(5):
        create(store)
    with sent(store.using) as queries:
        assert len(store.records()[1:3]) == 2
    assert len(queries) == 1


def test_all_sessions_are_sliced_as_a_list_is(store: DatabaseStore) -> None:
    for _ in range(7):
        create(store)
    listed = store.records()
    plain = list(listed)
    bounds = [None, -9, -3, 0, 2, 5, 7, 9]
    slices = [slice(start, stop, step) for start in bounds for stop in bounds for step in (None, 1, 2, 3, -1, -2)]
    assert [(part, listed[part]) for part in slices] == [(part, plain[part]) for part in slices]
    assert [listed[number] for number in range(-7, 7)] == [plain[number] for number in range(-7, 7)]
    assert (len(listed), bool(listed)) == (7, True)


def test_all_sessions_are_walked_in_batches(store: DatabaseStore) -> None:
    made = {create(store).record.sid for _ in range(1200)}
    Session.objects.using(store.using).filter(sid__in=sorted(made)[:800]).update(last_seen_ms=5)  # one instant for many
    with sent(store.using) as queries:
        walked = sids(store.records())
    assert (len(walked), set(walked)) == (1200, made)
    assert len(queries) == 3


# Limits.


def test_an_admitted_anonymous_session_becomes_the_users_without_a_sign_in(store: DatabaseStore) -> None:
    base, user_id = create(store), new_user()
    assert store.admit(user_id, base.record.sid, 1, "refuse") == []
    record = stored(store, base.record.sid).record
    assert (record.user_id, record.signed_in_ms) == (user_id, None)
    other = store.update(record.sid, record.verifier, Delta(changed={"a": b"a"}), base)  # from before it was bound
    assert other.record.user_id == user_id


def test_a_refused_session_is_not_bound(store: DatabaseStore) -> None:
    user_id = new_user()
    store.admit(user_id, create(store).record.sid, 1, "refuse")
    second = create(store).record
    with pytest.raises(LimitReachedError):
        store.admit(user_id, second.sid, 1, "refuse")
    assert stored(store, second.sid).record == second


def test_admitting_never_takes_over_the_session_of_another_user_or_an_ended_one(store: DatabaseStore) -> None:
    theirs, ended = create(store, user_id=new_user()).record, create(store).record
    store.end(ended.sid, Ending("logout"))
    user_id = new_user()
    for sid in (theirs.sid, ended.sid, new_sid()):
        assert store.admit(user_id, sid, 1, "refuse") == []
    assert list(store.records(user_id)) == []
    assert stored(store, theirs.sid).record == theirs


def test_what_was_handed_out_and_not_ended_is_handed_out_again_after_a_minute(store: DatabaseStore) -> None:
    user_id = new_user()
    first, second, third = (create(store, user_id=user_id).record.sid for _ in range(3))
    assert sorted(store.admit(user_id, third, 1, "end_oldest")) == sorted([first, second])
    assert store.admit(user_id, third, 1, "end_oldest") == []
    Session.objects.using(store.using).filter(sid=first).update(evicting_ms=1)
    assert store.admit(user_id, third, 1, "end_oldest") == [first]


def test_a_session_from_before_there_was_a_limit_counts_when_logins_are_refused(store: DatabaseStore) -> None:
    user_id = new_user()
    old, new = (create(store, user_id=user_id).record for _ in range(2))
    assert store.admit(user_id, new.sid, 1, "refuse") == []  # the other login may be under way
    another = create(store, user_id=user_id).record
    Session.objects.using(store.using).filter(sid=old.sid).update(signed_in_ms=1)
    store.end(new.sid, Ending("logout"))
    with pytest.raises(LimitReachedError):
        store.admit(user_id, another.sid, 1, "refuse")


# Clearing.


def test_what_expired_long_ago_leaves_no_tombstone(store: DatabaseStore) -> None:
    old, recent = create(store, deadline_ms=1000).record, make_due(store, create(store)).record
    ended: list[SessionRecord] = []
    assert store.clear_expired(on_ended=ended.append) == 2
    assert ended == [old, recent]
    assert store.load(old.sid) is None
    assert isinstance(store.load(recent.sid), Tombstone)


def test_a_tombstone_holds_no_value(store: DatabaseStore) -> None:
    record, due = create(store, changed={"a": b"sealed"}).record, create(store, changed={"a": b"sealed"})
    store.end(record.sid, Ending("logout"))
    store.end(make_due(store, due).record.sid, EXPIRED)
    left = Session.objects.using(store.using).filter(sid__in=[record.sid, due.record.sid])
    assert [bytes(data) for data in left.values_list("data", flat=True)] == [b"", b""]


def test_a_tombstone_is_forgotten_when_its_time_is_over_and_not_counted(store: DatabaseStore) -> None:
    record = create(store).record
    store.end(record.sid, Ending("logout"))
    assert store.clear_expired() == 0
    assert isinstance(store.load(record.sid), Tombstone)
    Session.objects.using(store.using).filter(sid=record.sid).update(expires_ms=1)
    ended: list[SessionRecord] = []
    assert store.clear_expired(on_ended=ended.append) == 0
    assert ended == []
    assert store.load(record.sid) is None


def test_a_tombstone_is_kept_as_long_as_the_setting_says(store: DatabaseStore) -> None:
    for seconds in (0, 5, 86_400):
        with override_settings(SRVSESSION_ENDED_KEEP=seconds):
            record = create(store).record
            store.end(record.sid, Ending("logout"))
        row = Session.objects.using(store.using).get(sid=record.sid)
        assert row.ended_ms is not None
        assert row.expires_ms == row.ended_ms + seconds * 1000


@pytest.mark.parametrize("batch_size", [7, 5000])
def test_thousands_are_cleared_in_batches_of_any_size(store: DatabaseStore, batch_size: int) -> None:
    verifier = new_verifier()
    rows = [
        Session(
            sid=new_sid(),
            verifier=verifier,
            created_ms=1,
            last_seen_ms=1,
            lifetime_ms=1,
            expires_ms=1 + number // 50,  # many at one instant, more than a batch holds
            data=b"",
        )
        for number in range(2000)
    ]
    Session.objects.using(store.using).bulk_create(rows, batch_size=50)
    live = create(store).record
    ended: list[str] = []
    assert store.clear_expired(batch_size=batch_size, on_ended=lambda record: ended.append(record.sid)) == 2000
    assert sorted(ended) == sorted(row.sid for row in rows)
    assert stored(store, live.sid).record == live
    assert Session.objects.using(store.using).count() == 1


def test_a_dry_run_sends_one_statement(store: DatabaseStore) -> None:
    create(store, lifetime_ms=0)
    with sent(store.using) as queries:
        assert store.clear_expired(dry_run=True) == 1
    assert len(queries) == 1
