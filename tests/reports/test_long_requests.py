"""A request that lasts longer than its session has left, and a form that is sent at the last moment.

Reported of idle limits: a long request signs its own visitor out, though it began in time (django-session-security 1;
Orienteer 613, where the form of a quarter of an hour was lost); Django's cache engine answers 400, "the session was
deleted before the request completed" (allauth 1838), though nobody signed out; others say that it was saved, and it was
not, or do what a session that has run out asked for (privacyidea 38).

Right: a use counts from the beginning of its request. Who sends a form in the last minute of a session that each use
extends is kept signed in while the form is saved. A session that cannot be extended so (a fixed date, the absolute
limit), and one that runs out while its request runs on and on, has ended: nothing is stored in it, and nothing revives
it. What the view did elsewhere stands. The answer goes out, or is 400 under ``SRVSESSION_LATE_SAVE = "interrupt"``; a
view that must know saves by itself, and catches ``UpdateError``. Who comes too late is asked to sign in, with the page
to go on to. Nothing of this is a 500.
"""

from __future__ import annotations

import time
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.decorators import login_required
from django.contrib.sessions.backends.base import UpdateError
from django.http import HttpRequest

from django_srvsession.backends.memory import MemoryStore
from django_srvsession.backends.memory.table import SessionTable
from tests.engine.pages import Browser, count_view, login, make_user, name_user, put, read, set_cookie, while_
from tests.engine.test_lifetimes import Clock, clock
from tests.patience import patient
from tests.races.browsers import Lane
from tests.races.conftest import OURS
from tests.reports.sites import Sites
from tests.trust import WHOLE

__all__ = ["clock"]

SECONDS = round(patient(2)) + 1


def late(lane: Lane, user: str, path: str) -> tuple[int, str, dict[str, object]]:
    """Begin a request when a third of the session's time is left, and let it go on until all of it is over.

    Returns the answer's status, who is signed in afterwards, and what the session holds.
    """
    cookie = lane.log_in(user)
    lane.get("/roll/", cookie, seconds=SECONDS)
    rolled = time.monotonic()
    time.sleep(SECONDS * 2 / 3)
    with lane.hold(path, cookie, key="form", value="sent") as held:
        time.sleep(max(rolled + SECONDS * 1.1 - time.monotonic(), 0))
    stands = lane.get("/read/", cookie).json()
    return held.answer.status, stands["user"], stands["items"]


@pytest.mark.parametrize("name", OURS if WHOLE else ["redis"])
def test_a_form_that_was_sent_in_time_is_saved_and_signs_nobody_out(sites: Sites, name: str) -> None:
    with closing(Lane(sites.of(name, SESSION_SAVE_EVERY_REQUEST=True), 4)) as lane:
        status, user, items = late(lane, "user6", "/held/set/")
        assert (status, user, items.get("form")) == (200, "user6", "sent")


def test_djangos_cache_answers_400_to_a_form_that_was_sent_in_time(sites: Sites) -> None:
    with closing(Lane(sites.of("stock cache", SESSION_SAVE_EVERY_REQUEST=True), 4)) as lane:
        status, user, items = late(lane, "user6", "/held/set/")
        assert (status, user, items) == (400, "", {})


# By a clock that the test moves.


@pytest.fixture
def ann(settings: Any, monkeypatch: pytest.MonkeyPatch, transactional_db: None) -> Any:
    settings.SESSION_ENGINE = "django_srvsession.backends.memory"
    monkeypatch.setattr(MemoryStore, "table", SessionTable())
    settings.SRVSESSION_IDLE_TIMEOUT = timedelta(minutes=30)
    return make_user("ann")


@pytest.mark.parametrize("view", [count_view, name_user, put(form="sent")], ids=["changes", "reads", "assigns"])
def test_a_use_in_the_last_minute_counts_from_the_beginning_of_its_request(
    browser: Browser, ann: Any, clock: Clock, view: Any
) -> None:
    browser.show(login(ann))
    clock.advance(minutes=29, seconds=30)
    answer = browser.visit(while_(name_user, lambda: clock.advance(minutes=2), view))
    assert answer.status_code == 200
    assert set_cookie(answer)["max-age"] > 25 * 60, "the cookie, too, lives on"
    clock.advance(minutes=25)
    assert browser.user() == "ann"
    if view is not name_user:
        assert browser.show(read).keys() & {"form", "views"}


