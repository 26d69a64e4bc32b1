"""``SRVSESSION_MONGODB``: what it may say, what the checks say of it, and what the doctor finds and repairs.

What needs several servers is tested against replies as MongoDB's manual shows them: nobody has tried it on a real one.
"""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.views.debug import SafeExceptionReporterFilter

from django_srvsession.backends.mongodb import MongoStore, health
from django_srvsession.backends.mongodb.configuration import DEFAULTS, configuration
from django_srvsession.backends.mongodb.indexes import INDEXES
from django_srvsession.backends.mongodb.transport import SESSIONS
from django_srvsession.store import StoreUnavailableError
from django_srvsession.testing.sessions import create, new_user
from tests.mongodb_servers import MongoServer, own_database
from tests.servers import free_port

NOWHERE = "mongodb://127.0.0.1:1"
BACKEND = "django_mongodb_backend"


@pytest.fixture(scope="module")
def mongodb_uri(mongodb_server: MongoServer) -> str:
    """Our own server, whatever the environment names: what the doctor says of others is theirs."""
    return mongodb_server.uri


def of(settings: Any, entry: Any) -> Any:
    settings.SRVSESSION_MONGODB = entry
    return configuration()


# What it may say.


def test_an_address_and_a_name_are_enough(settings: Any) -> None:
    where = of(settings, {"HOST": NOWHERE, "NAME": "site"})
    assert where.client_options == {"host": NOWHERE, **DEFAULTS}
    assert (where.name, where.timeout_s) == ("site", 3)
    assert of(settings, {"HOST": f"{NOWHERE}/site"}).name == "site"
    assert of(settings, {"HOST": f"{NOWHERE}/other?w=1", "NAME": "site"}).name == "site"


def test_what_the_address_or_the_options_say_counts_more_than_our_defaults(settings: Any) -> None:
    where = of(settings, {"HOST": f"{NOWHERE}/a?W=1&timeoutms=700", "OPTIONS": {"appName": "shop", "journal": False}})
    assert where.client_options.keys() & {"w", "timeoutMS", "appname"} == set()
    assert (where.client_options["journal"], where.client_options["appName"]) == (False, "shop")
    assert where.timeout_s == 0.7
    where = of(settings, {"HOST": NOWHERE, "NAME": "a", "OPTIONS": {"socketTimeoutMS": 300}})
    assert (where.timeout_s, where.limits_s) == (None, {"serverSelectionTimeoutMS": 2, "socketTimeoutMS": 0.3})
    assert "timeoutMS" not in where.client_options


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (None, "is not set"),
        ("mongodb://127.0.0.1", "must be a dict"),
        ({"HOST": NOWHERE}, "names no database"),
        ({"NAME": "a"}, "HOST"),
        ({"HOST": "127.0.0.1", "NAME": "a"}, "must be an address"),
        ({"HOST": NOWHERE, "NAME": "a", "PORT": 1}, "PORT"),
        ({"HOST": NOWHERE, "NAME": "a", "OPTIONS": "w=1"}, "OPTIONS"),
        ({"USING": "elsewhere"}, "is not there"),
        ({"USING": "default"}, "whose ENGINE is not"),
        ({"USING": "default", "HOST": NOWHERE}, "both"),
    ],
    ids=str,
)
def test_what_it_may_not_say_is_an_error_that_says_so(settings: Any, entry: Any, text: str) -> None:
    settings.SRVSESSION_MONGODB = entry
    settings.SESSION_ENGINE = "django_srvsession.backends.mongodb"
    with pytest.raises(ImproperlyConfigured, match=text):
        MongoStore().load("0" * 18)
    assert ids() == {"srvsession.E121"}


def test_an_entry_of_django_mongodb_backend_is_read_as_that_reads_it(settings: Any) -> None:
    entry = {
        "ENGINE": BACKEND,
        "HOST": "db.example.org",
        "NAME": "site",
        "USER": "ann",
        "PASSWORD": "s3cret",
        "PORT": "27018",
        "OPTIONS": {"tls": True, "w": 1},
    }
    settings.DATABASES = {**settings.DATABASES, "mongo": entry}
    where = of(settings, {"USING": "mongo"})
    assert (where.name, where.alias) == ("site", "mongo")
    expected = {"host": "db.example.org", "username": "ann", "password": "s3cret", "port": 27018, "tls": True, "w": 1}
    assert expected.items() <= where.client_options.items()
    where = of(settings, {"USING": "mongo", "NAME": "sessions", "OPTIONS": {"w": "majority"}})
    assert (where.name, where.client_options["w"]) == ("sessions", "majority")
    settings.DATABASES = {**settings.DATABASES, "mongo": {"ENGINE": BACKEND, "NAME": "site"}}
    assert of(settings, {"USING": "mongo"}).host == "127.0.0.1"


# What the checks say.


def messages(*, deploy: bool = False) -> list[CheckMessage]:
    return list(MongoStore.check(deploy))


def ids(*, deploy: bool = False) -> set[str]:
    return {str(message.id) for message in messages(deploy=deploy)}


