"""The Redis store when Redis is slow, gone, restarted, refuses, or talks nonsense."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.cache import CacheConfig
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from django_srvsession.backends.redis import RedisStore
from django_srvsession.backends.redis.keys import Keys
from django_srvsession.backends.redis.scripts import TEXTS
from django_srvsession.backends.redis.transport import redis_py
from django_srvsession.backends.redis.transport.redis_py import is_plain
from django_srvsession.records import EXPIRED, TOUCH, Delta, Ending, Loaded, Tombstone
from django_srvsession.store import CorruptSessionError, CreateError, Store, StoreUnavailableError, UpdateError
from django_srvsession.testing.sessions import (
    create,
    in_threads,
    new_delta,
    new_sid,
    new_user,
    new_verifier,
    sids,
    stored,
    unexpected,
)
from tests.backends.redis_tools import FakeRedis, not_stored_without_a_list, own_pool
from tests.patience import patient
from tests.runs import ROOT
from tests.servers import RedisServer

VERBS: dict[str, Callable[[Store], Any]] = {
    "load": lambda store: store.load(new_sid()),
    "create": lambda store: store.create(new_sid(), new_verifier(), new_delta(user_id="1")),
    "create anonymous": lambda store: store.create(new_sid(), new_verifier(), new_delta()),
    "update": lambda store: store.update(new_sid(), new_verifier(), TOUCH),
    "sign in": lambda store: store.update(new_sid(), new_verifier(), Delta(user_id="1")),
    "rotate": lambda store: store.update(new_sid(), new_verifier(), Delta(new_verifier=new_verifier())),
    "end": lambda store: store.end(new_sid(), Ending("logout")),
    "expire": lambda store: store.end(new_sid(), EXPIRED),
    "admit": lambda store: store.admit("1", new_sid(), 1, "refuse"),
    "records of a user": lambda store: len(store.records("1")),
    "all records": lambda store: list(store.records()),
    "a page of records": lambda store: store.records()[0:10],
    "count": lambda store: len(store.records()),
    "clear_expired": lambda store: store.clear_expired(),
}

REFUSALS = {
    "replica": b"-READONLY You can't write against a read only replica.",
    "full": b"-OOM command not allowed when used memory > 'maxmemory'.",
    "full, in a script of Redis 6": b"-ERR Error running script (call to f_1): @user_script:1: OOM command not allowed",
    "loading": b"-LOADING Redis is loading the dataset in memory",
    "no login": b"-NOAUTH Authentication required.",
    "no permission": b"-NOPERM this user has no permissions to run the 'evalsha' command",
    "no snapshot": b"-MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
    "busy": b"-BUSY Redis is busy running a script.",
    "no master": b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "cluster down": b"-CLUSTERDOWN The cluster is down",
    "moved": b"-MOVED 3999 127.0.0.1:1",
    "try again": b"-TRYAGAIN Multiple keys request during rehashing of slot",
    "unknown": b"-ERR unknown command",
    "no replicas": b"-NOREPLICAS Not enough good replicas to write.",
    "too many clients": b"-ERR max number of clients reached",
}

NONSENSE = {
    "hung up": b"",
    "truncated": b"$1000\r\nabc",
    "truncated list": b"*4\r\n$1\r\na\r\n$1\r\nb",
    "no protocol": b"HTTP/1.1 400 Bad Request\r\n",
}


@pytest.fixture
def fake(settings: Any) -> Iterator[FakeRedis]:
    server = FakeRedis(lambda command: b"+OK\r\n")
    own_pool(settings, server.url)
    yield server
    server.close()


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """A server that a test may kill, with the data kept over a restart."""
    server = RedisServer(appendonly=True)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def own_store(own_server: RedisServer, settings: Any) -> RedisStore:
    own_pool(settings, own_server.url)
    return RedisStore()


@pytest.fixture
def store(redis_alias: str) -> RedisStore:
    return RedisStore()


# What the answers mean.


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("answer", [*REFUSALS.values(), *NONSENSE.values()], ids=[*REFUSALS, *NONSENSE])
def test_whatever_keeps_redis_from_answering_is_an_outage(fake: FakeRedis, verb: str, answer: bytes) -> None:
    fake.answer = lambda command: answer + b"\r\n" if answer.startswith(b"-") else answer
    with pytest.raises(StoreUnavailableError) as caught:
        VERBS[verb](RedisStore())
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("verb", ["load", "update", "rotate", "end", "expire"])
@pytest.mark.parametrize(
    "answer",
    [
        b"-WRONGTYPE Operation against a key holding the wrong kind of value",
        b"-ERR Error running script (call to f_1): @user_script:1: WRONGTYPE Operation against a key",
    ],
    ids=["Redis 7", "Redis 6"],
)
def test_a_key_of_another_type_is_a_corrupt_session(fake: FakeRedis, verb: str, answer: bytes) -> None:
    fake.answer = lambda command: answer + b"\r\n"
    with pytest.raises(CorruptSessionError):
        VERBS[verb](RedisStore())


@pytest.mark.parametrize("answer", [b":1", b"+OK", b"$2\r\nhi", b"*3\r\n:1\r\n:2\r\n:3", b"*1\r\n:1", b"$0\r\n"])
def test_an_answer_that_is_no_session_is_a_corrupt_one(fake: FakeRedis, answer: bytes) -> None:
    fake.answer = lambda command: answer + b"\r\n"
    with pytest.raises(CorruptSessionError):
        RedisStore().load(new_sid())


SENSELESS = [b":1", b"$2\r\nok", b"*0", b"*1\r\n$2\r\nok", b"*2\r\n$2\r\nok\r\n$1\r\n1"]
SAID_BY_SET = [b"+OK", b"*-1"]  # Stored; the key is taken.


@pytest.mark.parametrize(
    ("verb", "answer"),
    [
        *(("create anonymous", answer) for answer in SENSELESS),
        *((verb, answer) for verb in ("update", "rotate", "end", "expire") for answer in SENSELESS + SAID_BY_SET),
    ],
)
def test_an_answer_that_the_command_never_gives_is_an_outage(fake: FakeRedis, verb: str, answer: bytes) -> None:
    fake.answer = lambda command: answer + b"\r\n"
    with pytest.raises(StoreUnavailableError):
        VERBS[verb](RedisStore())


@pytest.mark.parametrize("error", [b"-CLUSTERDOWN Hash slot not served", b"-NOPERM no permissions", b"-LOADING Redis"])
@pytest.mark.parametrize(
    "look",
    [
        lambda store: list(store.records("1")),
        lambda store: store.admit("1", new_sid(), 1, "refuse"),
        lambda store: store.check_index(),
        lambda store: store.clear_expired(),
    ],
    ids=["a user's list", "a limit", "an audit", "a sweep"],
)
def test_a_session_that_cannot_be_looked_at_is_not_taken_for_gone(fake: FakeRedis, look: Any, error: bytes) -> None:
    """Else "end all of them" would say that it has."""
    sid = new_sid().encode()
    entry = b"*1\r\n$%d\r\n%b\r\n" % (len(sid), sid)
    scanned = b"*2\r\n$1\r\n0\r\n*2\r\n$%d\r\n%b\r\n$1\r\n1\r\n" % (len(sid), sid)
    answers = {b"GETRANGE": error + b"\r\n", b"ZSCAN": scanned, b"SCAN": b"*2\r\n$1\r\n0\r\n*0\r\n"}
    fake.answer = lambda command: answers.get(command[0], entry)
    with pytest.raises(StoreUnavailableError):
        look(RedisStore())
    assert fake.named(b"GETRANGE")


def test_an_error_says_nothing_of_what_was_stored(fake: FakeRedis) -> None:
    fake.answer = lambda command: b"-ERR secret-value\r\n"
    with pytest.raises(StoreUnavailableError) as caught:
        VERBS["update"](RedisStore())
    assert "secret" not in str(caught.value)


ELSEWHERE = {
    "replica": REFUSALS["replica"],
    "replica, in a script of Redis 6": b"-ERR Error running script (call to f_1): @user_script:1: -READONLY You can't",
    "no replicas": REFUSALS["no replicas"],
    "no replicas, in a script": b"-ERR Error running script (call to f_1): @user_script:1: -NOREPLICAS Not enough good",
    "loading": REFUSALS["loading"],
    "no master": REFUSALS["no master"],
    "cluster down": REFUSALS["cluster down"],
}


@pytest.mark.parametrize("answer", ELSEWHERE.values(), ids=ELSEWHERE)
@pytest.mark.parametrize(
    ("pool", "verb"),
    [("ConnectionPool", "load"), ("ConnectionPool", "create anonymous"), ("BlockingConnectionPool", "end")],
)
def test_who_says_not_to_be_the_primary_is_left(
    fake: FakeRedis, settings: Any, pool: str, verb: str, answer: bytes
) -> None:
    """The next use makes a new connection, for which Sentinel, or the name's address, is asked again."""
    own_pool(settings, fake.url, CONNECTION_POOL_CLASS=f"redis.{pool}")
    store = RedisStore()
    for before in (1, 2, 3):
        fake.answer = lambda command: answer + b"\r\n"
        with pytest.raises(StoreUnavailableError):
            VERBS[verb](store)
        assert fake.accepted == before
    fake.answer = lambda command: b"$-1\r\n"
    assert store.load(new_sid()) is None
    assert fake.accepted == 4


