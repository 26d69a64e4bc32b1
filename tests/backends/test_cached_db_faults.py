"""Redis, or the database, fails at one step of a call, or at two: what every process sees then.

A step is a round trip to Redis or a statement of the database. It fails before it is done, or its answer is lost. Each
verb is tried with every step failing in both ways. Servers are real, and a failure is what a server that hangs looks
like.

* No failure of Redis keeps a session from being read or saved. An end says so, and has deleted the row.
* Who has seen a failure sees what the database has. Others may see what was before, until their copy is due.
* What was acknowledged as ended opens for nobody.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest

from django_srvsession.backends.db import DatabaseStore
from django_srvsession.records import EXPIRED, TOUCH, Delta, Ending, Loaded, Tombstone
from django_srvsession.store import Store, StoreUnavailableError, UpdateError
from django_srvsession.testing.sessions import create, make_due, new_user, new_verifier
from tests.backends.cached_db_steps import (
    DATABASE,
    REDIS,
    Failing,
    Failure,
    gate_of_this_thread,
    steps_can_be_stopped,
)
from tests.backends.redis_tools import own_pool
from tests.patience import patient
from tests.servers import RedisServer
from tests.trust import WHOLE

ENGINE = "django_srvsession.backends.cached_db"
RECOVERY_SECONDS = 5

Verb = Callable[[Store, Loaded], Any]

READS: dict[str, Verb] = {
    "load": lambda store, session: store.load(session.record.sid),
}
WRITES: dict[str, Verb] = {
    "save": lambda store, session: store.update(
        session.record.sid, session.record.verifier, Delta(changed={"a": b"2"}, removed=frozenset({"sudo"})), session
    ),
    "save without base": lambda store, session: store.update(
        session.record.sid, session.record.verifier, Delta(changed={"a": b"2"}, removed=frozenset({"sudo"}))
    ),
    "touch": lambda store, session: store.update(session.record.sid, session.record.verifier, TOUCH, session),
    "rotate": lambda store, session: store.update(
        session.record.sid, session.record.verifier, Delta(new_verifier=new_verifier()), session
    ),
}
ENDS: dict[str, Verb] = {
    "log out": lambda store, session: store.end(session.record.sid, Ending("logout", base=session)),
    "revoke": lambda store, session: store.end(session.record.sid, Ending("revoked", by="admin")),
    "revoke many": lambda store, session: store.end_many([session.record.sid], Ending("revoked", by="admin")),
    "expire": lambda store, session: store.end(session.record.sid, EXPIRED),
}
VERBS = READS | WRITES | ENDS

on_databases = pytest.mark.parametrize(
    "database_alias", ["sqlite", "postgresql"] if WHOLE else ["sqlite"], indirect=True
)


class Scene:
    """A session that three processes know: the one that is asked, another one, and one that has just begun."""

    def __init__(self, alias: str, verb: str) -> None:
        self.alias = alias
        store_class = import_module(ENGINE).SessionStore.store_class
        self.here, self.there, self.new = store_class(), store_class(), store_class()
        self.before = create(self.here, user_id=new_user(), changed={"a": b"1", "sudo": b"yes"})
        if verb == "expire":
            self.before = make_due(self.here, self.before)
        self.sid = self.before.record.sid
        for store in (self.here, self.there):
            assert isinstance(store.load(self.sid), Loaded)

    def row(self) -> Any:
        """Return what the database has."""
        return plain(DatabaseStore(self.alias).load(self.sid))

    def do(self, verb: Verb, gate: Failing, store: Store | None = None) -> Any:
        """Call a verb here, or in another store, with these failures; return its answer or its error."""
        with gate_of_this_thread(self.alias, gate):
            try:
                return verb(store or self.here, self.before)
            except (StoreUnavailableError, UpdateError) as error:
                return error


def plain(stored: Loaded | Tombstone | None) -> Any:
    """Return what a load says of a session, without when it was."""
    return (stored.record, stored.values) if isinstance(stored, Loaded) else type(stored)


def is_dead(answer: Any) -> bool:
    return answer in (Tombstone, type(None))


@pytest.fixture
def scene(database_alias: str, redis_alias: str) -> Iterator[Callable[[str], Scene]]:
    """Return a function that makes a scene for a verb."""
    with steps_can_be_stopped():
        yield lambda verb: Scene(database_alias, verb)


def steps_of(scene: Callable[[str], Scene], verb: str) -> list[str]:
    """Return the steps of a verb when nothing fails."""
    gate = Failing()
    answer = scene(verb).do(VERBS[verb], gate)
    assert not isinstance(answer, Exception)
    return gate.seen


def check(told: str, at: Scene, verb: str, answer: Any, gate: Failing) -> None:
    """See to it that everybody sees what was promised, after a call that had these failures."""
    row, before = at.row(), plain(at.before)
    seen = [plain(store.load(at.sid)) for store in (at.here, at.there, at.new)]
    if DATABASE in gate.failed:  # Nobody was told that anything was done.
        assert isinstance(answer, StoreUnavailableError), told
        assert verb in WRITES or seen == [row] * 3, told
        assert all(each in (row, before) for each in seen), told
        return
    assert isinstance(answer, Exception) <= (verb in ENDS), told
    assert verb not in ENDS or is_dead(row), told
    assert seen[0] == row, told
    if REDIS not in gate.failed or (verb in ENDS and not isinstance(answer, Exception)):
        assert seen == [row] * 3, told
    assert all(each in (row, before) for each in seen), told


@pytest.mark.parametrize("verb", VERBS)
@on_databases
def test_each_process_sees_what_was_promised_whatever_step_fails(scene: Callable[[str], Scene], verb: str) -> None:
    for number in range(len(steps_of(scene, verb))):
        for is_done in (False, True):
            at, gate = scene(verb), Failing(Failure(number, is_done))
            answer = at.do(VERBS[verb], gate)
            check(f"{gate.seen}, {number}, {is_done}, {answer!r}", at, verb, answer, gate)


@pytest.mark.parametrize("verb", ENDS)
@on_databases
def test_an_end_that_is_asked_for_again_after_a_failure_is_seen_by_all(
    scene: Callable[[str], Scene], verb: str
) -> None:
    for number in range(len(steps_of(scene, verb))):
        for is_done in (False, True):
            at, gate = scene(verb), Failing(Failure(number, is_done))
            told = f"{gate.seen}, {number}, {is_done}"
            if isinstance(at.do(VERBS[verb], gate), Exception):
                again = at.do(VERBS[verb], Failing(), at.there)
                assert not isinstance(again, Exception), told
            for store in (at.there, at.new, at.here):
                assert is_dead(plain(store.load(at.sid))), told


@pytest.mark.parametrize("verb", VERBS)
@on_databases
def test_redis_that_fails_at_every_step_changes_nothing_but_who_may_say_that_a_session_has_ended(
    scene: Callable[[str], Scene], verb: str
) -> None:
    at, gate = scene(verb), Failing(out=[REDIS])
    answer = at.do(VERBS[verb], gate)
    check(f"{gate.seen}, {answer!r}", at, verb, answer, gate)
    # What is due is due by its copy, too: nobody need be told.
    assert isinstance(answer, StoreUnavailableError) == (verb in ENDS and verb != "expire")


@pytest.mark.parametrize("verb", VERBS)
@on_databases
def test_what_is_cached_is_read_without_the_database_and_nothing_is_written(
    scene: Callable[[str], Scene], verb: str
) -> None:
    at, gate = scene(verb), Failing(out=[DATABASE])
    answer = at.do(VERBS[verb], gate)
    assert isinstance(answer, StoreUnavailableError) == (verb not in READS), (gate.seen, answer)
    assert at.row() == plain(at.before)
    assert [plain(store.load(at.sid)) for store in (at.here, at.there, at.new)] == [plain(at.before)] * 3


@pytest.mark.parametrize("verb", VERBS)
@on_databases
def test_without_either_store_nothing_is_known(scene: Callable[[str], Scene], verb: str) -> None:
    at = scene(verb)
    assert isinstance(at.do(VERBS[verb], Failing(out=[REDIS, DATABASE])), StoreUnavailableError)
    assert at.row() == plain(at.before)


@on_databases
def test_who_could_not_tell_redis_of_a_change_believes_no_older_copy_when_redis_is_back(
    scene: Callable[[str], Scene],
) -> None:
    scenes = {verb: scene(verb) for verb in (WRITES | ENDS) if verb != "expire"}
    for verb, at in scenes.items():
        at.do(VERBS[verb], Failing(out=[REDIS]))
        assert plain(at.there.load(at.sid)) == plain(at.before), "Redis still has the copy"
    asked = dict.fromkeys(scenes, 0)
    began = time.monotonic()
    while min(asked.values()) < 5:  # Several times after it was found to be well.
        assert time.monotonic() - began < patient(RECOVERY_SECONDS), asked
        for verb, at in scenes.items():
            gate = Failing()
            found = at.do(READS["load"], gate)
            asked[verb] += f"{REDIS} GET" in gate.seen
            assert plain(found) == at.row(), verb
            assert plain(at.there.load(at.sid)) in (at.row(), plain(at.before)), verb


# Redis that starts again, and remembers.


@pytest.fixture
def server(settings: Any) -> Iterator[RedisServer]:
    """A Redis of one's own, which may be killed."""
    server = RedisServer()
    server.start()
    own_pool(settings, server.url)
    yield server
    server.kill()


@pytest.mark.parametrize("verb", ["save", "rotate", "log out"])
@pytest.mark.parametrize("database_alias", ["sqlite"], indirect=True)
def test_a_copy_from_before_redis_started_again_is_not_read(
    database_alias: str, server: RedisServer, verb: str
) -> None:
    """It comes back with what it had a moment ago: the copy that it took before the session was changed."""
    at = Scene(database_alias, verb)
    with server.client() as client:
        kept = {key: client.dump(key) for key in client.scan_iter()}
    VERBS[verb](at.here, at.before)
    server.kill()
    server.start()
    with server.client() as client:
        for key, value in kept.items():
            client.restore(key, 60_000, value)
    assert kept
    assert at.row() != plain(at.before)
    for store in (at.here, at.there, at.new):
        assert plain(store.load(at.sid)) == at.row()
