"""Two requests of one browser, in every order of their steps: what must hold whichever comes first.

A request here is the engine's own procedures over a face that holds each of them before every call of the store, while
another request goes on. For two requests all orders are tried, not a sample.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from types import coroutine
from typing import Any

import pytest
from django.conf import settings
from django.http import HttpResponse
from django.test import RequestFactory

from django_srvsession.backends import memory
from django_srvsession.backends.memory import SessionStore
from django_srvsession.backends.memory import now_ms as _now_ms
from django_srvsession.engine import changing, ending, reading, saving, settling, writing
from django_srvsession.engine.keys import SessionKey
from django_srvsession.middleware import put_cookie
from django_srvsession.records import Delta, Ending, Loaded, Tombstone
from django_srvsession.store import UpdateError
from django_srvsession.store.face import BlockingFace, Face, run_blocking
from tests.orders import every_order, some_orders

View = Callable[[SessionStore, Face], Coroutine[Any, Any, None]]


@coroutine
def hold() -> Iterator[None]:
    """Suspend a procedure until it is sent on."""
    yield


class HoldingFace(Face):
    """Hold the procedure before each call of the store, and before it waits."""

    blocks = True

    async def call(self, verb: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        await hold()
        return verb(*args, **kwargs)

    async def pause(self, seconds: float) -> None:
        await hold()
        time.sleep(seconds)


@dataclass
class Request:
    """Run a view and the middleware's answer for one cookie, from one call of the store to the next."""

    view: View
    cookie: str
    response: HttpResponse = field(default_factory=HttpResponse)
    is_done: bool = False

    def __post_init__(self) -> None:
        self.session = SessionStore(self.cookie)
        self._procedure = self._answer()
        self._context = copy_context()  # As each task has one: how long to wait is no business of the others.
        self.step()

    async def _answer(self) -> None:
        request = RequestFactory().get("/")
        request.COOKIES[settings.SESSION_COOKIE_NAME] = self.cookie
        face, session = HoldingFace(SessionStore.store()), self.session
        await self.view(session, face)
        extended = await settling.settle(session._state, face, self.response.status_code, session.accessed)
        put_cookie(request, self.response, session, extended)

    def step(self) -> None:
        """Do the call that the procedure waits for, and all else up to the next one."""
        try:
            self._context.run(self._procedure.send, None)
        except StopIteration:
            self.is_done = True

    @property
    def new_cookie(self) -> str | None:
        """Return the key that the answer gave the browser; "" if it deleted the cookie."""
        morsel = self.response.cookies.get(settings.SESSION_COOKIE_NAME)
        return None if morsel is None else morsel.value


# Views.


async def flush(session: SessionStore, face: Face) -> None:
    await ending.flush(session._state, face)
    session.accessed = True


def take_over(session: SessionStore, later: SessionStore) -> None:
    """Let this request's answer be that of a later request of the same browser."""
    key, loaded = later._state.key, later._state.loaded
    assert key is not None and loaded is not None
    session._state.adopt(key, loaded)
    session._state.contents = later._state.contents
    session._state.needs_cookie = True


async def reads(session: SessionStore, face: Face) -> None:
    await reading.contents(session._state, face)
    session.accessed = True


def sets(name: str, value: Any = 1) -> View:
    async def view(session: SessionStore, face: Face) -> None:
        values = await reading.contents(session._state, face)
        values[name] = value
        session.accessed = session.modified = True

    return view


def deletes(name: str) -> View:
    async def view(session: SessionStore, face: Face) -> None:
        values = await reading.contents(session._state, face)
        values.pop(name, None)
        session.accessed = session.modified = True

    return view


async def increments(session: SessionStore, face: Face) -> None:
    try:
        await changing.change(session._state, face, "count", lambda number: number + 1, 0)
    except UpdateError:  # What a view does with it is the view's; nothing was stored.
        session.accessed = True


async def guesses(session: SessionStore, face: Face) -> None:
    """As a wrong confirmation does."""
    try:
        await writing.change_details(
            session._state, face, lambda details, now_ms: details._replace(wrong=details.wrong + 1)
        )
    except UpdateError:
        session.accessed = True


