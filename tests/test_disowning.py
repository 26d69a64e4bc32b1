"""The link "This was not me" in the mail about a sign-in, and everybody who may come by it."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core import mail, signing
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path, reverse
from django.utils import timezone

from django_srvsession import services
from django_srvsession.accounts import disowning, passwords
from django_srvsession.accounts.disowning import Claim
from django_srvsession.backends.memory import MemoryStore
from django_srvsession.backends.memory.table import SessionTable
from django_srvsession.engine import current_store, registry
from django_srvsession.events import words
from django_srvsession.models import SessionEvent
from django_srvsession.records import Tombstone
from django_srvsession.store import StoreUnavailableError
from tests.engine.watched import WatchedStore
from tests.every_store import every_store_fixture
from tests.reports.stores import on_stores
from tests.test_places import cities

__all__ = ["cities", "every_store_fixture"]

SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
SESSIONS = "/account/sessions/"


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ours")


our_pages = [path("account/", include("django_srvsession.urls"))]
password_pages = [
    path("password/change/", page, name="password_change"),
    path("password/reset/", page, name="password_reset"),
]


class Bare:
    """A site without pages for passwords."""

    urlpatterns = our_pages


urlpatterns = [*our_pages, *password_pages]

pytestmark = pytest.mark.urls(__name__)


@pytest.fixture(autouse=True)
def _site(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.SESSION_ENGINE = "django_srvsession.backends.memory"
    settings.LOGIN_URL = "srvsession:login"
    settings.SRVSESSION_NOTIFY_NEW_DEVICE = True
    settings.ALLOWED_HOSTS = ["testserver"]
    settings.SRVSESSION_EVENT_LOG = 30
    monkeypatch.setattr(MemoryStore, "table", SessionTable())
    cache.clear()  # It counts the mails of users whose ids come again.


@pytest.fixture
def ann(transactional_db: None) -> Any:
    return person("ann")


def person(name: str) -> Any:
    fields = {"email": f"{name}@example.com", "password": f"pass-{name}", "last_login": timezone.now()}
    return get_user_model().objects.create_user(name, **fields)


def sign_in(name: str = "ann", agent: str = SAFARI) -> Client:
    """Sign in through the page, on a device that nobody knows."""
    client = Client(HTTP_USER_AGENT=agent, REMOTE_ADDR="203.0.113.5")
    assert client.post("/account/login/", {"username": name, "password": f"pass-{name}"}).status_code == 302
    return client


def link() -> str:
    """Return the path of the link in the latest mail; both of its parts have the same."""
    message = mail.outbox[-1]
    texts = [str(message.body), str(message.alternatives[0][0])]
    (plain,), (html,) = (re.findall(r"http://testserver(/account/not-me/[^\s\"<]+)", text) for text in texts)
    assert plain == html
    return str(plain)


def is_live(client: Client) -> bool:
    return client.get(SESSIONS).status_code == 200


def text_of(answer: Any) -> str:
    return re.sub(r"\s+", " ", answer.content.decode())


def test_a_link_in_the_mail_ends_that_session_and_goes_on_to_a_new_password(every_store: str) -> None:
    ann = person("ann")
    mine, theirs = sign_in(), sign_in()
    visitor = Client()
    asked = visitor.get(link())
    assert asked.status_code == 200
    assert "Safari on iPhone" in text_of(asked) and "203.0.113.5" in text_of(asked)
    assert "srvsession/iphone.svg" in asked.content.decode()
    answer = visitor.post(link())
    assert (answer.status_code, answer["Location"]) == (302, "/password/reset/")
    assert is_live(mine) and not is_live(theirs)
    assert len(services.sessions_of(ann)) == 1


def test_the_end_is_the_person_s_own_and_has_words_of_its_own(ann: Any) -> None:
    theirs = sign_in()
    sid = str(theirs.session.sid)
    Client().post(link())
    found = current_store().load(sid)
    assert isinstance(found, Tombstone) and (found.reason, found.by) == ("disowned", str(ann.pk))
    event = SessionEvent.objects.get(sid=sid, kind="ended")
    assert (event.reason, event.by) == ("disowned", str(ann.pk))
    assert words.text_of(event.kind, event.reason) == "Signed out: reported as not you"
    # Whoever sat there learns no more than that.
    assert "You were signed out from another device." in text_of(theirs.get("/account/login/"))


# Mail scanners follow links, also more than once, and also by HEAD.


def test_to_follow_the_link_changes_nothing_and_uses_nothing_up(ann: Any, settings: Any) -> None:
    settings.CSRF_USE_SESSIONS = False
    theirs = sign_in()
    before = len(services.live_sessions())
    scanner = Client()
    for _ in range(3):
        assert scanner.get(link()).status_code == scanner.head(link()).status_code == 200
        assert scanner.get(link(), headers={"Sec-Purpose": "prefetch"}).status_code == 200
    for method in ("put", "patch", "delete", "options"):
        assert getattr(scanner, method)(link()).status_code == 405
    assert is_live(theirs)
    assert len(services.live_sessions()) == before
    assert settings.SESSION_COOKIE_NAME not in scanner.cookies
    assert Client().post(link()).status_code == 302
    assert not is_live(theirs)


def test_a_form_of_another_site_ends_nothing(ann: Any) -> None:
    theirs = sign_in()
    stranger = Client(enforce_csrf_checks=True)
    stranger.get(link())
    assert stranger.post(link()).status_code == 403
    assert is_live(theirs)


def test_the_form_of_the_page_works_over_https_also_where_nothing_sets_a_referrer_policy(ann: Any) -> None:
    theirs = sign_in()
    visitor = Client(enforce_csrf_checks=True)
    asked = visitor.get(link(), secure=True)
    assert asked["Referrer-Policy"] == "same-origin"
    (token,) = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', asked.content.decode())
    form = {"csrfmiddlewaretoken": token}
    answer = visitor.post(link(), form, secure=True, headers={"Referer": f"https://testserver{link()}"})
    assert answer.status_code == 302
    assert not is_live(theirs)


# Dead links.


def test_a_link_is_used_once_and_its_second_click_leads_on_all_the_same(ann: Any) -> None:
    sign_in()
    visitor = Client()
    assert visitor.post(link())["Location"] == visitor.post(link())["Location"] == "/password/reset/"
    assert SessionEvent.objects.filter(kind="ended").count() == 1
    again = visitor.get(link())
    assert again.status_code == 200
    assert "That device is already signed out." in text_of(again)
    assert "<button" not in again.content.decode().partition("<main")[2]


@on_stores("sqlite", "redis")
def test_two_clicks_at_one_moment_end_it_once_and_both_lead_on(
    every_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    person("ann")
    mine, theirs = sign_in(), sign_in()
    path, store, others = link(), current_store(), [Client()]
    watched = WatchedStore(store)

    def click_again(verb: str) -> None:
        """The second click comes when the first one has found the session, and is about to end it."""
        if verb == "end" and others:
            assert others.pop().post(path)["Location"] == "/password/reset/"

    watched.before = click_again
    monkeypatch.setitem(registry._stores, type(store), watched)  # type: ignore[arg-type]
    assert Client().post(path)["Location"] == "/password/reset/"
    assert not others
    assert is_live(mine) and not is_live(theirs)
    assert SessionEvent.objects.filter(kind="ended").count() == 1


def test_with_the_session_the_link_is_dead_however_that_ended(ann: Any) -> None:
    theirs = sign_in()
    theirs.post("/account/logout/")
    back = theirs.post("/account/login/", {"username": "ann", "password": "pass-ann"})
    assert back.status_code == 302
    assert len(mail.outbox) == 1  # The device is known now.
    answer = Client().get(link())
    assert "That device is already signed out." in text_of(answer)
    # Whoever did that is still in: so the page leads to a new password, which signs everybody out.
    assert '<a href="/password/reset/">choose a new password</a>' in text_of(answer)
    Client().post(link())
    assert is_live(theirs)


def test_after_a_week_the_link_says_so_and_ends_nothing(ann: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = sign_in()
    made, old = link(), signing.time.time() + disowning.VALID_S + 1
    with monkeypatch.context() as patch:
        patch.setattr("django.core.signing.time.time", lambda: old)
        for answer in (Client().get(made), Client().post(made)):
            assert answer.status_code == 404
            assert "seven days" in text_of(answer)
    assert is_live(theirs)
    patched = disowning.VALID_S - 5
    now = signing.time.time()
    with monkeypatch.context() as patch:
        patch.setattr("django.core.signing.time.time", lambda: now + patched)
        assert Client().get(made).status_code == 200


# Forged links.


def test_a_link_whose_text_was_changed_anywhere_ends_nothing(ann: Any) -> None:
    theirs = sign_in()
    token = link().removeprefix("/account/not-me/").rstrip("/")
    for place in range(len(token)):
        other = "B" if token[place] != "B" else "C"
        forged = token[:place] + other + token[place + 1 :]
        answer = Client().post(f"/account/not-me/{forged}/")
        assert answer.status_code == 404, (place, forged)
    assert is_live(theirs)


def payload(*parts: str) -> str:
    text = "[" + ",".join(f'"{part}"' for part in parts) + "]"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def test_a_signature_of_another_session_another_user_or_another_purpose_fits_none(ann: Any) -> None:
    bob = person("bob")
    mine, theirs = sign_in(), sign_in("bob")
    own, his = Claim(str(mine.session.sid), str(ann.pk)), Claim(str(theirs.session.sid), str(bob.pk))
    _, moment, signature = own.token.split(":")
    forged = [
        f"{payload(*his)}:{moment}:{signature}",
        f"{payload(his.sid, own.user_id)}:{moment}:{signature}",
        signing.dumps(list(his)),
        signing.dumps(list(his), salt="django_srvsession.accounts.new_devices"),
        his.sid,
    ]
    for token in forged:
        assert Client().post(f"/account/not-me/{token}/").status_code == 404, token
    assert is_live(theirs)


def test_a_claim_of_somebody_else_s_session_ends_nothing_though_we_signed_it(ann: Any) -> None:
    """What a site's own code may sign by mistake, and a session whose user has changed."""
    bob = person("bob")
    theirs = sign_in("bob")
    wrong = Claim(str(theirs.session.sid), str(ann.pk))
    answer = Client().get(f"/account/not-me/{wrong.token}/")
    assert "That device is already signed out." in text_of(answer)
    Client().post(f"/account/not-me/{wrong.token}/")
    assert is_live(theirs)
    assert [record.sid for record in services.sessions_of(bob)] == [wrong.sid]


