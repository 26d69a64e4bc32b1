"""The contract of the verbs on one session, in any order, with any deltas: it happens what ``store.rules`` says."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from django_srvsession.records import EXPIRED, UNSET, Client, Delta, Ending, Loaded, Tombstone
from django_srvsession.store import ConflictError, Store, UpdateError, rules
from django_srvsession.testing.sessions import HOUR_MS, new_sid, new_user, new_verifier, sids

NAMES = st.sampled_from(["a", "b", "naïve \0 세션", "v:a"])
VALUES = st.sampled_from([b"", b"\0", b"short", b"\xff" * 300])
CLIENTS = st.sampled_from([Client(), Client("192.0.2.1", "agent"), Client("2001:db8::1", "")])
DEADLINES_MS = st.sampled_from([None, 4_102_444_800_000, 4_102_444_800_001, 1_000_000_000_000])
"""None, two far ahead, and one that is past: who names it makes the session due."""


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Leave a field alone as often as not."""
    return st.just(UNSET) | values


DELTAS = st.builds(
    Delta,
    changed=st.dictionaries(NAMES, VALUES, max_size=2),
    removed=st.frozensets(NAMES, max_size=2),
    cleared=st.sampled_from([False, False, False, True]),
    expected=st.just({}) | st.dictionaries(NAMES, st.none() | VALUES, max_size=1),
    resealed=st.dictionaries(NAMES, st.tuples(VALUES, VALUES), max_size=2),
    user_id=maybe(st.sampled_from(["0", "1"])),  # Stands for one of two users of this very example.
    client=maybe(CLIENTS),
    lifetime_ms=maybe(st.sampled_from([HOUR_MS, 2 * HOUR_MS])),
    deadline_ms=maybe(DEADLINES_MS),
    extend=st.booleans(),
    new_verifier=st.none() | st.sampled_from(["0", "1"]),
    final=st.booleans(),
    details=maybe(st.binary(max_size=40)),
)


class Step(NamedTuple):
    """Hold one step, an update or an end: by which key, and from which answer of the store on."""

    delta: Delta = Delta()
    key: str = "current"
    base: str = "latest"
    ending: Ending | None = None


KEYS = st.sampled_from(["current", "current", "current", "previous", "wrong"])
BASES = st.sampled_from(["none", "first", "latest"])
UPDATES = st.builds(Step, DELTAS, KEYS, BASES, st.none())
EXPECTED = st.none() | st.dictionaries(NAMES, VALUES, max_size=1)
VERSIONS = st.none() | st.integers(1, 4)
ENDINGS = st.just(EXPIRED) | st.builds(
    Ending, st.just("logout"), st.sampled_from([None, "me"]), st.none(), EXPECTED, st.none(), VERSIONS
)
ENDS = st.builds(Step, st.just(Delta()), KEYS, BASES, ENDINGS)
STEPS = st.lists(UPDATES | UPDATES | UPDATES | ENDS, min_size=1, max_size=7)


class Run:
    """Do steps to one session of a store, and compare each answer with what the rules make of what was known."""

    def __init__(self, store: Store, first: Delta) -> None:
        self.store = store
        self.users = {"0": new_user(), "1": new_user()}
        self.verifiers = {"0": new_verifier(), "1": new_verifier()}
        made = self._named(first)._replace(expected={}, resealed={}, lifetime_ms=HOUR_MS, new_verifier=None)
        self.first = self.latest = store.create(new_sid(), new_verifier(), made)
        self.sid = self.first.record.sid
        self.known: rules.Stored = self.first
        self.check()

    def _named(self, delta: Delta) -> Delta:
        """Put this example's users and verifiers in."""
        user_id = delta.user_id if delta.user_id is UNSET else self.users[delta.user_id]
        new_one = delta.new_verifier and self.verifiers[delta.new_verifier]
        # What a store finds first, another user or a conflict, is its own affair.
        return delta._replace(
            user_id=user_id, new_verifier=new_one, expected=delta.expected if user_id is UNSET else {}
        )

    def _verifier(self, key: str) -> str:
        record = self.latest.record
        known = {"current": record.verifier, "previous": record.previous_verifier}
        return known.get(key) or new_verifier()

    def do(self, step: Step) -> None:
        """Do a step, and look at what stands after it."""
        base = {"none": None, "first": self.first, "latest": self.latest}[step.base]
        if step.ending is None:
            self._update(self._verifier(step.key), self._named(step.delta), base)
        elif step.ending.reason is None:
            self._end(step.ending._replace(base=base))
        else:
            self._end(step.ending._replace(base=base, verifier=self._verifier(step.key)))
        self.check()

    def _update(self, verifier: str, delta: Delta, base: Loaded | None) -> None:
        try:
            rules.changed(self.known, verifier, delta, self._now_ms)
        except UpdateError:
            with pytest.raises(UpdateError):
                self.store.update(self.sid, verifier, delta, base)
            return
        except ConflictError as expected:
            with pytest.raises(ConflictError) as caught:
                self.store.update(self.sid, verifier, delta, base)
            assert dict(caught.value.current) == expected.current
            return
        after = self.store.update(self.sid, verifier, delta, base)
        self.known = rules.changed(self.known, verifier, delta, after.record.last_seen_ms)
        assert after.record == self.known.record
        if base is not self.first:  # What another request changed since the base, its author does not see.
            assert after.values == self.known.values
        self.latest = self.known

    def _end(self, ending: Ending) -> None:
        record = rules.may_end(self.known, ending, self._now_ms)
        assert self.store.end(self.sid, ending) == record
        if record is not None:
            self.known = rules.tombstone(record, ending, self._now_ms)

    @property
    def _now_ms(self) -> int:
        return max(self.latest.now_ms, self.latest.record.last_seen_ms)

    def check(self) -> None:
        """Compare what stands, and is listed, with what is known."""
        found = self.store.load(self.sid)
        assert type(found) is type(self.known)
        if isinstance(found, Loaded) and isinstance(self.known, Loaded):
            assert (found.record, dict(found.values)) == (self.known.record, dict(self.known.values))
            self.known = self.latest = self.known._replace(now_ms=found.now_ms)
        if isinstance(found, Tombstone) and isinstance(self.known, Tombstone):
            assert found._replace(ended_ms=0, now_ms=0) == self.known._replace(ended_ms=0, now_ms=0)
        user_id = self.latest.record.user_id
        is_live = isinstance(self.known, Loaded) and self.known.record.is_live(self._now_ms)
        opens = {self.sid: self.latest.record.openers(self._now_ms)} if is_live else {}
        assert self.store.alive([self.sid, new_sid()]) == opens
        if user_id is not None:
            assert sids(self.store.records(user_id)) == ([self.sid] if is_live else [])


class RandomStepsContract:
    """What the other tests say of each verb holds of all of them together."""

    @settings(
        max_examples=25,
        deadline=None,
        phases=set(Phase) - {Phase.shrink},  # A server would be asked for minutes.
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(first=DELTAS, steps=STEPS)
    def test_any_steps_leave_what_the_rules_say(self, store: Store, first: Delta, steps: list[Step]) -> None:
        run = Run(store, first)
        for step in steps:
            run.do(step)
