"""Several first requests of one visitor, who has no cookie yet: a page, and what its scripts ask for at once.

Reported: the basket is empty after the first click, a form is refused, a visitor counts twice. Each request that writes
makes a session, the browser keeps the cookie that comes last, and what the other request stored is in a session that
nobody comes back to. No server can know that the two are one visitor. Right is: who only reads makes no session and
sends no cookie, so that the one of the request that writes stays; whichever of several cookies stays opens a session
with all that its request has stored; to sign in keeps that one's contents, and the others never become the user's.
"""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.http import HttpRequest
from django.test import Client
from django.urls import include, path

from django_srvsession import services
from django_srvsession.signals import session_ended
from tests.engine import pages
from tests.engine.pages import (
    Browser,
    at_once,
    count_view,
    login,
    make_user,
    name_user,
    put,
    read,
    set_cookie,
    untouched,
    while_,
)
from tests.reports.stores import on_stores

urlpatterns = [path("account/", include("django_srvsession.urls")), *pages.urlpatterns]
LOGIN = "/account/login/"

everywhere = on_stores("sqlite", "redis")


@pytest.fixture(autouse=True)
def _site(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__


def look_into_the_basket(request: HttpRequest) -> Any:
    return [request.session.get("basket"), "basket" in request.session, dict(request.session.items())]


@everywhere
@pytest.mark.parametrize("reader", [read, name_user, untouched, look_into_the_basket])
def test_a_first_request_that_only_reads_leaves_the_cookie_of_the_one_that_writes(
    reader: pages.View, every_store: str
) -> None:
    script, browser = Browser(), Browser()
    answers: list[Any] = []
    browser.visit(while_(untouched, lambda: answers.append(script.visit(reader)), put(basket=["tea"])))
    assert [set_cookie(answer) for answer in answers] == [None]
    assert browser.show(read) == {"basket": ["tea"]}
    assert len(list(services.live_sessions())) == 1


@everywhere
def test_whichever_cookie_stays_opens_what_its_request_has_stored(every_store: str) -> None:
    user, requests = make_user(), [Browser() for _ in range(4)]
    at_once(lambda n=n, one=one: [one.visit(put(n=n)), one.visit(count_view)] for n, one in enumerate(requests))
    assert len({one.cookie for one in requests}) == 4
    assert [one.show(read) for one in requests] == [{"n": n, "views": 1} for n in range(4)]
    stays = requests[2]
    stays.visit(login(user))
    assert stays.show(read)["n"] == 2
    assert len(services.sessions_of(user)) == 1
    assert [one.user() for one in requests] == ["", "", "ann", ""]


@everywhere
@pytest.mark.parametrize("limit", [None, 1])
def test_of_two_first_requests_that_sign_in_each_cookie_works_or_says_that_the_limit_ended_it(
    limit: int | None, every_store: str, settings: Any
) -> None:
    """As two clicks on a link that signs in."""
    settings.SRVSESSION_MAX_SESSIONS_PER_USER = limit
    user, clicks, reasons = make_user(), [Browser(), Browser()], []

    def note(reason: str, **kwargs: Any) -> None:
        reasons.append(reason)

    session_ended.connect(note)
    try:
        at_once(lambda click=click: click.visit(login(user)) for click in clicks)
    finally:
        session_ended.disconnect(note)
    signed_in = [click.user() for click in clicks]
    assert signed_in == ["ann", "ann"] if limit is None else sorted(signed_in) == ["", "ann"]
    assert reasons == [] if limit is None else reasons == ["limit"]
    assert len(services.sessions_of(user)) == signed_in.count("ann")


@everywhere
def test_a_form_of_the_one_page_is_taken_after_the_cookie_of_the_other_has_stayed(
    every_store: str, settings: Any
) -> None:
    """With the token against forged requests in the session, the form's is that of a session which is not kept."""
    settings.CSRF_USE_SESSIONS = True
    make_user()
    first, browser = Client(enforce_csrf_checks=True), Client(enforce_csrf_checks=True)
    fields = {"username": "ann", "password": "secret"}
    in_first_tab = token_in(first.get(LOGIN))
    browser.get(LOGIN)
    shown_again = browser.post(LOGIN, {**fields, "csrfmiddlewaretoken": in_first_tab})
    assert shown_again.status_code == 403
    assert "This page was open for too long" in html.unescape(shown_again.content.decode())
    assert browser.post(LOGIN, {**fields, "csrfmiddlewaretoken": token_in(shown_again)}).status_code == 302


def token_in(answer: Any) -> str:
    (token,) = set(re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', answer.content.decode()))
    return str(token)
