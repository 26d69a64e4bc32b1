"""The how-to pages, tried out: what they say happens."""

from __future__ import annotations

import re
import time
import types
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.test import Client, TestCase
from django.urls import path

from django_srvsession import services
from django_srvsession.backends.redis import RedisStore
from django_srvsession.models import ProviderLink, SessionEvent
from django_srvsession.store.health import Level
from tests.docs.apart import STORIES, run_apart
from tests.docs.blocks import block, blocks_of
from tests.docs.site import Site, signed_in_request
from tests.servers import RedisServer

How = Callable[[str], Site]
PACKAGES = {"how-to/oidc-mozilla": ["mozilla_django_oidc"], "how-to/oidc-social-auth": ["social_core", "social_django"]}
"""Which packages a page is about that may not be there: not of every version of Django and Python."""


@pytest.fixture
def followed(site_of: How) -> How:
    """Return a page's site, after all that the page says was done."""

    def follow(page: str) -> Site:
        site = site_of(page)
        for part in blocks_of(page):
            if part.language in ("python", "html+django"):
                site.do(part)
        return site

    return follow


def test_limits(followed: How, settings: Any, rf: Any) -> None:
    followed("how-to/limits")
    ann, boss = (get_user_model().objects.create_user(name, password="secret") for name in ("ann", "boss"))
    boss.is_staff = True
    boss.save()
    from mysite.limits import sessions_of
    from mysite.views import sign_in

    assert (sessions_of(ann), sessions_of(boss)) == (3, None)
    for _ in range(4):
        Client().force_login(boss)
    assert len(services.sessions_of(boss)) == 4
    for _ in range(3):
        Client().force_login(ann)
    with pytest.raises(services.SignInRefusedError):
        Client().force_login(ann)
    settings.SRVSESSION_LIMIT_POLICY = "end_oldest"
    Client().force_login(ann)
    assert len(services.sessions_of(ann)) == 3
    assert sign_in


@pytest.mark.parametrize(("page", "story"), STORIES.items())
def test_a_story_on_a_page_that_needs_a_site_of_its_own(page: str, story: str) -> None:
    for name in PACKAGES.get(page, ()):
        pytest.importorskip(name, reason=f"{name} is not installed")
    run_apart(page, story)


def test_remember_me(followed: How, settings: Any) -> None:
    followed("how-to/remember-me")
    get_user_model().objects.create_user("ann", password="secret")
    from mysite.views import MONTH, sign_in

    settings.ROOT_URLCONF = types.ModuleType("urls")
    settings.ROOT_URLCONF.urlpatterns = [path("in/", sign_in)]
    assert signed_in_for({"remember": "on"}) == 14 * 24 * 3600  # The limit of idle sessions is shorter.
    settings.SRVSESSION_IDLE_TIMEOUT = None
    assert (signed_in_for({"remember": "on"}), signed_in_for({})) == (MONTH, "")


def signed_in_for(fields: dict[str, str]) -> Any:
    client = Client()
    assert client.post("/in/", {"username": "ann", "password": "secret", **fields}).status_code == 302
    return client.cookies["sessionid"]["max-age"]


def test_remember_me_can_be_taken_away(followed: How) -> None:
    followed("how-to/remember-me")
    get_user_model().objects.create_user("ann", password="secret")
    client = Client()
    assert b'name="remember"' not in client.get("/account/login/").content
    client.post("/account/login/", {"username": "ann", "password": "secret"})
    assert client.cookies["sessionid"]["max-age"] == 14 * 24 * 3600