@pytest.mark.parametrize(
    "state",
    [
        ["CONFIG SET min-replicas-to-write 1"],
        ["REPLICAOF 127.0.0.1 1"],
        ["CONFIG SET replica-serve-stale-data no", "REPLICAOF 127.0.0.1 1"],
    ],
    ids=["too few replicas", "replica", "replica whose data is stale"],
)
def test_a_connection_to_who_is_not_the_primary_is_not_used_again(
    own_server: RedisServer, own_store: RedisStore, state: list[str]
) -> None:
    """By commands and by scripts."""
    sid = create(own_store).record.sid
    with own_server.client() as client:
        for words in state:
            client.execute_command(*words.split())
        before = client.info("stats")["total_connections_received"]
        for verb in (lambda: own_store.end(sid, Ending("logout")), lambda: create(own_store)) * 2:
            with pytest.raises(StoreUnavailableError):
                verb()
        assert client.info("stats")["total_connections_received"] == before + 3  # The first was open.
        for word in ("REPLICAOF NO ONE", "CONFIG SET min-replicas-to-write 0"):
            client.execute_command(*word.split())
    assert own_store.end(sid, Ending("logout"))


@pytest.mark.parametrize("refusal", ["full", "no permission", "unknown", "no snapshot"])
def test_another_refusal_costs_no_connection(fake: FakeRedis, refusal: str) -> None:
    fake.answer = lambda command: REFUSALS[refusal] + b"\r\n"
    store = RedisStore()
    for _ in range(3):
        with pytest.raises(StoreUnavailableError):
            VERBS["end"](store)
    assert fake.accepted == 1


