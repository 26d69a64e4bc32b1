"""Only ``login()`` signs in: what is assigned, copied or restored by a page renews no proof, and revives no session."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from typing import Any

import pytest
from django.contrib.auth import login as django_login
from django.contrib.auth import update_session_auth_hash
from django.contrib.sessions.exceptions import SuspiciousSession
from django.http import HttpRequest, HttpResponse
from django.utils.html import escape

from django_srvsession import services
from django_srvsession.accounts import reauthentication
from django_srvsession.engine import serializing
from django_srvsession.store import UpdateError
from tests.engine.every_store import DB, on_every_store
from tests.engine.pages import BACKEND, Browser, View, logout, name_user, put, read, set_cookie, while_
from tests.engine.pages import login as log_in
from tests.later import Later


def is_recent(request: HttpRequest) -> bool:
    return reauthentication.is_recent(request)


def keep(request: HttpRequest) -> None:
    """As a page does that keeps whatever a visitor sends."""
    for name, value in request.GET.items():
        request.session[name] = value


def keep_sanitized(request: HttpRequest) -> None:
    request.session.update({escape(name): json.loads(value) for name, value in request.GET.items()})


def copy_over(request: HttpRequest) -> None:
    contents = dict(request.session.items())
    request.session.clear()
    request.session.update(contents)


def copy_into_another(request: HttpRequest) -> None:
    contents = dict(request.session.items())
    request.session.flush()
    request.session.update(contents)


def create(request: HttpRequest) -> None:
    read(request)
    request.session.create()


def create_twice(request: HttpRequest) -> None:
    create(request)
    request.session.save()
    request.session.create()


COPIES = [copy_over, copy_into_another, create]


def by_hand(user: Any) -> View:
    def assign(request: HttpRequest) -> None:
        request.session["_auth_user_id"] = str(user.pk)
        request.session["_auth_user_backend"] = BACKEND
        request.session["_auth_user_hash"] = user.get_session_auth_hash()

    return assign


# Proofs.


@pytest.mark.parametrize("view", [keep, *COPIES])
def test_whoever_has_the_user_assigned_anew_gives_no_proof_and_gets_no_more_guesses(
    view: View, browser: Browser, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser.visit(log_in(ann))
    later = Later(monkeypatch, 3600)
    assert not browser.show(is_recent)
    checked = 0
    while checked < 12 and browser.user() == "ann":
        browser.visit(lambda request: reauthentication.confirm(request, "wrong"))
        checked += 1
        browser.visit(view, data={"_auth_user_id": str(ann.pk)})
        later.advance(1)
        assert not browser.show(is_recent)
    assert checked == 5


@pytest.mark.parametrize("view", [keep, copy_over])
def test_a_session_whose_user_is_assigned_anew_lives_no_longer_than_its_absolute_limit(
    view: View, browser: Browser, ann: Any, settings: Any
) -> None:
    settings.SRVSESSION_MAX_LIFETIME = 3600
    browser.visit(log_in(ann))
    (record,) = services.sessions_of(ann)
    browser.visit(view, data={"_auth_user_id": str(ann.pk)})
    (after,) = services.sessions_of(ann)
    assert (after.deadline_ms, after.signed_in_ms) == (record.deadline_ms, record.signed_in_ms)


@on_every_store
@pytest.mark.parametrize("view", [create, copy_into_another, create_twice])
def test_a_session_that_goes_on_in_a_new_one_lives_no_longer_than_its_absolute_limit(
    view: View, browser: Browser, ann: Any, settings: Any, engine: Any
) -> None:
    settings.SRVSESSION_MAX_LIFETIME = 3600
    browser.visit(put(cart=1))
    browser.visit(log_in(ann))
    (first,) = services.sessions_of(ann)
    for _ in range(2):
        time.sleep(0.01)  # A limit that began anew would end later.
        browser.visit(view)
        browser.visit(put(a=1))
        browser.visit(copy_over)
        (after,) = services.sessions_of(ann)
        assert after.sid != first.sid
        assert (after.deadline_ms, browser.user()) == (first.deadline_ms, "ann")
        assert not browser.show(is_recent)
    browser.visit(log_in(ann))
    (again,) = services.sessions_of(ann)
    assert again.deadline_ms > first.deadline_ms
    browser.visit(put(a=2))
    (saved,) = services.sessions_of(ann)
    assert saved.deadline_ms == again.deadline_ms


def test_who_becomes_another_user_and_proves_it_in_one_request_has_proved_it(
    browser: Browser, ann: Any, bob: Any
) -> None:
    """As a site's own page does that has checked a passkey: the session begins in that very request."""

    def become(request: HttpRequest) -> None:
        django_login(request, bob, BACKEND)
        reauthentication.given(request, means="passkey")

    browser.visit(log_in(ann))
    browser.visit(become)
    assert (browser.user(), browser.show(is_recent)) == ("bob", True)
    details = browser.show(lambda request: (read(request), list(request.session.details))[1])
    assert {"passkey", True} <= {value for value in details if not isinstance(value, list)}


