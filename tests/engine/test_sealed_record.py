"""Somebody who writes the store, and knows no secret: what they make of a session's record, and what they cannot.

Each forgery is written past the store, as they would write it: by SQL, as Redis' string, into the file, into the table.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import login as log_in
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.serializers import JSONSerializer
from django.db import connection
from django.http import HttpRequest
from django_redis import get_redis_connection

from django_srvsession import services
from django_srvsession.accounts import reauthentication
from django_srvsession.backends.cached_db.format import Generation, new_copy
from django_srvsession.backends.file.format import encode
from django_srvsession.backends.memory import MemoryStore
from django_srvsession.backends.mongodb.format import fields_of
from django_srvsession.backends.redis.format import indexed_until_ms, session_image
from django_srvsession.backends.redis.keys import Keys
from django_srvsession.engine.details import Details
from django_srvsession.engine.keys import SessionKey
from django_srvsession.engine.seal import Sealer, is_current
from django_srvsession.engine.sealed_record import RECORD, SealedRecord
from django_srvsession.records import TOUCH, UNSET, Loaded, SessionRecord
from django_srvsession.store import interface as store_module
from django_srvsession.store.framing import frame
from tests.engine.every_store import on_every_store
from tests.engine.pages import Browser, View, login, logout, put, read, rotate
from tests.engine.watched import WatchedStore
from tests.mongodb_servers import FIELDS, overwrite_document

HOUR_MS = 3_600_000
TEN_YEARS_MS = 87_600 * HOUR_MS
pytestmark = on_every_store


@dataclass
class Forger:
    """Read and write what a store keeps of sessions, past the store."""

    kind: str
    store: WatchedStore

    def look(self, browser: Browser | str) -> Loaded:
        """Return what is stored of a browser's session."""
        stored = self.store.inner.load(sid_of(browser))
        assert isinstance(stored, Loaded)
        return stored

    def write(self, session: Loaded) -> None:
        """Put this in the place of what is stored of the session."""
        getattr(self, f"_write_{self.kind}")(session)
        written = self.store.inner.load(session.record.sid)
        assert isinstance(written, Loaded)
        assert (written.record, dict(written.values)) == (session.record, dict(session.values))

    def forge(self, browser: Browser | str, **fields: Any) -> None:
        """Change some fields of a session's record."""
        session = self.look(browser)
        self.write(session._replace(record=session.record._replace(**fields)))

    def _write_memory(self, session: Loaded) -> None:
        MemoryStore.table.remove(self.look(session.record.sid).record)
        MemoryStore.table.put(session)

    def _write_db(self, session: Loaded) -> None:
        fields = session.record._asdict() | {"data": frame(session.values)}
        del fields["client"]
        for name in ("verifier", "previous_verifier"):
            fields[name] = fields[name] and bytes.fromhex(fields[name])
        names = ", ".join(f"{name} = %({name})s" for name in fields)
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE srvsession_session SET {names} WHERE sid = %(sid)s", fields)

    def _write_cached_db(self, session: Loaded) -> None:
        """Forge the row and have its copy, which is read; the site itself seals it."""
        self._write_db(session)
        store: Any = self.store.inner
        _, run = store.transport.exchange([("PING",)])
        key, now_ms = store._key(session.record.sid), store.clock.now_ms
        copy = new_copy(key, Generation(b"", run, now_ms), session, now_ms)
        store.transport.exchange([("SET", key, copy, "PX", 60_000)])

    def _write_redis(self, session: Loaded) -> None:
        redis = get_redis_connection("sessions")
        key = Keys(django_settings.SRVSESSION_REDIS_PREFIX).session(session.record.sid)
        until_ms = indexed_until_ms(redis.get(key))
        redis.set(key, session_image(session.record, session.values, until_ms), keepttl=True)

    def _write_file(self, session: Loaded) -> None:
        sid = session.record.sid
        (Path(django_settings.SESSION_FILE_PATH) / sid[:2] / f"{sid}.json").write_bytes(encode(session))

    def _write_mongodb(self, session: Loaded) -> None:
        fields = session.record._asdict()
        client = fields.pop("client")
        changes = {FIELDS[name]: value for name, value in fields.items() if name in FIELDS}
        changes |= {"ip": client.ip, "agent": client.user_agent, "values": fields_of(session.values)}
        overwrite_document(session.record.sid, changes)

    def seal(self, browser: Browser, **fields: Any) -> None:
        """Seal other fields of a record: what only the site can, and time does."""
        session = self.look(browser)
        sealer = sealer_of(session)
        mark = SealedRecord.read(session.values[RECORD])._replace(**fields).seal(sealer)
        self.write(session._replace(values={**session.values, RECORD: mark}))


