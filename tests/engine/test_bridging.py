"""A site moves step by step, and back: whichever server answers, nobody is signed out, and nothing is lost or revived.

A server is a set of settings here. In the first step all servers know both kinds of key and keep sessions where they
were (``SRVSESSION_MIGRATE_TO``); in the second one they keep them in the new place (``SRVSESSION_MIGRATE_FROM``).
"""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks
from django.test import override_settings

from django_srvsession import services
from django_srvsession.engine.keys import SessionKey
from tests.app import HEADER, App
from tests.engine.other_engine import OtherEngine, on_every_engine, on_every_engine_that_ends, other
from tests.engine.pages import Browser, login, logout, name_user, put, read, rotate, set_cookie, url_of, varies, while_
from tests.engine.steps import Server, first, first_back, old, on, ours, second, second_back, user_on, visit
from tests.engine.watched import WatchedStore

__all__ = ["first", "first_back", "old", "other", "ours", "second", "second_back"]

OURS = "django_srvsession.backends.memory"


@on_every_engine
@pytest.mark.parametrize("asgi", [False, True])
def test_a_visitor_goes_there_and_back_between_servers_of_each_two_steps(
    other: OtherEngine,
    ann: Any,
    asgi: bool,
    old: Server,
    first: Server,
    second: Server,
    first_back: Server,
    second_back: Server,
) -> None:
    browser = other.browser(put(number=0), user=ann, asgi=asgi)
    steps = [old, first, old, first, second, first, second, second, first_back, second, first_back]
    steps += [second_back, first_back, second_back, first, old, old]
    for number, server in enumerate(steps):
        if server is old:
            browser = Browser(browser.cookie)
        assert user_on(server, browser) == "ann", number
        assert on(server, browser, read)["number"] == number, number
        on(server, browser, put(number=number + 1))


@on_every_engine
def test_in_the_first_step_the_old_engine_keeps_the_sessions(other: OtherEngine, first: Server, old: Server) -> None:
    browser = Browser()
    on(first, browser, put(a=1))
    assert SessionKey.parse(browser.cookie) is None
    assert on(old, browser, read) == {"a": 1}


@on_every_engine
def test_a_logout_in_either_step_is_a_logout_in_both(
    other: OtherEngine, ann: Any, first: Server, second: Server
) -> None:
    for number, servers in enumerate(((first, first), (first, second), (second, first), (second, second))):
        browser = other.browser(put(number=number), user=ann)
        copy = browser.copy()
        assert user_on(servers[0], browser) == "ann"
        visit(servers[1], browser, logout)
        assert user_on(second, copy) == ""
        assert user_on(first, copy) == ""


@on_every_engine
def test_a_sign_in_kills_the_key_before_it_in_either_step(
    other: OtherEngine, ann: Any, first: Server, second: Server
) -> None:
    for number, server in enumerate((first, second)):
        browser = other.browser(put(number=number))
        planted = browser.copy()
        visit(server, browser, login(ann))
        assert user_on(first, browser) == "ann"
        assert user_on(second, browser) == "ann"
        assert user_on(second, planted) == ""
        assert user_on(first, planted) == ""


@on_every_engine
def test_what_a_server_of_the_first_step_saves_while_another_carries_over_is_kept(
    other: OtherEngine, ann: Any, first: Server, second: Server
) -> None:
    browser = other.browser(put(a=1), user=ann)
    copy = browser.copy()

    def load(request: Any) -> None:
        assert request.session["a"] == 1

    def carry() -> None:
        assert on(second, copy, read)["a"] == 1

    on(first, browser, while_(load, carry, put(b=2)))
    for server, visitor in ((second, browser), (first, copy)):
        contents = on(server, visitor, read)
        assert (contents["a"], contents["b"]) == (1, 2)


@on_every_engine_that_ends
def test_what_is_saved_there_between_the_look_and_the_carrying_over_is_kept(
    other: OtherEngine, first: Server, second: Server, store: WatchedStore
) -> None:
    browser = other.browser(put(a=1))
    copy = browser.copy()

    def before(verb: str) -> None:
        if verb == "restore":
            store.before = lambda verb: None
            on(first, copy, put(b=2))

    store.before = before
    assert on(second, browser, read) == {"a": 1, "b": 2}


