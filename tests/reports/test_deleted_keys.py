"""Apps that delete a key of the session: in a signal of the sign-in, at the next one, or while another request runs.

Reported: "sometimes the key disappears, sometimes not" (a flag of who looks at the site as somebody else), a
``KeyError`` at ``del``, a one-time value that is there a second time. What deletes is a request of its own: another one
that has loaded the key before saves it again. Right is: a key that was deleted stays deleted, whoever rotates the
session, seals it anew, or goes on in another one; a key that is assigned after the deletion is there; to delete what is
not there raises as with any dict, and writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.signals import user_logged_in
from django.http import HttpRequest

from django_srvsession import services
from tests.engine.pages import Browser, View, login, make_user, name_user, put, read, rotate, while_
from tests.engine.test_secrets import new_secret
from tests.reports.stores import on_stores

everywhere = on_stores("sqlite", "redis")
AUTH = (SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY)


def drop(*names: str) -> View:
    """Return a page that deletes keys."""

    def delete(request: HttpRequest) -> None:
        for name in names:
            del request.session[name]

    return delete


def kept(browser: Browser) -> dict[str, Any]:
    """Return what the session holds beside the keys of the sign-in."""
    return {name: value for name, value in browser.show(read).items() if name not in AUTH}


@pytest.fixture
def at_sign_in() -> Iterator[Callable[[Callable[[Any], object]], None]]:
    """A function that has something done to the session whenever somebody has signed in."""
    receivers: list[Any] = []

    def do(what: Callable[[Any], object]) -> None:
        def receiver(request: HttpRequest, **kwargs: Any) -> None:
            what(request.session)

        receivers.append(receiver)
        user_logged_in.connect(receiver)

    yield do
    for receiver in receivers:
        user_logged_in.disconnect(receiver)


@everywhere
def test_a_key_that_a_sign_in_stored_and_the_next_one_deletes_is_gone(every_store: str, at_sign_in: Any) -> None:
    def toggle(session: Any) -> None:
        if "seen" in session:
            del session["seen"]
            session["again"] = True
        else:
            session["seen"] = ["first"]

    at_sign_in(toggle)
    user, browser = make_user(), Browser()
    browser.visit(login(user))
    assert kept(browser) == {"seen": ["first"]}
    browser.visit(login(user))
    assert kept(browser) == {"again": True}
    assert browser.user() == "ann"


@everywhere
def test_a_key_of_the_anonymous_session_that_the_sign_in_deletes_is_gone_and_the_rest_is_kept(
    every_store: str, at_sign_in: Any
) -> None:
    at_sign_in(lambda session: session.pop("next"))
    browser = Browser()
    browser.visit(put(next="/basket/", basket=["tea"]))
    browser.visit(login(make_user()))
    assert kept(browser) == {"basket": ["tea"]}


@everywhere
def test_a_key_that_is_stored_and_deleted_in_one_request_never_was(every_store: str) -> None:
    def there_and_gone(request: HttpRequest) -> None:
        request.session["a"] = [1]
        request.session.cycle_key()  # Stores it at once.
        del request.session["a"]
        request.session["b"] = [2]
        del request.session["b"]

    browser = Browser()
    for _ in range(2):
        browser.visit(there_and_gone)
        assert browser.show(read) == {}


@everywhere
@pytest.mark.parametrize(
    ("first", "between", "expected"),
    [
        (put(a=2), drop("a"), {"a": 2}),
        (drop("a"), put(a=2), {}),
        (drop("a"), drop("a"), {}),
        (rotate, drop("a"), {"a": 1}),
        (read, drop("a"), {}),
        (lambda request: request.session.pop("b", None), put(b=1), {"a": 1, "b": 1}),
        (lambda request: request.session.setdefault("a", 3), drop("a"), {}),
    ],
    ids=["set-after", "deleted-after", "both", "rotated-first", "read", "popped-unseen", "default-unneeded"],
)
def test_of_a_deletion_and_another_request_the_later_save_counts_for_that_key(
    first: View, between: View, expected: Any, every_store: str, request: Any
) -> None:
    browser = Browser()
    browser.visit(put(a=1))
    other = browser.copy()
    if first is rotate:  # Who deletes has loaded the session before it got another key, and saves after that.
        answer = other.visit(while_(read, lambda: browser.visit(rotate), between))
        assert answer.status_code == 200
    else:
        browser.visit(while_(read, lambda: other.visit(between), first))
    assert browser.show(read) == expected


@everywhere
def test_a_key_that_was_deleted_while_another_request_signs_in_again_stays_deleted(every_store: str) -> None:
    user, browser = make_user(), Browser()
    browser.visit(login(user))
    browser.visit(put(once="x"))
    other = browser.copy()
    browser.visit(while_(read, lambda: other.visit(drop("once")), login(user)))
    assert kept(browser) == {}


@everywhere
def test_a_key_that_was_deleted_while_another_request_seals_the_session_anew_stays_deleted(
    every_store: str, settings: Any
) -> None:
    browser = Browser()
    browser.visit(put(once="x", other=1))
    new_secret(settings)
    other = browser.copy()
    browser.visit(while_(read, lambda: other.visit(drop("once")), name_user))
    settings.SECRET_KEY_FALLBACKS = []
    assert browser.show(read) == {"other": 1}


@everywhere
@pytest.mark.parametrize("name", [BACKEND_SESSION_KEY, HASH_SESSION_KEY])
def test_who_deletes_a_key_of_the_sign_in_is_nobody_and_may_sign_in_again(name: str, every_store: str) -> None:
    user, browser = make_user(), Browser()
    browser.visit(login(user))
    browser.visit(put(basket=["tea"]))
    assert browser.visit(drop(name)).status_code == 200
    assert browser.user() == ""
    browser.visit(login(user))
    assert browser.user() == "ann"


@everywhere
def test_who_signs_out_by_hand_goes_on_with_what_other_requests_have_stored_and_deleted(every_store: str) -> None:
    """To keep the basket, an app deletes the keys of the sign-in instead of calling ``logout()``."""
    user, browser = make_user(), Browser()
    browser.visit(login(user))
    browser.visit(put(once="x", basket=["tea"], seen=1))
    other = browser.copy()

    def meanwhile() -> None:
        other.visit(put(basket=["tea", "milk"]))
        other.visit(drop("once"))

    def sign_out_by_hand(request: HttpRequest) -> None:
        drop(*AUTH)(request)
        request.session["seen"] = 2

    signed_in = browser.copy()
    browser.visit(while_(read, meanwhile, sign_out_by_hand))
    assert browser.show(read) == {"basket": ["tea", "milk"], "seen": 2}
    assert [signed_in.user(), browser.user()] == ["", ""]
    assert len(services.sessions_of(user)) == 0


@everywhere
def test_who_becomes_somebody_else_by_hand_goes_on_with_what_other_requests_have_stored_and_deleted(
    every_store: str,
) -> None:
    user, bob, browser = make_user(), make_user("bob"), Browser()
    browser.visit(login(user))
    browser.visit(put(once="x", basket=["tea"]))
    other = browser.copy()

    def become(request: HttpRequest) -> None:
        request.session[SESSION_KEY] = str(bob.pk)
        request.session[HASH_SESSION_KEY] = bob.get_session_auth_hash()

    def meanwhile() -> None:
        other.visit(put(basket=["tea", "milk"]))
        other.visit(drop("once"))

    browser.visit(while_(read, meanwhile, become))
    assert (browser.user(), kept(browser)) == ("bob", {"basket": ["tea", "milk"]})


def test_to_delete_what_is_not_there_is_a_key_error_and_writes_nothing(
    browser: Browser, transactional_db: None
) -> None:
    def missing(request: HttpRequest) -> str:
        with pytest.raises(KeyError):
            del request.session["nothing"]
        assert request.session.pop("nothing", "default") == "default"
        return str(request.session.modified)

    browser.visit(put(a=1))
    assert browser.show(missing) == "False"
