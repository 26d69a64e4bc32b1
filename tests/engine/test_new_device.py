"""A sign-in on a device that is not known: the signal, the e-mail, and the cookie that makes it known."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import django
import pytest
from django.contrib.auth import alogin, authenticate, get_user_model
from django.contrib.auth.models import update_last_login
from django.contrib.auth.signals import user_logged_in
from django.core import mail
from django.core.cache import cache
from django.core.cache.backends.locmem import LocMemCache
from django.core.mail.backends.base import BaseEmailBackend
from django.http import HttpRequest
from django.urls import include, path
from django.utils import timezone, translation

from django_srvsession import services
from django_srvsession.accounts import mail as session_mail
from django_srvsession.accounts import new_devices
from django_srvsession.engine import SessionStore
from django_srvsession.engine.keys import SessionKey
from django_srvsession.models import SessionEvent
from django_srvsession.moments import exactly
from django_srvsession.signals import signed_in_on_new_device
from tests.engine import pages
from tests.engine.every_store import DB, ENGINES
from tests.engine.pages import BACKEND, Browser, failing, login, logout, put, while_
from tests.engine.watched import WatchedStore

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
COOKIE = "sessionid_devices"

urlpatterns = [path("account/", include("django_srvsession.urls")), *pages.urlpatterns]


@pytest.fixture(autouse=True)
def _notify(settings: Any) -> None:
    settings.SRVSESSION_NOTIFY_NEW_DEVICE = True
    settings.ALLOWED_HOSTS = ["testserver"]
    cache.clear()  # It counts the mails of users whose ids come again.


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


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
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


# The first sign-in, where the site does not keep the last one.


@pytest.fixture
def unkept() -> Iterator[None]:
    """A site whose ``last_login`` says nothing."""
    receiver = {"dispatch_uid": "update_last_login"}
    user_logged_in.disconnect(**receiver)
    yield
    user_logged_in.connect(update_last_login, **receiver)


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
def test_without_last_login_another_live_session_tells_that_it_is_not_the_first(
    engine: Any, transactional_db: None, unkept: None, heard: list[Any]
) -> None:
    new = returning("new", last_login=None)
    browser = Browser()
    browser.visit(login(new))
    assert (heard, mail.outbox) == ([], [])
    Browser().visit(login(new))
    assert len(heard) == len(mail.outbox) == 1
    again(browser, new)
    assert len(heard) == 1


@pytest.mark.parametrize("days", [None, 30])
def test_without_last_login_the_event_log_remembers_for_so_long(
    days: int | None, transactional_db: None, unkept: None, settings: Any
) -> None:
    settings.SRVSESSION_EVENT_LOG = days
    new = returning("new", last_login=None)
    for _ in range(2):
        browser = Browser()
        browser.visit(login(new))
        browser.visit(logout)
    assert len(mail.outbox) == (0 if days is None else 1)


def test_an_event_log_that_cannot_be_read_breaks_no_sign_in(
    transactional_db: None, unkept: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SRVSESSION_EVENT_LOG = 30
    new = returning("new", last_login=None)
    monkeypatch.setattr(SessionEvent._meta, "db_table", "no_such_table")
    browser = Browser()
    assert browser.visit(login(new)).status_code == 200
    assert browser.user() == "new"


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


def marks(browser: Browser) -> list[str]:
    """Return what the cookie holds, without its signature."""
    return str(browser.client.cookies[COOKIE].value).split(":")[0].split(".")


def test_no_two_browsers_hold_the_same_of_one_user(ann: Any) -> None:
    browsers = [Browser() for _ in range(3)]
    for browser in browsers:
        browser.visit(login(ann))
    parts = [part for browser in browsers for mark in marks(browser) for part in mark.split("~")]
    assert len(parts) == len(set(parts)) == 6


def test_a_mark_is_not_another_users_under_another_random_value(ann: Any) -> None:
    bob, browser = returning("bob"), Browser()
    for user in (ann, bob):
        browser.visit(login(user))
    (of_bob, of_ann) = (new_devices.Mark.parse(mark) for mark in marks(browser))
    assert (of_ann.is_of(ann), of_ann.is_of(bob), of_bob.is_of(bob), of_bob.is_of(ann)) == (True, False, True, False)
    assert not of_ann._replace(random=of_bob.random).is_of(ann)


def test_a_new_password_makes_every_browser_unknown(ann: Any) -> None:
    browsers = [Browser(), Browser()]
    for browser in browsers:
        browser.visit(login(ann))
    mail.outbox.clear()
    ann.set_password("another")
    ann.save()
    for expected, browser in enumerate(browsers, 1):
        again(browser, ann)
        assert len(mail.outbox) == expected, "the copy of a cookie from before it is worth nothing"
        again(browser, ann)
        assert len(mail.outbox) == expected


def test_a_password_that_is_only_hashed_anew_leaves_browsers_known(ann: Any, settings: Any) -> None:
    def sign_in(request: HttpRequest) -> None:
        user = authenticate(request, username="ann", password="secret")
        assert user is not None
        login(user)(request)

    browser = Browser()
    browser.visit(sign_in)
    mail.outbox.clear()
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher", *settings.PASSWORD_HASHERS]
    for _ in range(2):
        browser.visit(logout)
        browser.visit(sign_in)
        assert get_user_model().objects.get(pk=ann.pk).password.startswith("scrypt$")
    assert mail.outbox == []
    Browser().visit(sign_in)
    assert sent() == [["ann@example.com"]]


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
        assert exactly(record.signed_in_at) in text
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
    moment = timezone.localtime(record.signed_in_at, zone)
    # The half of the day before the time, as people say it, and not as Django's DATETIME_FORMAT does.
    half = "오전" if moment.hour < 12 else "오후"
    expected = f"{moment.year}년 {moment.month}월 {moment.day}일 {half} {moment.hour % 12 or 12}:{moment.minute:02} KST"
    plain, html = parts(mail.outbox[0])
    assert expected in plain
    assert expected in html
    assert 'lang="ko"' in html


def test_without_time_zone_support_the_time_is_the_sites(ann: Any, settings: Any) -> None:
    settings.USE_TZ, settings.TIME_ZONE = False, "Asia/Seoul"
    Browser().visit(login(ann))
    assert " KST" in mail.outbox[0].body


# How many.


def test_of_many_sign_ins_five_in_an_hour_are_mailed_and_all_are_told(
    ann: Any, heard: list[Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, logger="django_srvsession")
    bob = returning("bob")
    for _ in range(7):
        Browser().visit(login(ann))
    assert (len(heard), len(mail.outbox)) == (7, 5)
    assert caplog.text.count(f"User {ann.pk} is mailed about no further sign-in within this hour.") == 2
    Browser().visit(login(bob))
    assert sent()[5:] == [["bob@example.com"]]
    monkeypatch.setattr(session_mail, "time", SimpleNamespace(time=lambda: time.time() + 3600))
    Browser().visit(login(ann))
    assert sent()[6:] == [["ann@example.com"]]


@pytest.mark.parametrize(("limit", "expected"), [(1, 1), (None, 7)])
def test_the_setting_says_how_many(limit: int | None, expected: int, ann: Any, settings: Any) -> None:
    settings.SRVSESSION_NEW_DEVICE_MAILS = limit
    for _ in range(7):
        Browser().visit(login(ann))
    assert len(mail.outbox) == expected


class BrokenCache(LocMemCache):
    """Have an error of its own, as caches behind a network do."""

    def add(self, *args: Any, **kwargs: Any) -> bool:
        raise ConnectionError


@pytest.mark.parametrize("backend", ["django.core.cache.backends.dummy.DummyCache", f"{__name__}.BrokenCache"])
def test_a_cache_that_does_not_count_keeps_no_mail_back(backend: str, ann: Any, settings: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": backend}}
    for _ in range(7):
        assert Browser().visit(login(ann)).status_code == 200
    assert len(mail.outbox) == 7


# Hostile texts.


def test_a_name_is_no_letter(transactional_db: None) -> None:
    user = returning("x\n\nYou have won!\u2028" + "z" * 100, email="x@example.com")
    Browser().visit(login(user))
    first = mail.outbox[0].body.splitlines()[0]
    assert "You have won!" in first
    assert len(first) < 200


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


@pytest.mark.parametrize("host", ["testserver", "evil.example.com"])
@pytest.mark.parametrize("allowed", [["testserver"], ["*"]])
def test_a_configured_address_is_what_the_mail_names(host: str, allowed: list[str], ann: Any, settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not name.endswith(".CommonMiddleware")]
    settings.ALLOWED_HOSTS, settings.SRVSESSION_SITE_URL = allowed, "https://pears.example.com"
    assert Browser().visit(login(ann), HTTP_HOST=host).status_code == 200
    (message,) = mail.outbox
    assert message.subject == "New sign-in to pears.example.com"
    for text in parts(message):
        assert "https://pears.example.com/account/sessions/" in text
        assert host not in text


def test_where_any_host_is_allowed_none_is_named(ann: Any, settings: Any) -> None:
    settings.ROOT_URLCONF, settings.ALLOWED_HOSTS = __name__, ["*"]
    assert Browser().visit(login(ann), HTTP_HOST="evil.example.com").status_code == 200
    (message,) = mail.outbox
    assert message.subject == "New sign-in to your account"
    assert "evil" not in str(parts(message))
    assert "http" not in message.body


def test_with_the_sites_framework_the_link_names_the_site(
    ann: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ROOT_URLCONF = __name__
    site = SimpleNamespace(name="Pears & Co", domain="pears.example.com")
    monkeypatch.setattr(session_mail, "get_current_site", lambda request: site)
    Browser().visit(login(ann))
    (message,) = mail.outbox
    assert message.subject == "New sign-in to Pears & Co"
    assert "http://pears.example.com/account/sessions/" in message.body


def test_under_the_stock_middleware_nothing_is_told(stock: Callable[..., None], ann: Any, heard: list[Any]) -> None:
    stock("db")
    assert Browser().visit(login(ann)).status_code == 200
    assert heard == []