@pytest.mark.parametrize("token", ["x", "a:b:c", ":::", "-" * 4000, "A" * 3990 + ":1:x", "%00", "%2e%2e"])
def test_what_is_no_link_is_a_404_and_no_error(token: str, ann: Any) -> None:
    assert Client().get(f"/account/not-me/{token}/").status_code == 404
    assert Client().post(f"/account/not-me/{token}/").status_code == 404


def test_a_link_made_under_a_secret_of_before_works_while_that_is_a_fallback(ann: Any, settings: Any) -> None:
    theirs = sign_in()
    made, before = link(), settings.SECRET_KEY
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another secret of the tests", [before]
    assert Client().get(made).status_code == 200
    settings.SECRET_KEY_FALLBACKS = []
    assert Client().get(made).status_code == 404
    settings.SECRET_KEY = before
    assert is_live(theirs)


# Who follows it.


def test_who_follows_it_on_that_very_device_is_told_and_is_signed_out(ann: Any) -> None:
    here = sign_in()
    assert "the device that you are using now" in text_of(here.get(link()))
    answer = here.post(link())
    assert (answer.status_code, answer["Location"]) == (302, "/password/reset/")
    assert not is_live(here)


def test_somebody_who_is_signed_in_as_another_stays_so(ann: Any) -> None:
    person("bob")
    theirs = sign_in()
    made, bob = link(), sign_in("bob")
    assert bob.post(made).status_code == 302
    assert is_live(bob) and not is_live(theirs)


