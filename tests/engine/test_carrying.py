"""A visitor with a key of the engine that the site moves from is carried over at the first request."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends import cache, file, signed_cookies
from django.contrib.sessions.backends.db import SessionStore as StockStore
from django.contrib.sessions.models import Session
from django.core.exceptions import ImproperlyConfigured
from django.core.signing import b62_decode
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from django_srvsession import services
from django_srvsession.accounts.reauthentication import is_recent
from django_srvsession.engine.keys import SessionKey
from tests.engine.every_store import on_every_store
from tests.engine.other_engine import OtherEngine, in_days, on_every_engine, on_every_engine_that_ends, other
from tests.engine.pages import (
    Browser,
    at_once,
    deletes_cookie,
    flush,
    login,
    logout,
    put,
    raising,
    read,
    rotate,
    set_cookie,
    sid,
)
from tests.engine.watched import WatchedStore

__all__ = ["other"]


def expire(request: Any) -> None:
    """Let the session expire in a moment."""
    request.session.set_expiry(timezone.now() + timedelta(milliseconds=100))


# Whose key it was.


@on_every_engine
@pytest.mark.parametrize("asgi", [False, True])
def test_a_visitor_with_an_old_key_keeps_the_session_and_gets_a_new_key(
    other: OtherEngine, ann: Any, asgi: bool
) -> None:
    browser = other.browser(put(basket=[1, 2]), user=ann, asgi=asgi)
    old = browser.cookie
    response = browser.visit(read)
    contents = response.json()["shown"]
    assert contents["basket"] == [1, 2]
    assert contents["_auth_user_id"] == str(ann.pk)
    assert SessionKey.parse(set_cookie(response).value) is not None
    assert browser.cookie != old
    assert browser.user() == "ann"
    assert [record.sid for record in services.sessions_of(ann)] == [browser.show(sid)]


@on_every_store
def test_a_visitor_is_carried_over_on_every_store(other: OtherEngine, ann: Any) -> None:
    browser = other.browser(put(a=1), user=ann)
    assert browser.show(read)["a"] == 1
    assert browser.user() == "ann"
    (record,) = services.sessions_of(ann)
    assert record.sid == browser.show(sid)


@on_every_engine
def test_an_anonymous_visitor_keeps_what_is_in_the_basket(other: OtherEngine) -> None:
    browser = other.browser(put(basket=["book"]))
    assert browser.show(read) == {"basket": ["book"]}
    assert browser.show(read) == {"basket": ["book"]}


@on_every_engine_that_ends
def test_the_old_session_ends_when_it_is_carried_over(other: OtherEngine) -> None:
    browser = other.browser(put(a=1))
    old = browser.cookie or ""
    browser.show(read)
    assert not other.has(old)


@on_every_engine
def test_parallel_first_requests_make_one_session(other: OtherEngine, ann: Any) -> None:
    browser = other.browser(put(a=1), user=ann)
    browsers = [browser.copy() for _ in range(8)]
    seen = at_once([lambda each=each: each.show(read)["a"] for each in browsers])
    assert seen == [1] * 8
    assert len({each.cookie for each in browsers}) == 1
    assert len(services.sessions_of(ann)) == 1


@on_every_engine
def test_the_old_key_leads_to_the_session_that_was_made_of_it(other: OtherEngine, ann: Any) -> None:
    """The answer that brought the new key may be lost."""
    browser = other.browser(put(a=1), user=ann)
    copy = browser.copy()
    browser.show(put(b=2))
    assert copy.show(read)["b"] == 2
    assert copy.cookie == browser.cookie


@pytest.mark.parametrize("other", ["signed_cookies"], indirect=True)
def test_two_visitors_with_the_same_cookie_do_not_share_a_session(other: OtherEngine) -> None:
    """Signed cookies of one second with the same contents are the same."""
    one = other.browser(put(language="ko"))
    two = one.copy()
    one.show(put(basket=["book"]))
    assert two.show(read) == {"language": "ko"}
    assert two.cookie != one.cookie
    one.visit(flush)
    assert two.show(read) == {"language": "ko"}


# It opens no hole.


@on_every_engine
def test_what_was_carried_over_and_has_ended_is_not_carried_over_again(other: OtherEngine, ann: Any) -> None:
    browser = other.browser(user=ann)
    copy = browser.copy()
    assert browser.user() == "ann"
    browser.visit(logout)
    assert copy.user() == ""
    assert not services.sessions_of(ann)


@on_every_store
@pytest.mark.parametrize("other", ["signed_cookies"], indirect=True)
def test_it_is_not_even_when_its_tombstone_would_be_forgotten_without_the_move(
    other: OtherEngine, ann: Any, settings: Any
) -> None:
    settings.SRVSESSION_ENDED_KEEP = timedelta(0)
    browser = other.browser(user=ann)
    copy = browser.copy()
    assert browser.user() == "ann"
    services.revoke_all(ann)
    services.clear_expired()
    assert copy.user() == ""


@on_every_store
@pytest.mark.parametrize("other", ["signed_cookies"], indirect=True)
@pytest.mark.parametrize("ends", [logout, expire])
def test_nor_does_it_come_back_when_the_date_is_moved_to_a_later_one(
    other: OtherEngine, ann: Any, bob: Any, settings: Any, ends: Any
) -> None:
    """Until the cookie has expired itself, whatever the date was when the session ended."""
    settings.SRVSESSION_ENDED_KEEP = timedelta(0)
    ended, waiting = other.browser(user=ann), other.browser(user=bob)
    copy = ended.copy()
    assert ended.user() == "ann"
    settings.SRVSESSION_MIGRATE_UNTIL = date = timezone.now() + timedelta(milliseconds=200)
    ended.visit(ends)
    services.revoke_all(bob)
    while timezone.now() <= date:
        time.sleep(0.05)
    services.clear_expired()
    settings.SRVSESSION_MIGRATE_UNTIL = in_days(30)
    assert copy.user() == ""
    assert waiting.user() == ""


@on_every_engine
def test_the_old_key_dies_when_its_visitor_signs_in(other: OtherEngine, ann: Any) -> None:
    """Somebody may have planted it."""
    victim = other.browser(put(a=1))
    attacker = victim.copy()
    victim.visit(login(ann))
    assert victim.user() == "ann"
    assert attacker.user() == ""
    assert "_auth_user_id" not in attacker.show(read)


@on_every_engine
def test_it_dies_too_when_somebody_signs_in_again_who_was_signed_in(other: OtherEngine, ann: Any) -> None:
    browser = other.browser(user=ann)
    copy = browser.copy()
    browser.visit(login(ann))
    assert browser.user() == "ann"
    assert copy.user() == ""


@on_every_engine
def test_a_session_whose_password_has_changed_since_signs_nobody_in(other: OtherEngine, ann: Any) -> None:
    browser = other.browser(user=ann)
    ann.set_password("another")
    get_user_model().objects.filter(pk=ann.pk).update(password=ann.password)
    assert browser.user() == ""
    assert not services.sessions_of(ann)


@on_every_engine
def test_being_carried_over_is_no_proof_of_the_person(other: OtherEngine, ann: Any) -> None:
    browser = other.browser(user=ann)
    assert browser.show(is_recent) is False


def test_a_session_that_has_expired_is_not_carried_over(other: OtherEngine) -> None:
    browser = other.browser(put(a=1))
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    response = browser.visit(read)
    assert response.json()["shown"] == {}
    assert deletes_cookie(response)


def test_a_session_expires_when_it_would_have(other: OtherEngine, ann: Any) -> None:
    browser = other.browser(user=ann)
    Session.objects.update(expire_date=timezone.now() + timedelta(hours=1))
    browser.show(read)
    (record,) = services.sessions_of(ann)
    assert timedelta(minutes=59) < record.expires_at - timezone.now() <= timedelta(hours=1)
    browser.show(put(a=1))
    (record,) = services.sessions_of(ann)
    assert record.expires_at - timezone.now() > timedelta(days=13)


def test_the_absolute_limit_counts_from_when_the_user_can_have_signed_in_at_the_latest(
    other: OtherEngine, ann: Any, settings: Any
) -> None:
    settings.SRVSESSION_MAX_LIFETIME = timedelta(days=3)
    browser, late = other.browser(user=ann), other.browser(user=ann)
    get_user_model().objects.filter(pk=ann.pk).update(last_login=timezone.now() - timedelta(days=2))
    assert browser.user() == "ann"
    (record,) = services.sessions_of(ann)
    assert timedelta(hours=23) < record.expires_at - timezone.now() <= timedelta(days=1)
    get_user_model().objects.filter(pk=ann.pk).update(last_login=timezone.now() - timedelta(days=4))
    assert late.user() == ""


def test_the_idle_limit_holds(other: OtherEngine, ann: Any, settings: Any) -> None:
    settings.SRVSESSION_IDLE_TIMEOUT = timedelta(minutes=20)
    browser = other.browser(user=ann)
    assert browser.user() == "ann"
    (record,) = services.sessions_of(ann)
    assert record.expires_at - timezone.now() <= timedelta(minutes=20)


@on_every_engine
def test_a_logout_that_is_the_first_request_ends_the_session(other: OtherEngine, ann: Any) -> None:
    browser = other.browser(user=ann)
    copy = browser.copy()
    assert deletes_cookie(browser.visit(logout))
    assert copy.user() == ""


@on_every_engine
def test_a_flush_without_a_look_ends_it_too(other: OtherEngine, ann: Any, middleware: Any) -> None:
    browser = other.browser(user=ann)
    copy = browser.copy()
    browser.visit(flush)
    assert copy.user() == ""


def test_nothing_is_carried_over_after_the_date(other: OtherEngine, settings: Any) -> None:
    settings.SRVSESSION_MIGRATE_UNTIL = in_days(-1)
    browser = other.browser(put(a=1))
    assert browser.show(read) == {}


def test_a_move_without_a_date_is_an_error(other: OtherEngine, settings: Any) -> None:
    browser = other.browser(put(a=1))
    settings.SRVSESSION_MIGRATE_UNTIL = None
    browser.client.raise_request_exception = True
    with pytest.raises(ImproperlyConfigured, match="SRVSESSION_MIGRATE_UNTIL"):
        browser.visit(read)


@pytest.mark.parametrize(
    "text", ["x" * 32, "A" * 32, "a" * 7, "' OR 1=1 --", "\x00" * 32, "ä" * 32, "a" * 5000, "a:b:c"]
)
@on_every_engine
def test_a_key_that_nobody_made_opens_nothing(other: OtherEngine, text: str) -> None:
    browser = other.browser(put(a=1))
    browser.cookie = text
    assert browser.show(read) == {}


def test_another_spelling_of_an_old_key_opens_nothing(other: OtherEngine) -> None:
    """A database may not tell them apart, and each would stand for a session of its own here."""
    browser = other.browser(put(a=1))
    browser.cookie = (browser.cookie or "").upper()
    assert browser.show(read) == {}


# What it costs.


def test_a_visitor_with_our_key_or_none_costs_nothing(
    other: OtherEngine, store: WatchedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Any) -> None:
        raise AssertionError("The other engine was asked.")

    browser = Browser()
    browser.visit(put(a=1))
    monkeypatch.setattr(StockStore, "load", refuse)
    monkeypatch.setattr(StockStore, "__init__", refuse)
    store.asked.clear()
    assert browser.show(read) == {"a": 1}
    assert store.verbs == ["load"]
    assert Browser().show(read) == {}
    assert store.verbs == ["load"]


# Outages.


def test_a_source_that_is_out_is_an_outage_and_the_key_stays(
    other: OtherEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = other.browser(put(a=1))
    old = browser.cookie

    def fail(self: Any) -> None:
        raise OperationalError("gone away")

    with monkeypatch.context() as patch:
        patch.setattr(StockStore, "load", fail)
        response = browser.visit(read)
    assert response.status_code == 503
    assert set_cookie(response) is None
    assert browser.cookie == old
    assert browser.show(read) == {"a": 1}


def test_our_store_that_is_out_is_an_outage_and_the_key_stays(other: OtherEngine, store: WatchedStore) -> None:
    browser = other.browser(put(a=1))
    store.go_out()
    assert browser.visit(read).status_code == 503
    store.come_back()
    assert browser.show(read) == {"a": 1}


def test_a_new_secret_leads_to_the_session_that_the_one_before_made(
    other: OtherEngine, ann: Any, settings: Any
) -> None:
    browser = other.browser(user=ann)
    copy = browser.copy()
    assert browser.user() == "ann"
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another, another, another, another, another, another, another"
    assert copy.user() == "ann"
    assert browser.user() == "ann"
    assert len(services.sessions_of(ann)) == 1


def test_a_rotation_at_the_first_request_gives_a_key_of_its_own(other: OtherEngine) -> None:
    browser = other.browser(put(a=1))
    copy = browser.copy()
    browser.visit(rotate)
    assert browser.show(read) == {"a": 1}
    assert copy.show(read) == {}


# Beside the middleware, in transactions, and under limits.


@on_every_store
def test_a_rollback_of_the_view_loses_no_session(other: OtherEngine, ann: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    browser = other.browser(put(a=1), user=ann)
    assert browser.visit(raising(put(b=2))).status_code == 500
    contents = browser.show(read)
    assert contents["a"] == 1
    assert "b" not in contents
    assert browser.user() == "ann"


@on_every_store
def test_what_is_carried_over_without_the_middleware_and_rolled_back_is_where_it_was(
    other: OtherEngine, engine: Any
) -> None:
    key = other.browser(put(a=1)).cookie or ""
    with transaction.atomic():
        assert engine.SessionStore(key)["a"] == 1
        transaction.set_rollback(True)
    session = engine.SessionStore(key)
    assert session["a"] == 1
    session["b"] = 2
    session.save()
    assert dict(engine.SessionStore(key).items()) == {"a": 1, "b": 2}


@on_every_engine_that_ends
def test_code_that_has_kept_an_old_key_finds_and_ends_its_session(other: OtherEngine, engine: Any) -> None:
    """An app may delete the key that it stored at the last login."""
    for is_carried_over in (False, True):
        browser = other.browser(put(a=1))
        key = browser.cookie or ""
        if is_carried_over:
            browser.show(read)
        assert engine.SessionStore().exists(key)
        engine.SessionStore().delete(key)
        assert not engine.SessionStore().exists(key)
        assert browser.show(read) == {}
        assert not other.has(key)


@on_every_store
def test_a_limit_counts_sessions_that_were_carried_over(other: OtherEngine, ann: Any, settings: Any) -> None:
    settings.SRVSESSION_MAX_SESSIONS_PER_USER = 2
    for browser in [other.browser(put(number=number), user=ann) for number in range(3)]:
        assert browser.user() == "ann"
    newest = Browser()
    newest.visit(login(ann))
    assert newest.user() == "ann"
    assert len(services.sessions_of(ann)) == 2


def test_what_cannot_be_serialized_here_is_not_carried_over_and_stays_there(
    other: OtherEngine, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.SESSION_SERIALIZER = "tests.test_checks_of_moving.PickleSerializer"
    settings.SRVSESSION_MIGRATE_SERIALIZER = "tests.test_checks_of_moving.PickleSerializer"
    kept, not_kept = other.browser(put(a=1)), other.browser(put(a={1, 2}))
    settings.SESSION_SERIALIZER = "django.contrib.sessions.serializers.JSONSerializer"
    assert kept.show(read) == {"a": 1}
    assert not_kept.show(read) == {}
    assert "cannot be carried over" in caplog.text
    assert Session.objects.count() == 1


@pytest.mark.parametrize("other", ["cached_db"], indirect=True)
def test_a_cache_that_is_out_keeps_nobody_from_being_carried_over(
    other: OtherEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = other.browser(put(a=1))

    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("the cache is out")

    for verb in ("get", "set", "delete"):
        monkeypatch.setattr(f"django.core.cache.backends.locmem.LocMemCache.{verb}", fail)
    assert browser.show(read) == {"a": 1}
    assert browser.show(read) == {"a": 1}


@pytest.mark.fence
def test_djangos_engines_have_what_is_reached_into(other: OtherEngine) -> None:
    cached, filed, row = cache.SessionStore("a" * 32), file.SessionStore("a" * 32), StockStore("a" * 32)
    assert cached.cache_key == cached.cache_key_prefix + "a" * 32
    assert cached._cache.get(cached.cache_key) is None
    assert filed._key_to_file().startswith(filed._get_storage_path())
    assert Path(filed._key_to_file()).name == filed.file_prefix + "a" * 32
    for session in (cached, filed, row):
        session._session_cache = {"a": 1}
        assert session._get_session() == {"a": 1}
        assert session.session_key == session._session_key == "a" * 32
    # "payload:when:signature", and when is in base 62.
    when = other_key(signed_cookies.SessionStore()).rsplit(":", 2)[1]
    assert abs(b62_decode(when) - time.time()) < 3600


def other_key(session: Any) -> str:
    """Return the key that a new session of an engine has once it is saved."""
    session["a"] = 1
    session.save()
    return str(session.session_key)
