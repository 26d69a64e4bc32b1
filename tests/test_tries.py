"""Guessing a password by confirming it: five wrong ones in a row end the session, however many come at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import BaseBackend, ModelBackend
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, connections
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path

from django_srvsession import services
from django_srvsession.accounts import attempts, reauthentication
from django_srvsession.engine import SessionStore, current_store
from django_srvsession.records import Loaded, Tombstone
from django_srvsession.services import recent_activity
from django_srvsession.signals import session_ended
from tests.every_store import every_store_fixture  # noqa: F401 - used as a fixture
from tests.later import Later
from tests.memory import memory_store_fixture  # noqa: F401 - used as a fixture
from tests.questions import END_OTHERS, end_others

RIGHT, WRONG = "the right one", "a wrong one"
CONFIRM, LOGIN = "/account/confirm/", "/account/login/"
AT_ONCE = 20


def check(request: HttpRequest) -> HttpResponse:
    """Confirm as a view of a site's own does."""
    return HttpResponse(f"{reauthentication.confirm(request, request.POST['password'])} {request.user.get_username()}")


def whoami(request: HttpRequest) -> HttpResponse:
    """Name the user, and say whether the proof is recent."""
    return HttpResponse(f"{request.user.get_username()} {reauthentication.is_recent(request)}")


urlpatterns = [
    path("account/", include("django_srvsession.urls")),
    path("api/", include("django_srvsession.api.urls")),
    path("check/", check),
    path("whoami/", whoami),
]

pytestmark = pytest.mark.urls(__name__)


class SlowBackend(ModelBackend):
    """Know one password, take a moment to say so, and count how often it was asked."""

    asked = 0
    lock = threading.Lock()

    def authenticate(self, request: Any, username: Any = None, password: Any = None, **kwargs: Any) -> Any:
        """Return the user for the one password."""
        with SlowBackend.lock:
            SlowBackend.asked += 1
        time.sleep(0.01)
        return get_user_model().objects.get(username=username) if password == RIGHT else None


class Down(BaseBackend):
    """Be a directory that does not answer."""

    def authenticate(self, request: Any, **credentials: Any) -> Any:
        """Raise."""
        raise ConnectionError


