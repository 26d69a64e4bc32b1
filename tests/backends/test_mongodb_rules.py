"""What the pipelines say is what the rules say: any delta, on any session, on the server and in Python."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_srvsession.backends.mongodb import MongoStore
from django_srvsession.records import UNSET, Client, Delta, Ending, Loaded, Tombstone
from django_srvsession.store import ConflictError, UpdateError, rules
from django_srvsession.testing.sessions import create, new_verifier, stored
from tests.mongodb_servers import mongodb_settings, new_database
from tests.trust import rounds

HOUR_MS = 3_600_000
FAR_MS = 4_102_444_800_000
NAMES = st.sampled_from(["a", "b", "c", "$a", "a.b", ""])
BYTES = st.sampled_from([b"", b"a", b"b", b"$a", b"\0"])
TEXTS = st.sampled_from(["", "$verifier", "ü", "a\0b", "192.0.2.1"])
CONTENTS = st.dictionaries(NAMES, BYTES, max_size=4)
unset = st.just(UNSET)

DELTAS = st.builds(
    Delta,
    changed=CONTENTS,
    removed=st.frozensets(NAMES, max_size=2),
    cleared=st.booleans(),
    expected=st.dictionaries(NAMES, st.one_of(st.none(), BYTES), max_size=1),
    resealed=st.dictionaries(NAMES, st.tuples(BYTES, BYTES), max_size=2),
    user_id=st.one_of(unset, st.sampled_from(["1", "2"])),
    client=st.one_of(unset, st.builds(Client, TEXTS, TEXTS)),
    lifetime_ms=st.one_of(unset, st.sampled_from([0, 1, HOUR_MS])),
    deadline_ms=st.one_of(unset, st.none(), st.sampled_from([1000, FAR_MS])),
    extend=st.booleans(),
    new_verifier=st.one_of(st.none(), st.builds(new_verifier)),
    final=st.booleans(),
    details=st.one_of(unset, BYTES),
)


@pytest.fixture(scope="module")
def store(mongodb_uri: str) -> Iterator[MongoStore]:
    """The store, in one database for all examples."""
    with new_database(mongodb_uri) as name, override_settings(SRVSESSION_MONGODB=mongodb_settings(mongodb_uri, name)):
        yield MongoStore()


@settings(max_examples=rounds(300), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(values=CONTENTS, user_id=st.sampled_from([None, "1"]), deltas=st.lists(DELTAS, min_size=1, max_size=3))
def test_any_deltas_leave_what_the_rules_leave(
    store: MongoStore, values: dict[str, bytes], user_id: str | None, deltas: list[Delta]
) -> None:
    fields: dict[str, Any] = {} if user_id is None else {"user_id": user_id}
    current = create(store, changed=values, deadline_ms=FAR_MS, **fields)
    for delta in deltas:
        sid, verifier = current.record.sid, current.record.verifier
        try:
            after = store.update(sid, verifier, delta)
        except (UpdateError, ConflictError) as error:
            found = stored(store, sid)
            with pytest.raises(type(error)):
                rules.changed(found, verifier, delta, found.now_ms)
            assert found[:2] == current[:2]
            continue
        expected = rules.changed(current, verifier, delta, after.record.last_seen_ms)
        assert after.record == expected.record
        assert stored(store, sid)[:2] == (expected.record, expected.values)
        current = after


@settings(max_examples=rounds(200), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    values=CONTENTS,
    delta=DELTAS,
    expected=st.one_of(st.none(), st.dictionaries(NAMES, st.one_of(st.none(), BYTES), max_size=1)),
    reason=st.one_of(st.none(), st.sampled_from(["logout", "$reason"])),
    whose=st.sampled_from(["nobody's", "mine", "older", "another's"]),
)
def test_any_ending_does_what_the_rules_say(
    store: MongoStore, values: dict[str, bytes], delta: Delta, expected: Any, reason: str | None, whose: str
) -> None:
    first = create(store, changed=values)
    try:
        current = store.update(first.record.sid, first.record.verifier, delta)
    except ConflictError:
        current = first
    verifiers = {"nobody's": None, "mine": current.record.verifier, "older": first.record.verifier}
    ending = Ending(reason, "$by", verifiers.get(whose, new_verifier()), expected)
    found = stored(store, first.record.sid)
    record = rules.may_end(found, ending, found.now_ms)
    assert store.end(first.record.sid, ending) == record
    after = store.load(first.record.sid)
    if record is None:
        assert isinstance(after, Loaded)
        return
    assert isinstance(after, Tombstone)
    assert after == rules.tombstone(record, ending, after.ended_ms)._replace(now_ms=after.now_ms)
