"""The MongoDB store when the server is gone, frozen, restarted, refuses, or loses the connection."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pymongo.errors import (
    AutoReconnect,
    ConfigurationError,
    DocumentTooLarge,
    DuplicateKeyError,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
    WTimeoutError,
)

from django_srvsession.backends.mongodb import MongoStore
from django_srvsession.backends.mongodb.transport import OvertakenError
from django_srvsession.backends.mongodb.transport.errors import meaning_of
from django_srvsession.records import EXPIRED, TOUCH, Delta, Ending, Loaded
from django_srvsession.store import Store, StoreUnavailableError, TooLargeError, waiting
from django_srvsession.testing.sessions import create, new_delta, new_sid, new_user, new_verifier, stored
from tests.engine.pages import Browser, login, logout, make_user, put, read
from tests.mongodb_servers import MongoServer, mongodb_settings
from tests.patience import patient
from tests.runs import ROOT
from tests.trust import WHOLE, rounds

VERBS: dict[str, Callable[[Store], Any]] = {
    "load": lambda store: store.load(new_sid()),
    "create": lambda store: store.create(new_sid(), new_verifier(), new_delta(user_id="1")),
    "update": lambda store: store.update(new_sid(), new_verifier(), TOUCH),
    "rotate": lambda store: store.update(new_sid(), new_verifier(), Delta(new_verifier=new_verifier())),
    "end": lambda store: store.end(new_sid(), Ending("logout")),
    "expire": lambda store: store.end(new_sid(), EXPIRED),
    "end many": lambda store: store.end_many([new_sid()], Ending("logout")),
    "alive": lambda store: store.alive([new_sid()]),
    "admit": lambda store: store.admit("1", new_sid(), 1, "refuse"),
    "records of a user": lambda store: len(store.records("1")),
    "records from": lambda store: store.records_from("1", None, 3),
    "all records": lambda store: list(store.records()),
    "portion": lambda store: store.portion(),
    "activity": lambda store: store.activity(),
    "clear_expired": lambda store: store.clear_expired(),
}


EVERY = "2" if WHOLE else "4"
"""Each kill of how many is one of the server. (It takes seconds to start.)"""

# What errors mean.


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (AutoReconnect("x"), StoreUnavailableError),
        (NetworkTimeout("x"), StoreUnavailableError),
        (ServerSelectionTimeoutError("secret.example.org:27017: timed out"), StoreUnavailableError),
        (ExecutionTimeout("x", 50), StoreUnavailableError),
        (WTimeoutError("x", 64, {}), StoreUnavailableError),
        (WriteConcernError("x", 100, {}), StoreUnavailableError),
        (OperationFailure("not authorized on secret", 13, {"codeName": "Unauthorized"}), StoreUnavailableError),
        (OperationFailure("x", 11600, {"codeName": "InterruptedAtShutdown"}), StoreUnavailableError),
        (OperationFailure("x", 10107, {"codeName": "NotWritablePrimary"}), StoreUnavailableError),
        (OperationFailure("x", 14031, {"codeName": "OutOfDiskSpace"}), StoreUnavailableError),
        (ConfigurationError("x"), StoreUnavailableError),
        *[(OperationFailure("x", code), TooLargeError) for code in (10334, 17280, 17419, 17420)],
        (DocumentTooLarge("x"), TooLargeError),
        (DuplicateKeyError("E11000 dup key: { _id: secret }", 11000), OvertakenError),
    ],
    ids=str,
)
def test_what_pymongo_raises_says_whether_a_retry_helps_and_quotes_nobody(
    error: PyMongoError, meaning: type[Exception]
) -> None:
    told = meaning_of(error)
    assert type(told) is meaning
    assert "secret" not in str(told)


@pytest.fixture(scope="module")
def mongodb_uri(mongodb_server: MongoServer) -> str:
    """Our own server, whatever the environment names: these tests make it fail."""
    return mongodb_server.uri


@pytest.fixture
def store(mongodb: str) -> MongoStore:
    """The store, on the server of all tests."""
    return MongoStore()


@contextmanager
def failing(server: MongoServer, times: int = 1000, **data: Any) -> Iterator[None]:
    """Let commands of the store fail on the server; a client of the test's own is not hit by it."""
    commands = ["find", "aggregate", "findAndModify", "update", "delete", "hello"]
    with server.client() as client:
        point = {"configureFailPoint": "failCommand"}
        chosen = {"failCommands": [name for name in commands if name != "hello"], **data}
        client.admin.command({**point, "mode": {"times": times}, "data": chosen})
        try:
            yield
        finally:
            client.admin.command({**point, "mode": "off"})