@pytest.fixture(autouse=True)
def _site(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.LOGIN_URL = "srvsession:login"
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.SlowBackend"]
    SlowBackend.asked = 0


@pytest.fixture
def ends() -> Iterator[list[tuple[str, str]]]:
    """What ``session_ended`` has told: sid and reason."""
    told: list[tuple[str, str]] = []

    def note(sender: Any, record: Any, reason: str, **kwargs: Any) -> None:
        told.append((record.sid, reason))

    session_ended.connect(note, sender=SessionStore)
    yield told
    session_ended.disconnect(note, sender=SessionStore)


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every sign-in be too long ago to be a recent proof."""
    Later(monkeypatch, 3600)


def signed_in(name: str = "ann") -> Client:
    model = get_user_model()
    user = model.objects.filter(username=name).first() or model.objects.create_user(name, password="x")
    client = Client()
    client.force_login(user, backend=f"{__name__}.SlowBackend")
    return client


def key_of(client: Client) -> str:
    return str(client.cookies[django_settings.SESSION_COOKIE_NAME].value)


def copy_of(client: Client) -> Client:
    """Open the browser of somebody who has stolen the cookie."""
    thief = Client()
    thief.cookies[django_settings.SESSION_COOKIE_NAME] = key_of(client)
    return thief


def user_of(client: Client) -> str:
    return client.get("/whoami/").content.decode().split(" ")[0]


def guess(client: Client, page: str = CONFIRM, password: str = WRONG) -> Any:
    if page == END_OTHERS:
        return end_others(client, password=password)
    if page.startswith("/api/"):
        return client.post(page, {"password": password}, content_type="application/json")
    return client.post(page, {"password": password})


def reason_of(sid: str) -> str | None:
    stored = current_store().load(sid)
    assert isinstance(stored, Loaded | Tombstone)
    return stored.reason if isinstance(stored, Tombstone) else None


def at_once(functions: list[Callable[[], Any]]) -> list[Any]:
    """Do all of it in twenty threads that begin together, and return the results; raises what one of them raised."""
    together = threading.Barrier(AT_ONCE)

    def do(number: int) -> list[Any]:
        try:
            together.wait(60)
            return [function() for function in functions[number::AT_ONCE]]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [result for results in pool.map(do, range(AT_ONCE)) for result in results]


# In a row.


def test_five_wrong_ones_end_the_session_and_the_person_learns_why(
    every_store: str, ends: list[Any], settings: Any
) -> None:
    settings.SRVSESSION_EVENT_LOG = 30
    client = signed_in()
    sid, ann = client.session.sid, get_user_model().objects.get()
    for _ in range(4):
        assert b"That is not your password." in guess(client).content
    assert user_of(client) == "ann"
    answer = guess(client)
    assert (answer.status_code, answer["Location"]) == (302, f"{LOGIN}?next=/account/sessions/")
    assert ends == [(sid, attempts.REASON)]
    assert reason_of(sid) == attempts.REASON
    assert recent_activity(ann)[0].reason == attempts.REASON
    assert user_of(client) == ""
    page = client.get(answer["Location"]).content
    assert b"You were signed out because a wrong password was entered too often." in page
    guess(client, password=RIGHT)
    assert (user_of(client), SlowBackend.asked) == ("", 5)
    assert client.post(LOGIN, {"username": "ann", "password": RIGHT}).status_code == 302
    assert (user_of(client), client.session.sid != sid) == ("ann", True)


def test_a_right_one_begins_the_row_anew(every_store: str, ends: list[Any]) -> None:
    client = signed_in()
    for _ in range(3):
        for _ in range(4):
            assert guess(client).status_code == 200
        assert guess(client, password=RIGHT).status_code == 302
    assert (user_of(client), ends) == ("ann", [])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "page", [CONFIRM, END_OTHERS, "/account/sessions/{other}/end/", "/check/", "/api/confirm-password/"]
)
def test_every_page_that_takes_a_password_counts_into_one_row(
    store: Any, old: None, page: str, ends: list[Any]
) -> None:
    client, other = signed_in(), signed_in()
    sid, page = client.session.sid, page.format(other=other.session.sid)
    for front_end in (CONFIRM, END_OTHERS, "/check/", "/api/confirm-password/"):
        assert guess(client, front_end).status_code in (200, 403)
    answer = guess(client, page)
    assert ends == [(sid, attempts.REASON)]
    if page == "/check/":
        assert answer.content == b"False "
    else:
        assert answer.status_code == (401 if page.startswith("/api/") else 302)
    assert (user_of(client), user_of(other)) == ("", "ann")


@pytest.mark.django_db(transaction=True)
def test_a_sign_in_begins_the_row_anew(store: Any, ends: list[Any]) -> None:
    client = signed_in()
    sid = client.session.sid
    for _ in range(3):
        for _ in range(4):
            assert guess(client).status_code == 200
        assert client.post(LOGIN, {"username": "ann", "password": RIGHT}).status_code == 302
    assert (client.session.sid, user_of(client), ends) == (sid, "ann", [])


@pytest.mark.django_db(transaction=True)
def test_the_answer_that_ends_the_session_leaves_the_cookie_alone(store: Any) -> None:
    client = signed_in()
    answers = [guess(client, "/check/") for _ in range(5)]
    assert django_settings.SESSION_COOKIE_NAME not in answers[-1].cookies


@pytest.mark.django_db(transaction=True)
def test_another_session_of_the_same_person_has_a_row_of_its_own(store: Any) -> None:
    client, other = signed_in(), signed_in()
    for _ in range(4):
        guess(client)
        guess(other)
    assert (user_of(client), user_of(other)) == ("ann", "ann")


@pytest.mark.django_db(transaction=True)
def test_a_directory_that_is_down_signs_nobody_out(store: Any, settings: Any, ends: list[Any]) -> None:
    client = signed_in()
    settings.AUTHENTICATION_BACKENDS += [f"{__name__}.Down"]
    for _ in range(20):
        with pytest.raises(ConnectionError):
            guess(client)
    settings.AUTHENTICATION_BACKENDS = settings.AUTHENTICATION_BACKENDS[:1]
    assert guess(client, password=RIGHT).status_code == 302
    assert (user_of(client), ends) == ("ann", [])


@pytest.mark.django_db(transaction=True)
def test_who_is_no_user_of_the_session_can_guess_nothing(store: Any, rf: Any) -> None:
    """A token says who asks; there is no session to count in."""
    signed_in()
    request = rf.post("/check/")
    request.user, request.session = get_user_model().objects.get(), current_engine()()
    assert [reauthentication.confirm(request, RIGHT) for _ in range(3)] == [False] * 3
    assert SlowBackend.asked == 0


def current_engine() -> Any:
    from importlib import import_module

    return import_module(django_settings.SESSION_ENGINE).SessionStore


@pytest.mark.django_db(transaction=True)
def test_on_another_engine_no_password_is_checked(settings: Any) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.db"
    client = signed_in()
    with pytest.raises(ImproperlyConfigured):
        guess(client, "/check/", RIGHT)
    assert SlowBackend.asked == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("page", [CONFIRM, END_OTHERS, "/api/confirm-password/"])
def test_no_page_counts_in_a_transaction_that_the_site_may_roll_back(
    old: None, page: str, settings: Any, monkeypatch: pytest.MonkeyPatch, ends: list[Any]
) -> None:
    settings.SESSION_ENGINE = "django_srvsession.backends.db"
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    were_inside: list[bool] = []

    def refuse(self: Any, request: Any, **credentials: Any) -> None:
        were_inside.append(connection.in_atomic_block)

    monkeypatch.setattr(SlowBackend, "authenticate", refuse)
    client, _ = signed_in(), signed_in()
    for _ in range(5):
        guess(client, page)
    assert were_inside == [False] * 5
    assert [reason for _, reason in ends] == [attempts.REASON]


# At once.


def test_a_hundred_guesses_at_once_get_five_checks(every_store: str, ends: list[Any]) -> None:
    client = signed_in()
    sid = client.session.sid
    answers = at_once([lambda: guess(copy_of(client), "/check/")] * 100)
    assert SlowBackend.asked == 5
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.content.split(b" ")[0] for answer in answers} == {b"False"}
    assert ends == [(sid, attempts.REASON)]
    assert (user_of(client), reason_of(sid)) == ("", attempts.REASON)
    assert list(services.sessions_of(get_user_model().objects.get())) == []


@pytest.mark.parametrize(
    "every_store", ["sqlite", "postgresql"], indirect=True
)  # All of them: tests/races/test_guesses.py.
def test_a_right_one_among_many_guesses_breaks_nothing(every_store: str, ends: list[Any]) -> None:
    for _ in range(2):
        client = signed_in()
        sid, before = client.session.sid, SlowBackend.asked
        guesses: list[Callable[[], Any]] = [partial(guess, copy_of(client), "/check/") for _ in range(AT_ONCE)]
        guesses[3] = partial(guess, client, "/check/", RIGHT)
        answers = at_once(guesses)
        assert {answer.status_code for answer in answers} == {200}
        assert SlowBackend.asked - before <= 5
        if reason_of(sid) is None:
            assert client.get("/whoami/").content == b"ann True"
            assert guess(client, "/check/", RIGHT).content == b"True ann"
        else:
            assert user_of(client) == ""
            assert ends[-1] == (sid, attempts.REASON)
    assert len(ends) == len(set(ends))


def test_a_right_one_takes_the_session_from_who_guesses(every_store: str, ends: list[Any]) -> None:
    """The guesses that were begun before it cannot end the session that it has given a new key."""
    client = signed_in()
    thief = copy_of(client)
    for _ in range(4):
        guess(thief)
    inside, go_on = threading.Event(), threading.Event()

    def wait_in_the_check(self: Any, request: Any, **credentials: Any) -> Any:
        if credentials["password"] == WRONG:
            inside.set()
            assert go_on.wait(60)
            return None
        return get_user_model().objects.get(username=credentials["username"])

    def fifth() -> Any:
        try:
            return guess(thief, "/check/").content
        finally:
            connections.close_all()

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setattr(SlowBackend, "authenticate", wait_in_the_check)
        patch.setattr(attempts, "MOST", 6)
        answer = pool.submit(fifth)
        assert inside.wait(60)
        assert guess(client, password=RIGHT).status_code == 302
        patch.setattr(attempts, "MOST", 5)
        go_on.set()
        assert answer.result(60) == b"False "
    assert (user_of(client), user_of(thief), ends) == ("ann", "", [])