# Nothing is sent twice.


@pytest.mark.parametrize(
    ("verb", "command"),
    [*((verb, b"EVALSHA") for verb in ("update", "rotate", "end", "expire")), ("create anonymous", b"SET")],
)
def test_a_write_whose_answer_was_lost_is_not_sent_again_whatever_the_alias_says(
    fake: FakeRedis, settings: Any, verb: str, command: bytes
) -> None:
    retry = Retry(NoBackoff(), 3, supported_errors=(RedisConnectionError, RedisTimeoutError))
    options = {"retry": retry, "retry_on_error": [RedisConnectionError]}
    own_pool(settings, fake.url, CONNECTION_POOL_KWARGS=options)
    fake.answer = lambda command: b":1\r\n" if command[0] == b"ZADD" else b""
    with pytest.raises(StoreUnavailableError):
        VERBS[verb](RedisStore())
    assert len(fake.named(command)) == 1
    assert not fake.named(b"EVAL")


def test_a_script_that_redis_has_forgotten_is_sent_with_its_text_once(fake: FakeRedis) -> None:
    fake.answer = lambda command: b"-NOSCRIPT No matching script.\r\n" if command[0] == b"EVALSHA" else b""
    with pytest.raises(StoreUnavailableError):
        VERBS["end"](RedisStore())
    assert [command[1].decode() for command in fake.named(b"EVAL")] == [TEXTS[fake.named(b"EVALSHA")[0][1].decode()]]