@on_every_engine_that_ends
def test_a_session_that_is_carried_over_between_the_two_looks_of_a_server_is_found(
    other: OtherEngine, ann: Any, first: Server, second: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = other.browser(put(a=1), user=ann)
    copy = browser.copy()
    load, calls = other.session_store.load, []

    def carried_over_before(session: Any) -> Any:
        calls.append(session)
        if len(calls) == 1:
            assert user_on(second, copy) == "ann"
        return load(session)

    monkeypatch.setattr(other.session_store, "load", carried_over_before)
    assert user_on(first, browser) == "ann"
    assert browser.cookie == copy.cookie


@on_every_engine
def test_parallel_requests_on_the_way_back_find_one_session(
    other: OtherEngine, ann: Any, second: Server, second_back: Server
) -> None:
    browser = other.browser(put(a=1), user=ann)
    assert user_on(second, browser) == "ann"
    copy = browser.copy()
    assert user_on(second_back, browser) == "ann"
    assert user_on(second_back, copy) == "ann"
    if other.name != "signed_cookies":
        assert copy.cookie == browser.cookie
        assert not services.sessions_of(ann)


@on_every_engine_that_ends
def test_what_a_server_saves_while_another_gives_the_session_back_is_kept(
    other: OtherEngine, ann: Any, second: Server, first_back: Server, second_back: Server
) -> None:
    browser = other.browser(put(a=1, gone=1, items=[1]), user=ann)
    assert user_on(second, browser) == "ann"
    copy = browser.copy()

    def load(request: Any) -> None:
        assert request.session["a"] == 1

    def give_back() -> None:
        assert on(second_back, copy, read)["a"] == 1

    def change(request: Any) -> None:
        request.session["b"] = 2
        del request.session["gone"]
        request.session["items"].append(2)

    on(first_back, browser, while_(load, give_back, change))
    assert browser.cookie == copy.cookie
    contents = on(second_back, browser, read)
    assert (contents["a"], contents["b"], contents["items"], "gone" in contents) == (1, 2, [1, 2], False)


@on_every_engine_that_ends
def test_what_is_saved_here_between_the_look_and_the_giving_back_is_kept(
    other: OtherEngine, store: WatchedStore, second: Server, first_back: Server, second_back: Server
) -> None:
    browser = other.browser(put(a=1))
    on(second, browser, read)
    copy = browser.copy()

    def before(verb: str) -> None:
        if verb == "end":
            store.before = lambda verb: None
            on(first_back, copy, put(b=2))

    store.before = before
    assert on(second_back, browser, read) == {"a": 1, "b": 2}


@on_every_engine_that_ends
def test_a_request_that_gives_a_session_back_does_not_undo_what_another_saves_there(
    other: OtherEngine, second: Server, second_back: Server
) -> None:
    browser = other.browser(put(a=1))
    on(second, browser, read)
    copy = browser.copy()
    response = visit(second_back, browser, while_(read, lambda: on(second_back, copy, put(b=2)), read))
    assert set_cookie(response) is not None
    assert varies(response)
    assert on(second_back, browser, read) == {"a": 1, "b": 2}


@on_every_engine_that_ends
def test_what_was_given_back_and_has_ended_does_not_come_back(
    other: OtherEngine, ann: Any, second: Server, first_back: Server, second_back: Server
) -> None:
    browser = other.browser(user=ann)
    assert user_on(second, browser) == "ann"
    ours = browser.copy()
    assert user_on(second_back, browser) == "ann"
    visit(second_back, browser, logout)
    assert user_on(second_back, ours) == ""
    assert user_on(first_back, ours) == ""


@on_every_engine
def test_a_key_from_before_the_way_there_and_back_opens_nothing(
    other: OtherEngine, ann: Any, second: Server, second_back: Server
) -> None:
    browser = other.browser(user=ann)
    oldest = browser.copy()
    assert user_on(second, browser) == "ann"
    assert user_on(second_back, browser) == "ann"
    if other.name != "signed_cookies":  # The session here lives for a minute more, for parallel requests.
        assert user_on(second, oldest) == ""
    assert user_on(second, browser) == "ann"


def test_pages_and_services_see_our_sessions_in_the_first_step(
    other: OtherEngine, ann: Any, first: Server, second: Server
) -> None:
    browser = other.browser(user=ann)
    assert user_on(second, browser) == "ann"
    with first():
        assert len(services.sessions_of(ann)) == 1
        assert not [message for message in run_checks() if str(message.id).startswith("srvsession.E")]
        services.revoke_all(ann)
    assert user_on(first, browser) == ""


def test_a_store_that_is_out_is_an_outage_in_the_first_step(
    other: OtherEngine, store: WatchedStore, first: Server
) -> None:
    """Nobody knows then whether another server has carried the session over, and whether it has ended."""
    browser = other.browser(put(a=1))
    key = browser.cookie
    store.go_out()
    assert visit(first, browser, read).status_code == 503
    store.come_back()
    assert browser.cookie == key
    assert on(first, browser, read) == {"a": 1}


def test_a_store_that_goes_out_before_the_save_is_an_outage_too(
    other: OtherEngine, store: WatchedStore, first: Server
) -> None:
    browser = other.browser(put(a=1))
    key = browser.cookie

    def change(request: Any) -> None:
        request.session["b"] = 2
        store.go_out()

    response = visit(first, browser, change)
    store.come_back()
    assert response.status_code == 503
    assert set_cookie(response) is None
    assert browser.cookie == key
    assert on(first, browser, read)["a"] == 1


def test_a_rotation_in_the_first_step_is_followed(other: OtherEngine, ann: Any, first: Server, second: Server) -> None:
    browser = other.browser(user=ann)
    copy = browser.copy()
    on(first, browser, rotate)
    assert user_on(first, browser) == "ann"
    assert user_on(second, browser) == "ann"
    assert user_on(second, copy) == ""


# Between stores of ours.


@pytest.mark.parametrize("asgi", [False, True])
def test_a_session_moves_between_our_stores_under_its_key(
    settings: Any, ann: Any, asgi: bool, other: OtherEngine
) -> None:
    elsewhere = "django_srvsession.backends.db"

    def server(engine: str, **direction: str) -> Server:
        names = {"SRVSESSION_MIGRATE_FROM": None, "SRVSESSION_MIGRATE_TO": None, **direction}
        return lambda: override_settings(SESSION_ENGINE=engine, **names)

    here = server(OURS)
    first, second = server(OURS, SRVSESSION_MIGRATE_TO=elsewhere), server(elsewhere, SRVSESSION_MIGRATE_FROM=OURS)
    browser = Browser(asgi=asgi)
    on(here, browser, login(ann))
    on(here, browser, put(number=0))
    key = browser.cookie
    with here():
        (before,) = services.sessions_of(ann)
    back = server(elsewhere, SRVSESSION_MIGRATE_TO=OURS), server(OURS, SRVSESSION_MIGRATE_FROM=elsewhere)
    for number, step in enumerate([here, first, second, first, second, server(elsewhere), back[0], back[1], back[0]]):
        assert user_on(step, browser) == "ann", number
        assert on(step, browser, read)["number"] == number
        on(step, browser, put(number=number + 1))
        assert browser.cookie == key
    with here():
        (after,) = services.sessions_of(ann)
    kept = ("sid", "verifier", "created_ms", "signed_in_ms", "lifetime_ms", "user_id", "details", "client")
    assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]
    with server(elsewhere)():
        assert not services.sessions_of(ann)


