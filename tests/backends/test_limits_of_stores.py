"""What a store cannot read again, or cannot hold, it refuses at the write, and says so: no outage, no empty session."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.sessions.serializers import JSONSerializer
from django.db import OperationalError, connections, models

from django_srvsession import checks, services
from django_srvsession.backends.db import DatabaseStore
from django_srvsession.backends.db import connection as db_connection
from django_srvsession.backends.memory import SessionStore
from django_srvsession.engine import seal
from django_srvsession.engine.seal import Sealer
from django_srvsession.events import log as event_log
from django_srvsession.models import SessionEvent
from django_srvsession.records import Client, Delta, Ending, Tombstone
from django_srvsession.signals import session_started
from django_srvsession.store import Store, TooLargeError
from django_srvsession.testing.sessions import create, new_delta, new_sid, new_user, new_verifier, stored
from tests.memory import memory_store_fixture

__all__ = ["memory_store_fixture"]

MB = 1024 * 1024


def sealer() -> Sealer:
    return Sealer("5" * 18, JSONSerializer())


def test_a_value_above_64_mib_is_refused_at_the_save() -> None:
    """It was saved, and the session was empty from then on."""
    with pytest.raises(TooLargeError, match=r"value 'big' takes 67108865 bytes; it may take 67108864"):
        sealer().seal("big", b"x" * (64 * MB + 1))


@pytest.mark.parametrize("filling", ["x", "0123456789"])
def test_the_largest_value_that_is_written_is_read_again(filling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "_MAX_PAYLOAD_BYTES", 10_000)
    payload = (filling * 10_000)[:10_000].encode()
    value = sealer().seal("a", payload)
    assert len(value) < 5000, "it is compressed"
    assert sealer().payload(value) == payload
    with pytest.raises(TooLargeError):
        sealer().seal("a", payload + b"x")
    monkeypatch.setattr(seal, "_MAX_PAYLOAD_BYTES", 9_999)
    with pytest.raises(seal.SealError, match="too large"):
        sealer().payload(value)


def nested(levels: int, opening: str = "[", closing: str = "]", inner: str = "") -> Any:
    return json.loads(opening * levels + inner + closing * levels)


@pytest.mark.parametrize("ends", [("[", "]", ""), ('{"[{": ', "}", "1"), ('["]]", ', "]", '"\\"["')])
def test_json_that_is_nested_too_deep_to_be_read_everywhere_is_refused_at_the_save(ends: tuple[str, str, str]) -> None:
    """Python reads no deeper than its stack has room for, which in a template is less than in a view."""
    deepest = nested(200, *ends)
    sealed = sealer().seal_all({"a": deepest})["a"]

    def opened(frames: int) -> Any:
        return opened(frames - 1) if frames else sealer().open("a", sealed)

    assert opened(500) == deepest
    for seal_it in (
        lambda value: sealer().seal_all({"a": value}),
        lambda value: sealer().seal("a", sealer().serialize(value)),
    ):
        with pytest.raises(TooLargeError, match="'a' is nested deeper than 200 levels"):
            seal_it(nested(201, *ends))


def test_what_is_only_long_is_not_too_deep() -> None:
    value = [{"brackets": "[[[[{{{{" * 100, "list": [[], {}]}] * 500
    assert sealer().open("a", sealer().seal_all({"a": value})["a"]) == value


def test_a_session_with_a_value_that_is_too_large_keeps_what_it_had(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seal, "_MAX_PAYLOAD_BYTES", 10_000)
    session = SessionStore()
    session["a"] = 1
    session.save()
    session["big"] = "x" * 10_000
    with pytest.raises(TooLargeError):
        session.save()
    assert dict(SessionStore(session.session_key).items()) == {"a": 1}


@pytest.fixture
def small_packets(mariadb_alias: str, database_alias: str, mariadb_server: Any) -> Iterator[DatabaseStore]:
    """A store on a MariaDB that takes statements of a megabyte at most."""
    ((before,),) = _ask("SELECT @@global.max_allowed_packet", database_alias)
    mariadb_server.execute(f"SET GLOBAL max_allowed_packet = {MB}")
    connections[database_alias].close()
    yield DatabaseStore(database_alias)
    mariadb_server.execute(f"SET GLOBAL max_allowed_packet = {before}")
    connections[database_alias].close()


def _ask(sql: str, alias: str) -> Any:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


@pytest.mark.parametrize("database_alias", ["mariadb"], indirect=True)
def test_a_session_above_max_allowed_packet_is_no_outage(small_packets: DatabaseStore) -> None:
    store = small_packets
    session = create(store, changed={"a": b"a"})
    sid, verifier = session.record.sid, session.record.verifier
    big = Delta(changed={"big": b"x" * MB})
    with pytest.raises(TooLargeError, match="max_allowed_packet of the database is 1048576"):
        store.update(sid, verifier, big, session)
    with pytest.raises(TooLargeError):
        store.update(sid, verifier, big._replace(new_verifier=new_verifier()), session)
    with pytest.raises(TooLargeError):
        store.create(new_sid(), new_verifier(), new_delta(changed=big.changed))
    assert stored(store, sid).record == session.record
    with pytest.raises(TooLargeError):
        store.update(sid, verifier, Delta(changed={"big": b"\0" * (MB - 20_000)}), session)
    assert store.update(sid, verifier, Delta(changed={"big": b"x" * (MB // 2 - 20_000)}), session).record.version == 2


def refused(sqlstate: str) -> OperationalError:
    error = OperationalError("too large")
    error.__cause__ = type("Refused", (Exception,), {"sqlstate": sqlstate})()
    return error


@pytest.mark.django_db
@pytest.mark.parametrize("error", [OperationalError(1153, "Got a packet bigger than..."), refused("54000")])
def test_a_size_that_a_database_refuses_is_no_outage(error: Exception) -> None:
    def work(connection: object) -> None:
        raise error

    with pytest.raises(TooLargeError):
        db_connection.run("default", work)


@pytest.mark.parametrize("database_alias", ["mariadb"], indirect=True)
def test_an_emoji_is_kept_over_a_connection_with_charset_utf8(
    database_alias: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connections[database_alias]
    agent, store = "Cookie\U0001f36a/1.0 é", DatabaseStore(database_alias)
    connection.close()
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "charset", "utf8")
    user_id = new_user()
    session = create(store, user_id=user_id, client=Client("192.0.2.1", agent))
    other = create(store, user_id=user_id)
    store.update(other.record.sid, other.record.verifier, Delta(client=Client("192.0.2.2", agent)), other)
    assert len(store.records(user_id)) == 2
    settings.SRVSESSION_EVENT_LOG = 30
    event_log.EventLog().write(session_started, [{"record": session.record}])
    ended = create(store).record.sid
    store.end(ended, Ending("logout", by=agent))
    connection.close()
    monkeypatch.undo()
    assert stored(store, session.record.sid).record.client.user_agent == agent
    assert stored(store, other.record.sid).record.client.user_agent == agent
    assert [event.user_agent for event in SessionEvent.objects.using(database_alias)] == [agent]
    tombstone = store.load(ended)
    assert isinstance(tombstone, Tombstone)
    assert tombstone.by == agent
    connection.close()


class TestTexts:
    """Texts that a column does not hold as they are."""

    @pytest.fixture
    def db(self, database_alias: str) -> DatabaseStore:
        """A store on each database in turn."""
        return DatabaseStore(database_alias)

    @pytest.mark.parametrize("user_id", ["u" * 256, "half \ud83d", "nul \0"])
    def test_a_user_id_that_would_be_cut_is_refused_on_every_database(self, db: DatabaseStore, user_id: str) -> None:
        with pytest.raises(ValueError, match="A user's id may have 255 characters"):
            create(db, user_id=user_id)
        session = create(db)
        sid, verifier = session.record.sid, session.record.verifier
        for base in (session, None):
            with pytest.raises(ValueError, match="A user's id may have 255 characters"):
                db.update(sid, verifier, Delta(user_id=user_id), base)
        assert stored(db, sid).record.user_id is None
        assert list(db.records(user_id)) == []

    def test_the_longest_user_id_is_held(self, db: DatabaseStore) -> None:
        user_id = "é" * 255
        session = create(db, user_id=user_id)
        assert [record.sid for record in db.records(user_id)] == [session.record.sid]

    @pytest.mark.parametrize("conditions", [{}, {"expected": {"a": None}}])
    def test_a_reason_that_is_too_long_ends_all_the_same(self, db: DatabaseStore, conditions: Any) -> None:
        session = create(db)
        assert (
            db.end(session.record.sid, Ending("because \0" + "x" * 100, "somebody \ud83d", **conditions))
            == session.record
        )
        tombstone = db.load(session.record.sid)
        assert isinstance(tombstone, Tombstone)
        assert (tombstone.reason, tombstone.by) == ("because " + "x" * 56, "somebody ?")


@pytest.mark.django_db
def test_an_event_of_a_user_whose_id_is_too_long_is_kept_for_nobody(
    store: Store, settings: Any, caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: Any
) -> None:
    settings.SRVSESSION_EVENT_LOG = 30
    record = create(store, user_id="u" * 300).record
    with caplog.at_level(logging.ERROR), django_capture_on_commit_callbacks(execute=True):
        services.revoke(record.sid)
    assert not SessionEvent.objects.exists()
    assert "no room for the user's id" in caplog.text


@pytest.mark.parametrize(
    ("length", "engine", "event_log", "expected"),
    [
        (255, "db", None, []),
        (256, "db", None, ["srvsession.E110"]),
        (256, "cached_db", None, ["srvsession.E110"]),
        (256, "memory", None, []),
        (256, "memory", 30, ["srvsession.E110"]),
        (None, "db", None, ["srvsession.W110"]),
        (None, "memory", None, []),
    ],
)
def test_a_text_primary_key_that_has_no_room_is_reported(
    length: int | None, engine: str, event_log: int | None, expected: list[str], settings: Any, monkeypatch: Any
) -> None:
    text: Any = models.TextField if length is None else models.CharField
    key = text(max_length=length, primary_key=True)
    monkeypatch.setattr(get_user_model()._meta, "pk", key)
    settings.SESSION_ENGINE = f"django_srvsession.backends.{engine}"
    settings.SRVSESSION_EVENT_LOG = event_log
    assert [message.id for message in checks.check_user_ids()] == expected


def test_the_check_of_user_ids_runs_with_the_others(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.SESSION_ENGINE = "django_srvsession.backends.db"
    monkeypatch.setattr(get_user_model()._meta, "pk", models.CharField(max_length=300, primary_key=True))
    assert "srvsession.E110" in [message.id for message in checks.check_site()]
