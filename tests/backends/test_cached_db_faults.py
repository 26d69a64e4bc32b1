"""Redis, or the database, fails at one step of a call, or at two: what every process sees then.

A step is a round trip to Redis or a statement of the database. It fails before it is done, or its answer is lost. Each
verb is tried with every step failing in both ways. Servers are real, and a failure is what a server that hangs looks
like.

* No failure of Redis keeps a session from being read or saved. An end says so, and has deleted the row.
* Who has seen a failure sees what the database has. Others may see what was before, until their copy is due.
* What was acknowledged as ended opens for nobody.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest
import redis

from django_srvsession.backends.cached_db import copies
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
    on_a_loop,
    steps_can_be_stopped,
)
from tests.backends.redis_tools import own_pool
from tests.patience import patient
from tests.runs import wait_until
from tests.servers import RedisServer
from tests.trust import WHOLE

ENGINE = "django_srvsession.backends.cached_db"
RECOVERY_SECONDS = 5

Verb = Callable[[Any, Loaded], Any]
"""Of a store, or of its face, which an event loop awaits."""

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

    def __init__(self, alias: str, verb: str, *, is_async: bool = False) -> None:
        self.alias, self.is_async = alias, is_async
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
        store = store or self.here
        try:
            if self.is_async:
                return asyncio.run(on_a_loop(self.alias, gate, lambda: verb(store.face(), self.before)))
            with gate_of_this_thread(self.alias, gate):
                return verb(store, self.before)
        except (StoreUnavailableError, UpdateError) as error:
            return error


def plain(stored: Loaded | Tombstone | None) -> Any:
    """Return what a load says of a session, without when it was."""
    return (stored.record, stored.values) if isinstance(stored, Loaded) else type(stored)


def is_dead(answer: Any) -> bool:
    return answer in (Tombstone, type(None))


@pytest.fixture(params=["threads", "loop"] if WHOLE else ["threads"])
def scene(request: pytest.FixtureRequest, database_alias: str, redis_alias: str) -> Iterator[Callable[[str], Scene]]:
    """Return a function that makes a scene for a verb, which is called in a thread, or on an event loop."""
    with steps_can_be_stopped():
        yield lambda verb: Scene(database_alias, verb, is_async=request.param == "loop")


def steps_of(scene: Callable[[str], Scene], verb: str) -> list[str]:
    """Return the steps of a verb when nothing fails."""
    gate = Failing()
    answer = scene(verb).do(VERBS[verb], gate)
    assert not isinstance(answer, Exception)
    assert {step.split()[0] for step in gate.seen} == {REDIS} | ({DATABASE} if verb not in READS else set())
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


@pytest.mark.parametrize("remembers", [True, False], ids=["told later", "too many to tell"])
@on_databases
def test_who_could_not_tell_redis_of_a_change_believes_no_older_copy_when_redis_is_back(
    scene: Callable[[str], Scene], monkeypatch: pytest.MonkeyPatch, remembers: bool
) -> None:
    """Where Redis is told of it then, nobody else believes one either."""
    if not remembers:
        monkeypatch.setattr(copies, "_MOST_UNTOLD", 0)
    scenes = {verb: scene(verb) for verb in (WRITES | ENDS) if verb != "expire"}
    others = {verb: create(at.here).record.sid for verb, at in scenes.items()}
    for verb, at in scenes.items():
        at.do(VERBS[verb], Failing(out=[REDIS]))
    began = time.monotonic()
    for verb, at in scenes.items():
        gate = Failing()
        while gate.seen.count(f"{REDIS} GET") < 3:  # It asks Redis again, and for other sessions.
            assert time.monotonic() - began < patient(RECOVERY_SECONDS), gate.seen
            at.do(lambda store, _, sid=others[verb]: store.load(sid), gate)  # type: ignore[misc]
        assert plain(at.there.load(at.sid)) == (at.row() if remembers else plain(at.before)), verb
        for _ in range(3):
            assert plain(at.here.load(at.sid)) == at.row(), verb


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


@pytest.mark.parametrize("verb", ["save", "log out"])
@pytest.mark.parametrize("database_alias", ["sqlite"], indirect=True)
def test_a_copy_that_comes_from_another_server_is_not_read(database_alias: str, server: RedisServer, verb: str) -> None:
    """A replica that lags becomes the primary for a moment, and what it has takes the place of what this one had.

    Who has connections meanwhile, and uses none, learns of it when copies are due.
    """
    at, other = Scene(database_alias, verb), RedisServer(extra=["--repl-diskless-sync-delay", "0"])
    others = [create(store) for store in (at.here, at.there)]
    other.start()
    with server.client() as here, other.client() as there:
        here.config_set("repl-diskless-sync-delay", 0)
        follow(there, server, other)
        there.replicaof("NO", "ONE")
        VERBS[verb](at.here, at.before)
        follow(here, other, server)
        for store, session in zip((at.here, at.there), others, strict=True):
            store.update(session.record.sid, session.record.verifier, TOUCH, session)
        here.replicaof("NO", "ONE")
        assert here.dbsize() > 0
    other.kill()
    assert at.row() != plain(at.before)
    began = time.monotonic()
    while not all(store.copies.breaker.is_closed for store in (at.here, at.there)):  # type: ignore[attr-defined]
        for store in (at.new, at.here, at.there):
            assert plain(store.load(at.sid)) == at.row()
        assert time.monotonic() - began < patient(RECOVERY_SECONDS)
    for store in (at.here, at.there):
        assert plain(store.load(at.sid)) == at.row()


def follow(client: redis.Redis, primary: RedisServer, replica: RedisServer) -> None:
    """Have a server follow another one, and wait until it has the same data."""
    assert replica.job
    client.replicaof(primary.host, str(primary.port))
    wait_until(lambda: client.info("replication")["master_link_status"] == "up", replica.job)