@pytest.mark.parametrize("code", [13, 50, 8000])
def test_whatever_keeps_the_server_from_answering_is_an_outage(
    store: MongoStore, mongodb_server: MongoServer, code: int
) -> None:
    with failing(mongodb_server, errorCode=code):
        for name, verb in VERBS.items():
            with pytest.raises(StoreUnavailableError) as caught:
                verb(store)
            assert caught.value.__cause__ is not None, name
    for name in ("load", "create", "end"):
        VERBS[name](store)


def test_a_write_whose_acknowledgement_failed_is_unknown_and_a_retry_finds_it_done(
    store: MongoStore, mongodb_server: MongoServer
) -> None:
    """Nobody may take it for not done, nor for done."""
    error = {"code": 64, "errmsg": "waiting for replication timed out"}
    sid, verifier, new = new_sid(), new_verifier(), new_verifier()
    with failing(mongodb_server, times=1, writeConcernError=error), pytest.raises(StoreUnavailableError):
        store.create(sid, verifier, new_delta(changed={"n": b"0"}))
    assert store.create(sid, verifier, new_delta(changed={"n": b"0"})).record.sid == sid
    rotation = Delta(changed={"n": b"1"}, new_verifier=new)
    with failing(mongodb_server, times=1, writeConcernError=error), pytest.raises(StoreUnavailableError):
        store.update(sid, verifier, rotation)
    assert store.update(sid, verifier, rotation).record.verifier == new
    assert stored(store, sid).values == {"n": b"1"}


def test_a_connection_that_breaks_is_not_noticed_where_a_retry_is_safe(
    store: MongoStore, mongodb_server: MongoServer
) -> None:
    """A replica set knows a write by its number; a read may always be asked again."""
    session = create(store, changed={"n": b"0"})
    with failing(mongodb_server, times=1, closeConnection=True):
        assert stored(store, session.record.sid).record == session.record
    with failing(mongodb_server, times=1, closeConnection=True):
        after = store.update(session.record.sid, session.record.verifier, Delta(changed={"n": b"1"}))
    assert after.record.version == 2


def test_a_primary_that_steps_down_is_an_outage_until_there_is_one_again(
    mongodb: str, settings: Any, mongodb_server: MongoServer
) -> None:
    settings.SRVSESSION_MONGODB = mongodb_settings(mongodb_server.uri, mongodb, **limits(patient(0.3)))
    store = MongoStore()
    session = create(store)
    with failing(mongodb_server, errorCode=10107):
        for name in ("load", "update", "end"):
            with pytest.raises(StoreUnavailableError):
                VERBS[name](store)
    assert stored(store, session.record.sid).record == session.record


# A server that is gone.


@pytest.fixture(scope="module")
def lasting_server() -> Iterator[MongoServer]:
    """A server that keeps what it acknowledged."""
    server = MongoServer(in_memory=False)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def own_server(lasting_server: MongoServer) -> MongoServer:
    """A server that a test may leave in any state."""
    lasting_server.ensure()
    return lasting_server


@pytest.fixture
def own_store(own_server: MongoServer, settings: Any) -> MongoStore:
    """A store on that server, which waits for half a second."""
    settings.SRVSESSION_MONGODB = mongodb_settings(
        own_server.uri, f"own_{secrets.token_hex(4)}", **limits(patient(0.5))
    )
    return MongoStore()


def limits(seconds: float) -> dict[str, int]:
    names = ("timeoutMS", "serverSelectionTimeoutMS", "connectTimeoutMS")
    return dict.fromkeys(names, int(seconds * 1000))


