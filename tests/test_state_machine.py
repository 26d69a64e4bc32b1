"""The engine against a plain dict: whatever requests do one after the other, the session holds what a dict would."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from django_srvsession.backends.memory import SessionStore
from django_srvsession.store import UpdateError
from tests.trust import rounds

names = st.sampled_from(["a", "b", "c", "d", "", "é\0", "v:a", "_session_other"])
leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
plain = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner))


class SessionAgainstDict(RuleBasedStateMachine):
    """A browser and its session; ``stored`` is what the store must hold, ``seen`` what this request must see."""

    @initialize()
    def first_visit(self) -> None:
        self.session = SessionStore()
        self.seen: dict[str, Any] = {}
        self.stored: dict[str, Any] | None = None
        self.dead: list[str] = []

    @rule(name=names, value=plain)
    def assign(self, name: str, value: Any) -> None:
        self.session[name] = copy.deepcopy(value)
        self.seen[name] = copy.deepcopy(value)

    @rule(name=names)
    def delete(self, name: str) -> None:
        assert self.session.pop(name, "absent") == self.seen.pop(name, "absent")

    @rule(name=names, value=leaves)
    def change_inside(self, name: str, value: Any) -> None:
        for contents in (self.session, self.seen):
            inside = contents.get(name)
            if isinstance(inside, list):
                inside.append(value)
            elif isinstance(inside, dict):
                inside["inside"] = value

    @rule(name=names, value=plain)
    def set_default(self, name: str, value: Any) -> None:
        assert self.session.setdefault(name, copy.deepcopy(value)) == self.seen.setdefault(name, copy.deepcopy(value))

    @rule()
    def clear(self) -> None:
        self.session.clear()
        self.seen.clear()

    @rule()
    def save(self) -> None:
        self.session.save()
        self.stored = copy.deepcopy(self.seen)

    @rule()
    def next_request(self) -> None:
        """Forget what was not saved, and read again."""
        self.session = SessionStore(self.session.session_key)
        self.seen = copy.deepcopy(self.stored or {})

    @rule()
    def cycle_key(self) -> None:
        old, sid = self.session.session_key, self.session.sid
        self.session.cycle_key()
        self.stored = copy.deepcopy(self.seen)
        if old is not None:
            self.dead.append(old)
            assert self.session.sid == sid

    @rule()
    def flush(self) -> None:
        if self.session.session_key is not None:
            self.dead.append(self.session.session_key)
        self.session.flush()
        self.seen, self.stored = {}, None

    @rule(number=st.integers(-3, 3))
    def increment(self, number: int) -> None:
        name = "count"
        assert self.session.incr(name, number) == self.seen.get(name, 0) + number
        self.seen[name] = self.seen.get(name, 0) + number
        self.stored = {**(self.stored or {}), name: self.seen[name]}

    @precondition(lambda self: self.stored is not None)
    @rule(name=names, value=leaves)
    def another_request_writes(self, name: str, value: Any) -> None:
        other = SessionStore(self.session.session_key)
        other[name] = value
        other.save()
        self.session.reload()
        self.stored = {**(self.stored or {}), name: value}
        self.seen = copy.deepcopy(self.stored)

    @invariant()
    def this_request_sees_its_own_changes(self) -> None:
        assert dict(self.session.items()) == self.seen

    @invariant()
    def the_store_holds_what_was_saved(self) -> None:
        if self.stored is None:
            assert self.session.session_key is None
        else:
            assert dict(SessionStore(self.session.session_key).load()) == self.stored

    @invariant()
    def no_old_key_opens_anything(self) -> None:
        for key in self.dead:
            late = SessionStore(key)
            assert dict(late.load()) == {}
            assert late.session_key is None

    def teardown(self) -> None:
        if self.session.session_key is not None:
            key = self.session.session_key
            self.session.flush()
            late = SessionStore()
            late._session_key = key
            late._session_cache = {"revived": True}
            with suppress(UpdateError):
                late.save()
            assert not SessionStore().exists(key)


SessionAgainstDict.TestCase.settings = settings(max_examples=rounds(1500), stateful_step_count=40, deadline=None)
TestSessionAgainstDict = SessionAgainstDict.TestCase