def sid_of(browser: Browser | str) -> str:
    if isinstance(browser, str):
        return browser
    key = SessionKey.parse(browser.cookie)
    assert key is not None
    return key.sid


def sealer_of(session: Loaded) -> Sealer:
    return Sealer(session.record.sid, JSONSerializer())


@pytest.fixture
def forger(engine: Any, store: WatchedStore) -> Forger:
    """Who writes the store."""
    return Forger(engine.__name__.rpartition(".")[2], store)


@pytest.fixture
def signed_in(browser: Browser, ann: Any) -> Browser:
    """A browser in which ann is signed in."""
    browser.visit(login(ann))
    browser.visit(put(a="first"))
    assert browser.user() == "ann"
    return browser


def is_recent(request: HttpRequest) -> bool:
    return reauthentication.is_recent(request)


def guess(request: HttpRequest) -> bool:
    return reauthentication.confirm(request, "wrong")


def login_again(request: HttpRequest) -> None:
    log_in(request, request.user, "django.contrib.auth.backends.ModelBackend")  # type: ignore[arg-type]


def renew(request: HttpRequest) -> None:
    request.session.cycle_key(final=False)


def expires(when: Any) -> View:
    def set_expiry(request: HttpRequest) -> None:
        request.session.set_expiry(when)

    return set_expiry