@pytest.mark.parametrize(
    ("address", "options", "expected"),
    [
        (NOWHERE, {}, set()),
        (NOWHERE, {"timeoutMS": 1000, "serverSelectionTimeoutMS": 500}, set()),
        (NOWHERE, {"timeoutMS": 30_000}, {"W121"}),
        (NOWHERE, {"timeoutMS": 0}, {"W121"}),
        (f"{NOWHERE}/?serverSelectionTimeoutMS=30000", {}, set()),
        (f"{NOWHERE}/?serverSelectionTimeoutMS=30000", {"socketTimeoutMS": 500}, {"W121"}),
        (NOWHERE, {"socketTimeoutMS": 500}, set()),
        (NOWHERE, {"socketTimeoutMS": 60_000}, {"W121"}),
        (NOWHERE, {"w": 1}, {"W122"}),
        (f"{NOWHERE}/?w=1", {}, {"W122"}),
        (f"{NOWHERE}/?w=majority", {}, set()),
        (NOWHERE, {"journal": False}, {"W122"}),
        (f"{NOWHERE}/?journal=false", {}, {"W122"}),
        (NOWHERE, {"readPreference": "secondaryPreferred"}, {"W123"}),
        (f"{NOWHERE}/?readPreference=nearest", {}, {"W123"}),
        (NOWHERE, {"readPreference": "primary"}, set()),
        (NOWHERE, {"noSuchOption": 1}, {"E121"}),
        ("mongodb://ann:s3cret@x@127.0.0.1", {}, {"E121"}),
        ("mongodb+srv://no.such.host.invalid", {}, set()),
    ],
)
def test_settings_that_cost_a_promise_are_reported_and_no_server_is_asked(
    settings: Any, address: str, options: dict[str, Any], expected: set[str]
) -> None:
    settings.SRVSESSION_MONGODB = {"HOST": address, "NAME": "a", "OPTIONS": options}
    assert ids() == {f"srvsession.{number}" for number in expected}
    assert not any("s3cret" in str(message) for message in messages())


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("mongodb://127.0.0.1:1", False),
        ("mongodb://localhost:1,[::1]:1,127.0.0.2:1", False),
        ("mongodb://%2Ftmp%2Fmongodb-27017.sock", False),
        ("mongodb://10.0.0.1:1,127.0.0.1:1", True),
        ("mongodb://ann:x@db.example.org:1", True),
        ("mongodb://10.0.0.1:1/?tls=true", False),
        ("mongodb://10.0.0.1:1/?ssl=true", False),
        ("mongodb://10.0.0.1:1/?tls=false", True),
    ],
)
def test_a_way_over_the_network_without_tls_is_reported_for_a_deployment(
    settings: Any, monkeypatch: pytest.MonkeyPatch, address: str, expected: bool
) -> None:
    from django_srvsession.backends.mongodb import checks

    monkeypatch.setattr(checks, "_of_server", lambda where: ())
    settings.SRVSESSION_MONGODB = {"HOST": address, "NAME": "a"}
    assert ("srvsession.W124" in ids(deploy=True)) is expected
    assert "srvsession.W124" not in ids()


def test_a_server_that_does_not_answer_is_reported_for_a_deployment(settings: Any) -> None:
    address = f"mongodb://127.0.0.1:{free_port()}"
    settings.SRVSESSION_MONGODB = {"HOST": address, "NAME": "a", "OPTIONS": {"timeoutMS": 100}}
    assert ids(deploy=True) == {"srvsession.W126"}


# Indexes.


@pytest.fixture
def without_indexes(mongodb: str, settings: Any) -> MongoStore:
    """A store that nobody has prepared."""
    settings.SESSION_ENGINE = "django_srvsession.backends.mongodb"
    with own_database() as database:
        for collection in {index.collection for index in INDEXES}:
            database.drop_collection(collection)
    return MongoStore()


def doctor(*arguments: str) -> dict[str, list[dict[str, str]]]:
    stdout, findings = StringIO(), dict[str, list[dict[str, str]]]()
    with contextlib.suppress(SystemExit):
        call_command("doctorsessions_srv", "--json", *arguments, stdout=stdout)
    for finding in json.loads(stdout.getvalue()):
        findings.setdefault(finding["name"], []).append(finding)
    return findings


def test_missing_indexes_are_named_by_a_check_and_made_by_the_doctor(without_indexes: MongoStore, db: None) -> None:
    create(without_indexes, user_id=new_user())
    (message,) = messages(deploy=True)
    assert message.id == "srvsession.W125"
    assert all(index.full_name in str(message.msg) for index in INDEXES)
    assert doctor()["indexes"][0]["level"] == "error"
    with own_database() as database:
        assert len(database[SESSIONS].index_information()) == 1, "no request and no check makes any"
    assert [finding["level"] for finding in doctor("--repair")["indexes"]] == ["note", "ok"]
    assert messages(deploy=True) == []
    assert [finding["level"] for finding in doctor("--repair")["indexes"]] == ["ok"]


def test_an_index_of_other_options_counts_as_missing(without_indexes: MongoStore) -> None:
    with own_database() as database:
        database[SESSIONS].create_index([("gone", 1)], name="theirs")
    assert "srvsession_mongodb.srvsession_gone" in str(messages(deploy=True)[0].msg)


