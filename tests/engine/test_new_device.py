"""A sign-in on a device that is not known: the signal, the e-mail, and the cookie that makes it known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import django
import pytest
from django.contrib.auth import alogin, get_user_model
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend
from django.http import HttpRequest
from django.urls import include, path
from django.utils import timezone, translation
from django.utils.formats import date_format

from django_srvsession import new_devices, notices, services
from django_srvsession.engine import SessionStore
from django_srvsession.keys import SessionKey
from django_srvsession.signals import signed_in_on_new_device
from tests.engine import pages
from tests.engine.every_store import DB
from tests.engine.pages import BACKEND, Browser, failing, login, logout, put, while_
from tests.engine.watched import WatchedStore

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
COOKIE = "sessionid_devices"

urlpatterns = [path("account/", include("django_srvsession.urls")), *pages.urlpatterns]


@pytest.fixture(autouse=True)
def _notify(settings: Any) -> None:
    settings.SRVSESSION_NOTIFY_NEW_DEVICE = True


@pytest.fixture
def ann(transactional_db: None) -> Any:
    """A user with an address, who has signed in before."""
    return returning("ann")


def returning(name: str, **fields: Any) -> Any:
    fields = {"email": f"{name}@example.com", "last_login": timezone.now()} | fields
    return get_user_model().objects.create_user(name, password="secret", **fields)


@pytest.fixture
def heard() -> Iterator[list[tuple[Any, ...]]]:
    """What the signal told."""
    told: list[tuple[Any, ...]] = []

    def tell(sender: Any, record: Any, user: Any, request: Any, **kwargs: Any) -> None:
        told.append((sender, record.sid, user, request))

    signed_in_on_new_device.connect(tell)
    yield told
    signed_in_on_new_device.disconnect(tell)


def again(browser: Browser, user: Any, **extra: Any) -> Any:
    """Sign out and in again, in the same browser."""
    browser.visit(logout)
    return browser.visit(login(user), **extra)


def sent() -> list[list[str]]:
    return [message.to for message in mail.outbox]


def sid_of(browser: Browser) -> str:
    key = SessionKey.parse(browser.cookie)
    assert key is not None
    return key.sid


async def asign_in(request: HttpRequest) -> None:
    await alogin(request, await get_user_model().objects.aget(username="ann"), backend=BACKEND)


# Who hears of what.


@pytest.mark.parametrize("engine", ["memory", DB, "redis", "file"], indirect=True)
@pytest.mark.parametrize("asgi", [False, True])
def test_a_sign_in_in_a_new_browser_is_told_once(asgi: bool, engine: Any, ann: Any, heard: list[Any]) -> None:
    browser = Browser(asgi=asgi)
    view = asign_in if asgi else login(ann)
    browser.visit(view)
    assert [(sender, sid, user) for sender, sid, user, _ in heard] == [(SessionStore, sid_of(browser), ann)]
    assert isinstance(heard[0][3], HttpRequest)
    assert sent() == [["ann@example.com"]]
    for _ in range(2):
        browser.visit(logout)
        browser.visit(view)
    assert len(heard) == 1
    assert len(mail.outbox) == 1
    Browser(asgi=asgi).visit(view)
    assert len(mail.outbox) == 2


def test_other_requests_tell_nothing_and_set_no_cookie(ann: Any, heard: list[Any]) -> None:
    browser = Browser()
    for view in (put(a=1), pages.read, logout, pages.flush):
        assert COOKIE not in browser.visit(view).cookies
    assert heard == []


@pytest.mark.parametrize("listens", [False, True])
def test_unless_somebody_wants_it_nothing_is_set(listens: bool, ann: Any, settings: Any, request: Any) -> None:
    settings.SRVSESSION_NOTIFY_NEW_DEVICE = False
    heard = request.getfixturevalue("heard") if listens else []
    answer = Browser().visit(login(ann))
    assert (COOKIE in answer.cookies, len(heard)) == (listens, int(listens))
    assert mail.outbox == []


def test_the_very_first_sign_in_is_no_news_and_makes_the_device_known(transactional_db: None, heard: list[Any]) -> None:
    new = returning("new", last_login=None)
    browser = Browser()
    browser.visit(login(new))
    again(browser, get_user_model().objects.get(pk=new.pk))
    assert (heard, mail.outbox) == ([], [])
    Browser().visit(login(get_user_model().objects.get(pk=new.pk)))
    assert len(heard) == 1


def test_each_user_of_a_shared_browser_hears_once(ann: Any) -> None:
    bob, browser = returning("bob"), Browser()
    for user in (ann, bob, ann, bob):
        browser.visit(login(user))
    assert sent() == [["ann@example.com"], ["bob@example.com"]]


def test_a_sign_in_that_was_not_kept_is_not_told(ann: Any, store: WatchedStore, settings: Any) -> None:
    assert Browser().visit(while_(login(ann), lambda: None, logout)).status_code == 200
    assert Browser().visit(failing(login(ann))).status_code == 500
    store.out = {"create"}
    assert Browser().visit(login(ann)).status_code == 503
    store.come_back()
    settings.SRVSESSION_MAX_SESSIONS_PER_USER, settings.SRVSESSION_LIMIT_POLICY = 1, "refuse"
    Browser().visit(login(ann))
    assert len(mail.outbox) == 1
    refused = Browser().visit(login(ann))
    assert (refused.status_code, COOKIE in refused.cookies) == (403, False)
    assert len(mail.outbox) == 1


@pytest.mark.parametrize("engine", [DB], indirect=True)
def test_a_sign_in_that_is_rolled_back_is_not_told(engine: Any, ann: Any, atomic_requests: None) -> None:
    Browser().visit(pages.raising(login(ann)))
    assert mail.outbox == []
    Browser().visit(login(ann))
    assert len(mail.outbox) == 1


def test_a_receiver_that_fails_harms_nobody(ann: Any, caplog: pytest.LogCaptureFixture) -> None:
    def fail(**kwargs: Any) -> None:
        raise ZeroDivisionError

    signed_in_on_new_device.connect(fail)
    try:
        browser = Browser()
        assert browser.visit(login(ann)).status_code == 200
    finally:
        signed_in_on_new_device.disconnect(fail)
    assert browser.user() == "ann"
    assert len(mail.outbox) == 1
    assert "ZeroDivisionError" in caplog.text


# The cookie.


def test_the_cookie_has_the_session_cookies_attributes_and_lives_long(ann: Any, settings: Any) -> None:
    settings.SESSION_COOKIE_SECURE, settings.SESSION_COOKIE_SAMESITE = True, "Strict"
    settings.SESSION_COOKIE_DOMAIN, settings.SESSION_COOKIE_PATH = "testserver", "/"
    settings.SESSION_COOKIE_HTTPONLY = False
    settings.SESSION_COOKIE_NAME = "__Secure-id"
    answer = Browser().visit(login(ann))
    ours, theirs = answer.cookies["__Secure-id_devices"], answer.cookies["__Secure-id"]
    for attribute in ("secure", "samesite", "domain", "path"):
        assert ours[attribute] == theirs[attribute] != ""
    assert (ours["httponly"], theirs["httponly"]) == (True, "")
    assert ours["max-age"] == 400 * 24 * 3600
    assert str(ann.pk) not in ours.value.split(":")[0].split(".")


def test_the_cookie_needs_no_store_and_opens_nothing(ann: Any, store: WatchedStore, settings: Any) -> None:
    settings.SRVSESSION_NOTIFY_NEW_DEVICE = False
    plain = [asked.verb for asked in store.since(lambda: Browser().visit(login(ann)))]
    settings.SRVSESSION_NOTIFY_NEW_DEVICE = True
    browser = Browser()
    assert [asked.verb for asked in store.since(lambda: browser.visit(login(ann)))] == plain
    other = Browser()
    other.client.cookies[COOKIE] = browser.client.cookies[COOKIE].value
    assert other.user() == ""


def test_the_cookie_holds_few_users_the_latest_ones(transactional_db: None) -> None:
    users, browser = [returning(f"user{number}") for number in range(new_devices.MAX_USERS + 1)], Browser()
    for user in users:
        browser.visit(login(user))
    assert len(browser.client.cookies[COOKIE].value) < 500
    mail.outbox.clear()
    for user in [users[-1], users[1], users[0]]:
        browser.visit(login(user))
    assert sent() == [["user0@example.com"]]


def forged(value: str) -> list[str]:
    return [
        "",
        "x",
        value[:-1],
        value[:-1] + ("A" if value[-1] != "A" else "B"),
        "x" + value,
        value.split(":")[0],
        ":".join(["0" * 32, *value.split(":")[1:]]),
        value.upper(),
        "é:ß:\xff",
        "::",
        "a" * 5000,
        "\0",
    ]


@pytest.mark.parametrize("number", range(12))
def test_a_forged_or_damaged_cookie_makes_no_device_known(number: int, ann: Any) -> None:
    browser = Browser()
    browser.visit(login(ann))
    value = forged(browser.client.cookies[COOKIE].value)[number]
    browser.visit(logout)
    del browser.client.cookies[COOKIE]
    answer = browser.visit(login(ann), headers={"cookie": f"{COOKIE}={value}"})
    assert answer.status_code == 200
    assert len(mail.outbox) == 2


def test_a_cookie_of_another_user_makes_no_device_known(ann: Any) -> None:
    browser = Browser()
    browser.visit(login(returning("bob")))
    again(browser, ann)
    assert sent() == [["bob@example.com"], ["ann@example.com"]]


def test_a_cookie_under_a_fallback_secret_is_known_and_made_anew(ann: Any, settings: Any) -> None:
    browser = Browser()
    browser.visit(login(ann))
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another secret"
    again(browser, ann)
    settings.SECRET_KEY_FALLBACKS = []
    again(browser, ann)
    assert len(mail.outbox) == 1
    settings.SECRET_KEY = "yet another one"
    again(browser, ann)
    assert len(mail.outbox) == 2


def test_a_cookie_from_long_ago_makes_no_device_known(ann: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Browser()
    browser.visit(login(ann))
    monkeypatch.setattr(new_devices, "MAX_AGE_SECONDS", -1)
    again(browser, ann)
    assert len(mail.outbox) == 2


# The e-mail.


def parts(message: Any) -> tuple[str, str]:
    """Return the plain text and the HTML of a mail."""
    ((html, kind),) = message.alternatives
    assert kind == "text/html"
    return message.body, html


def sign_in_from_firefox(user: Any, **extra: Any) -> Any:
    browser = Browser()
    answer = browser.visit(login(user), HTTP_USER_AGENT=FIREFOX, REMOTE_ADDR="192.0.2.7", **extra)
    assert answer.status_code == 200
    return browser


def test_the_mail_names_device_address_time_and_the_list(ann: Any, settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    browser = sign_in_from_firefox(ann, secure=True)
    (message,) = mail.outbox
    (record,) = services.sessions_of(ann)
    assert record.signed_in_at is not None
    assert message.subject == "New sign-in to testserver"
    for text in parts(message):
        assert "Firefox on Linux" in text
        assert "192.0.2.7" in text
        assert date_format(record.signed_in_at, "DATETIME_FORMAT") + " (UTC)" in text
        assert "https://testserver/account/sessions/" in text
        for secret in (browser.cookie, record.verifier, record.sid, browser.client.cookies[COOKIE].value):
            assert str(secret) not in text


def test_without_our_pages_and_without_an_address_the_mail_has_no_such_lines(ann: Any, settings: Any) -> None:
    settings.SRVSESSION_STORE_IP = "none"
    sign_in_from_firefox(ann)
    for text in parts(mail.outbox[0]):
        assert "http" not in text
        assert "Address" not in text
        assert "192.0.2.7" not in text


def test_time_and_language_are_those_of_the_sign_in(ann: Any) -> None:
    zone = ZoneInfo("Asia/Seoul")

    def in_seoul(request: HttpRequest) -> None:
        with translation.override("ko"), timezone.override(zone):
            login(ann)(request)

    Browser().visit(in_seoul)
    (record,) = services.sessions_of(ann)
    assert record.signed_in_at is not None
    with translation.override("ko"):
        expected = date_format(timezone.localtime(record.signed_in_at, zone), "DATETIME_FORMAT") + " (KST)"
    plain, html = parts(mail.outbox[0])
    assert expected in plain
    assert expected in html
    assert 'lang="ko"' in html


def test_without_time_zone_support_the_time_is_the_sites(ann: Any, settings: Any) -> None:
    settings.USE_TZ, settings.TIME_ZONE = False, "Asia/Seoul"
    Browser().visit(login(ann))
    assert "(KST)" in mail.outbox[0].body


HOSTILE = "<script>alert(1)</script>\r\nBcc: evil@example.com\n"


def test_nothing_of_the_user_or_the_device_gets_into_headers_or_markup(transactional_db: None, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    user = returning(f"x{HOSTILE}", email="x@example.com")
    Browser().visit(login(user), HTTP_USER_AGENT=FIREFOX + HOSTILE)
    (message,) = mail.outbox
    built = message.message()
    assert built["Bcc"] is None
    assert "\n" not in message.subject
    assert "<script>" not in parts(message)[1]


def test_an_address_with_a_line_break_gets_nothing_and_breaks_nothing(
    transactional_db: None, caplog: pytest.LogCaptureFixture
) -> None:
    user = returning("x", email="x@example.com\nBcc: evil@example.com")
    browser = Browser()
    assert browser.visit(login(user)).status_code == 200
    assert mail.outbox == []
    assert f"Could not mail user {user.pk}" in caplog.text
    assert "evil" not in caplog.records[-1].getMessage()


@pytest.mark.parametrize("engine", ["memory", DB], indirect=True)
def test_a_user_without_an_address_gets_no_mail(engine: Any, transactional_db: None, heard: list[Any]) -> None:
    Browser().visit(login(returning("x", email="")))
    assert len(heard) == 1
    assert mail.outbox == []


class BrokenBackend(BaseEmailBackend):
    """Have an error of its own, as backends of mail services do."""

    def send_messages(self, messages: Any) -> int:
        raise ConnectionRefusedError("the mail server is down")


def test_a_mail_server_that_is_down_breaks_no_sign_in(
    ann: Any, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    if django.VERSION < (6, 1):
        settings.EMAIL_BACKEND = f"{__name__}.BrokenBackend"
    settings.MAILERS = {"default": {"BACKEND": f"{__name__}.BrokenBackend"}}
    browser = Browser()
    assert browser.visit(login(ann)).status_code == 200
    assert browser.user() == "ann"
    assert f"Could not mail user {ann.pk} about a new sign-in." in caplog.text


def with_templates(settings: Any, **templates: str) -> None:
    """Let a site override our templates."""
    (engine,) = settings.TEMPLATES
    named = {f"srvsession/email/new_device{name}": text for name, text in templates.items()}
    loaders = [
        ("django.template.loaders.locmem.Loader", named),
        "django.template.loaders.app_directories.Loader",
    ]
    options = {**engine["OPTIONS"], "loaders": loaders}
    settings.TEMPLATES = [{**engine, "APP_DIRS": False, "OPTIONS": options}]


def test_a_site_writes_its_own_mail(ann: Any, settings: Any) -> None:
    with_templates(settings, **{"_subject.txt": "Hello\n{{ user.email }}\r\n", ".txt": "plain", ".html": "<p>rich</p>"})
    Browser().visit(login(ann))
    (message,) = mail.outbox
    assert message.subject == "Hello ann@example.com"
    assert parts(message) == ("plain", "<p>rich</p>")


def test_a_broken_template_of_the_sites_breaks_no_sign_in(
    ann: Any, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with_templates(settings, **{".txt": "{% broken %}"})
    assert Browser().visit(login(ann)).status_code == 200
    assert "TemplateSyntaxError" in caplog.text


def test_a_host_that_is_not_allowed_is_not_named_and_hides_nothing(ann: Any, settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not name.endswith(".CommonMiddleware")]
    settings.ALLOWED_HOSTS = ["testserver"]
    assert Browser().visit(login(ann), HTTP_HOST="evil.example.com").status_code == 200
    (message,) = mail.outbox
    assert message.subject == "New sign-in to your account"
    assert "evil" not in str(parts(message))


def test_with_the_sites_framework_the_link_names_the_site(
    ann: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ROOT_URLCONF = __name__
    site = SimpleNamespace(name="Pears & Co", domain="pears.example.com")
    monkeypatch.setattr(notices, "get_current_site", lambda request: site)
    Browser().visit(login(ann))
    (message,) = mail.outbox
    assert message.subject == "New sign-in to Pears & Co"
    assert "http://pears.example.com/account/sessions/" in message.body


def test_under_the_stock_middleware_nothing_is_told(stock: Callable[..., None], ann: Any, heard: list[Any]) -> None:
    stock("db")
    assert Browser().visit(login(ann)).status_code == 200
    assert heard == []