def assert_refused(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing opens for this key, and the security log says that something is wrong."""
    caplog.clear()
    assert browser.show(read) == {}
    assert [record.name for record in caplog.records if sid_of(browser) in record.getMessage()] == [
        "django.security.SuspiciousSession"
    ]
    assert browser.copy().user() == ""


# Which key opens it.


def test_the_verifier_of_an_older_key_put_back_opens_nothing(
    signed_in: Browser, forger: Forger, caplog: pytest.LogCaptureFixture
) -> None:
    old, verifier = signed_in.copy(), forger.look(signed_in).record.verifier
    signed_in.visit(rotate)
    forger.forge(signed_in, verifier=verifier, previous_verifier=None, rotated_ms=None)
    assert_refused(old, caplog)
    assert signed_in.user() == ""


def test_the_key_before_a_final_rotation_opens_nothing_though_the_record_says_it_was_not_final(
    signed_in: Browser, forger: Forger, caplog: pytest.LogCaptureFixture
) -> None:
    old = signed_in.copy()
    signed_in.visit(rotate)
    forger.forge(signed_in, rotation_final=False)
    assert_refused(old, caplog)
    assert signed_in.user() == "ann"


def test_the_key_before_a_renewal_opens_for_a_minute_from_when_that_was_sealed(
    signed_in: Browser, forger: Forger, caplog: pytest.LogCaptureFixture
) -> None:
    old = signed_in.copy()
    signed_in.visit(renew)
    assert old.user() == signed_in.user() == "ann"
    forger.seal(signed_in, rotated_ms=forger.look(signed_in).now_ms - 60_000)
    forger.forge(signed_in, rotated_ms=forger.look(signed_in).now_ms)
    assert_refused(old, caplog)
    assert signed_in.user() == "ann"


def test_an_older_key_that_the_record_takes_is_no_live_one_and_stores_nothing_unread(
    signed_in: Browser, forger: Forger, engine: Any
) -> None:
    old = signed_in.cookie
    signed_in.visit(rotate)
    forger.forge(signed_in, rotation_final=False)
    before = forger.look(signed_in)
    assert not engine.SessionStore().exists(old)
    blind = engine.SessionStore(old)
    blind.clear()
    blind["a"] = "second"
    blind.save()  # What is refused stays as it is: a session of its own.
    assert SessionKey.parse(blind.session_key).sid != SessionKey.parse(old).sid  # type: ignore[union-attr]
    blind = engine.SessionStore(old)
    blind.clear()
    blind.cycle_key()
    assert forger.look(signed_in)[:2] == before[:2]


def test_a_mark_without_a_genuine_seal_opens_nothing_unread_either(
    signed_in: Browser, forger: Forger, engine: Any
) -> None:
    session = forger.look(signed_in)
    mark = session.values[RECORD]
    broken = session._replace(values={**session.values, RECORD: mark[:-1] + bytes([mark[-1] ^ 1])})
    forger.write(broken)
    assert not engine.SessionStore().exists(signed_in.cookie)
    blind = engine.SessionStore(signed_in.cookie)
    blind.clear()
    blind["a"] = "second"
    blind.save()
    assert blind.sid != session.record.sid
    assert forger.look(signed_in)[:2] == broken[:2]


def test_a_record_of_another_key_is_refused_though_it_takes_the_sealed_one_too(
    signed_in: Browser, forger: Forger, caplog: pytest.LogCaptureFixture
) -> None:
    record, _, now_ms = forger.look(signed_in)
    another = SessionKey.generate().verifier
    forger.forge(
        signed_in, verifier=another, previous_verifier=record.verifier, rotated_ms=now_ms, rotation_final=False
    )
    assert_refused(signed_in, caplog)


# How old a proof is.


def test_a_sign_in_is_as_old_as_is_sealed_whatever_the_record_says(signed_in: Browser, forger: Forger) -> None:
    assert signed_in.show(is_recent)
    session = forger.look(signed_in)
    long_ago = session.now_ms - HOUR_MS // 2
    forger.seal(signed_in, signed_in_ms=long_ago)
    forger.forge(signed_in, signed_in_ms=long_ago)
    assert not signed_in.show(is_recent)
    forger.forge(signed_in, signed_in_ms=session.now_ms)
    assert not signed_in.show(is_recent)


@pytest.mark.parametrize("hours", [-12, 12])
def test_instants_are_sealed_by_the_clock_of_the_store_where_a_machines_own_is_wrong(
    hours: int, browser: Browser, ann: Any, forger: Forger, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong_ns = time.time_ns() + hours * HOUR_MS * 1_000_000
    monkeypatch.setattr(store_module, "time", SimpleNamespace(time_ns=lambda: wrong_ns))
    browser.visit(login(ann))
    browser.visit(renew)
    assert browser.user() == "ann"
    assert browser.show(is_recent)
    session = forger.look(browser)
    sealed = SealedRecord.read(session.values[RECORD])
    assert session.record.signed_in_ms is not None
    assert sealed.signed_in_ms is not None
    assert 0 <= session.record.signed_in_ms - sealed.signed_in_ms < 60_000
    assert 0 <= session.now_ms - sealed.rotated_ms < 60_000


def test_a_sign_in_that_cannot_have_been_is_refused(
    signed_in: Browser, forger: Forger, caplog: pytest.LogCaptureFixture
) -> None:
    session = forger.look(signed_in)
    forger.seal(signed_in, signed_in_ms=session.now_ms - 25 * HOUR_MS)
    assert_refused(signed_in, caplog)


def test_wrong_confirmations_are_counted_from_the_sealed_sign_in(signed_in: Browser, forger: Forger) -> None:
    for number in range(4):
        assert signed_in.show(guess) is False
        forger.forge(signed_in, signed_in_ms=forger.look(signed_in).now_ms - number)
    assert signed_in.user() == "ann"
    signed_in.show(guess)
    assert signed_in.user() == ""


# What decides about proofs: who has no secret neither drops, adds nor puts back any of it.


def guesses(browser: Browser) -> int:
    return int(browser.show(lambda request: (read(request), request.session.details.wrong)[1]))


def test_the_count_of_wrong_confirmations_cannot_be_dropped_lowered_or_put_back(
    signed_in: Browser, forger: Forger, caplog: pytest.LogCaptureFixture
) -> None:
    signed_in.show(guess)
    one_guess = forger.look(signed_in).record.details
    signed_in.show(guess)
    session = forger.look(signed_in)
    assert guesses(signed_in) == 2
    for details in (b"", one_guess, Details(wrong=1).encode(), session.record.details + Details(level=1).encode()):
        forger.forge(signed_in, details=details)
        assert_refused(signed_in, caplog)
    forger.write(session)
    assert guesses(signed_in) == 2


def test_a_proof_cannot_be_added_nor_made_younger(
    signed_in: Browser, forger: Forger, ann: Any, caplog: pytest.LogCaptureFixture
) -> None:
    session = forger.look(signed_in)
    assert session.record.details == b""
    forger.forge(signed_in, details=Details(proved_ms=session.now_ms + HOUR_MS).encode())
    assert_refused(signed_in, caplog)
    forger.write(session)
    signed_in.visit(lambda request: reauthentication.given(request, means="passkey"))
    proved = forger.look(signed_in)
    details = Details.decode(proved.record.details)
    assert details.means == "passkey"
    assert details.proved_ms is not None
    forger.forge(signed_in, details=details._replace(proved_ms=details.proved_ms + HOUR_MS).encode())
    assert_refused(signed_in, caplog)


def test_the_mark_of_a_mere_switch_cannot_be_dropped(
    signed_in: Browser, forger: Forger, bob: Any, caplog: pytest.LogCaptureFixture
) -> None:
    signed_in.visit(login(bob))
    session = forger.look(signed_in)
    assert Details.decode(session.record.details).was_switched
    assert signed_in.show(is_recent) is False
    forger.forge(signed_in, details=b"")
    assert_refused(signed_in, caplog)
    # Without the details and with a mark of another session, or none, it opens for nobody either.
    values = {name: sealed for name, sealed in session.values.items() if name != RECORD}
    forger.write(session._replace(record=session.record._replace(details=b""), values=values))
    assert_refused(signed_in, caplog)


def test_an_older_count_beside_an_older_mark_goes_with_the_older_record_alone(
    signed_in: Browser, forger: Forger, caplog: pytest.LogCaptureFixture
) -> None:
    """What is left: the record as it stood, count and all; a confirmation in between has changed the key."""
    before = forger.look(signed_in)
    signed_in.show(guess)
    signed_in.visit(lambda request: reauthentication.given(request))
    after = forger.look(signed_in)
    old_mark = {**after.values, RECORD: before.values[RECORD]}
    forger.write(after._replace(record=after.record._replace(details=before.record.details), values=old_mark))
    assert_refused(signed_in, caplog)


def test_fields_of_a_later_version_are_kept_through_all_that_is_done_with_a_session(
    signed_in: Browser, forger: Forger
) -> None:
    later = Details(unknown=((77, b"later"),))
    signed_in.visit(lambda request: request.session.change_details(lambda details, now_ms: later))
    steps: list[View] = [put(b=1), rotate, renew, guess, expires(600), reauthentication.given, login_again]
    for step in steps:
        signed_in.visit(step)
        assert Details.decode(forger.look(signed_in).record.details).unknown == later.unknown, step
    assert signed_in.user() == "ann"


# How long it lives.


def ten_years_more(record: SessionRecord, now_ms: int) -> dict[str, Any]:
    return {"expires_ms": now_ms + TEN_YEARS_MS}


def a_lifetime_of_ten_years(record: SessionRecord, now_ms: int) -> dict[str, Any]:
    return {"lifetime_ms": TEN_YEARS_MS, "expires_ms": now_ms + TEN_YEARS_MS}


def ten_years_from_the_next_use(record: SessionRecord, now_ms: int) -> dict[str, Any]:
    return {"lifetime_ms": TEN_YEARS_MS}


def a_use_in_ten_years(record: SessionRecord, now_ms: int) -> dict[str, Any]:
    last = now_ms + TEN_YEARS_MS
    return {"last_seen_ms": last, "expires_ms": last + record.lifetime_ms}


def a_later_deadline(record: SessionRecord, now_ms: int) -> dict[str, Any]:
    return {"deadline_ms": now_ms + TEN_YEARS_MS}


def an_earlier_creation(record: SessionRecord, now_ms: int) -> dict[str, Any]:
    return {"created_ms": record.created_ms - 25 * HOUR_MS}


@pytest.mark.parametrize(
    "forgery",
    [
        ten_years_more,
        a_lifetime_of_ten_years,
        ten_years_from_the_next_use,
        a_use_in_ten_years,
        a_later_deadline,
        an_earlier_creation,
    ],
)
def test_a_session_that_lives_longer_than_is_sealed_is_refused(
    forgery: Callable[..., dict[str, Any]], signed_in: Browser, forger: Forger, caplog: pytest.LogCaptureFixture
) -> None:
    record, _, now_ms = forger.look(signed_in)
    forger.forge(signed_in, **forgery(record, now_ms))
    assert_refused(signed_in, caplog)


@pytest.mark.parametrize("deadline_ms", [None, TEN_YEARS_MS])
def test_a_deadline_stays_what_is_sealed(
    deadline_ms: int | None, signed_in: Browser, forger: Forger, caplog: pytest.LogCaptureFixture
) -> None:
    signed_in.visit(expires(datetime.now(UTC) + timedelta(minutes=5)))
    record, _, now_ms = forger.look(signed_in)
    assert record.deadline_ms is not None
    later = None if deadline_ms is None else now_ms + deadline_ms
    forger.forge(signed_in, deadline_ms=later, expires_ms=now_ms + record.lifetime_ms)
    assert_refused(signed_in, caplog)


def test_a_session_that_was_unused_for_its_lifetime_cannot_be_extended(
    signed_in: Browser, forger: Forger, caplog: pytest.LogCaptureFixture
) -> None:
    record, _, now_ms = forger.look(signed_in)
    forger.forge(signed_in, last_seen_ms=now_ms - record.lifetime_ms - 1000, expires_ms=now_ms + HOUR_MS)
    assert_refused(signed_in, caplog)


# Whose it is.


def test_a_session_opens_for_no_other_user_and_for_no_visitor(
    signed_in: Browser, bob: Any, forger: Forger, caplog: pytest.LogCaptureFixture
) -> None:
    session = forger.look(signed_in)
    forger.forge(signed_in, user_id=str(bob.pk))
    assert_refused(signed_in, caplog)
    forger.write(session._replace(record=session.record._replace(user_id=None, signed_in_ms=None)))
    assert_refused(signed_in, caplog)
    kept = {name: value for name, value in session.values.items() if not name.startswith("_auth_user_")}
    forger.write(session._replace(values=kept))
    assert_refused(signed_in, caplog)


def test_an_anonymous_session_does_not_become_a_users(
    browser: Browser, ann: Any, forger: Forger, caplog: pytest.LogCaptureFixture
) -> None:
    browser.visit(put(a="first"))
    forger.forge(browser, user_id=str(ann.pk), signed_in_ms=forger.look(browser).now_ms)
    assert_refused(browser, caplog)


def test_a_session_is_signed_in_as_its_mark_says(
    signed_in: Browser, forger: Forger, caplog: pytest.LogCaptureFixture
) -> None:
    forger.seal(signed_in, signed_in_ms=None)
    assert_refused(signed_in, caplog)


# The mark.


def test_the_mark_of_another_session_opens_nothing(
    signed_in: Browser, ann: Any, forger: Forger, caplog: pytest.LogCaptureFixture
) -> None:
    other = Browser()
    other.visit(login(ann))
    theirs, session = forger.look(other), forger.look(signed_in)
    values = {**session.values, RECORD: theirs.values[RECORD]}
    forger.write(session._replace(values=values))
    assert_refused(signed_in, caplog)
    # As if somebody who holds the other session's key could sign it for this sid, too.
    stolen = SessionKey._signed(bytes.fromhex(session.record.sid) + SessionKey.parse(other.cookie)._raw[9:])  # type: ignore[union-attr]
    forger.write(Loaded(theirs.record._replace(sid=session.record.sid), values, 0))
    assert_refused(Browser(stolen.text), caplog)


@pytest.mark.parametrize("mark", [None, b"", b"\x01" + bytes(90)])
def test_without_its_mark_a_session_opens_nothing(
    mark: bytes | None, signed_in: Browser, forger: Forger, caplog: pytest.LogCaptureFixture
) -> None:
    session = forger.look(signed_in)
    others = {name: value for name, value in session.values.items() if name != RECORD}
    forger.write(session._replace(values=others if mark is None else {**others, RECORD: mark}))
    assert_refused(signed_in, caplog)


def test_an_older_mark_opens_nothing_beside_a_newer_record(
    signed_in: Browser, forger: Forger, caplog: pytest.LogCaptureFixture
) -> None:
    old, before = signed_in.copy(), forger.look(signed_in)
    signed_in.visit(rotate)
    session = forger.look(signed_in)
    forger.write(session._replace(values={**session.values, RECORD: before.values[RECORD]}))
    assert_refused(signed_in, caplog)
    assert old.user() == ""


def test_what_is_left_is_an_older_state_of_the_same_session(signed_in: Browser, forger: Forger) -> None:
    """As SECURITY.rst says: all of it is genuine. An end cannot be told from it either, once its tombstone is gone."""
    old, before = signed_in.copy(), forger.look(signed_in)
    signed_in.visit(rotate)
    assert old.user() == ""
    forger.write(before)
    assert old.user() == "ann"


def test_a_mark_that_is_forged_during_a_request_is_sealed_by_nobody(
    signed_in: Browser, forger: Forger, store: WatchedStore, engine: Any
) -> None:
    session = engine.SessionStore(signed_in.cookie)
    assert session["a"] == "first"
    genuine = forger.look(signed_in)
    forged = b"".join((genuine.values[RECORD][:-20], bytes(20)))
    store.before = lambda verb: forger.write(
        genuine._replace(
            record=genuine.record._replace(version=genuine.record.version + 1),
            values={**genuine.values, RECORD: forged},
        )
    )
    session.set_expiry(60)
    with pytest.raises(UpdateError):
        session.save()
    store.before = lambda verb: None
    assert forger.look(signed_in).values[RECORD] == forged
    assert not engine.SessionStore().exists(signed_in.cookie)


# What it costs, and that it goes with everything else.


def test_a_plain_save_and_a_touch_name_nothing_of_it(signed_in: Browser, store: WatchedStore, engine: Any) -> None:
    session = engine.SessionStore(signed_in.cookie)
    session["a"] = "second"
    (saved,) = [asked for asked in store.since(session.save) if asked.verb == "update"]
    assert saved.delta.changed.keys() == {"a"}
    assert not saved.delta.expected
    assert saved.delta.lifetime_ms is saved.delta.deadline_ms is saved.delta.user_id is UNSET
    (touched,) = [asked for asked in store.since(session.touch) if asked.verb == "update"]
    assert touched.delta == TOUCH


def test_a_sign_in_within_a_maximum_is_saved_again_without_naming_its_deadline(
    browser: Browser, ann: Any, store: WatchedStore, settings: Any
) -> None:
    settings.SRVSESSION_MAX_LIFETIME = 3600
    browser.visit(login(ann))
    (saved,) = [asked for asked in store.since(lambda: browser.visit(put(b=1))) if asked.verb == "update"]
    assert saved.delta.changed.keys() == {"b"}
    assert saved.delta.deadline_ms is UNSET


def test_a_cleared_session_keeps_its_mark(browser: Browser, forger: Forger, engine: Any) -> None:
    browser.visit(put(a=1, b=2))
    session = engine.SessionStore(browser.cookie)
    session.clear()
    session["c"] = 3
    session.save()
    assert forger.look(browser).values.keys() == {"c", RECORD}
    assert browser.show(read) == {"c": 3}


def test_a_session_object_that_begins_another_session_seals_all_of_that(engine: Any, forger: Forger) -> None:
    session, when = engine.SessionStore(), datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=5)
    session["a"] = 1
    session.save()
    session.set_expiry(when)
    session.save()
    session.flush()
    session.set_expiry(when)
    session.save()
    assert forger.look(session.sid).record.deadline_ms == int(when.timestamp() * 1000)
    assert engine.SessionStore().exists(session.session_key)


def test_record_and_mark_agree_through_the_life_of_a_session(
    browser: Browser, ann: Any, forger: Forger, settings: Any
) -> None:
    settings.SRVSESSION_MAX_LIFETIME = 7200
    steps: list[View] = [
        put(a=1),
        expires(600),
        login(ann),
        rotate,
        expires(None),
        renew,
        put(b=2),
        rotate,
        expires(60),
    ]
    for step in steps:
        browser.visit(step)
        record, values, _ = forger.look(browser)
        sealed = SealedRecord.read(values[RECORD])
        assert sealed.verifier.hex() == record.verifier[:32]
        assert (sealed.lifetime_ms, sealed.deadline_ms) == (record.lifetime_ms, record.deadline_ms)
        assert (sealed.previous is None) == record.rotation_final
        for known_ms, stored_ms in (
            (sealed.created_ms, record.created_ms),
            (sealed.signed_in_ms, record.signed_in_ms),
            (
                None if record.rotation_final else sealed.rotated_ms,
                None if record.rotation_final else record.rotated_ms,
            ),
        ):
            assert (known_ms is None) == (stored_ms is None)
            assert known_ms is None or stored_ms is None or 0 <= stored_ms - known_ms < 60_000
    assert browser.user() == "ann"
    browser.visit(logout)
    assert browser.user() == ""


def test_a_mark_is_sealed_anew_under_a_new_secret(browser: Browser, forger: Forger, settings: Any) -> None:
    browser.visit(put(a=1))
    browser.visit(lambda request: request.session.pop("a"))
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another secret, another secret, another secret, another secret"
    browser.visit(read)
    assert is_current(forger.look(browser).values[RECORD])
    browser.visit(expires(60))
    settings.SECRET_KEY_FALLBACKS = []
    browser.visit(put(b=2))
    assert browser.show(read) == {"_session_expiry": 60, "b": 2}


def test_contents_are_listed_without_the_mark(signed_in: Browser) -> None:
    contents = services.contents_of(sid_of(signed_in))
    assert contents is not None
    assert RECORD not in contents.sizes


# A mark that is put back while a request writes.


def put_back(store: WatchedStore, forger: Forger, verb: str, before: Loaded) -> None:
    """Have an older mark of the session put back when a request is about to ask for a verb, and the version raised."""

    def forge(asked: str) -> None:
        if asked != verb:
            return
        store.before = lambda verb: None
        now = store.inner.load(before.record.sid)
        assert isinstance(now, Loaded)
        record = now.record._replace(version=now.record.version + 1)
        forger.write(now._replace(record=record, values={**now.values, RECORD: before.values[RECORD]}))

    store.before = forge


def test_a_sign_in_never_seals_the_planted_key_whose_mark_was_put_back(
    browser: Browser, ann: Any, forger: Forger, store: WatchedStore
) -> None:
    browser.visit(put(a=1))
    attacker, before = browser.copy(), forger.look(browser)
    put_back(store, forger, "update", before)
    browser.visit(login(ann))
    found = forger.look(attacker)
    verifier = before.record.verifier
    record = found.record._replace(verifier=verifier, previous_verifier=None, rotated_ms=None)
    forger.write(found._replace(record=record))
    assert attacker.user() == ""


def test_a_renewal_never_seals_a_dead_key_whose_mark_was_put_back(
    signed_in: Browser, forger: Forger, store: WatchedStore
) -> None:
    thief, before = signed_in.copy(), forger.look(signed_in)
    signed_in.visit(rotate)
    put_back(store, forger, "rotate", before)
    signed_in.visit(renew)
    found = forger.look(thief)
    verifier = before.record.verifier
    forger.write(found._replace(record=found.record._replace(previous_verifier=verifier, rotation_final=False)))
    assert thief.user() == ""