def test_so_does_a_use_in_an_event_loop(ann: Any, clock: Clock) -> None:
    browser = Browser(asgi=True)
    browser.show(login(ann))
    clock.advance(minutes=29, seconds=30)

    async def form(request: HttpRequest) -> None:
        await request.session.aget("form")
        clock.advance(minutes=2)
        await request.session.aset("form", "sent")

    browser.show(form)
    assert browser.user() == "ann"
    assert browser.show(read)["form"] == "sent"


def test_such_a_use_is_noted_once(browser: Browser, ann: Any, clock: Clock) -> None:
    browser.show(login(ann))
    before = browser.show(version)
    clock.advance(minutes=29, seconds=30)
    browser.show(version)
    assert browser.show(version) == before + 1
    assert browser.show(version) == before + 1


def version(request: HttpRequest) -> int:
    request.user.get_username()
    return int(request.session.record.version)


def test_it_is_noted_though_the_page_fails(browser: Browser, ann: Any, clock: Clock) -> None:
    browser.show(login(ann))
    clock.advance(minutes=29, seconds=30)

    def fail(request: HttpRequest) -> None:
        request.user.get_username()
        raise ZeroDivisionError

    assert browser.visit(fail).status_code == 500
    clock.advance(minutes=1)
    assert browser.user() == "ann"


@pytest.mark.parametrize(("mode", "status"), [("discard", 200), ("interrupt", 400)])
def test_a_request_that_is_longer_than_the_idle_limit_stores_nothing_and_revives_nothing(
    browser: Browser, ann: Any, clock: Clock, settings: Any, mode: str, status: int
) -> None:
    settings.SRVSESSION_LATE_SAVE = mode
    browser.show(login(ann))
    clock.advance(minutes=29, seconds=30)
    answer = browser.visit(while_(name_user, lambda: clock.advance(minutes=31), put(form="sent")))
    assert answer.status_code == status
    assert set_cookie(answer) is None
    assert browser.user() == ""
    assert browser.show(read) == {}


def test_a_long_request_that_touches_its_session_now_and_then_keeps_it(
    browser: Browser, ann: Any, clock: Clock
) -> None:
    browser.show(login(ann))

    def report(request: HttpRequest) -> None:
        for _ in range(4):
            clock.advance(minutes=20)
            request.session.touch()
        request.session["report"] = "done"

    browser.show(report)
    assert browser.user() == "ann"
    assert browser.show(read)["report"] == "done"


def test_no_use_extends_a_fixed_date_or_the_absolute_limit(
    browser: Browser, ann: Any, clock: Clock, settings: Any
) -> None:
    settings.SRVSESSION_MAX_LIFETIME = timedelta(minutes=40)
    browser.show(login(ann))
    clock.advance(minutes=20)
    browser.show(name_user)
    clock.advance(minutes=19, seconds=30)
    assert browser.visit(while_(name_user, lambda: clock.advance(minutes=2), put(form="sent"))).status_code == 200
    assert browser.user() == ""


def test_a_view_that_must_know_learns_that_its_session_has_ended(browser: Browser, ann: Any, clock: Clock) -> None:
    browser.show(login(ann))

    def save(request: HttpRequest) -> str:
        request.session["form"] = "sent"
        clock.advance(minutes=31)
        try:
            request.session.save()
        except UpdateError:
            return "signed out meanwhile"
        return "saved"

    assert browser.show(save) == "signed out meanwhile"


def test_who_sends_a_form_too_late_is_asked_to_sign_in_and_comes_back_to_the_page(
    browser: Browser, ann: Any, clock: Clock, settings: Any
) -> None:
    settings.LOGIN_URL = "/accounts/sign-in/"
    browser.show(login(ann))
    clock.advance(minutes=31)

    @login_required
    def form(request: HttpRequest) -> str:
        return "saved"

    answer = browser.visit(form, "post", data={"text": "long"})
    assert answer.status_code == 302
    assert answer["Location"].startswith("/accounts/sign-in/?next=")
