"""What the SQL of the database store has to say again is what ``store/rules.py`` says: any session, any verb."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_srvsession.backends.db import DatabaseStore
from django_srvsession.backends.db.format import changed_columns, changed_params, new_params
from django_srvsession.backends.db.table import Table
from django_srvsession.models import Session
from django_srvsession.records import (
    UNSET,
    Client,
    Delta,
    Ending,
    Loaded,
    SessionRecord,
    Tombstone,
    updated,
)
from django_srvsession.store import ConflictError, UpdateError, rules
from django_srvsession.testing.sessions import new_sid, stored
from tests.trust import rounds

MINUTE_MS = 60_000
CURRENT, BEFORE, OTHER = VERIFIERS = [digit * 64 for digit in "123"]
USERS = ["ann", "bob"]

# Instants are told from the database's now, and none is within a quarter of a minute of an instant that decides.
ago_ms = st.sampled_from([MINUTE_MS // 2, MINUTE_MS * 3 // 2])
ahead_ms = st.sampled_from([MINUTE_MS // 2, 30 * MINUTE_MS, -MINUTE_MS // 2])
values = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sampled_from([b"", b"1", b"2"]), max_size=3)

expected = st.just({}) | st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from([None, b"1"]), max_size=1)


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the fields of a record; instants are told from now."""
    user_id = draw(st.sampled_from([None, *USERS]))
    previous = draw(st.sampled_from([BEFORE, None]))
    return {
        "verifier": CURRENT,
        "created_ms": -60 * MINUTE_MS,
        "last_seen_ms": -draw(ago_ms),
        "lifetime_ms": draw(st.sampled_from([0, 5 * MINUTE_MS])),
        "expires_ms": draw(ahead_ms),
        "user_id": user_id,
        "client": Client("192.0.2.1", "agent"),
        "signed_in_ms": None if user_id is None else -draw(ago_ms),
        "deadline_ms": draw(st.none() | ahead_ms),
        "previous_verifier": previous,
        "rotated_ms": None if previous is None else -draw(ago_ms),
        "rotation_final": draw(st.booleans()),
        "version": draw(st.integers(1, 9)),
        "details": draw(st.sampled_from([b"", b"\0\xff"])),
    }


deltas = st.builds(
    Delta,
    changed=values,
    removed=st.frozensets(st.sampled_from(["a", "b"])),
    cleared=st.booleans(),
    expected=expected,
    resealed=st.dictionaries(st.just("c"), st.tuples(st.just(b"1"), st.just(b"9")), max_size=1),
    user_id=st.sampled_from([UNSET, *USERS]),
    client=st.sampled_from([UNSET, Client("192.0.2.2", "other")]),
    lifetime_ms=st.sampled_from([UNSET, 7 * MINUTE_MS]),
    deadline_ms=st.just(UNSET) | st.none() | st.just(10**14),
    extend=st.booleans(),
    new_verifier=st.sampled_from([None, None, None, CURRENT, OTHER]),
    final=st.booleans(),
    details=st.sampled_from([UNSET, b"new"]),
)
verifiers = st.sampled_from([CURRENT, BEFORE, CURRENT, BEFORE, OTHER])
endings = st.builds(
    Ending,
    reason=st.sampled_from(["logout", "logout", None]),
    by=st.sampled_from([None, "admin"]),
    verifier=st.none() | verifiers,
    expected=st.none() | expected,
)


INSTANTS = {"created_ms", "last_seen_ms", "expires_ms", "signed_in_ms", "deadline_ms", "rotated_ms"}


class Rig:
    """One database, into which sessions are written past the verbs, and the clock that they are judged by."""

    def __init__(self, alias: str) -> None:
        self.store = DatabaseStore(alias)

    @property
    def now_ms(self) -> int:
        """The database's clock."""
        return self.store._run(lambda table: table.now_ms())

    def put(self, fields: dict[str, Any], contents: dict[str, bytes]) -> Loaded:
        now_ms = self.now_ms
        told = {name: fields[name] for name in INSTANTS if fields[name] is not None}
        record = SessionRecord(sid=new_sid(), **{**fields, **{name: now_ms + value for name, value in told.items()}})
        session = Loaded(record, contents, now_ms)
        digests = {"verifier": record.verifier, "previous_verifier": record.previous_verifier}
        Session.objects.using(self.store.using).create(**{**new_params(session), **digests})
        return session


@pytest.fixture
def rig(database_alias: str) -> Rig:
    """Each database in turn."""
    return Rig(database_alias)


def outcome(verb: Any) -> Any:
    """Return what a verb returns, or the type of what it raises, with the values that stood in its way."""
    try:
        return verb()
    except (UpdateError, ConflictError) as error:
        return type(error), getattr(error, "current", None)