async def proves(session: SessionStore, face: Face) -> None:
    """As a right one does."""
    await reading.contents(session._state, face)
    session.note_proof("password")
    await saving.cycle_key(session._state, face)


def signs_in(user: str) -> View:
    """As ``django.contrib.auth.login`` does."""

    async def view(session: SessionStore, face: Face) -> None:
        values = await reading.contents(session._state, face)
        if values.get("_auth_user_id") not in (None, user):
            await flush(session, face)
        elif "_auth_user_id" not in values:
            await saving.cycle_key(session._state, face)
        values = await reading.contents(session._state, face)
        values.update(_auth_user_id=user, _auth_user_backend="b", _auth_user_hash="h")
        session._state.signing_in = user
        session.accessed = session.modified = True

    return view


def signs_in_again(user: str) -> View:
    """As the receiver of ``user_logged_in`` does where ``login()`` has kept the key."""

    async def view(session: SessionStore, face: Face) -> None:
        await signs_in(user)(session, face)
        await saving.cycle_key(session._state, face)

    return view


async def rotates(session: SessionStore, face: Face) -> None:
    await reading.contents(session._state, face)
    await saving.cycle_key(session._state, face)


def rotates_and_signs_in(user: str) -> View:
    async def view(session: SessionStore, face: Face) -> None:
        await rotates(session, face)
        await signs_in(user)(session, face)

    return view


async def signs_out(session: SessionStore, face: Face) -> None:
    """As ``django.contrib.auth.logout`` does, after ``request.user`` was looked at."""
    await reading.contents(session._state, face)
    session.note_sign_out()
    await flush(session, face)


async def signs_out_unread(session: SessionStore, face: Face) -> None:
    session.note_sign_out()
    await flush(session, face)


async def changes_password(session: SessionStore, face: Face) -> None:
    """As ``update_session_auth_hash`` does."""
    await reading.contents(session._state, face)
    await saving.cycle_key(session._state, face)
    values = await reading.contents(session._state, face)
    values["_auth_user_hash"] = "new"
    session.modified = True


async def is_stale(session: SessionStore, face: Face) -> None:
    """As ``get_user`` does for a hash that does not match: it flushes."""
    values = await reading.contents(session._state, face)
    if values.get("_auth_user_hash") == "h":
        await flush(session, face)


async def renews(session: SessionStore, face: Face) -> None:
    await reading.contents(session._state, face)
    await saving.cycle_key(session._state, face, final=False)


async def is_revoked(session: SessionStore, face: Face) -> None:
    """Somebody ends the session from another device."""
    await ending.end(face, SessionStore, sid_of(session.session_key), Ending("revoked"))


async def expires(session: SessionStore, face: Face) -> None:
    """Time passes: the session is due, and is noticed."""
    key = SessionKey.parse(session.session_key)
    assert key is not None
    stored = await face.load(key.sid)
    if isinstance(stored, Loaded):
        with suppress(UpdateError):
            await face.update(key.sid, stored.record.verifier, Delta(deadline_ms=1))
    await reading.contents(session._state, face)


def runs(*views: View, signed_in: bool = True) -> Iterator[tuple[str, list[Request], str]]:
    """Yield (cookie, finished requests, order) for every order of the steps of these requests, each order once."""
    return every_order(lambda: _prepare(views, signed_in))


def sampled_runs(*views: View, signed_in: bool = True, count: int = 400) -> Iterator[tuple[str, list[Request], str]]:
    """Yield as :func:`runs`, for some of the orders of more requests than can be tried in all orders."""
    return some_orders(lambda: _prepare(views, signed_in), count)


def _prepare(views: tuple[View, ...], signed_in: bool) -> tuple[str, list[Request]]:
    browser = SessionStore()
    browser.update({"kept": 1, "list": [1]} | ({"_auth_user_id": "7", "_auth_user_hash": "h"} if signed_in else {}))
    browser.save()
    if signed_in:
        while _now_ms() <= (browser.record.signed_in_ms or 0):  # type: ignore[union-attr]
            pass  # The store's clock counts milliseconds, and the requests come after the sign-in.
    cookie = browser.session_key or ""
    return cookie, [Request(view, cookie) for view in views]


