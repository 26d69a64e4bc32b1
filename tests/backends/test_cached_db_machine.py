"""Redis in front of the database against a model of what was promised, with failures of either at every step.

The database is asked what it has, after each call; so the model knows all that each session ever was. It remembers for
each process what that must not see any more: what was before a change that it made itself, or saw fail, and what was
before a change that was acknowledged when Redis could be told. An acknowledged end is seen by all. Between the calls
Redis loses everything, or starts again with what it once had.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Any

import pytest
from django.db import transaction
from django.test import override_settings
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from django_srvsession.backends.cached_db import breaker
from django_srvsession.backends.db import DatabaseStore
from django_srvsession.records import TOUCH, Delta, Ending, Loaded, Tombstone
from django_srvsession.store import StoreUnavailableError, UpdateError
from django_srvsession.testing.sessions import create, new_user, new_verifier
from tests.backends.cached_db_steps import DATABASE, REDIS, Failing, Failure, gate_of_this_thread, steps_can_be_stopped
from tests.backends.redis_tools import own_pool
from tests.servers import RedisServer
from tests.trust import rounds

ENGINE = "django_srvsession.backends.cached_db"
PROCESSES = (0, 1)
MARGIN_MS = 5

processes = st.sampled_from(PROCESSES)
sessions = st.integers(0, 1)
calm = st.just(Failing)
troubled = st.builds(
    partial,
    st.just(Failing),
    st.builds(Failure, st.integers(0, 4), st.booleans()),
    st.builds(Failure, st.integers(0, 4), st.booleans()),
    out=st.sampled_from([(), (), (), (REDIS,), (DATABASE,), (REDIS, DATABASE)]),
)
gates = calm | calm | calm | troubled
"""Make what fails at some steps of a call; mostly at none."""
values = st.sampled_from([b"1", b"2", b"3"])


NewGate = Callable[[], Failing]


class Promises:
    """What is known of one session: all that it was, and since when each process must see it."""

    def __init__(self, was: Any) -> None:
        self.was = [was]
        self.since = dict.fromkeys(PROCESSES, 0)

    def note(self, row: Any) -> None:
        """Take note of what the database has."""
        if row != self.was[-1]:
            self.was.append(row)

    def must_see(self, process: int) -> None:
        """Have a process see what is now, and nothing that was before."""
        self.since[process] = len(self.was) - 1

    def may_see(self, process: int) -> list[Any]:
        """Return all that a process may see."""
        return self.was[self.since[process] :]


class CachedSessions(RuleBasedStateMachine):
    """Two processes, a few sessions, one Redis that anything may happen to."""

    alias: str
    server: RedisServer

    @initialize()
    def begin(self) -> None:
        store_class = import_module(ENGINE).SessionStore.store_class
        self.stores = [store_class() for _ in PROCESSES]
        self.database = DatabaseStore(self.alias)
        self.loaded: list[Loaded] = []
        self.promises: list[Promises] = []
        self.kept: dict[bytes, tuple[int, bytes]] = {}
        for _ in range(2):
            self.make()

    def make(self) -> None:
        made = create(self.database, user_id=new_user(), changed={"a": b"0"})
        self.loaded.append(made)
        self.promises.append(Promises(plain(made)))

    def row(self, number: int) -> Any:
        return plain(self.database.load(self.loaded[number].record.sid))

    @contextmanager
    def failing(self, gate: Failing) -> Iterator[None]:
        with gate_of_this_thread(self.alias, gate):
            yield

    def judge(self, process: int, number: int, gate: Failing, error: Exception | None, is_end: bool) -> None:
        """Say what everybody must see after a write."""
        promises, known = self.promises[number], self.row(number)
        is_told = self.stores[process].copies.breaker.is_closed and REDIS not in gate.failed
        promises.note(known)
        if isinstance(error, StoreUnavailableError):
            assert DATABASE in gate.failed or is_end, "a failure of Redis kept a session from being saved"
            if DATABASE not in gate.failed:
                assert not isinstance(known, tuple), "the row of a session that was to end is there"
                promises.must_see(process)
            return
        if is_end:
            assert not isinstance(known, tuple)
        for each in PROCESSES:
            if is_end or is_told or each == process:
                promises.must_see(each)

    def write(self, process: int, number: int, gate: Failing, delta: Delta | None, with_base: bool) -> None:
        """Change a session, or end it."""
        store, base = self.stores[process], self.loaded[number]
        sid, error = base.record.sid, None
        try:
            with self.failing(gate):
                if delta is None:
                    store.end(sid, Ending("logout", base=base if with_base else None))
                else:
                    self.loaded[number] = store.update(sid, base.record.verifier, delta, base if with_base else None)
        except (StoreUnavailableError, UpdateError) as caught:
            error = caught
        self.judge(process, number, gate, error, is_end=delta is None)
        stored = self.database.load(sid)
        if isinstance(stored, Loaded):
            self.loaded[number] = stored

    @rule(process=processes, number=sessions, new_gate=gates)
    def load(self, process: int, number: int, new_gate: NewGate) -> None:
        gate = new_gate()
        try:
            with self.failing(gate):
                found = plain(self.stores[process].load(self.loaded[number].record.sid))
        except StoreUnavailableError:
            assert DATABASE in gate.failed, gate.seen
            return
        assert found in self.promises[number].may_see(process), gate.seen

    @rule(process=processes, number=sessions, value=values, new_gate=gates, with_base=st.booleans())
    def save(self, process: int, number: int, value: bytes, new_gate: NewGate, with_base: bool) -> None:
        self.write(process, number, new_gate(), Delta(changed={"a": value}), with_base)

    @rule(process=processes, number=sessions, new_gate=gates)
    def rotate(self, process: int, number: int, new_gate: NewGate) -> None:
        self.write(process, number, new_gate(), Delta(new_verifier=new_verifier()), True)

    @rule(process=processes, number=sessions, new_gate=gates)
    def touch(self, process: int, number: int, new_gate: NewGate) -> None:
        self.write(process, number, new_gate(), TOUCH, True)

    @rule(process=processes, number=sessions, new_gate=gates, with_base=st.booleans())
    def end(self, process: int, number: int, new_gate: NewGate, with_base: bool) -> None:
        self.write(process, number, new_gate(), None, with_base)

    @rule(process=processes, number=sessions, value=st.none() | values, commits=st.booleans(), is_calm=st.booleans())
    def transaction(self, process: int, number: int, value: bytes | None, commits: bool, is_calm: bool) -> None:
        """Write in a transaction of the caller's, which commits or does not; read in there, too."""
        store, base = self.stores[process], self.loaded[number]
        gate, error = Failing(out=() if is_calm else (REDIS,)), None
        with self.failing(gate), transaction.atomic(using=self.alias):
            try:
                if value is None:
                    store.end(base.record.sid, Ending("logout"))
                else:
                    store.update(base.record.sid, base.record.verifier, Delta(changed={"a": value}), base)
            except (StoreUnavailableError, UpdateError) as caught:
                error = caught
            assert plain(store.load(base.record.sid)) == self.row(number)
            transaction.set_rollback(not commits, using=self.alias)
        if commits:
            self.judge(process, number, gate, error, is_end=value is None)
        stored = self.database.load(base.record.sid)
        if isinstance(stored, Loaded):
            self.loaded[number] = stored

    @rule(number=sessions)
    def somebody_new(self, number: int) -> None:
        """Let another session take the place of one that has ended."""
        if not isinstance(self.row(number), tuple):
            self.make()
            for known in (self.loaded, self.promises):
                known[number] = known.pop()  # type: ignore[index]

    @rule()
    def redis_is_tried_again(self) -> None:
        """Time passes: the next call of each process sees whether Redis is back."""
        time.sleep(2 * MARGIN_MS / 1000)
        for store in self.stores:
            store.copies.breaker._try_from = 0.0
        self.everybody_looks()

    @rule(process=processes, number=sessions)
    def copies_are_due(self, process: int, number: int) -> None:
        """Time passes: every copy is due, and all see what is."""
        time.sleep(0.002)
        with override_settings(SRVSESSION_CACHE_CHECK=0.001):
            found = plain(self.stores[process].load(self.loaded[number].record.sid))
        assert found == self.row(number)

    @rule()
    def redis_is_flushed(self) -> None:
        with self.server.client() as client:
            client.flushall()

    @rule()
    def redis_is_saved(self) -> None:
        self.everybody_looks()
        with self.server.client() as client:
            self.kept = {key: (client.pttl(key), client.dump(key)) for key in client.scan_iter()}

    @precondition(lambda self: self.kept)
    @rule()
    def redis_starts_again_with_what_was_saved(self) -> None:
        self.server.kill()
        self.server.start()
        with self.server.client() as client:
            for key, (ttl_ms, value) in self.kept.items():
                client.restore(key, max(ttl_ms, 1), value)
        self.kept.clear()
        self.everybody_looks()

    @rule()
    def everybody_looks(self) -> None:
        """Have each process read each session."""
        for number in range(len(self.loaded)):
            for process in PROCESSES:
                self.load(process, number, Failing)


def plain(stored: Loaded | Tombstone | None) -> Any:
    """Return what a load says of a session, without when it was."""
    return (stored.record, stored.values) if isinstance(stored, Loaded) else Tombstone


@pytest.fixture
def redis_of_its_own(settings: Any) -> Iterator[RedisServer]:
    """A Redis that nobody else uses."""
    server = RedisServer()
    server.start()
    own_pool(settings, server.url)
    yield server
    server.kill()


@pytest.mark.parametrize("database_alias", ["sqlite"], indirect=True)
def test_each_process_sees_what_was_promised_whatever_fails(
    database_alias: str, redis_of_its_own: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "MARGIN_MS", MARGIN_MS)
    machine = type("CachedSessions", (CachedSessions,), {"alias": database_alias, "server": redis_of_its_own})
    with steps_can_be_stopped():
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=rounds(150),
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.target, Phase.shrink],
            ),
        )