def alike(one: Any, other: Any) -> bool:
    """Tell whether two sessions are the same but for the moments that pass between two statements."""
    if not (isinstance(one, Loaded) and isinstance(other, Loaded)):
        return bool(one == other)
    pairs = [(getattr(one.record, name), getattr(other.record, name)) for name in INSTANTS]
    same = all(left == right if None in (left, right) else abs(left - right) < MINUTE_MS // 4 for left, right in pairs)
    rest = other.record._replace(**{name: getattr(one.record, name) for name in INSTANTS})
    return same and one.record == rest and dict(one.values) == dict(other.values)


ways = settings(max_examples=rounds(1000), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@ways
@given(records(), values, verifiers, deltas, st.booleans())
def test_an_update_does_what_the_rules_say(
    rig: Rig, fields: dict[str, Any], contents: dict[str, bytes], verifier: str, delta: Delta, with_base: bool
) -> None:
    """Also where the session's version had moved, and the rules are asked of what stands."""
    session = rig.put(fields, contents)
    expected = outcome(lambda: rules.changed(session, verifier, delta, rig.now_ms))
    base = session if with_base else None
    found = outcome(lambda: rig.store.update(session.record.sid, verifier, delta, base))
    assert alike(found, expected)
    assert alike(stored(rig.store, session.record.sid), expected if isinstance(expected, Loaded) else session)


@ways
@given(records(), values, verifiers, deltas)
def test_the_statement_of_an_update_lets_nothing_pass_that_the_rules_refuse(
    rig: Rig, fields: dict[str, Any], contents: dict[str, bytes], verifier: str, delta: Delta
) -> None:
    """As if what the caller knew had been sound when it looked: the version stands, and nothing else is sure."""
    session = rig.put(fields, contents)
    after = updated(session, delta, rig.now_ms)

    def write(table: Table) -> int:
        sql = table.sql.update(changed_columns(delta, verifier, session))
        return table.count(sql, changed_params(delta, verifier, session, after))

    done = rig.store._run(write) == 1
    allowed = outcome(lambda: rules.changed(session, verifier, delta._replace(expected={}), rig.now_ms))
    if delta.new_verifier == session.record.verifier:  # Done before: the store does not write then.
        return
    assert done is isinstance(allowed, Loaded)


@ways
@given(records(), values, endings, st.sampled_from(["none", "known", "stale"]))
def test_an_end_does_what_the_rules_say(
    rig: Rig, fields: dict[str, Any], contents: dict[str, bytes], ending: Ending, base: str
) -> None:
    """Also where the caller knows the session, or what it was before another request changed it."""
    session = rig.put(fields, contents)
    if base == "known":
        ending = ending._replace(base=session)
    elif base == "stale":
        before = session.record._replace(version=session.record.version - 1, expires_ms=rig.now_ms + MINUTE_MS)
        ending = ending._replace(base=Loaded(before, ending.expected or {}, session.now_ms))
    expected = rules.may_end(session, ending, rig.now_ms)
    assert rig.store.end(session.record.sid, ending) == expected
    left = rig.store.load(session.record.sid)
    if expected is None:
        assert isinstance(left, Loaded)
        assert (left.record, left.values) == session[:2]
        return
    said = rules.tombstone(session.record, ending, rig.now_ms)
    assert isinstance(left, Tombstone)
    if ending.reason is None:
        assert left[:3] == said[:3]
    else:
        assert left[:4] == said[:4]
    assert (abs(left.ended_ms - said.ended_ms) < MINUTE_MS // 4, left.user_id) == (True, said.user_id)
    assert rig.store.end(session.record.sid, ending) is None


@ways
@given(st.lists(st.tuples(records(), values), min_size=1, max_size=5))
def test_who_is_alive_and_what_one_step_ends_is_what_the_rules_say(rig: Rig, drawn: list[Any]) -> None:
    sessions = [rig.put(*each) for each in drawn]
    live = {each.record for each in sessions if rules.may_end(each, Ending("logout"), rig.now_ms)}
    sids = [each.record.sid for each in sessions]
    assert rig.store.alive(sids) == {record.sid: record.openers(rig.now_ms) for record in live}
    listed = {record.sid for user_id in USERS for record in rig.store.records(user_id)}
    assert listed & set(sids) == {record.sid for record in live if record.user_id}
    assert set(rig.store.end_many(sids, Ending("revoked"))) == live
    assert rig.store.alive(sids) == {}
    due = {each.record for each in sessions} - live
    assert {record for sid in sids if (record := rig.store.end(sid, Ending()))} == due