def contents(cookie: str | None) -> dict[str, Any]:
    """Return what a browser with this cookie has in its session."""
    return dict(SessionStore(cookie).load())


def is_live(cookie: str | None) -> bool:
    return SessionStore().exists(cookie)


def live_keys(cookie: str, requests: list[Request]) -> list[str]:
    """Return the keys, of all that the browser ever had, that open a session."""
    known = {cookie, *(request.new_cookie or "" for request in requests)}
    return [key for key in known if is_live(key)]


async def touches(session: SessionStore, face: Face) -> None:
    with suppress(UpdateError):
        await writing.touch(session._state, face)


def sets_expiry(seconds: int) -> View:
    async def view(session: SessionStore, face: Face) -> None:
        values = await reading.contents(session._state, face)
        values["_session_expiry"] = seconds
        session.accessed = session.modified = True

    return view


CHANGES: list[View] = [
    reads,
    touches,
    sets_expiry(600),
    sets("new"),
    deletes("kept"),
    increments,
    changes_password,
    renews,
    sets("list", [2]),
    guesses,
]
ENDS: list[View] = [signs_out, signs_out_unread, is_revoked, expires]


def name_of(view: View) -> str:
    return view.__qualname__.split(".")[0]


@pytest.mark.parametrize("end", ENDS, ids=name_of)
@pytest.mark.parametrize("change", CHANGES, ids=name_of)
def test_an_ended_session_stays_ended_whatever_another_request_does(change: View, end: View) -> None:
    orders = 0
    for cookie, requests, order in runs(change, end):
        sid = SessionKey.parse(cookie).sid  # type: ignore[union-attr]
        stored = SessionStore.store().load(sid)
        # A request that was not let near the session (its key had changed) ended nothing.
        never_expired = end is expires and isinstance(stored, Loaded) and stored.record.is_live(stored.now_ms)
        if not never_expired:
            is_due = isinstance(stored, Loaded) and not stored.record.is_live(stored.now_ms)
            assert isinstance(stored, Tombstone) or (is_due and end is expires), order
            for key in live_keys(cookie, requests):
                # Where the browser has no newer cookie a write may start anew: a session that knows nothing of the old.
                assert end in (expires, is_revoked), order
                assert SessionKey.parse(key).sid != sid, order  # type: ignore[union-attr]
                assert contents(key).keys() <= {"new", "count", "list", "_auth_user_hash", "_session_expiry"}, order
                assert contents(key).get("list") != [1], order
        orders += 1
    assert orders > 1


@pytest.mark.parametrize("logout", [signs_out, signs_out_unread], ids=name_of)
@pytest.mark.parametrize("change", CHANGES, ids=name_of)
def test_a_logout_signs_out_in_every_order_also_against_a_new_key(change: View, logout: View) -> None:
    for cookie, requests, order in runs(change, logout):
        assert requests[1].session._state.was_ended_here, order
        assert requests[1].new_cookie == "", order
        assert live_keys(cookie, requests) == [], order


PAIRS = list(itertools.combinations([sets("a"), sets("b"), deletes("kept"), increments, sets("list", [2])], 2))


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=[f"{name_of(a)}-{name_of(b)}" for a, b in PAIRS])
def test_two_requests_that_change_different_keys_both_win(one: View, other: View) -> None:
    for cookie, _, order in runs(one, other):
        expected = {"kept": 1, "list": [1], "_auth_user_id": "7", "_auth_user_hash": "h"}
        for view in (one, other):
            model = SessionStore()
            model.update(expected)
            expected = contents_after(view, model)
        assert contents(cookie) == expected, order


def contents_after(view: View, session: SessionStore) -> dict[str, Any]:
    """Run a view by itself on an unsaved session and return its contents."""
    run_blocking(view(session, BlockingFace(SessionStore.store())))
    return dict(session._session)


def test_a_key_that_one_request_deletes_and_the_other_only_reads_stays_deleted() -> None:
    async def reads_it_and_sets_another(session: SessionStore, face: Face) -> None:
        values = await reading.contents(session._state, face)
        values["copy"] = list(values.get("list", []))
        session.modified = True

    for cookie, _, order in runs(deletes("list"), reads_it_and_sets_another):
        assert "list" not in contents(cookie), order