def test_a_server_that_forgot_the_scripts_is_told_them(own_server: RedisServer, own_store: RedisStore) -> None:
    client = own_server.client()
    session = create(own_store, user_id=new_user())
    sid = session.record.sid
    new = new_verifier()
    for verb in (
        lambda: own_store.update(sid, session.record.verifier, TOUCH, session),
        lambda: own_store.update(sid, session.record.verifier, Delta(new_verifier=new)),
        lambda: own_store.admit("1", sid, 1, "refuse"),
        lambda: own_store.end(sid, Ending("logout")),
        lambda: create(own_store, lifetime_ms=0),
        lambda: own_store.clear_expired(),
    ):
        client.script_flush()
        verb()
    assert isinstance(own_store.load(sid), Tombstone)


# Frozen, killed, restarted.


@pytest.mark.parametrize("verb", VERBS)
def test_a_frozen_server_is_an_outage_within_the_time_limit(
    store: RedisStore, redis_server: RedisServer, verb: str
) -> None:
    create(store, user_id="1")
    with redis_server.frozen():
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            VERBS[verb](store)
        assert time.monotonic() - began < patient(2)  # The limit is half a second, to connect and to read.
    assert isinstance(create(store), Loaded)


def test_a_killed_server_is_an_outage_until_it_is_back(own_server: RedisServer, own_store: RedisStore) -> None:
    session = create(own_store, user_id=new_user())
    own_server.kill()
    for verb in VERBS.values():
        with pytest.raises(StoreUnavailableError):
            verb(own_store)
    own_server.start()
    # Every connection was closed meanwhile; a write notices before it is sent.
    own_store.update(session.record.sid, session.record.verifier, Delta(changed={"a": b"a"}), session)
    assert stored(own_store, session.record.sid).values == {"a": b"a"}


@pytest.mark.parametrize("verb", ["load", "write"])
def test_a_connection_that_the_server_closed_is_replaced_before_it_is_used(
    store: RedisStore, redis_server: RedisServer, verb: str
) -> None:
    session = create(store)
    with redis_server.client(client_name="killer") as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    if verb == "load":
        assert store.load(session.record.sid)
    else:
        store.update(session.record.sid, session.record.verifier, TOUCH, session)


def test_a_logout_that_timed_out_but_was_done_is_done(redis_server: RedisServer, store: RedisStore) -> None:
    """A command may be carried out long after its caller gave up."""
    session = create(store, user_id=new_user())
    with redis_server.frozen(), pytest.raises(StoreUnavailableError):
        store.end(session.record.sid, Ending("logout"))
    store.end(session.record.sid, Ending("logout"))
    assert isinstance(store.load(session.record.sid), Tombstone)
    with pytest.raises(UpdateError):
        store.update(session.record.sid, session.record.verifier, TOUCH, session)


def test_a_save_that_was_stuck_in_a_frozen_server_does_not_undo_a_logout(
    redis_server: RedisServer, store: RedisStore
) -> None:
    session = create(store, user_id=new_user())
    with redis_server.frozen(), pytest.raises(StoreUnavailableError):
        store.update(session.record.sid, session.record.verifier, Delta(changed={"late": b"1"}), session)
    assert store.end(session.record.sid, Ending("logout")) is not None
    assert isinstance(store.load(session.record.sid), Tombstone)
    assert list(store.records(session.record.user_id)) == []


def test_a_restart_brings_no_ended_session_back(own_server: RedisServer, own_store: RedisStore) -> None:
    user_id = new_user()
    ended, live = create(own_store, user_id=user_id), create(own_store, user_id=user_id)
    own_store.end(ended.record.sid, Ending("revoked", by="admin"))
    own_server.kill()
    own_server.start()
    tombstone = own_store.load(ended.record.sid)
    assert isinstance(tombstone, Tombstone)
    assert (tombstone.reason, tombstone.by) == ("revoked", "admin")
    with pytest.raises(UpdateError):
        own_store.update(ended.record.sid, ended.record.verifier, TOUCH, ended)
    with pytest.raises(CreateError):
        own_store.create(ended.record.sid, ended.record.verifier, new_delta())
    assert sids(own_store.records(user_id)) == [live.record.sid]


