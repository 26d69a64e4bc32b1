"""``SRVSESSION_MAX_SESSIONS_PER_USER``, whatever code signs in. Races are in ``tests/races/test_limits.py``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth import alogin, get_user_model, user_logged_in
from django.contrib.auth import login as django_login
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpRequest
from django.test import AsyncClient, Client
from django.utils import translation

from django_srvsession import services
from django_srvsession.engine.keys import SessionKey
from django_srvsession.services import SignInRefusedError
from django_srvsession.signals import session_ended
from django_srvsession.store import StoreUnavailableError
from tests.engine import pages
from tests.engine.every_store import DB, on_every_store
from tests.engine.pages import BACKEND, Browser, deletes_cookie, login, put, read, set_cookie
from tests.engine.watched import WatchedStore


@pytest.fixture(autouse=True)
def limit(settings: Any) -> Callable[..., None]:
    """A function that changes limit and policy; two sessions at first, the oldest ends."""

    def limit_to(number: Any, policy: str = "end_oldest") -> None:
        settings.SRVSESSION_MAX_SESSIONS_PER_USER = number
        settings.SRVSESSION_LIMIT_POLICY = policy

    limit_to(2)
    return limit_to


@pytest.fixture
def ended() -> Iterator[list[tuple[str, str]]]:
    """What ``session_ended`` told: sid and reason."""
    told: list[tuple[str, str]] = []

    def tell(record: Any, reason: str, **kwargs: Any) -> None:
        told.append((record.sid, reason))

    session_ended.connect(tell)
    yield told
    session_ended.disconnect(tell)


def signed_in(user: Any, asgi: bool = False) -> Browser:
    browser = Browser(asgi=asgi)
    assert browser.visit(login_by_code_of(user, asgi)).status_code == 200
    return browser


def login_by_code_of(user: Any, asgi: bool) -> pages.View:
    async def asign_in(request: HttpRequest) -> str:
        await alogin(request, user, backend=BACKEND)
        return str((await request.auser()).get_username())

    return asign_in if asgi else login(user)


def sid_of(browser: Browser) -> str:
    key = SessionKey.parse(browser.cookie)
    assert key is not None
    return key.sid


def users(*browsers: Browser) -> list[str]:
    return [browser.user() for browser in browsers]


# The oldest ends.


@on_every_store
@pytest.mark.parametrize("asgi", [False, True])
def test_a_sign_in_above_the_limit_ends_the_session_unseen_for_longest(
    asgi: bool, engine: Any, ann: Any, bob: Any, settings: Any, ended: list[Any]
) -> None:
    settings.SRVSESSION_TOUCH_INTERVAL = 0
    theirs, first, second = signed_in(bob, asgi), signed_in(ann, asgi), signed_in(ann, asgi)
    assert users(second) == ["ann"]
    time.sleep(0.002)  # Last uses are whole milliseconds.
    assert users(first) == ["ann"]
    third = signed_in(ann, asgi)
    assert ended == [(sid_of(second), "limit")]
    assert users(first, second, third, theirs) == ["ann", "", "ann", "bob"]
    assert {record.sid for record in services.sessions_of(ann)} == {sid_of(first), sid_of(third)}


@on_every_store
def test_signing_in_again_in_the_same_session_ends_nothing(engine: Any, ann: Any, ended: list[Any]) -> None:
    first, second = signed_in(ann), signed_in(ann)
    for _ in range(3):
        second.visit(login(ann))
    assert ended == []
    assert users(first, second) == ["ann", "ann"]


def test_what_the_visitor_had_before_signing_in_stays(ann: Any) -> None:
    browser = Browser()
    browser.visit(put(basket=["pear"]))
    browser.visit(login(ann))
    assert browser.show(read)["basket"] == ["pear"]


def test_what_the_view_writes_after_signing_in_is_saved(ann: Any) -> None:
    browser = Browser()
    browser.visit(pages.while_(login(ann), lambda: None, put(after=1)))
    assert browser.show(read)["after"] == 1


def test_the_test_clients_logins_count(ann: Any, ended: list[Any]) -> None:
    clients = [Client() for _ in range(3)]
    for client in clients[:2]:
        client.force_login(ann)
    assert clients[2].login(username="ann", password="secret")
    asyncio.run(AsyncClient().aforce_login(ann))
    assert [reason for _, reason in ended] == ["limit", "limit"]
    assert len(services.sessions_of(ann)) == 2


def test_the_admins_login_counts(ann: Any, ended: list[Any], settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.urls"
    User.objects.filter(pk=ann.pk).update(is_staff=True)
    for _ in range(3):
        answer = Client().post("/admin/login/?next=/admin/", {"username": "ann", "password": "secret"})
        assert answer.status_code == 302
    assert [reason for _, reason in ended] == ["limit"]


def test_without_a_limit_signing_in_asks_the_store_as_it_ever_did(
    ann: Any, limit: Callable[..., None], store: WatchedStore
) -> None:
    limit(None)
    plain = [asked.verb for asked in store.since(lambda: signed_in(ann))]
    limit(lambda user: None)
    assert [asked.verb for asked in store.since(lambda: signed_in(ann))] == plain
    assert "admit" not in plain


@pytest.mark.parametrize("engine", [DB], indirect=True)
def test_a_rolled_back_sign_in_ends_nothing(engine: Any, ann: Any, atomic_requests: None, ended: list[Any]) -> None:
    first, second = signed_in(ann), signed_in(ann)
    assert Browser().visit(pages.raising(login(ann))).status_code == 500
    assert ended == []
    third = signed_in(ann)
    assert ended == [(sid_of(first), "limit")]
    assert users(first, second, third) == ["", "ann", "ann"]


# Refused.


@pytest.fixture
def full(ann: Any, engine: Any, limit: Callable[..., None]) -> list[Browser]:
    """The browsers of a user who may not sign in on another one."""
    limit(2, "refuse")
    return [signed_in(ann), signed_in(ann)]


@on_every_store
def test_a_sign_in_above_the_limit_is_refused(engine: Any, ann: Any, full: list[Browser], ended: list[Any]) -> None:
    said: list[str] = []

    def sign_in(request: HttpRequest) -> list[str]:
        with pytest.raises(SignInRefusedError) as refusal:
            django_login(request, ann, backend=BACKEND)
        said.append(str(refusal.value))
        return [request.user.get_username(), *request.session.keys()]

    third = Browser()
    third.visit(put(a=1))
    response = third.visit(sign_in)
    assert response.json() == {"shown": [""]}
    assert deletes_cookie(response)
    assert said == ["You are signed in on too many devices. Sign out on one of them first."]
    assert [reason for _, reason in ended] == ["limit"]
    assert users(*full, third) == ["ann", "ann", ""]
    assert {record.sid for record in services.live_sessions()} == {sid_of(browser) for browser in full}


@on_every_store
def test_after_signing_out_somewhere_the_user_may_sign_in(engine: Any, ann: Any, full: list[Browser]) -> None:
    assert Browser().visit(login(ann)).status_code == 403
    full[0].visit(pages.logout)
    assert signed_in(ann).user() == "ann"


@pytest.mark.parametrize("asgi", [False, True])
def test_a_refusal_that_nobody_catches_is_403_and_leaves_nobody_signed_in(
    asgi: bool, ann: Any, full: list[Browser]
) -> None:
    browser = Browser(asgi=asgi)
    response = browser.visit(login_by_code_of(ann, asgi))
    assert response.status_code == 403
    assert set_cookie(response) is None
    assert browser.user() == ""


def test_an_async_view_that_catches_the_refusal_sees_nobody(ann: Any, full: list[Browser]) -> None:
    async def sign_in(request: HttpRequest) -> list[str]:
        await request.auser()
        with pytest.raises(PermissionDenied):
            await alogin(request, ann, backend=BACKEND)
        return [(await request.auser()).get_username(), request.user.get_username()]

    assert Browser(asgi=True).show(sign_in) == ["", ""]


def test_a_refused_sign_in_is_no_last_login(ann: Any, full: list[Browser]) -> None:
    before = get_user_model().objects.get(pk=ann.pk).last_login
    heard: list[Any] = []
    hear = lambda **kwargs: heard.append(kwargs["user"])  # noqa: E731
    user_logged_in.connect(hear)
    try:
        Browser().visit(login(get_user_model().objects.get(pk=ann.pk)))
    finally:
        user_logged_in.disconnect(hear)
    assert heard == []
    assert get_user_model().objects.get(pk=ann.pk).last_login == before


def test_signing_in_again_in_the_same_session_is_not_refused(ann: Any, full: list[Browser]) -> None:
    for browser in full:
        assert browser.visit(login(ann)).status_code == 200
    assert users(*full) == ["ann", "ann"]


def test_another_user_who_is_refused_ends_up_as_nobody(ann: Any, bob: Any, full: list[Browser]) -> None:
    browser = signed_in(bob)
    assert browser.visit(login(ann)).status_code == 403
    assert browser.user() == ""


@pytest.mark.parametrize("engine", [DB], indirect=True)
def test_a_refusal_rolls_back_and_is_no_outage(
    engine: Any, ann: Any, full: list[Browser], atomic_requests: None
) -> None:
    browser = Browser()
    browser.visit(put(a=1))
    response = browser.visit(login(ann))
    assert response.status_code == 403
    assert deletes_cookie(response)
    assert Browser().visit(login(ann)).status_code == 403
    assert users(*full) == ["ann", "ann"]
    assert len(services.sessions_of(ann)) == 2


def test_the_refusal_is_in_the_visitors_language() -> None:
    with translation.override("ko"):
        assert str(SignInRefusedError()) == translation.gettext(
            "You are signed in on too many devices. Sign out on one of them first."
        )


# The limit.


@pytest.mark.parametrize(("name", "limit_of"), [("ann", 1), ("bob", None)])
def test_a_function_decides_for_each_user(
    name: str, limit_of: int | None, ann: Any, bob: Any, limit: Callable[..., None]
) -> None:
    limit(lambda user: {"ann": 1, "bob": None}[user.get_username()])
    user = {"ann": ann, "bob": bob}[name]
    for _ in range(3):
        signed_in(user)
    assert len(services.sessions_of(user)) == (limit_of or 3)


def one(user: Any) -> int:
    """Be a limit that is named by its path."""
    return 1


def test_a_dotted_path_names_a_function(ann: Any, limit: Callable[..., None]) -> None:
    limit(f"{__name__}.one")
    signed_in(ann)
    signed_in(ann)
    assert len(services.sessions_of(ann)) == 1


def fail(user: Any) -> int:
    raise ZeroDivisionError


@pytest.mark.parametrize("wrong", [fail, lambda user: 0, lambda user: -1, lambda user: "3", lambda user: True])
def test_a_function_that_fails_or_returns_nonsense_is_named(
    wrong: Any, ann: Any, limit: Callable[..., None], store: WatchedStore
) -> None:
    limit(wrong)

    def sign_in(request: HttpRequest) -> None:
        with pytest.raises(ImproperlyConfigured, match="function of SRVSESSION_MAX_SESSIONS_PER_USER"):
            django_login(request, ann, backend=BACKEND)
        raise ZeroDivisionError

    browser = Browser()
    assert browser.visit(sign_in).status_code == 500
    assert browser.user() == ""
    assert "admit" not in store.verbs


def test_an_outage_inside_the_function_stays_one(ann: Any, limit: Callable[..., None]) -> None:
    def out(user: Any) -> int:
        raise StoreUnavailableError

    limit(out)
    assert Browser().visit(login(ann)).status_code == 503


# Outages, and what is no session of ours.


@pytest.mark.parametrize("policy", ["end_oldest", "refuse"])
@pytest.mark.parametrize("verb", ["admit", "end"])
def test_an_outage_while_admitting_is_503_and_hands_out_no_key(
    verb: str, policy: str, ann: Any, store: WatchedStore, limit: Callable[..., None]
) -> None:
    limit(1, policy)
    first = signed_in(ann)
    store.out = {verb}
    browser = Browser()
    response = browser.visit(login(ann))
    assert response.status_code == 503
    assert set_cookie(response) is None
    store.come_back()
    assert users(first, browser) == ["ann", ""]


def test_an_outage_that_a_view_swallows_is_503_all_the_same(ann: Any, store: WatchedStore) -> None:
    def sign_in(request: HttpRequest) -> str:
        with pytest.raises(StoreUnavailableError):
            django_login(request, ann, backend=BACKEND)
        return "fine"

    store.out = {"admit"}
    assert Browser().visit(sign_in).status_code == 503


@pytest.mark.parametrize("session", [None, {}, {"_auth_user_id": "1"}])
def test_what_is_no_session_of_ours_is_left_alone(session: Any, ann: Any) -> None:
    for request in (None, SimpleNamespace(session=session), SimpleNamespace()):
        user_logged_in.send(sender=type(ann), request=request, user=ann)


def test_a_sign_in_without_the_session_counts_none(ann: Any, store: WatchedStore) -> None:
    def sign_in_by_token(request: HttpRequest) -> None:
        user_logged_in.send(sender=type(ann), request=request, user=ann)

    browser = Browser()
    browser.visit(put(a=1))
    browser.visit(sign_in_by_token)
    assert "admit" not in store.verbs
    assert browser.show(read) == {"a": 1}


def test_stock_django_knows_no_limit(stock: Callable[..., None], ann: Any) -> None:
    stock("db")
    for _ in range(3):
        signed_in(ann)
    assert Session.objects.count() == 3
