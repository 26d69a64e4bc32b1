"""The life of a key: rotation, sign-in, late and stale requests, and who may set or delete the cookie."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import login as django_login
from django.contrib.auth import update_session_auth_hash
from django.contrib.sessions.models import Session
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse

from django_srvsession import services
from django_srvsession.engine.keys import SessionKey
from django_srvsession.store import UpdateError
from tests.engine.every_store import DB, on_every_store
from tests.engine.pages import (
    BACKEND,
    Browser,
    View,
    at_once,
    count_view,
    deletes_cookie,
    failing,
    flush,
    login,
    logout,
    make_user,
    name_user,
    put,
    raising,
    read,
    rotate,
    set_cookie,
    untouched,
    varies,
    while_,
)
from tests.engine.watched import WatchedStore


def sids() -> list[str]:
    return [record.sid for record in services.live_sessions()]


def sid_of(browser: Browser) -> str:
    key = SessionKey.parse(browser.cookie)
    assert key is not None
    return key.sid


def increment(request: HttpRequest) -> Any:
    return request.session.incr("views")


async def acount_view(request: HttpRequest) -> None:
    await request.session.aset("views", await request.session.aget("views", 0) + 1)


async def arotate(request: HttpRequest) -> None:
    await request.session.acycle_key()


def new_password(request: HttpRequest) -> None:
    request.user.set_password("another")
    request.user.save()
    update_session_auth_hash(request, request.user)


# Rotation.


@on_every_store
@pytest.mark.parametrize("view", [rotate, arotate])
def test_a_rotation_keeps_the_session_and_kills_the_old_key(view: View, browser: Browser, engine: Any) -> None:
    browser.visit(put(a=[1]))
    old, sid = browser.copy(), sid_of(browser)
    browser.visit(view)
    assert browser.cookie != old.cookie
    assert sid_of(browser) == sid
    assert browser.show(read) == {"a": [1]}
    assert old.show(read) == {}
    assert sids() == [sid]


def test_a_rotation_stores_what_was_not_saved_yet_in_the_same_step(browser: Browser, store: WatchedStore) -> None:
    def change_and_rotate(request: HttpRequest) -> None:
        request.session["a"].append(2)
        request.session.cycle_key()

    browser.visit(put(a=[1]))
    assert [asked.verb for asked in store.since(lambda: browser.visit(change_and_rotate))] == ["load", "rotate"]
    assert browser.show(read) == {"a": [1, 2]}


@on_every_store
@pytest.mark.parametrize("wrap", [failing, raising])
def test_the_new_cookie_is_sent_after_a_rotation_though_the_page_failed(
    wrap: Callable[[View], View], browser: Browser, engine: Any
) -> None:
    browser.visit(put(a=1))
    old = browser.cookie
    response = browser.visit(wrap(rotate))
    assert response.status_code == 500
    assert varies(response)
    assert browser.cookie != old
    assert browser.show(read) == {"a": 1}


@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize("wrap", [failing, raising])
@pytest.mark.parametrize("engine", ["memory", DB, "redis"], indirect=True)
def test_after_a_sign_in_in_a_page_that_fails_the_browser_has_a_cookie_that_works(
    wrap: Callable[[View], View], atomic: bool, browser: Browser, engine: Any, ann: Any, request: Any
) -> None:
    request.getfixturevalue("atomic_requests" if atomic else "browser")
    browser.visit(put(cart=["tea"]))
    assert browser.visit(wrap(login(ann))).status_code == 500
    assert browser.show(read)["cart"] == ["tea"]
    assert browser.visit(login(ann)).status_code == 200
    assert browser.user() == "ann"
    assert len(sids()) == 1


@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize("engine", ["memory", DB, "redis"], indirect=True)
def test_a_logout_in_a_page_that_raises_either_happened_or_did_not(
    atomic: bool, browser: Browser, engine: Any, ann: Any, request: Any
) -> None:
    request.getfixturevalue("atomic_requests" if atomic else "browser")
    browser.visit(login(ann))
    before = browser.copy()
    response = browser.visit(raising(logout))
    assert response.status_code == 500
    # Only where the session is a row of the transaction that was rolled back is it still there.
    is_undone = atomic and engine.__name__.endswith(".db")
    assert deletes_cookie(response) is not is_undone
    assert before.user() == ("ann" if is_undone else "")
    assert browser.user() == ("ann" if is_undone else "")


@pytest.mark.parametrize("engine", [DB], indirect=True)
@pytest.mark.parametrize("view", [logout, rotate])
def test_what_the_pages_own_transaction_rolled_back_is_not_acknowledged(
    view: View, browser: Browser, engine: Any, ann: Any
) -> None:
    from django.db import transaction

    def undo(request: HttpRequest) -> str:
        try:
            with transaction.atomic():
                view(request)
                raise ZeroDivisionError
        except ZeroDivisionError:
            return "done"

    browser.visit(login(ann))
    response = browser.visit(undo)
    assert response.status_code == 503
    assert not response.cookies
    assert browser.user() == "ann"


@pytest.mark.parametrize("engine", [DB], indirect=True)
def test_a_sign_in_that_was_committed_and_ended_since_is_no_rollback(
    browser: Browser, engine: Any, ann: Any, atomic_requests: None
) -> None:
    from django.db import transaction

    def sign_in(request: HttpRequest) -> str:
        login(ann)(request)
        request.session.save()
        transaction.on_commit(lambda: services.revoke_all(ann))
        return "done"

    browser.visit(put(cart=["tea"]))
    response = browser.visit(sign_in)
    assert (response.status_code, set_cookie(response)) == (200, None)
    assert browser.user() == ""


def not_found(request: HttpRequest) -> None:
    raise Http404


def forbidden(request: HttpRequest) -> None:
    raise PermissionDenied


def undo_and_answer(status: int) -> View:
    """As Django REST framework does for a validation error: mark the transaction, and answer."""

    def view(request: HttpRequest) -> HttpResponse:
        from django.db import transaction

        transaction.set_rollback(True)
        return HttpResponse(status=status)

    return view


def both(first: View, then: View) -> View:
    def view(request: HttpRequest) -> Any:
        first(request)
        return then(request)

    return view


def create(request: HttpRequest) -> None:
    read(request)
    request.session.create()


@pytest.mark.parametrize("engine", [DB], indirect=True)
@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize(("refuse", "status"), [(not_found, 404), (forbidden, 403), (undo_and_answer(400), 400)])
@pytest.mark.parametrize("view", [create, increment, rotate, put(a=2), logout])
def test_an_answer_of_4xx_goes_out_though_what_the_page_did_to_its_session_was_rolled_back(
    view: View, refuse: View, status: int, is_new: bool, browser: Browser, engine: Any, atomic_requests: None
) -> None:
    if not is_new:
        browser.visit(put(cart=["tea"]))
    before = browser.cookie
    response = browser.visit(both(view, refuse))
    assert response.status_code == status
    # The browser keeps what it had, and it works. What was assigned, and not stored by the page itself, is saved.
    if before is not None:
        assert browser.cookie == before
        assert browser.show(read)["cart"] == ["tea"]
    assert browser.user() == ""
    browser.visit(put(cart=["coffee"]))
    assert browser.show(read)["cart"] == ["coffee"]


@pytest.mark.parametrize("engine", [DB], indirect=True)
@pytest.mark.parametrize("view", [create, increment, rotate])
def test_an_answer_that_claims_success_is_withheld_if_its_session_was_rolled_back(
    view: View, browser: Browser, engine: Any, atomic_requests: None
) -> None:
    response = browser.visit(both(view, undo_and_answer(200)))
    assert (response.status_code, set_cookie(response)) == (503, None)


@pytest.mark.parametrize("engine", [DB], indirect=True)
@pytest.mark.parametrize("status", [200, 302, 400, 403])
@pytest.mark.parametrize("is_new", [True, False])
def test_a_sign_in_that_was_rolled_back_is_made_again_when_the_answer_goes_out(
    status: int, is_new: bool, browser: Browser, engine: Any, ann: Any, atomic_requests: None
) -> None:
    if not is_new:
        browser.visit(put(cart=["tea"]))
    response = browser.visit(both(login(ann), undo_and_answer(status)))
    assert response.status_code == status
    assert browser.user() == "ann"
    assert len(services.sessions_of(ann)) == 1


@pytest.mark.parametrize("name", ["db", "cache"])
def test_stock_django_loses_the_session_after_a_sign_in_in_a_page_that_fails(
    name: str, browser: Browser, stock: Callable[..., None], ann: Any
) -> None:
    stock(name)
    browser.visit(put(cart=["tea"]))
    browser.visit(failing(login(ann)))
    assert browser.show(read) == {}


# Sign-in.


@on_every_store
def test_signing_in_keeps_contents_and_sid_and_kills_the_old_key(browser: Browser, ann: Any, engine: Any) -> None:
    browser.visit(put(cart=["tea"]))
    attacker, sid = browser.copy(), sid_of(browser)
    browser.visit(login(ann))
    assert (browser.user(), browser.show(read)["cart"], sid_of(browser)) == ("ann", ["tea"], sid)
    assert attacker.user() == ""
    assert attacker.show(read) == {}
    (record,) = services.sessions_of(ann)
    assert (record.sid, record.user_id) == (sid, str(ann.pk))
    assert record.signed_in_at is not None


@on_every_store
def test_signing_in_as_another_user_ends_the_session_and_begins_one(
    browser: Browser, ann: Any, bob: Any, engine: Any
) -> None:
    browser.visit(login(ann))
    before = browser.copy()
    browser.visit(put(private="ann's"))
    browser.visit(login(bob))
    assert browser.user() == "bob"
    assert "private" not in browser.show(read)
    assert before.user() == ""
    assert list(services.sessions_of(ann)) == []
    assert len(sids()) == 1


@on_every_store
def test_a_session_given_to_another_user_by_hand_gets_another_sid(
    browser: Browser, ann: Any, bob: Any, engine: Any
) -> None:
    """A sid belongs to at most one user, however careless the sign-in code is."""

    def swap(request: HttpRequest) -> None:
        request.session["_auth_user_id"] = str(bob.pk)
        request.session["_auth_user_hash"] = bob.get_session_auth_hash()

    browser.visit(login(ann))
    before, sid = browser.copy(), sid_of(browser)
    browser.visit(swap)
    assert browser.user() == "bob"
    assert sid_of(browser) != sid
    assert before.user() == ""
    assert list(services.sessions_of(ann)) == []


@on_every_store
def test_a_cleared_session_of_a_user_gets_another_sid(browser: Browser, ann: Any, engine: Any) -> None:
    def clear(request: HttpRequest) -> None:
        request.session.clear()
        request.session["a"] = 1

    browser.visit(login(ann))
    before, sid = browser.copy(), sid_of(browser)
    browser.visit(clear)
    assert browser.show(read) == {"a": 1}
    assert sid_of(browser) != sid
    assert before.user() == ""
    assert list(services.sessions_of(ann)) == []


def two_sign_ins(order: str, first: View, second: View, browser: Browser) -> tuple[Browser, Browser, list[Any]]:
    """Send two sign-ins with one cookie; ``order`` says what the second one finds when it has loaded the session."""
    one, other = browser.copy(), browser.copy()
    answers: list[Any] = []

    def visit(who: Browser, view: View) -> Callable[[], None]:
        return lambda: answers.append(who.visit(view))

    if order == "one after the other":
        visit(one, first)()
        visit(other, second)()
    elif order == "inside after the load":
        visit(one, while_(read, visit(other, second), first))()
    else:
        visit(one, while_(first, visit(other, second), read))()
    return one, other, answers


ORDERS = ["one after the other", "inside after the load", "inside after the sign-in"]


@on_every_store
@pytest.mark.parametrize("order", ORDERS)
def test_both_answers_to_a_double_click_on_sign_in_hold_a_key_that_works(
    order: str, browser: Browser, ann: Any, engine: Any
) -> None:
    browser.visit(put(cart=["tea"]))
    one, other, answers = two_sign_ins(order, login(ann), login(ann), browser)
    assert [answer.status_code for answer in answers] == [200, 200]
    # Whichever answer arrives last, and also if the browser dropped the other one.
    assert (one.user(), other.user(), browser.user()) == ("ann", "ann", "")
    assert sorted(sids()) == sorted({sid_of(one), sid_of(other)})
    assert ["tea"] in (one.show(read).get("cart"), other.show(read).get("cart"))


@pytest.mark.parametrize("order", ORDERS)
def test_two_users_who_sign_in_from_one_anonymous_session_each_get_their_own(
    order: str, browser: Browser, ann: Any, bob: Any
) -> None:
    browser.visit(put(cart=["tea"]))
    one, other, answers = two_sign_ins(order, login(ann), login(bob), browser)
    assert [answer.status_code for answer in answers] == [200, 200]
    for user, mine in ((ann, one), (bob, other)):
        assert mine.user() == user.username
        assert [record.sid for record in services.sessions_of(user)] == [sid_of(mine)]
    assert len(sids()) == 2


@pytest.mark.parametrize("database_alias", ["sqlite"], indirect=True)
def test_of_parallel_sign_ins_with_one_cookie_each_answer_holds_a_key_that_works(
    database_alias: str, browser: Browser
) -> None:
    user = make_user()
    for _ in range(10):
        browser = Browser()
        browser.visit(put(cart=["tea"]))
        services.revoke_all(user)
        browsers = [browser.copy() for _ in range(8)]
        answers = at_once([lambda each=each: each.visit(login(user)) for each in browsers])  # type: ignore[misc]
        assert {answer.status_code for answer in answers} == {200}
        assert [each.user() for each in browsers] == ["ann"] * 8
        assert {record.sid for record in services.sessions_of(user)} == {sid_of(each) for each in browsers}
        assert browser.user() == ""


# Stale requests.


@on_every_store
@pytest.mark.parametrize(
    ("view", "event"),
    [
        *itertools.product(
            [read, name_user, count_view, increment, put(a=1), acount_view, rotate, flush],
            [login, lambda user: rotate, lambda user: logout],
        ),
        *itertools.product([logout], [login, lambda user: logout]),
    ],
)
def test_a_request_with_the_old_key_just_after_makes_no_session_and_leaves_the_cookie_alone(
    event: Callable[[Any], View], view: View, browser: Browser, ann: Any, engine: Any
) -> None:
    browser.visit(put(views=5))
    if event is not login:
        browser.visit(login(ann))
    stale = browser.copy()
    browser.visit(event(ann))
    live = sids()
    response = stale.visit(view)
    assert response.status_code == 200
    assert set_cookie(response) is None
    assert sids() == live
    assert stale.user() == ""


@on_every_store
def test_a_logout_with_the_key_before_a_rotation_signs_out(browser: Browser, ann: Any, engine: Any) -> None:
    browser.visit(login(ann))
    time.sleep(0.002)  # The store's clock counts milliseconds, and the rotation must not be of the sign-in's.
    stale = browser.copy()
    browser.visit(rotate)
    stale.visit(logout)
    assert sids() == []
    assert browser.user() == ""


def test_a_stale_request_that_counts_a_view_is_shown_a_number(browser: Browser) -> None:
    browser.visit(put(views=5))
    stale = browser.copy()
    browser.visit(rotate)
    assert stale.show(count_view) == 1
    assert stale.show(increment) == 1


@pytest.mark.parametrize("event", [rotate, flush, logout])
def test_a_stale_request_may_sign_in(event: View, browser: Browser, ann: Any) -> None:
    """Else a browser that lost the answer of its sign-in could not try again."""
    browser.visit(put(cart=["tea"]))
    stale = browser.copy()
    browser.visit(event)
    stale.visit(login(ann))
    assert stale.user() == "ann"


def test_a_key_from_two_rotations_ago_leaves_the_cookie_alone_too(browser: Browser, ann: Any) -> None:
    """Sign-in and second factor follow each other within seconds."""
    browser.visit(put(views=5))
    stale = browser.copy()
    browser.visit(login(ann))
    browser.visit(rotate)
    assert set_cookie(stale.visit(count_view)) is None
    assert sids() == [sid_of(browser)]


def test_later_than_a_minute_a_dead_key_is_like_any_other(
    browser: Browser, store: WatchedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser.visit(put(a=1))
    stale, ended = browser.copy(), Browser()
    browser.visit(rotate)
    ended.visit(put(a=1))
    dead = ended.copy()
    ended.visit(flush)
    monkeypatch.setattr("django_srvsession.records.ROTATION_GRACE_MS", -1)
    for late in (stale, dead):
        cookie = late.cookie
        assert set_cookie(late.visit(read)) is None
        assert late.show(count_view) == 1
        assert late.cookie != cookie


def test_stock_django_gives_a_stale_request_a_session_that_overwrites_the_login(
    browser: Browser, stock: Callable[..., None], ann: Any
) -> None:
    stock("db")
    browser.visit(put(views=5))
    stale = browser.copy()
    browser.visit(login(ann))
    response = stale.visit(count_view)
    assert set_cookie(response) is not None
    assert Session.objects.count() == 2


# Late saves.


def ends_meanwhile(browser: Browser, ending: View, then: View) -> View:
    beside = browser.copy()
    return while_(read, lambda: beside.visit(ending), then)


@on_every_store
@pytest.mark.parametrize("ending", [flush, logout, rotate])
@pytest.mark.parametrize("then", [put(a=2), count_view, rotate, lambda request: request.session["list"].append(1)])
def test_a_late_save_is_discarded_and_sends_no_cookie(
    ending: View, then: View, browser: Browser, engine: Any, caplog: pytest.LogCaptureFixture
) -> None:
    browser.visit(put(a=1, list=[]))
    with caplog.at_level(logging.INFO, "django_srvsession"):
        response = browser.visit(ends_meanwhile(browser, ending, then))
    assert response.status_code == 200
    assert set_cookie(response) is None
    assert browser.show(read) == {}
    assert len(sids()) == (1 if ending is rotate else 0)
    assert then is rotate or "what this request changed is not stored" in caplog.text
    assert browser.cookie not in caplog.text  # type: ignore[operator]


@on_every_store
@pytest.mark.parametrize("ending", [flush, logout, rotate])
def test_a_late_save_of_an_async_page_is_discarded_too(ending: View, browser: Browser, engine: Any) -> None:
    browser.visit(put(a=1))
    beside = browser.copy()

    async def late(request: HttpRequest) -> None:
        await request.session.aset("a", await request.session.aget("a") + 1)
        await sync_to_async(beside.visit)(ending)

    response = browser.visit(late)
    assert response.status_code == 200
    assert set_cookie(response) is None
    assert browser.show(read) == {}


@pytest.mark.parametrize("ending", [flush, rotate])
@pytest.mark.parametrize("then", [put(a=2), count_view, increment])
def test_a_late_save_interrupts_where_the_setting_says_so(
    ending: View, then: View, browser: Browser, settings: Any
) -> None:
    settings.SRVSESSION_LATE_SAVE = "interrupt"
    browser.visit(put(a=1))
    response = browser.visit(ends_meanwhile(browser, ending, then))
    assert response.status_code == 400
    assert set_cookie(response) is None


def test_a_late_read_is_no_late_save(browser: Browser, settings: Any) -> None:
    settings.SRVSESSION_LATE_SAVE = "interrupt"
    browser.visit(put(a=1))
    response = browser.visit(ends_meanwhile(browser, flush, read))
    assert response.status_code == 200
    assert set_cookie(response) is None


def test_an_explicit_late_save_raises(engine: Any) -> None:
    session = engine.SessionStore()
    session["a"] = 1
    session.save()
    late = engine.SessionStore(session.session_key)
    late["a"] = 2
    session.flush()
    with pytest.raises(UpdateError):
        late.save()


def test_a_late_touch_revives_nothing_and_sends_no_cookie(browser: Browser, settings: Any) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = True
    browser.visit(put(a=1))
    response = browser.visit(ends_meanwhile(browser, flush, read))
    assert set_cookie(response) is None
    assert sids() == []


def test_a_rotation_by_the_late_request_itself_sends_no_cookie_of_an_ended_session(browser: Browser) -> None:
    """The rotation was acknowledged, and then somebody ended the session: its cookie would open nothing."""
    browser.visit(put(a=1))
    sid = sid_of(browser)
    response = browser.visit(while_(rotate, lambda: services.revoke(sid), put(a=2)))
    assert set_cookie(response) is None


# Ending.


@on_every_store
@pytest.mark.parametrize("view", [logout, flush])
def test_who_ends_the_session_deletes_the_cookie(view: View, either_browser: Browser, ann: Any, engine: Any) -> None:
    either_browser.visit(login(ann))
    kept = either_browser.copy()
    response = either_browser.visit(view)
    assert deletes_cookie(response)
    assert varies(response)
    assert kept.user() == ""
    assert sids() == []


def test_who_only_finds_it_ended_does_not_delete_the_cookie(browser: Browser, ann: Any) -> None:
    browser.visit(login(ann))
    second = browser.copy()
    services.revoke_all(ann)
    assert set_cookie(second.visit(name_user)) is None
    assert set_cookie(second.visit(logout)) is None


def test_a_logout_ends_the_session_though_its_key_was_rotated_meanwhile(browser: Browser, ann: Any) -> None:
    browser.visit(login(ann))
    beside = browser.copy()
    response = browser.visit(while_(name_user, lambda: beside.visit(rotate), logout))
    assert deletes_cookie(response)
    assert beside.user() == ""
    assert sids() == []


def test_a_flush_of_a_stale_request_does_not_sign_out_who_changed_the_password(browser: Browser, ann: Any) -> None:
    browser.visit(login(ann))
    beside = browser.copy()
    response = browser.visit(while_(read, lambda: beside.visit(new_password), name_user))
    assert response.json()["shown"] == ""
    assert set_cookie(response) is None
    assert beside.user() == "ann"


def test_a_flush_of_a_stale_request_ends_nothing_where_the_key_is_still_the_same(browser: Browser, ann: Any) -> None:
    """As after a new ``SECRET_KEY``, or with sign-in code that does not rotate: the auth hash is what has changed."""

    def new_hash_alone(request: HttpRequest) -> None:
        request.user.set_password("another")
        request.user.save()
        request.session["_auth_user_hash"] = request.user.get_session_auth_hash()

    browser.visit(login(ann))
    beside = browser.copy()
    response = browser.visit(while_(read, lambda: beside.visit(new_hash_alone), name_user))
    assert response.json()["shown"] == ""
    assert set_cookie(response) is None
    assert beside.user() == "ann"


def test_a_password_change_ends_the_other_sessions_when_they_are_seen(
    browser: Browser, ann: Any, settings: Any
) -> None:
    settings.SRVSESSION_END_OTHERS_AFTER = ()  # Else they end at once.
    other = Browser()
    browser.visit(login(ann))
    other.visit(login(ann))
    browser.visit(new_password)
    assert deletes_cookie(other.visit(name_user))
    assert browser.user() == "ann"
    assert sids() == [sid_of(browser)]


def test_after_logout_and_sign_in_in_one_request_only_the_new_session_lives(
    browser: Browser, ann: Any, bob: Any
) -> None:
    def switch(request: HttpRequest) -> None:
        logout(request)
        django_login(request, bob, backend=BACKEND)

    browser.visit(login(ann))
    old = browser.copy()
    browser.visit(switch)
    assert browser.user() == "bob"
    assert old.user() == ""
    assert len(sids()) == 1


def test_a_request_after_logout_may_begin_a_session(browser: Browser, ann: Any) -> None:
    browser.visit(login(ann))
    browser.visit(logout)
    assert browser.cookie is None
    browser.visit(count_view)
    assert browser.cookie is not None


def test_what_is_written_after_a_flush_in_the_same_request_is_a_new_session(browser: Browser, ann: Any) -> None:
    def flush_and_greet(request: HttpRequest) -> None:
        request.session.flush()
        request.session["bye"] = 1

    browser.visit(login(ann))
    old, sid = browser.copy(), sid_of(browser)
    browser.visit(flush_and_greet)
    assert browser.show(read) == {"bye": 1}
    assert sid_of(browser) != sid
    assert old.user() == ""


# Vary.


@pytest.mark.parametrize(
    ("view", "expected"),
    [(untouched, False), (read, True), (name_user, True), (count_view, True), (rotate, True), (flush, True)],
)
def test_an_answer_varies_on_the_cookie_exactly_when_the_session_was_used(
    view: View, expected: bool, either_browser: Browser, ann: Any
) -> None:
    assert varies(either_browser.visit(view)) is expected
    either_browser.visit(login(ann))
    assert varies(either_browser.visit(view)) is expected


def test_a_cookie_is_never_set_without_vary(browser: Browser, settings: Any) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = True
    browser.visit(put(a=1))
    response = browser.visit(untouched)
    assert set_cookie(response) is not None
    assert varies(response)


def test_bogus_cookies_make_no_sessions_though_every_request_is_saved(settings: Any, store: WatchedStore) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = True
    for _ in range(5):
        for view in (read, untouched):
            Browser("bogus-cookie-bogus-cookie").visit(view)
            Browser(SessionKey.generate().text).visit(view)
    assert "create" not in store.verbs


def test_stock_django_makes_a_session_for_each_bogus_cookie(
    settings: Any, stock: Callable[..., None], transactional_db: None
) -> None:
    stock("db")
    settings.SESSION_SAVE_EVERY_REQUEST = True
    for _ in range(5):
        Browser("bogus-cookie-bogus-cookie").visit(untouched)
    assert Session.objects.count() == 5