def test_a_session_that_could_not_be_listed_is_not_stored(
    store: RedisStore, redis_server: RedisServer, redis_prefix: str
) -> None:
    class Asked:
        def ask(self, *command: Any) -> Any:
            with redis_server.client() as client:
                return client.execute_command(*command)

    not_stored_without_a_list(store, Keys(redis_prefix), lambda key: Asked())


@pytest.mark.parametrize("refused", ["-zadd", "-zremrangebyscore", "-set"])
def test_a_session_of_which_redis_permits_one_part_only_is_neither_listed_nor_stored(
    store: RedisStore, redis_server: RedisServer, redis_prefix: str, settings: Any, refused: str
) -> None:
    user_id, sid = new_user(), new_sid()
    assert store.load(sid) is None  # From now on it has connections of its own.
    with redis_server.client() as client:
        client.acl_setuser("half", enabled=True, nopass=True, keys=["*"], commands=["+@all", refused])
        own_pool(settings, redis_server.url.replace("redis://", "redis://half:any@"))
        with pytest.raises(StoreUnavailableError):
            RedisStore().create(sid, new_verifier(), new_delta(user_id=user_id))
        client.acl_deluser("half")
    assert store.load(sid) is None
    assert list(store.records(user_id)) == list(store.records()) == []


def _do(functions: Sequence[Callable[[], Any]]) -> None:
    for function in functions:
        function()


def test_a_full_server_refuses_new_sessions_and_still_ends_old_ones(settings: Any) -> None:
    server = RedisServer(extra=["--maxmemory", "3mb"])
    server.start()
    try:
        own_pool(settings, server.url)
        store = RedisStore()
        session, known, visitor = create(store, user_id="1"), create(store, user_id="1"), create(store)
        fill = [lambda: create(store, user_id="1", changed={"a": b"x" * 10_000})] * 1000
        with pytest.raises(StoreUnavailableError):
            _do(fill)
        assert isinstance(store.load(session.record.sid), Loaded)
        assert store.end(session.record.sid, Ending("logout")) == session.record
        for each in (known, visitor):
            assert store.end(each.record.sid, Ending("logout", base=each)) == each.record
        for each in (session, known, visitor):
            assert isinstance(store.load(each.record.sid), Tombstone)
    finally:
        server.kill()


# Processes and threads.


def test_a_forked_process_uses_connections_of_its_own(store: RedisStore) -> None:
    made = [create(store, changed={"n": b"%d" % number}).record.sid for number in range(4)]
    children = []
    for number, sid in enumerate(made):
        if (pid := os.fork()) == 0:
            try:
                right = all(stored(store, sid).values == {"n": b"%d" % number} for _ in range(200))
            except BaseException:  # noqa: BLE001 - told by the exit code; a child must not go on as a test.
                right = False
            os._exit(0 if right else 1)
        children.append(pid)
    for _ in range(200):
        assert stored(store, made[0]).values == {"n": b"0"}
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 4


def test_threads_never_see_each_others_answers(store: RedisStore) -> None:
    made = [create(store, changed={"n": b"%d" % number}).record.sid for number in range(16)]

    def read(number: int) -> None:
        for _ in range(100):
            found = stored(store, made[number])
            assert (found.record.sid, found.values) == (made[number], {"n": b"%d" % number})

    outcomes = in_threads([lambda number=number: read(number) for number in range(16)], lambda: None)
    assert unexpected(outcomes) == []