@pytest.mark.parametrize("change", [sets("a"), deletes("list"), increments], ids=name_of)
@pytest.mark.parametrize("user", [None, "8"])
def test_what_was_stored_before_a_session_changes_its_owner_goes_along_in_every_order(
    user: str | None, change: View
) -> None:
    async def changes_owner(session: SessionStore, face: Face) -> None:
        """As apps do that sign out without ``logout()``, or in without ``login()``."""
        values = await reading.contents(session._state, face)
        del values["_auth_user_id"], values["_auth_user_hash"]
        values.update({"mine": 1} if user is None else {"mine": 1, "_auth_user_id": user})
        session.accessed = session.modified = True

    were_stored = set()
    for cookie, (mover, other), order in runs(changes_owner, change):
        was_stored = other.session._state.was_written
        were_stored.add(was_stored)
        model = SessionStore()
        model.update({"kept": 1, "list": [1], "mine": 1} | ({} if user is None else {"_auth_user_id": user}))
        expected = contents_after(change, model) if was_stored else dict(model._session)
        assert contents(mover.new_cookie) == expected, order
        assert not is_live(cookie), order
    assert were_stored == {True, False}


def test_two_increments_count_two_in_every_order() -> None:
    for cookie, _, order in runs(increments, increments):
        assert contents(cookie)["count"] == 2, order


def test_two_wrong_confirmations_count_two_in_every_order() -> None:
    for cookie, _, order in runs(guesses, guesses):
        assert opened(cookie).details.wrong == 2, order


@pytest.mark.parametrize("change", [renews, sets_expiry(600), sets("new"), touches, increments], ids=name_of)
def test_a_wrong_confirmation_at_once_with_any_change_is_counted(change: View) -> None:
    for cookie, _, order in runs(guesses, change):
        assert opened(cookie).details.wrong == 1, order


def test_a_right_confirmation_beside_a_wrong_one_is_a_proof_and_no_count_is_lost() -> None:
    counts = set()
    for cookie, requests, order in runs(proves, guesses):
        details = opened(requests[0].new_cookie).details
        assert details.proved_ms is not None, order
        counts.add(details.wrong)
        assert details.wrong == 0, order  # A wrong one with the key of before comes too late, or came before.
        assert not is_live(cookie), order
    assert counts == {0}


def test_a_sign_in_begins_the_count_anew_and_a_wrong_confirmation_undoes_no_sign_in() -> None:
    for cookie, requests, order in runs(signs_in("7"), guesses):
        session = opened(requests[0].new_cookie or cookie)
        assert session["_auth_user_id"] == "7", order
        assert session.details.wrong <= (0 if order.rindex("0") > order.rindex("1") else 1), order


def sid_of(key: str | None) -> str:
    return SessionKey.parse(key).sid  # type: ignore[union-attr]


def test_both_answers_to_a_double_click_on_sign_in_hold_a_key_that_works_and_the_old_key_opens_nothing() -> None:
    for cookie, requests, order in runs(signs_in("7"), signs_in("7"), signed_in=False):
        for request in requests:
            assert contents(request.new_cookie)["_auth_user_id"] == "7", order
        assert not is_live(cookie), order
        # Exactly one of them is the session that there was, under its new key.
        assert [sid_of(request.new_cookie) for request in requests].count(sid_of(cookie)) == 1, order
        assert [contents(request.new_cookie).get("kept") for request in requests].count(1) >= 1, order


def test_of_many_sign_ins_with_one_key_each_holds_a_key_that_works() -> None:
    for cookie, requests, order in sampled_runs(*[signs_in("7")] * 5, signed_in=False):
        keys = {request.new_cookie for request in requests}
        assert len(keys) == 5, order
        assert set(live_keys(cookie, requests)) == keys, order


def test_signing_in_again_changes_the_key_in_every_order() -> None:
    for cookie, requests, order in runs(signs_in_again("7"), signs_in_again("7")):
        for request in requests:
            assert contents(request.new_cookie)["_auth_user_id"] == "7", order
        assert [contents(request.new_cookie).get("kept") for request in requests].count(1) >= 1, order
        assert not is_live(cookie), order


