"""How people prove who they are who have no password here: at the site's own page, or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import BaseBackend, ModelBackend, RemoteUserBackend
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.test import Client
from django.urls import include, path
from django.utils.functional import lazystr

from django_srvsession import services
from django_srvsession.accounts import reauthentication
from django_srvsession.checks import check_settings
from tests.later import Later
from tests.memory import memory_store_fixture  # noqa: F401 - used as a fixture
from tests.questions import END_OTHERS, end_others

SESSIONS, CONFIRM = "/account/sessions/", "/account/confirm/"
ENDED = f"{SESSIONS}?ended="
MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"
REMOTE_BACKEND = "django.contrib.auth.backends.RemoteUserBackend"


def whoami(request: HttpRequest) -> HttpResponse:
    """Name the user, and say whether the proof is recent."""
    return HttpResponse(f"{request.user.get_username()} {reauthentication.is_recent(request)}")


def again(request: HttpRequest) -> HttpResponse:
    """Be the site's own page that asks for a code."""
    if request.GET.get("code") == "123456":
        reauthentication.given(request)
    return redirect(request.GET["next"])


@reauthentication.recent_proof_required
def guarded(request: HttpRequest) -> HttpResponse:
    """Be something of the site's that needs a proof."""
    return HttpResponse("done")


urlpatterns = [
    path("account/", include("django_srvsession.urls")),
    path("whoami/", whoami),
    path("again/", again, name="again"),
    path("guarded/", guarded),
]

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__), pytest.mark.usefixtures("store")]


class Directory(BaseBackend):
    """Check passwords that are kept elsewhere, as an LDAP server does."""

    def authenticate(self, request: Any, username: Any = None, password: Any = None, **kwargs: Any) -> Any:
        """Return the user for the directory's password."""
        return get_user_model().objects.get(username=username) if password == "pass-ldap" else None

    def get_user(self, user_id: Any) -> Any:
        """Return the user."""
        return get_user_model().objects.get(pk=user_id)


class Provider(Directory):
    """Sign in by an identity provider, whose answer is no password."""

    def authenticate(self, *args: Any, **kwargs: Any) -> Any:
        """Return nobody: there is no such answer here."""


class Renamed(ModelBackend):
    """Check the password that is kept here, as backends do that find users by their e-mail address."""

    def authenticate(self, request: Any, username: Any = None, password: Any = None, **kwargs: Any) -> Any:
        """Return the user for the right password."""
        return super().authenticate(request, username, password, **kwargs)


@pytest.fixture(autouse=True)
def _site(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.LOGIN_URL = "srvsession:login"
    # Every sign-in was too long ago; a proof since then is as recent as it can be.
    Later(monkeypatch, 3600)


def without_password(request: pytest.FixtureRequest) -> Any:
    """A user whose hash fits no password: an empty one, an unusable one."""
    user = get_user_model().objects.create_user("ann")
    user.password = request.param if request.param is not None else user.password
    user.save()
    return user


ann = pytest.fixture(params=["", None], ids=["empty", "unusable"])(without_password)


def signed_in(user: Any, backend: str = MODEL_BACKEND) -> Client:
    client = Client()
    client.force_login(user, backend=backend)
    return client


def user_of(client: Client) -> str:
    return client.get("/whoami/").content.decode().split(" ")[0]


def asked_of(client: Client) -> str:
    """Return where ending all others leads, or how it asks."""
    answer = end_others(client)
    return str(answer["Location"]) if answer.status_code == 302 else "password"


# Nobody to ask.


def test_who_has_no_way_to_prove_it_ends_their_own_sessions_all_the_same(ann: Any) -> None:
    client, phone, laptop = signed_in(ann), signed_in(ann), signed_in(ann)
    answer = client.post(f"{SESSIONS}{phone.session.sid}/end/")
    assert answer.status_code == 302
    assert answer["Location"].startswith(ENDED)
    assert (user_of(phone), user_of(laptop)) == ("", "ann")
    assert asked_of(client) == ENDED
    assert (user_of(laptop), user_of(client)) == ("", "ann")


@pytest.mark.parametrize("has_password", [False, True])
def test_remote_users_end_their_own_sessions(settings: Any, has_password: bool) -> None:
    settings.AUTHENTICATION_BACKENDS = [REMOTE_BACKEND]
    settings.MIDDLEWARE = [*django_settings.MIDDLEWARE, "django.contrib.auth.middleware.RemoteUserMiddleware"]
    clients = [Client(REMOTE_USER="ann") for _ in range(3)]
    for client in clients:
        client.get("/whoami/")
    user = get_user_model().objects.get(username="ann")
    if has_password:  # Which no backend here would check.
        get_user_model().objects.filter(pk=user.pk).update(password="md5$x$00")
        for client in clients:  # A new hash is a new session for each.
            client.get("/whoami/")
    assert issubclass(RemoteUserBackend, ModelBackend)
    assert asked_of(clients[0]) == ENDED
    assert len(services.sessions_of(user)) == 1


def test_who_has_a_password_is_still_asked(ann: Any) -> None:
    ann.set_password("pass-ann")
    ann.save()
    client, phone = signed_in(ann), signed_in(ann)
    assert asked_of(client) == "password"
    assert user_of(phone) == "ann"


def test_what_else_needs_a_proof_is_not_open_to_who_cannot_give_one(ann: Any) -> None:
    client = signed_in(ann)
    assert client.get("/guarded/")["Location"] == "/account/login/?next=/guarded/"
    assert client.get(f"{CONFIRM}?next=/guarded/")["Location"] == "/account/login/?next=/guarded/"


# The site's own page.


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("again", "/again/?next="),
        ("/again/", "/again/?next="),
        ("/again/?code=123456", "/again/?code=123456&next="),
        ("https://id.example.com/again?a=b", "https://id.example.com/again?a=b&next="),
        (lazystr("again"), "/again/?next="),
    ],
)
def test_the_sites_page_is_where_who_has_no_password_is_sent(ann: Any, settings: Any, url: Any, target: str) -> None:
    settings.SRVSESSION_REAUTH_URL = url
    client, phone = signed_in(ann), signed_in(ann)
    page = f"{SESSIONS}{phone.session.sid}/end/"
    assert asked_of(client) == target + END_OTHERS
    assert client.post(page)["Location"] == target + page
    assert client.get(CONFIRM)["Location"] == target + SESSIONS
    assert user_of(phone) == "ann"