def test_an_interrupted_request_leaves_no_answer_for_the_next(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = create(store), create(store)
    read = redis_py._reply

    def interrupt(connection: Any) -> Any:
        monkeypatch.setattr(redis_py, "_reply", read)
        raise KeyboardInterrupt

    # The answer may still be under way when the connection is looked at.
    monkeypatch.setattr(redis_py, "_reply", interrupt)
    monkeypatch.setattr(redis_py, "is_stale", lambda connection: False)
    with pytest.raises(KeyboardInterrupt):
        store.load(first.record.sid)
    assert stored(store, second.record.sid).record == second.record


def test_few_connections_stay_out_of_the_pool_and_all_return_with_the_store(
    redis_server: RedisServer, settings: Any
) -> None:
    own_pool(settings, redis_server.url, CONNECTION_POOL_KWARGS={"max_connections": 16})
    store = RedisStore()
    pool = store.transport.pool
    outcomes = in_threads([partial(_do, [partial(store.load, new_sid())] * 50)] * 12, lambda: None)
    assert unexpected(outcomes) == []
    assert len(pool._in_use_connections) <= 4
    del store, outcomes
    assert len(pool._in_use_connections) == 0


class OwnPool(redis.ConnectionPool):
    """A pool of a project's own, which may have reasons of its own to give up a connection."""


@pytest.mark.parametrize(
    "options",
    [
        {"CONNECTION_POOL_CLASS": "tests.backends.test_redis_faults.OwnPool"},
        {"CONNECTION_POOL_KWARGS": {"credential_provider": redis.UsernamePasswordCredentialProvider("default", "any")}},
    ],
    ids=["a pool of the project's own", "credentials that are renewed"],
)
def test_a_pool_that_looks_after_its_connections_gets_each_back_at_once(
    redis_server: RedisServer, settings: Any, options: dict[str, Any]
) -> None:
    own_pool(settings, redis_server.url, **options)
    store = RedisStore()
    for _ in range(3):
        create(store)
        assert len(store.transport.pool._in_use_connections) == 0


def test_a_pool_with_a_cache_keeps_its_connections() -> None:
    assert is_plain(redis.ConnectionPool(protocol=3))
    assert not is_plain(redis.ConnectionPool(protocol=3, cache_config=CacheConfig()))


@pytest.mark.parametrize("pool", ["ConnectionPool", "BlockingConnectionPool"])
def test_a_connection_without_a_socket_is_not_kept(redis_server: RedisServer, settings: Any, pool: str) -> None:
    own_pool(settings, redis_server.url, CONNECTION_POOL_CLASS=f"redis.{pool}")
    store = RedisStore()
    create(store)
    with redis_server.frozen(), pytest.raises(StoreUnavailableError):
        store.load(new_sid())
    assert store.transport.connections.take_kept() is None
    store.load(new_sid())
    store.transport.pool.disconnect()  # As another user of the alias may; what is lent out is closed, too.
    assert store.transport.connections.take_kept() is None
    assert store.load(new_sid()) is None


def test_a_pool_of_one_connection_is_left_to_the_pool(redis_server: RedisServer, settings: Any) -> None:
    own_pool(settings, redis_server.url, CONNECTION_POOL_KWARGS={"max_connections": 1})
    store = RedisStore()
    for _ in range(3):
        store.load(new_sid())
    assert len(store.transport.pool._in_use_connections) == 0


WITHOUT_HIREDIS = """
import sys
sys.modules["hiredis"] = None
import django
django.setup()
from django.test import override_settings
from django_srvsession.backends.redis import RedisStore
from django_srvsession.records import Delta
from django_srvsession.testing.sessions import create, stored
entry = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": sys.argv[1]}
with override_settings(CACHES={"sessions": entry}, SESSION_CACHE_ALIAS="sessions", SRVSESSION_REDIS_PREFIX=sys.argv[2]):
    store = RedisStore()
    session = create(store, user_id="é", changed={"a": bytes(range(256)) * 100})
    store.update(session.record.sid, session.record.verifier, Delta(changed={"b": b"1"}), session)
    assert stored(store, session.record.sid).values == {"a": bytes(range(256)) * 100, "b": b"1"}
    assert [record.sid for record in store.records("é")] == [session.record.sid]
print("done")
"""


def test_hiredis_is_not_needed(redis_server: RedisServer, redis_prefix: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_HIREDIS, redis_server.url, redis_prefix],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": os.fspath(ROOT)},
        capture_output=True,
        text=True,
        timeout=patient(60),
        check=False,
    )
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr
