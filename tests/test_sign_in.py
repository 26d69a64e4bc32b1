"""Sign in and sign out by the pages: how long it lasts, what nobody learns, and what people are told."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model, hashers
from django.contrib.auth.decorators import permission_required
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path

from django_srvsession import services, views
from django_srvsession.accounts import reasons
from django_srvsession.records import Ended
from django_srvsession.views.signing import TOLD_COOKIE
from tests.later import Later
from tests.memory import alice_fixture, memory_store_fixture, pages_fixture  # noqa: F401 - used as fixtures
from tests.questions import END_OTHERS, end_others, shown_to

LOGIN, LOGOUT, SESSIONS = (f"/account/{page}/" for page in ("login", "logout", "sessions"))
HOUR_S, DAY_S = 3600, 24 * 3600


def whoami(request: Any) -> HttpResponse:
    """Name the user."""
    return HttpResponse(request.user.get_username())


@permission_required("auth.nobody_has_it")
def forbidden(request: Any) -> HttpResponse:
    """Admit nobody: who comes is sent to sign in, signed in or not."""
    return HttpResponse("no")


urlpatterns = [
    path("account/", include("django_srvsession.urls")),
    path("passing/", views.LoginView.as_view(redirect_authenticated_user=True)),
    path("whoami/", whoami),
    path("forbidden/", forbidden),
]

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__), pytest.mark.usefixtures("pages")]


def sign_in(client: Client, password: str = "pass-alice", page: str = LOGIN, **fields: str) -> Any:
    return client.post(page, {"username": "alice", "password": password, **fields})


def signed_in(**fields: str) -> Client:
    client = Client()
    assert sign_in(client, **fields).status_code == 302
    return client


def cookie_of(client: Client) -> Any:
    return client.cookies[django_settings.SESSION_COOKIE_NAME]


def user_of(client: Client) -> str:
    return str(client.get("/whoami/").content.decode())


# Keep me signed in.


def test_ticked_the_session_and_its_cookie_last_for_a_month(alice: Any) -> None:
    client = signed_in(remember="on")
    (record,) = services.sessions_of(alice)
    assert cookie_of(client)["max-age"] == 30 * DAY_S
    assert record.lifetime_ms == 30 * DAY_S * 1000


def test_unticked_the_cookie_ends_with_the_browser_and_the_session_when_it_is_not_used(alice: Any) -> None:
    client = signed_in()
    (record,) = services.sessions_of(alice)
    assert cookie_of(client)["max-age"] == ""
    assert record.lifetime_ms == 12 * HOUR_S * 1000


def test_settings_say_how_long_both_last(alice: Any, settings: Any) -> None:
    settings.SRVSESSION_REMEMBER_AGE, settings.SRVSESSION_BROWSER_SESSION_AGE = 7 * DAY_S, HOUR_S
    signed_in(remember="on")
    signed_in()
    lifetimes = sorted(record.lifetime_ms for record in services.sessions_of(alice))
    assert lifetimes == [HOUR_S * 1000, 7 * DAY_S * 1000]


@pytest.mark.parametrize("before", ["on", ""])
@pytest.mark.parametrize("after", ["on", ""])
def test_the_last_sign_in_of_a_browser_decides(alice: Any, before: str, after: str) -> None:
    client = signed_in(remember=before)
    sign_in(client, remember=after)
    assert cookie_of(client)["max-age"] == (30 * DAY_S if after else "")
    assert user_of(client) == "alice"


# What nobody learns.


def refused(username: str, password: str) -> tuple[int, str, int]:
    """Try to sign in; return status, text and how many passwords that hashed."""
    hashed: list[str] = []
    original = hashers.MD5PasswordHasher.encode

    def encode(self: Any, password: str, salt: str) -> str:
        hashed.append(password)
        return str(original(self, password, salt))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashers.MD5PasswordHasher, "encode", encode)
        answer = Client().post(LOGIN, {"username": username, "password": password})
    page = answer.content.decode().replace(username, "NAME")
    start = page.index('role="alert"')
    return answer.status_code, page[start : page.index("</div>", start)], len(hashed)


def test_no_text_and_no_time_tells_which_accounts_there_are(alice: Any) -> None:
    manager = get_user_model().objects
    manager.create_user("inactive", password="pass-inactive", is_active=False)
    manager.create_user("without")
    tries = {
        "wrong": refused("alice", "wrong"),
        "unknown": refused("nobody", "wrong"),
        "inactive": refused("inactive", "pass-inactive"),
        "inactive, wrong": refused("inactive", "wrong"),
        "no password": refused("without", "wrong"),
    }
    assert tries["wrong"][0] == 200
    assert tries["wrong"][2] == 1
    assert set(tries.values()) == {tries["wrong"]}, tries


def test_a_backend_that_knows_deactivated_people_does_not_give_them_away(alice: Any, settings: Any) -> None:
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.AllowAllUsersModelBackend"]
    get_user_model().objects.create_user("inactive", password="pass-inactive", is_active=False)
    assert refused("inactive", "pass-inactive") == refused("nobody", "wrong")
    assert list(services.live_sessions()) == []


def test_password_managers_know_the_fields() -> None:
    text = Client().get(LOGIN).content.decode()
    assert 'autocomplete="username"' in text
    assert 'autocomplete="current-password"' in text
    assert 'autocapitalize="none"' in text


def test_a_site_with_a_form_of_its_own_keeps_its_own_lifetime(alice: Any, settings: Any, rf: Any) -> None:
    from django.contrib.auth.forms import AuthenticationForm

    class Plain(views.LoginView):
        authentication_form = AuthenticationForm

    urls = type("urls", (), {"urlpatterns": [path("plain/", Plain.as_view()), *urlpatterns]})
    settings.ROOT_URLCONF = urls
    client = Client()
    sign_in(client, page="/plain/")
    assert cookie_of(client)["max-age"] == django_settings.SESSION_COOKIE_AGE


# Who is signed in already.


def test_who_is_signed_in_may_be_sent_on(alice: Any) -> None:
    assert signed_in().get("/passing/")["Location"] == "/whoami/"
    assert Client().get("/passing/").status_code == 200


@pytest.mark.parametrize("target", ["/passing/", "/passing/?a=b", "/forbidden/"])
def test_nobody_is_sent_in_a_circle(alice: Any, settings: Any, target: str) -> None:
    settings.LOGIN_URL, settings.LOGIN_REDIRECT_URL = "/passing/", target
    client = signed_in()
    answer = client.get("/passing/", follow=True)
    assert answer.status_code == 200
    assert len(answer.redirect_chain) <= 2
    sent = client.get("/forbidden/", follow=True)
    assert (sent.status_code, len(sent.redirect_chain)) == (200, 1)
    assert "You are signed in as alice." in sent.content.decode()
    assert 'href="/forbidden/">Continue' in sent.content.decode()


# A limit that refuses.


def test_a_sign_in_above_the_limit_is_refused_in_the_form(alice: Any, settings: Any) -> None:
    settings.SRVSESSION_MAX_SESSIONS_PER_USER, settings.SRVSESSION_LIMIT_POLICY = 1, "refuse"
    first, second = signed_in(), Client()
    answer = sign_in(second)
    assert answer.status_code == 200
    assert str(services.SignInRefusedError()) in answer.content.decode()
    assert "Signed in as" not in answer.content.decode()
    assert (user_of(first), user_of(second)) == ("alice", "")


# Sign out.


@pytest.mark.parametrize(
    ("value", "header"),
    [(None, '"storage"'), (("cache", "storage"), '"cache", "storage"'), ((), None)],
)
def test_the_browser_is_asked_to_drop_what_it_keeps(alice: Any, settings: Any, value: Any, header: str | None) -> None:
    if value is not None:
        settings.SRVSESSION_CLEAR_SITE_DATA = value
    client = signed_in()
    answer = client.post(LOGOUT)
    assert answer.headers.get("Clear-Site-Data") == header
    client = signed_in()
    assert client.post(f"{SESSIONS}{client.session.sid}/end/").headers.get("Clear-Site-Data") == header


def test_signing_out_deletes_the_very_cookie_that_signing_in_set(alice: Any, settings: Any) -> None:
    settings.SESSION_COOKIE_PATH, settings.SESSION_COOKIE_DOMAIN = "/", "testserver"
    settings.SESSION_COOKIE_SAMESITE, settings.SESSION_COOKIE_SECURE = "Strict", True
    client = Client()
    answers = sign_in(client), client.post(LOGOUT)
    one, other = (answer.cookies[django_settings.SESSION_COOKIE_NAME] for answer in answers)
    for attribute in ("path", "domain", "samesite"):
        assert one[attribute] == other[attribute] != ""
    assert (other.value, other["max-age"]) == ("", 0)


# Why it ended, once.


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("revoked", "You were signed out from another device."),
        ("expired_idle", "You were signed out because you were inactive."),
        ("password_changed", "You were signed out because your password was changed."),
        ("a site's own", "You were signed out."),
        ("logout", ""),
        ("replaced", ""),
    ],
)
def test_a_person_is_told_once_why_the_session_was_ended(alice: Any, reason: str, text: str) -> None:
    client = signed_in()
    sid = client.session.sid
    services.revoke(sid, reason=reason, by=alice)
    before = cookie_of(client).value
    first = client.get(SESSIONS, follow=True)
    told = re.findall(r'<p class="note" role="status">(.*)</p>', first.content.decode())
    assert told == ([text.replace("'", "&#x27;")] if text else [])
    assert "no-store" in first["Cache-Control"]
    assert "Cookie" in first["Vary"]
    assert cookie_of(client).value == before
    second = client.get(LOGIN)
    assert not text or text not in second.content.decode()
    assert TOLD_COOKIE not in second.cookies


@pytest.mark.parametrize(
    ("by", "text"), [("7000", "You were signed out by an administrator."), (None, "You were signed out.")]
)
def test_who_ended_it_is_not_guessed(alice: Any, by: str | None, text: str) -> None:
    client = signed_in()
    services.revoke(client.session.sid, by=by)
    assert f'<p class="note" role="status">{text}</p>' in client.get(LOGIN).content.decode()


def test_a_visitor_whose_session_ran_out_was_not_signed_out(alice: Any) -> None:
    client = Client()
    session = client.session
    session["cart"] = 1
    session.set_expiry(-1)
    session.save()
    client.cookies[django_settings.SESSION_COOKIE_NAME] = session.session_key
    assert "note" not in client.get(LOGIN).content.decode()


def test_the_note_of_having_told_is_as_safe_as_it_can_be(alice: Any, settings: Any) -> None:
    settings.SRVSESSION_ENDED_KEEP = 2 * DAY_S
    client = signed_in()
    sid = client.session.sid
    services.revoke(sid)
    note = client.get(LOGIN).cookies[TOLD_COOKIE]
    assert (note.value, note["path"], note["max-age"]) == (sid, LOGIN, 2 * DAY_S)
    assert (note["httponly"], note["samesite"], note["secure"]) == (True, "Lax", "")


def test_what_nobody_sees_does_not_use_the_telling_up(alice: Any) -> None:
    client = signed_in()
    services.revoke(client.session.sid, by=alice)
    for headers in ({"sec-fetch-mode": "cors"}, {"sec-fetch-mode": "navigate", "sec-purpose": "prefetch;prerender"}):
        assert TOLD_COOKIE not in client.get(LOGIN, headers=headers).cookies
    assert TOLD_COOKIE not in client.head(LOGIN).cookies
    assert TOLD_COOKIE not in sign_in(client, "wrong").cookies
    assert "another device" in client.get(LOGIN).content.decode()


def test_only_who_holds_the_very_key_is_told(alice: Any) -> None:
    client = signed_in()
    older = cookie_of(client).value
    sign_in(client)
    services.revoke(client.session.sid, by=alice)
    thief = Client()
    thief.cookies[django_settings.SESSION_COOKIE_NAME] = older
    assert "another device" not in thief.get(LOGIN).content.decode()
    assert "another device" not in Client().get(LOGIN).content.decode()
    assert "another device" in client.get(LOGIN).content.decode()


def test_a_second_session_of_the_browser_that_ends_is_told_too(alice: Any) -> None:
    client = signed_in()
    services.revoke(client.session.sid, by=alice)
    client.get(LOGIN)
    sign_in(client)
    assert "another device" not in client.get(LOGIN).content.decode()
    services.revoke(client.session.sid, reason="password_changed")
    assert "password was changed" in client.get(LOGIN).content.decode()


def test_every_public_reason_has_a_text_or_is_silent() -> None:
    from django_srvsession import signals

    public = signals.session_ended.__doc__ or signals.__doc__ or ""
    assert public
    for reason in ("revoked", "expired_idle", "expired_lifetime", "limit", "evicted", "cleared", "user_deleted"):
        assert reasons.text_of(Ended("5" * 18, reason))


# The proof of the password before others are ended (ASVS 7.5.2).


@pytest.fixture
def old_proof(settings: Any) -> None:
    """Let the sign-in be too old a proof; a confirmation is a recent one."""
    settings.SRVSESSION_REAUTH_AGE = 60
    with pytest.MonkeyPatch.context() as patch:
        Later(patch, 120)
        yield


@pytest.mark.usefixtures("old_proof")
@pytest.mark.parametrize("target", ["others", "one"])
def test_ending_others_asks_for_the_password_and_goes_on_by_itself(alice: Any, target: str) -> None:
    client, other = signed_in(), signed_in()
    page = END_OTHERS if target == "others" else f"{SESSIONS}{other.session.sid}/end/"
    fields = shown_to(client) if target == "others" else {}
    asked = client.post(page, fields)
    assert asked.status_code == 200
    assert "Confirm it's you" in asked.content.decode()
    assert user_of(other) == "alice"
    wrong = client.post(page, {**fields, "password": "wrong"})
    assert "That is not your password." in wrong.content.decode()
    assert user_of(other) == "alice"
    before = cookie_of(client).value
    done = client.post(page, {**fields, "password": "pass-alice"})
    assert done.status_code == 302
    assert done["Location"].startswith(f"{SESSIONS}?ended=")
    assert (user_of(client), user_of(other)) == ("alice", "")
    assert cookie_of(client).value != before


@pytest.mark.usefixtures("old_proof")
def test_signing_out_of_this_session_never_asks(alice: Any) -> None:
    client = signed_in()
    assert client.post(f"{SESSIONS}{client.session.sid}/end/")["Location"] == "/account/logged-out/"


@pytest.mark.usefixtures("old_proof")
def test_of_an_unknown_session_all_is_said_before_anybody_is_asked(alice: Any) -> None:
    answer = signed_in().post(f"{SESSIONS}{'0' * 18}/end/", follow=True)
    assert "That device was already signed out." in answer.content.decode()


@pytest.mark.usefixtures("old_proof")
def test_who_has_no_password_gets_no_page_that_asks_for_one(alice: Any) -> None:
    client, other = signed_in(), signed_in()
    alice.set_unusable_password()
    get_user_model().objects.filter(pk=alice.pk).update(password=alice.password)
    client.force_login(alice)
    other.force_login(alice)
    assert client.get("/account/confirm/?next=/whoami/")["Location"] == f"{LOGIN}?next=/whoami/"
    assert user_of(other) == "alice"
    assert end_others(client)["Location"] == f"{SESSIONS}?ended="
    assert user_of(other) == ""


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
def test_the_confirmation_never_leads_to_another_site(alice: Any, target: str) -> None:
    client = signed_in()
    assert "evil" not in client.get("/account/confirm/", {"next": target}).content.decode()
    answer = client.post("/account/confirm/", {"next": target, "password": "pass-alice"})
    assert answer["Location"] == SESSIONS
    assert Client().get("/account/confirm/", {"next": target})["Location"] == f"{LOGIN}?next={SESSIONS}"


@pytest.mark.parametrize(("other", "remember"), [("MIGRATE_TO", "on"), ("MIGRATE_FROM", "")])
def test_our_page_signs_in_and_out_where_a_move_keeps_the_sessions_in_another_engine(
    alice: Any, settings: Any, other: str, remember: str
) -> None:
    setattr(settings, f"SRVSESSION_{other}", settings.SESSION_ENGINE)
    settings.SRVSESSION_MIGRATE_UNTIL = "2100-01-01"
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    client = signed_in(remember=remember)
    assert user_of(client) == "alice"
    assert client.session.get_expiry_age() > 29 * DAY_S if remember else client.session.get_expire_at_browser_close()
    client.post(LOGOUT)
    assert user_of(client) == ""