def test_an_outage_is_503_and_the_link_works_afterwards(ann: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = sign_in()

    def out(*args: Any) -> Any:
        raise StoreUnavailableError("for the test")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryStore, "load", out)
        assert Client().get(link()).status_code == Client().post(link()).status_code == 503
    assert Client().post(link()).status_code == 302
    assert not is_live(theirs)


def test_the_page_is_not_kept_not_framed_and_opens_nothing(ann: Any) -> None:
    theirs = sign_in()
    answer = Client().get(link())
    assert "no-store" in answer["Cache-Control"]
    assert answer["X-Frame-Options"] == "DENY"
    assert theirs.cookies["sessionid"].value not in answer.content.decode()


# Sites without pages for passwords, and without an address.


@pytest.mark.urls.with_args(Bare)
def test_without_a_page_for_passwords_the_link_leads_back_to_itself_and_says_what_is(ann: Any) -> None:
    theirs = sign_in()
    visitor = Client()
    assert "new password" not in text_of(visitor.get(link()))
    answer = visitor.post(link(), follow=True)
    assert answer.redirect_chain == [(link(), 302)]
    assert "That device is already signed out." in text_of(answer)
    assert "Change your password" not in mail.outbox[0].body + mail.outbox[0].alternatives[0][0]
    assert not is_live(theirs)