def test_what_the_sites_page_has_checked_is_a_proof_and_changes_the_key(ann: Any, settings: Any) -> None:
    settings.SRVSESSION_REAUTH_URL = "/again/?code=123456"
    client, thief = signed_in(ann), Client()
    before = client.cookies[django_settings.SESSION_COOKIE_NAME].value
    thief.cookies[django_settings.SESSION_COOKIE_NAME] = before
    answer = client.get("/guarded/?a=b", follow=True)
    assert (answer.redirect_chain[-1], answer.content) == (("/guarded/?a=b", 302), b"done")
    assert client.cookies[django_settings.SESSION_COOKIE_NAME].value != before
    assert (user_of(thief), user_of(client)) == ("", "ann")
    signed_in(ann)
    assert asked_of(client) == ENDED


def test_what_the_sites_page_has_not_checked_is_no_proof(ann: Any, settings: Any) -> None:
    settings.SRVSESSION_REAUTH_URL = "/again/?code=0"
    client, _ = signed_in(ann), signed_in(ann)
    client.get("/again/?code=0&next=/whoami/")
    assert client.get("/whoami/").content == b"ann False"
    assert asked_of(client).startswith("/again/")


def test_who_has_a_password_is_asked_for_it_though_there_is_such_a_page(ann: Any, settings: Any) -> None:
    settings.SRVSESSION_REAUTH_URL = "again"
    ann.set_password("pass-ann")
    ann.save()
    client, _ = signed_in(ann), signed_in(ann)
    assert asked_of(client) == "password"


# Passwords that are kept elsewhere.


def test_a_password_that_a_directory_keeps_is_asked_for(ann: Any, settings: Any) -> None:
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.Directory", MODEL_BACKEND]
    client, phone = signed_in(ann, f"{__name__}.Directory"), signed_in(ann, f"{__name__}.Directory")
    assert asked_of(client) == "password"
    assert user_of(phone) == "ann"
    assert end_others(client, password="pass-ldap")["Location"] == ENDED
    assert user_of(phone) == ""


@pytest.mark.parametrize("backend", ["Provider", "Renamed"])
def test_other_backends_do_not_make_up_a_password(ann: Any, settings: Any, backend: str) -> None:
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.{backend}"]
    client, _ = (signed_in(ann, f"{__name__}.{backend}") for _ in range(2))
    assert asked_of(client) == ENDED


# The setting.


@pytest.mark.parametrize("value", ["", 1, b"/again/", ["/again/"], True, "no_such_name"])
def test_a_value_that_is_no_url_is_reported(settings: Any, value: Any) -> None:
    settings.SRVSESSION_REAUTH_URL = value
    (message,) = check_settings()
    assert message.id == "srvsession.E002"
    assert "SRVSESSION_REAUTH_URL" in message.msg


@pytest.mark.parametrize("value", [None, "again", "/again/", "https://id.example.com/", lazystr("again")])
def test_a_value_that_is_one_is_not_reported(settings: Any, value: Any) -> None:
    settings.SRVSESSION_REAUTH_URL = value
    assert check_settings() == []
