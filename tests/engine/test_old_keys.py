"""A key from before a sign-in: who holds it, and the password too, gets a session of their own and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth import alogin
from django.contrib.auth import login as django_login
from django.http import HttpRequest, HttpResponse

from django_srvsession import services
from django_srvsession.engine.keys import SessionKey
from django_srvsession.records import Delta, Loaded
from django_srvsession.signals import session_ended
from django_srvsession.store import Store
from tests.engine.every_store import on_every_store
from tests.engine.pages import (
    BACKEND,
    Browser,
    View,
    count_view,
    login,
    logout,
    name_user,
    put,
    read,
    set_cookie,
    while_,
)
from tests.engine.watched import WatchedStore

FIELD = "_srvsession_confirmed_ms"


def sid_of(browser: Browser) -> str:
    key = SessionKey.parse(browser.cookie)
    assert key is not None
    return key.sid


def with_a_code(user: Any) -> View:
    """Sign in with password and code in one request, as django-otp's form does."""

    def sign_in(request: HttpRequest) -> None:
        login(user)(request)
        request.session["otp_device_id"] = "totp/1"

    return sign_in


def prove(request: HttpRequest) -> None:
    request.session["otp_device_id"] = "totp/1"


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """The reasons of all ends that are told of."""
    reasons: list[str] = []

    def hear(reason: str, **kwargs: Any) -> None:
        reasons.append(reason)

    session_ended.connect(hear)
    yield reasons
    session_ended.disconnect(hear)


# Ways in.


@on_every_store
@pytest.mark.parametrize("later", [False, True])
def test_a_planted_key_and_the_password_inherit_no_second_factor(
    later: bool, browser: Browser, ann: Any, engine: Any, heard: list[str]
) -> None:
    browser.visit(put(cart=["tea"]))
    attacker = browser.copy()
    browser.visit(login(ann) if later else with_a_code(ann))
    if later:
        browser.visit(prove)
    attacker.visit(login(ann))
    assert attacker.user() == "ann"  # The password is right.
    assert attacker.show(read).keys() <= {"_auth_user_id", "_auth_user_backend", "_auth_user_hash"}
    assert sid_of(attacker) != sid_of(browser)
    # The victim stays signed in, with all that was there.
    assert browser.user() == "ann"
    assert browser.show(read)["otp_device_id"] == "totp/1"
    assert browser.show(read)["cart"] == ["tea"]
    assert heard == []


@on_every_store
def test_a_sign_in_that_was_under_way_inherits_what_it_had_loaded_and_nothing_since(
    browser: Browser, ann: Any, engine: Any
) -> None:
    browser.visit(put(cart=["tea"]))
    victim = browser.copy()
    browser.visit(while_(read, lambda: victim.visit(with_a_code(ann)), login(ann)))
    assert (browser.user(), victim.user()) == ("ann", "ann")
    assert browser.show(read)["cart"] == ["tea"]
    assert "otp_device_id" not in browser.show(read)
    assert victim.show(read)["otp_device_id"] == "totp/1"


@on_every_store
def test_a_value_that_was_forged_in_the_store_is_never_sealed_by_a_sign_in(
    browser: Browser, ann: Any, engine: Any, store: WatchedStore
) -> None:
    """Who can write the store, and knows no secret, waits for two sign-ins with one key."""
    browser.visit(put(cart=["tea"]))
    second = browser.copy()
    # Format, key id, flags, payload, and what should be the seal.
    forged = dict.fromkeys(("_impersonate", "otp_device_id", FIELD), b"\x01AAAA\x00" + b"7" + b"B" * 16)

    def write(target: Store, browser: Browser) -> None:
        found = target.load(sid_of(browser))
        assert isinstance(found, Loaded)
        target.update(found.record.sid, found.record.verifier, Delta(changed=forged), found)

    browser.visit(while_(read, lambda: write(store.inner, browser), login(ann)))
    second.visit(login(ann))
    assert second.user() == "ann"
    assert not forged.keys() & second.show(read).keys()
    assert browser.show(read) == {}  # A session reads as empty from the first value that is not ours.


@on_every_store
def test_rotating_an_anonymous_session_protects_at_once_what_is_noted_in_it(
    browser: Browser, ann: Any, bob: Any, engine: Any
) -> None:
    def passes_a_first_factor(request: HttpRequest) -> None:
        request.session.cycle_key()
        request.session["passed"] = "ann"

    browser.visit(put(cart=["tea"]))
    attacker = browser.copy()
    browser.visit(passes_a_first_factor)
    attacker.visit(login(bob))
    assert attacker.user() == "bob"
    assert "passed" not in attacker.show(read)
    assert browser.show(read) == {"cart": ["tea"], "passed": "ann"}


@on_every_store
def test_a_logout_that_began_before_the_sign_in_does_not_sign_out_who_signed_in(
    browser: Browser, ann: Any, engine: Any
) -> None:
    browser.visit(put(cart=["tea"]))
    beside = browser.copy()
    beside.visit(while_(read, lambda: browser.visit(login(ann)), logout))
    assert browser.user() == "ann"


@on_every_store
def test_a_sign_in_inherits_nothing_of_a_session_that_has_ended_meanwhile(
    browser: Browser, ann: Any, engine: Any
) -> None:
    browser.visit(put(passed="first factor"))
    sid = sid_of(browser)
    browser.visit(while_(read, lambda: services.revoke(sid), login(ann)))
    assert browser.user() == "ann"
    assert "passed" not in browser.show(read)


# The key changes at every sign-in.


async def asign_in_again(request: HttpRequest) -> None:
    await alogin(request, await request.auser(), backend=BACKEND)


