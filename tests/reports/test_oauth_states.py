"""Sign-ins by another site that are begun in two tabs, each with its state in the session.

Reported: "AuthStateMissing: session value state missing", "AuthStateForbidden: wrong state parameter", now and then,
for people with several tabs, or who click "accept" twice. One request's save has overwritten the state that another
one has just kept, or brought back one that was used. Right is: states under names of their own are all kept and each
is used once; whoever signs in elsewhere in the browser meanwhile disturbs none; a second callback signs nobody out.
States that an app keeps under *one* name are one value: begun one after the other they are all kept, at the same
moment only with ``change()`` (see "How the promises are kept").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.sessions.backends.file import SessionStore as StockStore
from django.http import HttpRequest, HttpResponse

from tests.engine.pages import Browser, View, login, make_user, put, read, set_cookie, while_
from tests.reports.stores import on_stores

everywhere = on_stores("sqlite", "redis")


def begin(provider: str, state: str) -> View:
    """Return a page that leads to a provider, and keeps a state as social-auth does: one name for each provider."""
    return put(**{f"{provider}_state": state})


def callback(provider: str, state: str, user: Any) -> View:
    """Return the page that the provider leads back to: it takes the state, which must be the one it was given."""

    def come_back(request: HttpRequest) -> HttpResponse | str:
        if request.session.pop(f"{provider}_state", None) != state:
            return HttpResponse("wrong state", status=403)
        login(user)(request)
        return str(request.user.get_username())

    return come_back


def begin_in_dict(state: str) -> View:
    """Return a page that keeps a state as allauth does: all of them in one dict."""

    def add(request: HttpRequest) -> None:
        states = request.session.get("states", {})
        states[state] = "login"
        request.session["states"] = states

    return add


def take_from_dict(state: str) -> View:
    """Return a page that takes a state out of the dict, and shows it."""

    def take(request: HttpRequest) -> Any:
        states = request.session.get("states", {})
        taken = states.pop(state, None)
        request.session["states"] = states
        return taken

    return take


def begun_at_once(browser: Browser, first: View, second: View) -> None:
    """Begin in two tabs: the first one has loaded the session when the second one begins, and saves after it."""
    other = browser.copy()
    browser.visit(while_(read, lambda: other.visit(second), first))


@everywhere
def test_states_of_two_providers_that_are_begun_at_once_are_both_kept(every_store: str) -> None:
    user, browser = make_user(), Browser()
    browser.visit(put(basket=["tea"]))
    begun_at_once(browser, begin("google", "g"), begin("github", "h"))
    other = browser.copy()
    assert other.show(callback("github", "h", user)) == "ann"
    browser.client.cookies = other.client.cookies
    assert browser.show(callback("google", "g", user)) == "ann"
    assert browser.show(read)["basket"] == ["tea"]


@pytest.mark.parametrize("name", ["db", "cache", "cached_db", "file"])
def test_stock_django_loses_the_state_of_one_of_two_providers(
    name: str,
    browser: Browser,
    stock: Callable[..., None],
    transactional_db: None,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(StockStore, "_storage_path", str(tmp_path), raising=False)
    stock(name)
    browser.visit(put(basket=["tea"]))
    begun_at_once(browser, begin("google", "g"), begin("github", "h"))
    assert browser.visit(callback("github", "h", make_user())).status_code == 403


@everywhere
def test_a_state_that_is_taken_while_another_tab_begins_is_not_there_a_second_time(every_store: str) -> None:
    user, browser = make_user(), Browser()
    browser.visit(begin("google", "g"))
    other = browser.copy()

    def take(request: HttpRequest) -> str:
        return str(request.session.pop("google_state"))

    browser.visit(while_(read, lambda: other.visit(take), begin("github", "h")))
    assert browser.visit(callback("google", "g", user)).status_code == 403
    assert browser.show(callback("github", "h", user)) == "ann"


@everywhere
def test_of_one_provider_the_later_tab_counts_and_the_earlier_is_told_so_and_disturbs_nothing(every_store: str) -> None:
    user, browser = make_user(), Browser()
    browser.visit(begin("google", "first"))
    browser.visit(begin("google", "second"))
    other = browser.copy()
    assert browser.show(callback("google", "second", user)) == "ann"
    late = other.visit(callback("google", "first", user))
    assert (late.status_code, set_cookie(late)) == (403, None)
    assert browser.user() == "ann"


@everywhere
def test_who_signs_in_in_another_tab_meanwhile_finds_the_state_of_the_first_tab(every_store: str) -> None:
    user, browser = make_user(), Browser()
    browser.visit(begin("google", "g"))
    browser.visit(login(user))
    assert browser.show(callback("google", "g", user)) == "ann"


@everywhere
def test_a_provider_that_leads_back_twice_signs_in_once_or_twice_and_never_out(every_store: str) -> None:
    user, browser = make_user(), Browser()
    browser.visit(begin("google", "g"))
    at_once, after = browser.copy(), browser.copy()
    assert browser.show(
        while_(read, lambda: at_once.visit(callback("google", "g", user)), callback("google", "g", user))
    )
    late = after.visit(callback("google", "g", user))
    assert (late.status_code, set_cookie(late)) == (403, None)
    assert [browser.user(), at_once.user()] == ["ann", "ann"]


# All states under one name, as allauth keeps them.


@everywhere
def test_states_in_one_dict_that_are_begun_one_after_the_other_are_each_there_once(every_store: str) -> None:
    browser = Browser()
    for state in ("a", "b", "c"):
        browser.visit(begin_in_dict(state))
    taken = [browser.show(take_from_dict(state)) for state in ("b", "a", "b", "c")]
    assert taken == ["login", "login", None, "login"]


@everywhere
def test_states_in_one_dict_that_are_begun_at_once_are_all_kept_by_change(every_store: str) -> None:
    browser = Browser()
    browser.visit(put(basket=["tea"]))

    def begin_by_change(state: str) -> View:
        def add(request: HttpRequest) -> None:
            session: Any = request.session
            session.change("states", lambda states: {**states, state: "login"}, default={})

        return add

    begun_at_once(browser, begin_by_change("a"), begin_by_change("b"))
    assert browser.show(read)["states"] == {"a": "login", "b": "login"}


def test_states_in_one_dict_that_are_begun_at_once_are_one_value_of_which_the_later_counts(
    browser: Browser, transactional_db: None
) -> None:
    browser.visit(put(basket=["tea"]))
    begun_at_once(browser, begin_in_dict("a"), begin_in_dict("b"))
    assert browser.show(read)["states"] == {"a": "login"}