# What the doctor finds.


def test_the_doctor_examines_the_server(mongodb: str, settings: Any, db: None) -> None:
    settings.SESSION_ENGINE = "django_srvsession.backends.mongodb"
    findings = doctor()
    for name in ("engine", "reachable", "clock", "version", "replica set", "write concern", "indexes"):
        assert [finding["level"] for finding in findings[name]] == ["ok"], name
    assert {"srvsession.W125", "srvsession.W126"}.isdisjoint(findings)


def test_a_server_that_does_not_answer_is_an_error_and_no_traceback(settings: Any, db: None) -> None:
    settings.SESSION_ENGINE = "django_srvsession.backends.mongodb"
    address = f"mongodb://ann:s3cret@127.0.0.1:{free_port()}"
    settings.SRVSESSION_MONGODB = {"HOST": address, "NAME": "a", "OPTIONS": {"timeoutMS": 100}}
    findings = doctor()
    assert findings["reachable"][0]["level"] == "error"
    assert "s3cret" not in json.dumps(findings)


@pytest.mark.parametrize(("version", "level"), [("8.0.4", "ok"), ("5.0.0", "ok"), ("4.4.29", "error"), ("", "error")])
def test_a_mongodb_that_is_too_old_is_an_error(version: str, level: str) -> None:
    assert health.version({"version": version}).level == level


@pytest.mark.parametrize(
    ("concern", "level"),
    [({"w": "majority", "j": True}, "ok"), ({"w": "majority"}, "ok"), ({"w": 1}, "warning"), ({}, "warning")],
)
def test_a_write_that_a_fail_over_may_undo_is_a_warning(concern: dict[str, Any], level: str) -> None:
    assert health.write_concern(concern).level == level


def member(name: str, state: str, behind_s: float = 0, up: int = 1) -> dict[str, Any]:
    """Return a member as ``replSetGetStatus`` tells of it."""
    written = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None) - timedelta(seconds=behind_s)
    return {"name": name, "health": up, "stateStr": state, "optimeDate": written}


@pytest.mark.parametrize(
    ("hello", "members", "expected"),
    [
        ({}, None, ["note"]),
        ({"msg": "isdbgrid"}, None, ["ok"]),
        ({"setName": "rs0"}, None, ["ok"]),
        ({"setName": "rs0"}, [member("a:1", "PRIMARY"), member("b:1", "SECONDARY", 2)], ["ok"]),
        ({"setName": "rs0"}, [member("a:1", "PRIMARY"), member("b:1", "SECONDARY", 60)], ["ok", "warning"]),
        ({"setName": "rs0"}, [member("a:1", "PRIMARY"), member("c:1", "ARBITER", 9999)], ["ok"]),
        ({"setName": "rs0"}, [member("a:1", "PRIMARY"), member("b:1", "RECOVERING")], ["ok", "warning"]),
        (
            {"setName": "rs0"},
            [member("a:1", "PRIMARY"), member("b:1", "(not reachable/healthy)", 99, up=0)],
            ["ok", "warning"],
        ),
    ],
)
def test_what_stands_behind_the_address_is_told_by_recorded_replies(
    hello: dict[str, Any], members: Any, expected: list[str]
) -> None:
    found = list(health.topology(hello, {"members": members} if members else None))
    assert [finding.level for finding in found] == expected
    assert all(finding.advice for finding in found if finding.level == "warning")


@pytest.mark.parametrize(
    ("stats", "expected"),
    [
        ({}, []),
        ({"fsTotalSize": 100e9, "fsUsedSize": 50e9}, ["ok"]),
        ({"fsTotalSize": 100e9, "fsUsedSize": 95e9}, ["warning"]),
    ],
)
def test_a_disk_that_is_nearly_full_is_a_warning(stats: dict[str, float], expected: list[str]) -> None:
    assert [finding.level for finding in health.space(stats)] == expected


def test_a_server_that_may_not_be_asked_is_still_examined(mongodb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MongoStore()
    to, command = store.transport, store.transport.command

    async def forbidding(asked: dict[str, Any], *, of_server: bool = False) -> Any:
        if next(iter(asked)) in ("replSetGetStatus", "dbStats", "collStats"):
            raise StoreUnavailableError("MongoDB refuses: 13 Unauthorized.")
        return await command(asked, of_server=of_server)

    monkeypatch.setattr(to, "command", forbidding)
    assert [finding.level for finding in store.examine()] == ["ok"] * 6
    assert store.storage_info()[:3] == ("MongoDB", "", None)


def test_a_password_in_the_options_is_hidden_in_error_reports(settings: Any) -> None:
    """As ``docs/reference/stores.rst`` says: Django looks at the names of settings, and of what is in them."""
    options = {"username": "ann", "password": "s3cret"}
    where = of(settings, {"HOST": NOWHERE, "NAME": "site", "OPTIONS": options})
    assert options.items() <= where.client_options.items()
    assert "s3cret" not in str(SafeExceptionReporterFilter().get_safe_settings()["SRVSESSION_MONGODB"])
