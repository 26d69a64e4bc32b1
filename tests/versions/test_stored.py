"""Sessions that an earlier version has stored open, are listed, can be saved and ended, on every store.

``stored/<version>.json`` is never changed once that version is out. To make the file of the version at hand, with all
stores there: ``SRVSESSION_MAKE_STORED=1 SRVSESSION_TESTS_WHOLE=1 pytest tests/versions/test_stored.py``.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings

import django_srvsession
from django_srvsession import services
from django_srvsession.backends import memory
from django_srvsession.backends.memory.table import SessionTable
from django_srvsession.engine import current_store
from django_srvsession.records import Client, Ending, Loaded, Tombstone
from tests.every_store import every_store_fixture  # noqa: F401 - used as a fixture
from tests.versions import stored

MAKES = bool(os.environ.get("SRVSESSION_MAKE_STORED"))
FILES = sorted(stored.DIRECTORY.glob("*.json"))
OWN = stored.DIRECTORY / f"{django_srvsession.__version__}.json"
CENTURY = timedelta(days=36_500)
LONG_AGO_MS = 1_735_689_600_000
"""The first of January 2025: whatever machine reads the file, that is past."""
ENDED = ("logout", "revoked")


def _sign_in(session: Any, user_id: str) -> None:
    session.note_sign_in(user_id)
    session["_auth_user_id"] = user_id
    session["_auth_user_backend"] = "django.contrib.auth.backends.ModelBackend"
    session["_auth_user_hash"] = "0" * 64


def _made() -> list[Any]:
    """Make sessions of all kinds that there are, in memory."""
    new = memory.SessionStore
    plain, signed_in, by_hand, renewed, rotated, large, fixed, gone, other = (new() for _ in range(9))
    sessions = [plain, signed_in, by_hand, renewed, rotated, large, fixed, gone, other]
    for session in sessions:
        session.set_expiry(int(CENTURY.total_seconds()))
    plain.update({"text": "“ünï” 한글", "number": 7, "none": None, "flag": True, "list": [1, {"a": 1.5}], "a.$b/c": 1})
    _sign_in(signed_in, "7")
    signed_in.note_client(lambda: Client("192.0.2.7", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0) Safari/604.1"))
    signed_in.note_proof("password", 2)
    signed_in.note_app("MyApp 2.3")
    by_hand["_auth_user_id"] = "8"
    for session in (renewed, rotated, large):
        _sign_in(session, "7")
    large["large"] = "all work and no play " * 2000
    fixed.set_expiry(datetime(2200, 1, 1, tzinfo=UTC))
    fixed["a"] = 1
    for session in (gone, other):
        _sign_in(session, "9")
    for session in sessions:
        session.save()
    signed_in.change_details(lambda details, now_ms: details._replace(name="my laptop"))
    renewed.cycle_key(final=False)
    rotated.cycle_key()
    return sessions


def _kept(session: Any) -> dict[str, Any]:
    found = current_store().load(session.sid)
    assert isinstance(found, Loaded)
    return {
        "key": session.session_key,
        "contents": dict(session.items()),
        "record": {name: stored.as_text(value) for name, value in found.record._asdict().items()},
        "values": {name: stored.as_text(value) for name, value in found.values.items()},
        "details": {name: stored.as_text(value) for name, value in session.details._asdict().items() if value},
    }


def _put_into_store(kept: dict[str, Any]) -> None:
    """Store the sessions as this version does, and end those that are to be ended."""
    store = current_store()
    for one in kept["sessions"]:
        store.restore(stored.loaded_of(one))
    for one, reason in zip(kept["sessions"][-len(ENDED) :], ENDED, strict=True):
        assert store.end(one["record"]["sid"], Ending(reason, by="9")) is not None


@pytest.mark.skipif(not MAKES, reason="the file is made once for each version")
def test_make_the_file_of_this_version(every_store: str, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.SRVSESSION_ENDED_KEEP = CENTURY
    kept = stored.read(OWN) if OWN.exists() else {"secret_key": django_settings.SECRET_KEY, "stores": {}}
    if "sessions" not in kept:
        with monkeypatch.context() as patch:
            patch.setattr(memory.MemoryStore, "table", SessionTable())
            patch.setattr(memory, "now_ms", lambda: LONG_AGO_MS)
            settings.SESSION_ENGINE, engine = "django_srvsession.backends.memory", settings.SESSION_ENGINE
            kept["sessions"] = [_kept(session) for session in _made()]
            settings.SESSION_ENGINE = engine
    _put_into_store(kept)
    kept["stores"].setdefault(stored.part_of(every_store), stored.TAKE[stored.part_of(every_store)]())
    stored.write(OWN, kept)


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def kept(request: pytest.FixtureRequest, every_store: str, settings: Any) -> dict[str, Any]:
    """What a version has stored, put into the store at hand."""
    path: Path = request.param
    found = stored.read(path)
    settings.SECRET_KEY = found["secret_key"]
    settings.SRVSESSION_ENDED_KEEP = CENTURY
    part = stored.part_of(every_store)
    if part == "memory":
        _put_into_store(found)
    else:
        stored.PUT[part](found["stores"][part])
    return found


@pytest.mark.skipif(MAKES, reason="the file is being made")
def test_what_an_earlier_version_has_stored_is_read_listed_saved_and_ended(kept: dict[str, Any]) -> None:
    engine, store = import_module(django_settings.SESSION_ENGINE).SessionStore, current_store()
    live, ended = kept["sessions"][: -len(ENDED)], kept["sessions"][-len(ENDED) :]
    for one in live:
        session = engine(one["key"])
        assert dict(session.items()) == one["contents"]
        assert session.record == stored.loaded_of(one).record
        details = {name: stored.as_text(value) for name, value in session.details._asdict().items() if value}
        assert details == one["details"]
    by_user = {record.sid for record in services.sessions_of("7")}
    assert by_user == {one["record"]["sid"] for one in live if one["record"]["user_id"] == "7"}
    for one, reason in zip(ended, ENDED, strict=True):
        found = store.load(one["record"]["sid"])
        assert isinstance(found, Tombstone)
        assert (found.reason, found.by, found.user_id, found.verifiers[0]) == (
            reason,
            "9",
            "9",
            one["record"]["verifier"],
        )
        assert dict(engine(one["key"]).items()) == {}
    for one in live:
        session = engine(one["key"])
        session["new"] = 1
        session.save()
        assert dict(engine(one["key"]).items()) == {**one["contents"], "new": 1}
        assert services.revoke(one["record"]["sid"]) is not None
        assert dict(engine(one["key"]).items()) == {}


def test_there_is_a_file_of_this_version() -> None:
    assert OWN in FILES or MAKES