# Who holds a key from before.


async def signs_in_with_a_second_factor(session: SessionStore, face: Face) -> None:
    """As a login form with a code does: all in one request."""
    await signs_in("7")(session, face)
    values = await reading.contents(session._state, face)
    values["proved"] = True


async def proves_a_second_factor_later(session: SessionStore, face: Face) -> None:
    await signs_in("7")(session, face)
    await saving.save(session._state, face)
    later = SessionStore(session.session_key)
    values = await reading.contents(later._state, face)
    values["proved"] = True
    await saving.save(later._state, face)


async def rotates_and_notes(session: SessionStore, face: Face) -> None:
    """As after a first factor, or when an address was noted: nobody is signed in yet."""
    await reading.contents(session._state, face)
    await saving.cycle_key(session._state, face)
    values = await reading.contents(session._state, face)
    values["proved"] = True
    session.modified = True


async def rotates_notes_and_signs_in_later(session: SessionStore, face: Face) -> None:
    await rotates_and_notes(session, face)
    with suppress(UpdateError):  # Somebody else was first to rotate: nothing is noted.
        await saving.save(session._state, face)
        later = SessionStore(session.session_key)
        await signs_in("7")(later, face)
        await saving.save(later._state, face)
        take_over(session, later)


VICTIMS: list[View] = [
    signs_in_with_a_second_factor,
    proves_a_second_factor_later,
    rotates_and_notes,
    rotates_notes_and_signs_in_later,
]
HOLDERS: list[View] = [
    signs_in("7"),
    signs_in("8"),
    rotates_and_signs_in("7"),
    rotates_and_signs_in("8"),
    reads,
    sets("used"),
    increments,
    rotates,
    signs_out,
    signs_out_unread,
]


@pytest.mark.parametrize("holder", HOLDERS, ids=lambda view: view.__qualname__.replace(".<locals>.view", ""))
@pytest.mark.parametrize("victim", VICTIMS, ids=name_of)
def test_the_holder_of_a_key_from_before_gets_nothing_and_ends_nothing(victim: View, holder: View) -> None:
    for cookie, requests, order in runs(victim, holder, signed_in=False):
        mine, other = (request.new_cookie for request in requests)
        if other and is_live(other):
            assert "proved" not in contents(other), order
        assert not is_live(cookie) or "proved" not in contents(cookie), order
        if victim is rotates_and_notes or (victim is rotates_notes_and_signs_in_later and not mine):
            continue  # Nobody signed in.
        kept = contents(mine)
        assert kept.get("_auth_user_id") == "7", order
        # Of an anonymous session that the other request was first to end or to rotate, nothing could be kept.
        assert victim is rotates_notes_and_signs_in_later or kept.get("proved") is True, order


def test_sign_ins_a_rotation_and_a_use_at_once_mix_nothing() -> None:
    views = (signs_in_with_a_second_factor, signs_in("7"), rotates, sets("used"))
    for cookie, requests, order in sampled_runs(*views, signed_in=False, count=1500):
        assert contents(requests[0].new_cookie)["proved"] is True, order
        assert contents(requests[1].new_cookie)["_auth_user_id"] == "7", order
        for request in requests[1:]:
            assert "proved" not in contents(request.new_cookie), order
        assert not is_live(cookie), order


# A session that was ended elsewhere, and one that this browser has replaced.


def test_after_a_remote_end_the_browser_can_keep_something_at_once() -> None:
    for cookie, requests, order in runs(is_revoked, sets("new")):
        late = requests[1].new_cookie
        if order.rindex("0") < order.index("1"):
            assert contents(late) == {"new": 1}, order
            assert sid_of(late) != sid_of(cookie), order


async def signs_out_and_in(session: SessionStore, face: Face) -> None:
    """As the same browser does in two requests, the second without a cookie; its last answer has the new key."""
    await signs_out(session, face)
    fresh = SessionStore()
    await signs_in("7")(fresh, face)
    await saving.save(fresh._state, face)
    take_over(session, fresh)
    session._state.was_ended_here = False