def test_a_server_that_hangs_is_an_outage_in_time_and_one_that_was_killed_comes_back_as_it_was(
    own_store: MongoStore, own_server: MongoServer, settings: Any, db: None
) -> None:
    """One server for all of it: it takes seconds to start."""
    kept, gone = (create(own_store, user_id=new_user(), changed={"a": b"a"}) for _ in range(2))
    own_store.end(gone.record.sid, Ending("logout"))
    settings.ROOT_URLCONF = "tests.engine.pages"
    settings.SESSION_ENGINE = "django_srvsession.backends.mongodb"
    browsers = [Browser(), Browser(asgi=True)]
    make_user()
    for browser in browsers:
        browser.visit(put(a=1))

    with own_server.frozen():
        for name in VERBS if WHOLE else ("load", "update"):
            began = time.monotonic()
            with pytest.raises(StoreUnavailableError):
                VERBS[name](own_store)
            assert time.monotonic() - began < patient(3), name
        began = time.monotonic()
        with waiting.at_most(0.05), pytest.raises(StoreUnavailableError):
            own_store.load(kept.record.sid)
        assert time.monotonic() - began < patient(0.4)
        _assert_unavailable(browsers)
    _assert_back(own_store, kept, gone, browsers)

    own_server.kill()
    for name in VERBS if WHOLE else ("load", "create"):
        with pytest.raises(StoreUnavailableError):
            VERBS[name](own_store)
    _assert_unavailable(browsers)
    with pytest.raises(StoreUnavailableError):
        asyncio.run(own_store.face().load(kept.record.sid))
    own_server.start()
    began = time.monotonic()
    _assert_back(own_store, kept, gone, browsers)
    assert time.monotonic() - began < patient(3)
    assert asyncio.run(own_store.face().load(kept.record.sid)).record == kept.record  # type: ignore[union-attr]


def _assert_unavailable(browsers: list[Browser]) -> None:
    for browser in browsers:
        before, answer = browser.cookie, browser.visit(read)
        assert (answer.status_code, browser.cookie) == (503, before)
        assert not answer.cookies


def _assert_back(store: MongoStore, kept: Loaded, gone: Loaded, browsers: list[Browser]) -> None:
    assert stored(store, kept.record.sid).record == kept.record
    assert not isinstance(store.load(gone.record.sid), Loaded)
    for browser in browsers:
        assert browser.show(read) == {"a": 1}


def test_a_sign_in_survives_and_a_logout_stays_over_a_restart(
    own_server: MongoServer, own_store: MongoStore, settings: Any, db: None
) -> None:
    settings.ROOT_URLCONF = "tests.engine.pages"
    settings.SESSION_ENGINE = "django_srvsession.backends.mongodb"
    ann, stays, leaves = make_user(), Browser(), Browser()
    for browser in (stays, leaves):
        browser.visit(login(ann))
    copy = leaves.copy()
    leaves.visit(logout)
    own_server.kill()
    own_server.start()
    assert (stays.user(), copy.user()) == ("ann", "")


@pytest.mark.slow
@pytest.mark.timeout(patient(1200))
def test_nothing_acknowledged_is_lost_and_no_end_undone_when_server_and_writers_are_killed_in_turn(
    own_server: MongoServer,
) -> None:
    entry = mongodb_settings(own_server.uri, f"kills_{secrets.token_hex(4)}", **limits(patient(1)))
    program = [sys.executable, "-m", "tests.backends.kill_mongodb", json.dumps(entry), str(rounds(200)), EVERY]
    with subprocess.Popen(
        program, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        try:
            line = process.stdout.readline()
            while line == "kill\n":
                own_server.kill()
                own_server.start()
                process.stdin.write("\n")
                process.stdin.flush()
                line = process.stdout.readline()
        finally:
            process.stdin.close()
            process.wait(patient(30))
    report = json.loads(line)
    assert (report["lost"], report["revived"]) == ([], []), report
    assert report["counted"] > rounds(200)
    assert report["ended"] > rounds(200)