@on_every_store
def test_details_are_changed_on_an_event_loop_as_elsewhere(engine: Any) -> None:
    session = engine.SessionStore()
    session["a"] = 1
    session.save()

    async def name_it() -> str:
        fresh = engine.SessionStore(session.session_key)
        await fresh.achange_details(lambda details, now_ms: details._replace(name="work laptop"))
        return str(fresh.details.name)

    assert asyncio.run(name_it()) == "work laptop"
    session.load()
    assert (session.details.name, session["a"]) == ("work laptop", 1)
    session.change_details(lambda details, now_ms: details._replace(name=""))
    assert session.record.details == b""
    with pytest.raises(ValueError, match="name"):
        session.change_details(lambda details, now_ms: details._replace(name="n" * 256))
    session.delete()
    with pytest.raises(UpdateError):
        session.change_details(lambda details, now_ms: details._replace(name="late"))


def test_a_page_that_signs_in_and_then_begins_a_new_session_starts_the_absolute_limit_anew(
    browser: Browser, ann: Any, settings: Any
) -> None:
    def sign_in_and_create(request: HttpRequest) -> None:
        log_in(ann)(request)
        request.session.create()

    settings.SRVSESSION_MAX_LIFETIME = 3600
    browser.visit(log_in(ann))
    browser.visit(create)
    (before,) = services.sessions_of(ann)
    time.sleep(0.01)
    browser.visit(sign_in_and_create)
    (after,) = services.sessions_of(ann)
    assert after.deadline_ms > before.deadline_ms


def test_whose_password_change_goes_on_in_a_new_session_keeps_the_absolute_limit(
    browser: Browser, ann: Any, settings: Any
) -> None:
    def change_password(request: HttpRequest) -> None:
        request.user.set_password("another")
        request.user.save()
        beside.visit(name_user)  # It finds a hash that does not fit, and ends the session.
        update_session_auth_hash(request, request.user)

    settings.SRVSESSION_MAX_LIFETIME = 3600
    browser.visit(log_in(ann))
    (first,) = services.sessions_of(ann)
    beside = browser.copy()
    time.sleep(0.01)
    browser.visit(change_password)
    (after,) = services.sessions_of(ann)
    assert after.sid != first.sid
    assert (after.deadline_ms, browser.user()) == (first.deadline_ms, "ann")


@pytest.mark.parametrize("view", COPIES)
def test_who_became_another_user_has_proved_nothing_wherever_the_contents_go(
    view: View, browser: Browser, ann: Any, bob: Any
) -> None:
    browser.visit(log_in(ann))
    browser.visit(log_in(bob))
    browser.visit(view)
    assert (browser.user(), browser.show(is_recent)) == ("bob", False)