@pytest.mark.parametrize("old_tab", [sets("views"), increments, renews, rotates], ids=name_of)
def test_an_old_tab_leaves_the_cookie_of_the_sign_in_after_a_logout_alone(old_tab: View) -> None:
    """Why ``logout`` counts as replaced: a session that the old tab began would overwrite the newer cookie."""
    for cookie, requests, order in runs(signs_out_and_in, old_tab):
        assert contents(requests[0].new_cookie)["_auth_user_id"] == "7", order
        late = requests[1].new_cookie
        # Where the session was still live the tab may have got its key, which is dead now, before the logout's answer.
        assert late is None or sid_of(late) == sid_of(cookie), order


def test_two_people_who_sign_in_with_one_anonymous_session_get_a_session_each() -> None:
    for cookie, requests, order in runs(signs_in("7"), signs_in("8"), signed_in=False):
        users = [contents(request.new_cookie).get("_auth_user_id") for request in requests]
        assert users == ["7", "8"], order
        assert len(live_keys(cookie, requests)) == 2, order


def test_signing_in_as_somebody_else_never_mixes_two_users() -> None:
    for cookie, requests, order in runs(signs_in("8"), sets("basket", "of 7")):
        new = contents(requests[0].new_cookie)
        assert new.get("_auth_user_id") == "8", order
        assert "basket" not in new, order
        assert not is_live(cookie), order


@pytest.mark.parametrize("change", [reads, sets("views"), increments, deletes("kept")], ids=name_of)
def test_a_request_with_the_old_key_leaves_the_cookie_of_a_sign_in_alone(change: View) -> None:
    for cookie, requests, order in runs(signs_in("7"), change, signed_in=False):
        assert contents(requests[0].new_cookie)["_auth_user_id"] == "7", order
        late = requests[1].new_cookie
        assert late in (None, cookie), order
        if late == cookie and not is_live(cookie):
            # Answered while the key was still good; whether the browser keeps it is up to the order of the answers.
            assert order.rindex("1") < order.rindex("0"), order


@pytest.mark.parametrize("change", [is_stale, sets("late"), reads], ids=name_of)
def test_a_stale_request_does_not_sign_out_who_just_changed_the_password(change: View) -> None:
    for _, requests, order in runs(changes_password, change):
        if change is is_stale and order.index("0") > order.rindex("1"):
            continue  # It ended the session before the other request began, which was never signed in.
        assert contents(requests[0].new_cookie).get("_auth_user_hash") == "new", order


def test_a_logout_signs_out_also_when_sign_in_and_rotation_fall_into_one_millisecond(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "now_ms", lambda: 10_000)
    browser = SessionStore()
    browser["_auth_user_id"] = "7"
    browser.save()
    rotating = SessionStore(browser.session_key)
    rotating.cycle_key()
    late = SessionStore(browser.session_key)
    late.get("_auth_user_id")
    late.note_sign_out()
    late.flush()
    assert not is_live(rotating.session_key)


def test_a_request_in_the_middle_of_a_password_change_does_not_sign_its_owner_out() -> None:
    """The user's new hash is stored, and the session does not have it yet: whoever looks, flushes."""

    async def flushes(session: SessionStore, face: Face) -> None:
        await reading.contents(session._state, face)
        await flush(session, face)

    for _, requests, order in runs(changes_password, flushes):
        if requests[0].session.is_live and requests[0].new_cookie:
            kept = contents(requests[0].new_cookie)
            assert (kept["_auth_user_id"], kept["_auth_user_hash"], kept["kept"]) == ("7", "new", 1), order
        else:
            # The session was gone before this request looked: it was never signed in, and changes no password.
            assert order.index("0") > order.rindex("1"), order


@pytest.mark.parametrize("end", [signs_out, is_revoked], ids=name_of)
def test_a_password_change_does_not_go_on_in_a_session_that_was_logged_out_or_revoked(end: View) -> None:
    for cookie, requests, order in runs(changes_password, end):
        for key in live_keys(cookie, requests):  # After the remote end, a write may start an anonymous session.
            assert end is is_revoked, order
            assert contents(key).keys() == {"_auth_user_hash"}, order


