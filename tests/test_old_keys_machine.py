"""What the holder of a key can reach: nothing that was written under a key that came after theirs.

Requests begin with a key that somebody holds, may load, and end in any order. Each value says under which key it was
stored. A key that a request gave its browser comes after the key that this request began with, and after no other.
"""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from django_srvsession.backends.memory import MemoryStore, SessionStore
from django_srvsession.backends.memory.table import SessionTable
from django_srvsession.records import Ending
from django_srvsession.store import UpdateError
from tests.trust import rounds

USERS = ("7", "8")
END_KEYS = ("_auth_user_id", "_auth_user_backend", "_auth_user_hash")


class HoldersOfKeys(RuleBasedStateMachine):
    """Some browsers, each of which has a key from before; and their requests, which overlap."""

    keys = Bundle("keys")
    requests = Bundle("requests")

    @initialize(target=keys)
    def begin(self) -> str:
        self.engine = "django_srvsession.backends.memory"
        MemoryStore.table = SessionTable()
        self.numbers = itertools.count()
        self.before: dict[str, set[str]] = {}
        self.written: dict[str, str] = {}  # The name of a value: the key that it was stored under.
        return self._given(None, self._first())

    def _first(self) -> str:
        session = SessionStore()
        session["first"] = "first"
        session.save()
        key = str(session.session_key)
        self.written["first"] = key
        return key

    def _given(self, old: str | None, new: str) -> str:
        self.before.setdefault(new, {new} | (self.before[old] if old is not None else set()))
        return new

    @rule(target=requests, key=keys, loads=st.booleans())
    def arrive(self, key: str, loads: bool) -> Any:
        session = SessionStore(key)
        if loads:
            session.get("x")
        return [key, session]  # The key that its browser would have after the answer, so far.

    @rule(request=requests)
    def write(self, request: Any) -> None:
        session = request[1]
        session[f"value{next(self.numbers)}"] = 1

    @rule(request=requests)
    def count(self, request: Any) -> None:
        key, session = request
        name = f"value{next(self.numbers)}"
        try:
            session.incr(name)
        except UpdateError:
            return
        if session.session_key is not None:
            self.written[name] = request[0] = self._given(key, session.session_key)

    @rule(request=requests, user=st.sampled_from(USERS))
    def sign_in(self, request: Any, user: str) -> None:
        """As ``login()`` does, with our receiver."""
        session = request[1]
        if session.get(END_KEYS[0], user) != user:
            session.flush()
        elif END_KEYS[0] not in session:
            session.cycle_key()
        session.update(dict(zip(END_KEYS, (user, "b", "h"), strict=True)))
        session.note_sign_in(user)
        self._note(request)

    @rule(request=requests)
    def rotate(self, request: Any) -> None:
        request[1].get("x")
        request[1].cycle_key()
        self._note(request)

    @rule(request=requests)
    def sign_out(self, request: Any) -> None:
        request[1].get("x")
        request[1].note_sign_out()
        request[1].flush()

    @rule(key=keys)
    def end_from_elsewhere(self, key: str) -> None:
        if (sid := SessionStore(key).sid) is not None:
            MemoryStore().end(sid, Ending("revoked"))

    @rule(target=keys, request=requests)
    def answer(self, request: Any) -> Any:
        """Save as the middleware does, and give the browser its key."""
        session = request[1]
        signs_in = session._session.is_assigned(END_KEYS[0]) if hasattr(session, "_session_cache") else False
        session.settle(200)
        self._note(request)
        new = session.session_key
        if signs_in:
            assert new is not None and SessionStore().exists(new), "an acknowledged sign-in holds a dead key"
        if new is None or not SessionStore().exists(new):
            return multiple()
        return new

    def _note(self, request: Any) -> None:
        """Note which values stand since this request wrote, and under which key."""
        key, session = request
        new = session.session_key
        if new is None or not SessionStore().exists(new):
            return
        request[0] = self._given(key, new)
        for name in SessionStore(new).load():
            self.written.setdefault(name, new)

    @invariant()
    def nobody_reads_what_was_written_under_a_key_after_theirs(self) -> None:
        for key, before in self.before.items():
            for name in dict(SessionStore(key).load()):
                if name not in END_KEYS:
                    assert self.written[name] in before, f"{name} was written under a key after this one"

    @invariant()
    def a_session_is_of_one_user(self) -> None:
        for record in MemoryStore().records():
            assert record.user_id in (None, *USERS)


HoldersOfKeys.TestCase.settings = settings(max_examples=rounds(2000), stateful_step_count=30, deadline=None)
TestHoldersOfKeys = HoldersOfKeys.TestCase