def test_of_two_sign_ins_again_of_who_became_another_user_neither_is_a_proof(
    browser: Browser, ann: Any, bob: Any
) -> None:
    browser.visit(log_in(ann))
    browser.visit(log_in(bob))
    other = browser.copy()
    browser.visit(while_(read, lambda: other.visit(log_in(bob)), log_in(bob)))
    assert [(each.user(), each.show(is_recent)) for each in (browser, other)] == [("bob", False)] * 2


def test_who_assigns_another_user_after_losing_the_rotation_has_proved_nothing(
    browser: Browser, ann: Any, bob: Any
) -> None:
    def lose_and_assign(request: HttpRequest) -> None:
        request.session.cycle_key()
        by_hand(bob)(request)

    browser.visit(log_in(ann))
    other = browser.copy()
    browser.visit(while_(read, lambda: other.visit(lambda request: request.session.cycle_key()), lose_and_assign))
    assert (browser.user(), browser.show(is_recent)) == ("bob", False)


def test_whose_credentials_were_checked_is_one_user_and_not_the_next_one(browser: Browser, ann: Any, bob: Any) -> None:
    def check_and_switch(request: HttpRequest) -> None:
        request.session.note_authenticated(str(ann.pk))  # type: ignore[attr-defined]
        django_login(request, ann, backend=BACKEND)
        django_login(request, bob, backend=BACKEND)

    browser.visit(check_and_switch)
    assert (browser.user(), browser.show(is_recent)) == ("bob", False)


def test_a_user_whom_code_puts_in_the_place_of_the_sessions_has_proved_nothing(
    browser: Browser, ann: Any, bob: Any
) -> None:
    def as_bob(request: HttpRequest) -> bool:
        request.user = bob
        return reauthentication.is_recent(request)

    browser.visit(log_in(ann))
    assert browser.show(is_recent)
    assert not browser.show(as_bob)


@pytest.mark.parametrize("view", [keep, keep_sanitized])
def test_no_spelling_of_a_name_reaches_a_mark(view: View, browser: Browser, ann: Any) -> None:
    browser.visit(log_in(ann))
    assert browser.visit(view, data={"_srvsession_confirmed_ms": "1"}).status_code == 400


def test_a_text_of_a_class_of_its_own_is_a_reserved_name_too(engine: Any) -> None:
    class Text(str):
        __slots__ = ()

    session = engine.SessionStore()
    for assign in (session.update, lambda values: [session.__setitem__(*pair) for pair in values.items()]):
        with pytest.raises(SuspiciousSession):
            assign({Text("_srvsession_confirmed_ms"): 1})


@on_every_store
def test_a_sign_in_by_hand_is_listed_and_is_no_proof(browser: Browser, ann: Any, engine: Any) -> None:
    browser.visit(by_hand(ann))
    assert browser.user() == "ann"
    assert len(services.sessions_of(ann)) == 1
    assert not browser.show(is_recent)


def test_a_visitor_who_names_a_user_is_listed_as_that_one_and_is_nobody(browser: Browser, ann: Any) -> None:
    """What is left where a page stores whatever names a visitor sends: the hash does not fit."""
    browser.visit(keep, data={"_auth_user_id": str(ann.pk), "_auth_user_backend": BACKEND, "_auth_user_hash": "guess"})
    assert len(services.sessions_of(ann)) == 1
    assert browser.user() == ""
    assert list(services.sessions_of(ann)) == []  # Whoever asks for the user finds out.