def test_templates(followed: How) -> None:
    followed("how-to/templates")
    client, ann = Client(), get_user_model().objects.create_user("ann")
    login = client.get("/account/login/").content.decode()
    assert "<nav>My site</nav>" in login
    assert '<a href="/help/">Forgot your password?</a>' in login
    client.force_login(ann)
    page = client.get("/account/sessions/").content.decode()
    assert "<nav>My site</nav>" in page
    assert "<title>Your devices</title>" in page
    assert "<li>Unknown device, just now</li>" in client.get("/profile/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_provider_logout(followed: How) -> None:
    followed("how-to/provider-logout")
    from mysite.signing import sign_in, sign_out

    ann = get_user_model().objects.create_user("ann")
    claims = {"iss": "https://id.example.com/realms/main", "sub": "a1", "sid": "p1", "iat": int(time.time())}
    request = signed_in_request(ann)
    sign_in(request, ann, claims)
    assert ProviderLink.objects.count() == 2
    assert Client().post("/oidc/logout/", {"logout_token": "x"}).status_code == 400
    assert sign_out(request)["Location"].startswith(
        "https://id.example.com/realms/main/protocol/openid-connect/logout?"
    )
    assert sign_out(signed_in_request(ann))["Location"] == "/"


def test_security_events(followed: How) -> None:
    followed("how-to/security-events")
    answer = Client().post("/oidc/events/", b"x", content_type="application/secevent+jwt")
    assert (answer.status_code, answer.json()["err"]) == (400, "invalid_request")


@pytest.mark.django_db(transaction=True)
def test_gdpr(followed: How) -> None:
    followed("how-to/gdpr")
    from mysite.erasure import erase
    from mysite.privacy import events_as_data, sessions_as_data

    ann = get_user_model().objects.create_superuser("ann", password="secret")
    for _ in range(2):
        Client(REMOTE_ADDR="192.0.2.77").post("/admin/login/", {"username": "ann", "password": "secret"})
    assert [session["ip"] for session in sessions_as_data(ann)] == ["192.0.2.0"] * 2
    assert [event["kind"] for event in events_as_data(ann)] == ["started", "started"]
    key = str(ann.pk)
    erase(ann)
    assert not services.sessions_of(key)
    assert not SessionEvent.objects.exists()


def test_metrics(followed: How) -> None:
    """What it counts, ``tests/test_events_docs.py`` sees."""
    followed("how-to/metrics")
    from mysite.apps import MySiteConfig

    assert MySiteConfig.ready


def test_new_devices(followed: How, settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    followed("how-to/new-devices")
    get_user_model().objects.create_user("ann", email="ann@example.com", password="secret")
    sign_in = {"username": "ann", "password": "secret"}
    with TestCase.captureOnCommitCallbacks(execute=True):
        Client(REMOTE_ADDR="192.0.2.1").post("/account/login/", sign_in)
    assert mail.outbox == []  # The very first one is no news.
    with TestCase.captureOnCommitCallbacks(execute=True):
        client = Client(REMOTE_ADDR="192.0.2.2")
        client.post("/account/login/", sign_in)
    assert "https://example.com/account/not-me/" in str(mail.outbox[0].body)
    assert "sessionid_devices" in client.cookies
    assert "signed in on a new device, from 192.0.2.2." in caplog.text


def test_confirm(followed: How, settings: Any) -> None:
    followed("how-to/confirm")
    from mysite.payments import pay
    from mysite.views import change_email

    bob = get_user_model().objects.create_user("bob", password="secret")
    request = signed_in_request(bob)
    assert pay(request).content == b"Paid."
    later(request)
    settings.SRVSESSION_REAUTH_AGE = 0
    assert change_email(request)["Location"].startswith("/account/confirm/?next=%2Faccount%2Fsessions%2F")
    request.method = "GET"
    assert change_email(request)["Location"] == "/account/confirm/?next=%2F"
    request = signed_in_request(bob, data={"password": "wrong"})
    later(request)
    assert [pay(request).status_code for _ in range(5)] == [403, 403, 403, 403, 302]
    request = signed_in_request(bob, data={"password": "secret"})
    later(request)
    assert pay(request).content == b"Paid."


def later(request: Any) -> None:
    """Let a moment go by for a session."""
    time.sleep(0.01)
    request.session.reload()


def test_confirm_by_a_code(followed: How) -> None:
    followed("how-to/confirm")
    from mysite.codes import confirm_by_code

    request = signed_in_request(get_user_model().objects.create_user("bob"), data={"code": "123456"})
    request.session["code"] = "123456"
    key = request.session.session_key
    assert confirm_by_code(request)["Location"] == "/"
    assert request.session.session_key != key
    assert request.session.details.means == "code"


@pytest.mark.parametrize(("page", "name"), [("store-redis", "redis-conf"), ("redis-sentinel", "replicated-redis-conf")])
def test_redis_as_the_pages_configure_it_keeps_what_it_acknowledged(page: str, name: str, settings: Any) -> None:
    lines = block(f"how-to/{page}", name).text.splitlines()
    server = RedisServer(extra=[word for line in lines for word in f"--{line}".split()])
    server.start()
    try:
        settings.CACHES = {**settings.CACHES, "sessions": server.cache_settings()}
        settings.SESSION_CACHE_ALIAS = "sessions"
        assert [message.id for message in RedisStore.check(deploy=True)] == []
        found = {finding.name: finding.level for finding in RedisStore().examine()}
        assert found["persistence"] == Level.OK
        assert Level.ERROR not in found.values()
    finally:
        server.kill()


def test_the_name_of_a_session_stands_in_its_cookie(followed: How) -> None:
    followed("how-to/incident")
    session = signed_in_request(get_user_model().objects.create_user("bob")).session
    (shown,) = [part.text for part in blocks_of("how-to/incident") if part.language == "python"]
    names: dict[str, Any] = {"print": lambda name: names.update(name=name)}
    exec(re.sub(r'"[\w-]{12}"', repr(session.session_key[:12]), shown), names)
    assert names["name"] == session.sid