def sign_in_again(request: HttpRequest) -> None:
    django_login(request, request.user, backend=BACKEND)


@on_every_store
@pytest.mark.parametrize("view", [sign_in_again, asign_in_again])
def test_signing_in_again_by_any_code_changes_the_key(view: View, browser: Browser, ann: Any, engine: Any) -> None:
    browser.visit(login(ann))
    browser.visit(put(cart=["tea"]))
    stolen, sid = browser.copy(), sid_of(browser)
    browser.visit(view)
    assert browser.user() == "ann"
    assert (sid_of(browser), browser.show(read)["cart"]) == (sid, ["tea"])
    assert browser.cookie != stolen.cookie
    assert stolen.user() == ""


def test_signing_in_again_after_a_renewal_in_the_same_request_kills_the_old_key(browser: Browser, ann: Any) -> None:
    def renew_and_sign_in(request: HttpRequest) -> None:
        name_user(request)
        request.session.cycle_key(final=False)
        sign_in_again(request)

    browser.visit(login(ann))
    stolen = browser.copy()
    browser.visit(renew_and_sign_in)
    assert (browser.user(), stolen.user()) == ("ann", "")


@pytest.mark.parametrize("name", ["db", "cache"])
def test_stock_django_keeps_the_key_when_somebody_signs_in_again(
    name: str, browser: Browser, stock: Callable[..., None], ann: Any
) -> None:
    stock(name)
    browser.visit(login(ann))
    stolen = browser.copy()
    browser.visit(sign_in_again)
    assert stolen.user() == "ann"


def twice(view: View) -> View:
    def both(request: HttpRequest) -> None:
        view(request)
        view(request)

    return both


@pytest.mark.parametrize(
    ("before", "view", "verbs"),
    [
        # A first visit: Django's login() cycles the key of a session that is not there yet.
        ([], login, ["create", "update"]),
        # An anonymous session: Django's login() rotates at once, and the user is saved with the answer.
        ([put(cart=["tea"])], login, ["load", "rotate", "update"]),
        # The same user again: one step stores who signs in, and rotates.
        ([login], login, ["load", "rotate"]),
        # Twice in one request: it has a key of its own already.
        ([login], lambda user: twice(login(user)), ["load", "rotate", "update"]),
    ],
)
def test_the_round_trips_of_a_sign_in(
    before: list[Any], view: Callable[[Any], View], verbs: list[str], browser: Browser, ann: Any, store: WatchedStore
) -> None:
    for visit in before:
        browser.visit(visit(ann) if visit is login else visit)
    assert [asked.verb for asked in store.since(lambda: browser.visit(view(ann)))] == verbs


# After an end from elsewhere.


@on_every_store
@pytest.mark.parametrize("reason", ["revoked", "limit", "password_changed", "user_deactivated", "cleared"])
def test_after_an_end_from_elsewhere_the_browser_can_keep_something_at_once(
    reason: str, browser: Browser, ann: Any, engine: Any
) -> None:
    browser.visit(login(ann))
    dead, sid = browser.cookie, sid_of(browser)
    services.revoke(sid, reason=reason)
    assert browser.show(count_view) == 1
    assert browser.cookie != dead
    assert browser.show(count_view) == 2
    assert sid_of(browser) != sid


@on_every_store
def test_a_reader_of_an_ended_session_begins_none(browser: Browser, ann: Any, engine: Any) -> None:
    browser.visit(login(ann))
    services.revoke_all(ann)
    assert set_cookie(browser.visit(read)) is None
    assert list(services.live_sessions()) == []


def test_signing_in_works_at_once_after_a_remote_sign_out_where_the_token_is_in_the_session(
    browser: Browser, ann: Any, settings: Any
) -> None:
    from django.middleware.csrf import get_token

    def form(request: HttpRequest) -> str:
        return get_token(request)

    def sign_in(request: HttpRequest) -> HttpResponse | None:
        return login(ann)(request)  # type: ignore[no-any-return]

    settings.CSRF_USE_SESSIONS = True
    browser.client.handler.enforce_csrf_checks = True
    browser.visit(login(ann))
    services.revoke_all(ann)
    token = browser.show(form)
    assert browser.visit(sign_in, "post", data={"csrfmiddlewaretoken": token}).status_code == 200
    assert browser.user() == "ann"


def test_the_session_that_begins_after_an_end_still_tells_why(browser: Browser, ann: Any) -> None:
    def why(request: HttpRequest) -> Any:
        request.session.get("x")
        ended = request.session.ended
        return None if ended is None else [ended.reason, ended.by_owner]

    browser.visit(login(ann))
    services.revoke_all(ann, by=ann)
    browser.visit(count_view)  # The browser has another key now, one that did not end.
    assert browser.show(why) == ["revoked", True]
    assert "views" in browser.show(read)
    assert browser.show(read).keys() == {"views"}
    browser.visit(login(ann))
    assert browser.show(why) is None


# Marks of our own.


def test_a_view_that_keeps_a_visitors_keys_cannot_store_a_mark(browser: Browser, ann: Any) -> None:
    def keep(request: HttpRequest) -> None:
        for name, value in request.GET.items():
            request.session[name] = value

    def count(request: HttpRequest) -> None:
        for name in request.GET:
            request.session.incr(name)

    browser.visit(login(ann))
    for view in (keep, count, lambda request: request.session.update(request.GET.dict())):
        assert browser.visit(view, data={FIELD: "1"}).status_code == 400
    assert browser.show(read).keys() == {"_auth_user_id", "_auth_user_backend", "_auth_user_hash"}