def test_two_renewals_leave_one_session_that_both_keys_open_for_a_minute() -> None:
    for cookie, requests, order in runs(renews, renews):
        assert is_live(cookie), order
        given = [request.new_cookie for request in requests if request.new_cookie not in (None, cookie)]
        assert given, order
        assert is_live(given[-1]), order


def test_a_touch_does_not_undo_a_shorter_expiry() -> None:
    for cookie, _, order in runs(sets_expiry(60), touches):
        session = SessionStore(cookie)
        session.load()
        assert session.record is not None
        assert session.record.lifetime_ms == 60_000, order
        assert session.record.expires_ms - session.record.last_seen_ms <= 60_000, order


# What is sealed of a record changes with the record, whoever else changes another part of it.


def opened(key: str | None) -> SessionStore:
    """Open the session of a key, which must be live and not refused."""
    session = SessionStore(key)
    session.load()
    assert session.is_live
    return session


@pytest.mark.parametrize("rotation", [rotates, renews, changes_password], ids=name_of)
def test_a_new_key_and_a_new_lifetime_at_once_refuse_nobody(rotation: View) -> None:
    for cookie, requests, order in runs(rotation, sets_expiry(60)):
        session = opened(requests[0].new_cookie)
        record = session.record
        assert record is not None
        if record.lifetime_ms != 60_000:  # The key was gone when it was to be set, or before it was read.
            assert rotation is not renews, order
            assert "_session_expiry" not in session, order
        assert session["kept"] == 1, order
        assert is_live(cookie) == (rotation is renews), order


@pytest.mark.parametrize("signed_in", [False, True])
def test_a_sign_in_and_a_new_lifetime_at_once_refuse_nobody(signed_in: bool, settings: Any) -> None:
    settings.SRVSESSION_MAX_LIFETIME = 7200
    for _, requests, order in runs(signs_in("7"), sets_expiry(60), signed_in=signed_in):
        session = opened(requests[0].new_cookie or requests[0].cookie)
        record = session.record
        assert record is not None
        assert session["_auth_user_id"] == record.user_id == "7", order
        assert record.signed_in_ms is not None
        assert record.deadline_ms is not None
        assert 0 <= record.signed_in_ms + 7_200_000 - record.deadline_ms < 5000, order
        assert record.lifetime_ms == (60_000 if "_session_expiry" in session else 1_209_600_000), order
        assert session.get("_session_expiry") == 60 or not signed_in, order


def test_two_new_lifetimes_at_once_leave_the_one_that_is_in_the_contents() -> None:
    lifetimes = set()
    for cookie, _, order in runs(sets_expiry(60), sets_expiry(600)):
        session = opened(cookie)
        assert session.record is not None
        assert session.record.lifetime_ms == session["_session_expiry"] * 1000, order
        lifetimes.add(session.record.lifetime_ms)
    assert lifetimes == {60_000, 600_000}


@pytest.mark.parametrize("signed_in", [False, True])
@pytest.mark.parametrize("change", CHANGES, ids=name_of)
def test_a_renewal_at_once_with_any_change_loses_nothing_and_refuses_nobody(change: View, signed_in: bool) -> None:
    for cookie, requests, order in runs(renews, change, signed_in=signed_in):
        given = [request.new_cookie for request in requests if request.new_cookie not in (None, cookie)]
        session = opened(given[0] if change is not changes_password else given[-1])
        for name, value in requests[1].session.items():
            # Who changes the password with the key of a moment ago comes too late, and keeps the old hash.
            if change not in (reads, touches, changes_password):
                assert session.get(name) == value, order
        assert is_live(cookie) or change is changes_password, order


def test_a_sign_in_a_renewal_and_two_lifetimes_at_once_refuse_nobody() -> None:
    views = (signs_in("7"), renews, sets_expiry(60), sets_expiry(600))
    for _, requests, order in sampled_runs(*views, count=600):
        session = opened(requests[0].new_cookie or requests[0].cookie)
        assert session.record is not None
        assert session.record.lifetime_ms == session["_session_expiry"] * 1000, order
        assert session["_auth_user_id"] == "7", order


def test_every_order_of_two_requests_is_tried() -> None:
    orders = {order for _, _, order in runs(sets("a"), sets("b"))}
    assert orders == {"".join(order) for order in set(itertools.permutations("0011"))}