def test_what_a_server_saves_while_another_moves_the_session_is_kept(ann: Any, other: OtherEngine) -> None:
    elsewhere = "django_srvsession.backends.db"
    first = lambda: override_settings(  # noqa: E731
        SESSION_ENGINE=OURS, SRVSESSION_MIGRATE_TO=elsewhere, SRVSESSION_MIGRATE_FROM=None
    )
    second = lambda: override_settings(SESSION_ENGINE=elsewhere, SRVSESSION_MIGRATE_FROM=OURS)  # noqa: E731
    browser = Browser()
    on(first, browser, login(ann))
    on(first, browser, put(a=1))
    copy = browser.copy()

    def load(request: Any) -> None:
        assert request.session["a"] == 1

    def move() -> None:
        assert on(second, copy, read)["a"] == 1

    on(first, browser, while_(load, move, put(b=2)))
    contents = on(second, browser, read)
    assert (contents["a"], contents["b"]) == (1, 2)
    assert user_on(first, browser) == "ann"


@on_every_engine_that_ends
@pytest.mark.parametrize("asgi", [False, True])
def test_an_app_keeps_its_token_between_servers_of_each_step_and_gets_no_cookie(
    other: OtherEngine, ann: Any, asgi: bool, first: Server, second: Server, first_back: Server, second_back: Server
) -> None:
    token = "new"
    with override_settings(SRVSESSION_HEADER=HEADER):
        for number, server in enumerate((first, second, first, second, first_back, second_back, first_back)):
            with server():
                app = App(token, asgi)
                if not number:
                    assert app.ask("POST", url_of(login(ann))).status_code == 200
                assert app.ask("POST", url_of(name_user)).json()["shown"] == "ann", number
                token = app.token
        with second_back():
            app = App(token, asgi)
            assert app.ask("POST", url_of(logout)).status_code == 200
            assert app.token == ""


@on_every_engine_that_ends
def test_a_cookie_beside_a_token_is_refused_in_each_step(
    other: OtherEngine, ann: Any, first: Server, second_back: Server
) -> None:
    """Else a script of the site's own pages would read in the header what the HttpOnly cookie keeps from it."""
    browser = other.browser(user=ann)
    for server in (first, second_back):
        with override_settings(SRVSESSION_HEADER=HEADER), server():
            answer = Browser(browser.cookie).client.post(url_of(rotate), headers={HEADER: "new"})
            assert answer.status_code == 400
            assert HEADER not in answer.headers