def test_where_the_site_s_address_is_not_known_the_mail_has_no_link(ann: Any, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    sign_in()
    message = mail.outbox[0]
    for text in (str(message.body), str(message.alternatives[0][0])):
        assert "http" not in text
        assert "Safari on iPhone" in text


def test_the_mail_leads_to_the_devices_and_to_a_new_password(ann: Any) -> None:
    sign_in()
    message = mail.outbox[0]
    for text in (str(message.body), str(message.alternatives[0][0])):
        assert "http://testserver/account/sessions/" in text
        assert "http://testserver/password/change/" in text
        assert text.index("/account/not-me/") < text.index("/account/sessions/")


def test_mail_and_page_say_where_it_was(ann: Any, cities: Any) -> None:
    sign_in()
    for text in (str(mail.outbox[0].body), str(mail.outbox[0].alternatives[0][0]), text_of(Client().get(link()))):
        assert "Seoul, South Korea" in text


def test_a_block_of_the_mail_can_be_a_site_s_own(ann: Any, settings: Any, tmp_path: Any) -> None:
    directory = tmp_path / "srvsession" / "email"
    directory.mkdir(parents=True)
    for name in ("txt", "html"):
        own = (
            '{% extends "srvsession/email/new_device.'
            + name
            + '" %}{% block srvsession_change_password %}Call us.{% endblock %}'
        )
        (directory / f"new_device.{name}").write_text(own)
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    sign_in()
    for text in (str(mail.outbox[0].body), str(mail.outbox[0].alternatives[0][0])):
        assert "Call us." in text and "/account/not-me/" in text and "/password/change/" not in text


# The pages' own links.


@pytest.mark.parametrize(("page", "name"), [(page, name) for page, names in passwords.PAGES.items() for name in names])
def test_pages_for_passwords_are_found_by_the_names_of_django_and_allauth(page: str, name: str, settings: Any) -> None:
    settings.ROOT_URLCONF = type("Urls", (), {"urlpatterns": [path("there/", lambda request: None, name=name)]})
    assert passwords.url_of(page) == "/there/"
    assert passwords.link_to(page) == ("/there/", '<a href="/there/">', "</a>")


@pytest.mark.urls.with_args(Bare)
def test_without_such_pages_there_are_no_links() -> None:
    for name in ("change", "reset", "other"):
        assert passwords.link_to(name) == ("", "", "")
    assert passwords.with_advice("Signed out: <b>.") == "Signed out: <b>."


def test_the_advice_after_an_end_is_a_sentence_with_a_link() -> None:
    expected = 'Signed out: &lt;b&gt;. Didn&#x27;t recognise it? <a href="/password/change/">Change your password</a>.'
    assert passwords.with_advice("Signed out: <b>.") == expected
    assert reverse("srvsession:disown", args=["a:b:c"]) == "/account/not-me/a:b:c/"


def test_where_a_new_password_is_spoken_of_there_is_a_link(ann: Any, settings: Any) -> None:
    client, other = sign_in(), sign_in()
    assert 'and <a href="/password/change/">change your password</a>.' in text_of(client.get(SESSIONS))
    assert '<a href="/password/reset/">Forgot your password?</a>' in text_of(Client().get("/account/login/"))
    ended = client.post(f"{SESSIONS}{other.session.sid}/end/", follow=True)
    expected = (
        'Signed out: Safari on iPhone. Didn&#x27;t recognise it? <a href="/password/change/">Change your password</a>.'
    )
    assert expected in text_of(ended)


@pytest.mark.urls.with_args(Bare)
def test_without_such_pages_there_is_the_sentence_without_the_link(ann: Any) -> None:
    client, other = sign_in(), sign_in()
    assert "sign it out and change your password." in text_of(client.get(SESSIONS))
    assert "Forgot" not in text_of(Client().get("/account/login/"))
    ended = text_of(client.post(f"{SESSIONS}{other.session.sid}/end/", follow=True))
    assert "Signed out: Safari on iPhone." in ended and "recognise" not in ended
