"""A private server that speaks MongoDB's protocol: secantusdb, which is started as a program and never imported.

It is no MongoDB: ``tests/backends/test_mongodb_server.py`` pins where it differs. ``SRVSESSION_TEST_MONGODB_URI`` names
any other server for the tests that do not have to stop it; each test has a database of its own there, and drops it.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from bson import Int64
from django.conf import settings
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import PyMongoError

from django_srvsession.backends.mongodb import MongoStore
from django_srvsession.backends.mongodb.transport import SESSIONS
from tests.patience import patient
from tests.servers import Server, missing

URI = "SRVSESSION_TEST_MONGODB_URI"


class MongoServer(Server):
    """A server; ``in_memory`` it forgets all when it ends, and otherwise keeps what it acknowledged."""

    names = ("secantusd-py",)

    def __init__(self, in_memory: bool = True, extra: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.in_memory = in_memory
        self.extra = extra

    @classmethod
    def run_as(cls) -> str | None:
        return None  # It is in our virtual environment, which others may not be able to read.

    @classmethod
    def installed(cls) -> bool:
        return _program().exists()

    @classmethod
    def find(cls) -> Path:
        if not cls.installed() and sys.version_info >= (3, 14):
            pytest.skip("secantusdb has no wheel for this Python")
        return _program() if cls.installed() else missing(cls.names[0])

    def prepare(self) -> None:
        self.run("/bin/mkdir", self.data)

    def command(self) -> list[str | Path]:
        kept: str | Path = ":memory:" if self.in_memory else self.data
        options = ["--port", str(self.port), "--storage-path", kept, "--log-level", "WARNING", "--cache-size", "64M"]
        return [self.program, *options, "--enable-test-commands", *self.extra]

    @property
    def uri(self) -> str:
        """Where it answers."""
        return f"mongodb://{self.host}:{self.port}/?directConnection=true"

    def client(self, **options: Any) -> MongoClient[dict[str, Any]]:
        """Return a new plain client, which does not wait for long."""
        return MongoClient(self.uri, **{"serverSelectionTimeoutMS": 1000 * patient(2), **options})

    def answers(self) -> bool:
        try:
            with self.client(serverSelectionTimeoutMS=200, connectTimeoutMS=200) as client:
                return int(client.admin.command("serverStatus")["pid"]) == self.pid
        except PyMongoError:
            return False


def _program() -> Path:
    return Path(sys.executable).with_name(MongoServer.names[0])


def mongodb_settings(uri: str, name: str, **options: Any) -> dict[str, Any]:
    """Return ``SRVSESSION_MONGODB`` for a database of this name, with short time limits.

    Our server is asked how it is, by and by: it does not tell by itself, as MongoDB does.
    """
    milliseconds = int(1000 * patient(2))
    limits = {"serverSelectionTimeoutMS": milliseconds, "connectTimeoutMS": milliseconds, "timeoutMS": milliseconds}
    asked = {"serverMonitoringMode": "poll", "heartbeatFrequencyMS": 500}
    return {"HOST": uri, "NAME": name, "OPTIONS": {**limits, **asked, **options}}


FIELDS: Final = {
    "verifier": "verifier",
    "created_ms": "created",
    "last_seen_ms": "seen",
    "lifetime_ms": "lifetime",
    "expires_ms": "expires",
    "user_id": "user_id",
    "signed_in_ms": "signed_in",
    "deadline_ms": "deadline",
    "previous_verifier": "previous",
    "rotated_ms": "rotated",
    "rotation_final": "final",
    "version": "version",
    "details": "details",
}
"""What the fields of a record are called in a document."""


@contextmanager
def own_database() -> Iterator[Database[dict[str, Any]]]:
    """Open the database that the settings name, past the store."""
    entry = settings.SRVSESSION_MONGODB
    with MongoClient[dict[str, Any]](entry["HOST"], serverSelectionTimeoutMS=1000 * patient(2)) as client:
        yield client[entry["NAME"]]


def overwrite_document(sid: str, fields: Mapping[str, Any]) -> None:
    """Write into the document of a session, past the store."""
    numbers = {name: Int64(value) if type(value) is int else value for name, value in fields.items()}
    with own_database() as database:
        done = database[SESSIONS].update_one({"_id": sid}, {"$set": numbers})
    assert done.matched_count == 1


def make_indexes() -> None:
    """Make the indexes in the database that the settings name, as doctorsessions_srv --repair does."""
    list(MongoStore().prepare())


@contextmanager
def new_database(uri: str) -> Iterator[str]:
    """Lend the name of a database that is not there yet, and drop it afterwards."""
    name = f"srvsession_test_{secrets.token_hex(6)}"
    yield name
    with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=1000 * patient(2)) as client:
        client.drop_database(name)


def uri_of_another_server() -> str | None:
    """Return the address of the server that the tests are to use, if any was named."""
    return os.environ.get(URI) or None