def test_a_proof_that_is_given_for_somebody_else_counts_for_nobody(
    browser: Browser, ann: Any, bob: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_as_bob(request: HttpRequest) -> None:
        request.user = bob
        reauthentication.given(request)

    browser.visit(log_in(ann))
    Later(monkeypatch, 3600)
    browser.visit(give_as_bob)
    assert not browser.show(is_recent)


# What has ended.


@on_every_store
@pytest.mark.parametrize("view", [lambda request: request.session.load(), *COPIES, keep])
def test_no_copy_of_an_ended_session_lives_on(view: View, browser: Browser, ann: Any, engine: Any) -> None:
    def write(request: HttpRequest) -> None:
        try:
            view(request)
            request.session["late"] = 1
            request.session.save()
        except UpdateError:
            return

    browser.visit(log_in(ann))
    end = lambda: services.revoke_all(ann)  # noqa: E731
    browser.visit(while_(read, end, write), data={"_auth_user_id": str(ann.pk)})
    assert list(services.sessions_of(ann)) == []
    assert browser.user() == ""


def clear_and_write(request: HttpRequest) -> None:
    request.session.clear()
    request.session["a"] = 1


@on_every_store
def test_a_dead_key_keeps_nobody_from_clearing_and_writing(browser: Browser, ann: Any, engine: Any) -> None:
    browser.visit(log_in(ann))
    services.revoke_all(ann)
    browser.visit(clear_and_write)
    assert browser.show(read) == {"a": 1}


def test_a_sign_in_by_hand_after_clearing_a_dead_key_is_kept(browser: Browser, ann: Any) -> None:
    def clear_and_sign_in(request: HttpRequest) -> None:
        request.session.clear()
        by_hand(ann)(request)

    browser.visit(put(a=1))
    for record in services.live_sessions():
        services.revoke(record.sid)
    browser.visit(clear_and_sign_in)
    assert browser.user() == "ann"


# Transactions.


@pytest.mark.parametrize("engine", [DB], indirect=True)
@pytest.mark.parametrize("view", [create, lambda request: request.session.cycle_key()])
def test_what_is_written_after_a_rotation_that_was_rolled_back_is_not_acknowledged(
    view: View, browser: Browser, engine: Any, atomic_requests: None
) -> None:
    def undone(request: HttpRequest) -> HttpResponse:
        from django.db import transaction

        read(request)
        view(request)
        request.session["b"] = 2
        transaction.set_rollback(True)
        return HttpResponse("done")

    browser.visit(put(a=1))
    assert browser.visit(undone).status_code == 503
    assert browser.show(read) == {"a": 1}


@pytest.mark.parametrize("engine", [DB], indirect=True)
@pytest.mark.parametrize("status", [200, 404])
def test_a_logout_that_was_rolled_back_leaves_the_cookie_also_if_something_was_written_after_it(
    status: int, browser: Browser, engine: Any, ann: Any, atomic_requests: None
) -> None:
    def undone(request: HttpRequest) -> HttpResponse:
        from django.db import transaction

        name_user(request)
        logout(request)
        request.session["hello"] = 1
        transaction.set_rollback(True)
        return HttpResponse(status=status)

    browser.visit(log_in(ann))
    response = browser.visit(undone)
    assert (response.status_code, set_cookie(response)) == (503 if status == 200 else 404, None)
    assert browser.user() == "ann"


# Threads, and values that are deep or whose names are long.


def test_threads_that_assign_while_another_one_saves_lose_nothing(engine: Any) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(30):
            session = engine.SessionStore()
            session["a"] = 0
            session.save()
            assign = threading.Thread(
                target=lambda session=session: [session.__setitem__(f"k{i % 7}", i) for i in range(200)]
            )
            assign.start()
            while assign.is_alive():
                session.save()
            assign.join()
            session.save()
            stored = dict(engine.SessionStore(session.session_key).items())
            assert stored == {"a": 0, **{f"k{i % 7}": i for i in range(200)}}
    finally:
        sys.setswitchinterval(before)


def test_a_value_that_could_not_be_read_this_time_is_not_taken_for_damaged(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = engine.SessionStore()
    session["deep"] = json.loads("[" * 150 + "]" * 150)
    session.save()
    late = engine.SessionStore(session.session_key)

    def fails(data: bytes) -> Any:
        raise RecursionError

    with monkeypatch.context() as patch:
        patch.setattr(serializing._JSON, "loads", fails)
        with pytest.raises(RecursionError):
            late.get("deep")
    assert late.session_key == session.session_key
    assert dict(engine.SessionStore(late.session_key).items()) == dict(session.items())
