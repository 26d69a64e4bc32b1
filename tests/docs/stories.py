"""What happens on the sites of some pages: called in a process of its own, after all that the page says was done."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.core import mail
from django.core.management import call_command
from django.test import Client

from django_srvsession import services
from django_srvsession.live import ENDED_CODE
from django_srvsession.models import Session
from tests.docs.site import Site
from tests.patience import patient

if TYPE_CHECKING:
    from tests.oidc.sign_ins import SignInProvider


def database_of_its_own(site: Site) -> None:
    """Keep sessions beside the site's database, as the router says."""
    call_command("migrate", database="sessions", verbosity=0)
    ann, _ = get_user_model().objects.get_or_create(username="ann")  # A block of the page may have made her.
    Client().force_login(ann)
    assert [record.user_id for record in services.sessions_of(ann)] == [str(ann.pk)]
    assert Session.objects.using("sessions").count() == 1
    assert get_user_model().objects.using("default").count() == 1
    assert "srvsession_session" not in _tables("default")
    assert "auth_user" not in _tables("sessions")


def _tables(alias: str) -> list[str]:
    from django.db import connections

    with connections[alias].cursor() as cursor:
        return connections[alias].introspection.table_names(cursor)


def allauth(site: Site) -> None:
    """Sign in by allauth, under our limit; confirm by it; find no way around it."""
    from allauth.account.models import EmailAddress
    from django.conf import settings
    from django.contrib.auth.hashers import make_password
    from django.test import override_settings

    users = get_user_model().objects
    ann = users.create_user("ann", "ann@example.com", "pass-ann-2026")
    client = Client()
    answer = client.get("/devices/login/?next=/devices/sessions/")
    assert answer["Location"] == "/accounts/login/?next=/devices/sessions/"
    signed_in = {"login": "ann", "password": "pass-ann-2026"}
    assert client.post("/accounts/login/?next=/devices/sessions/", signed_in)["Location"] == "/devices/sessions/"
    page = client.get("/devices/sessions/").content.decode()
    assert 'href="/accounts/password/change/"' in page
    with override_settings(SRVSESSION_MAX_SESSIONS_PER_USER=1):
        second = Client()
        second.post("/accounts/login/", signed_in)
        assert len(services.sessions_of(ann)) == 1
        assert client.get("/devices/sessions/").status_code == 302
    second.post("/accounts/login/", signed_in)
    client.post("/accounts/login/", {**signed_in, "remember": "on"})
    assert client.cookies["sessionid"]["max-age"] == settings.SESSION_COOKIE_AGE
    client.post(
        "/accounts/password/change/",
        {"oldpassword": "pass-ann-2026", "password1": "pass-ann-2027", "password2": "pass-ann-2027"},
    )
    assert second.get("/devices/sessions/").status_code == 302
    assert client.get("/devices/sessions/").status_code == 200
    EmailAddress.objects.create(user=ann, email=ann.email, verified=True, primary=True)
    # Who has no password here confirms by what allauth has for them.
    users.filter(pk=ann.pk).update(password=make_password(None))
    social = Client()
    social.force_login(users.get(pk=ann.pk), backend="django.contrib.auth.backends.ModelBackend")
    Client().force_login(users.get(pk=ann.pk), backend="django.contrib.auth.backends.ModelBackend")
    time.sleep(0.01)
    with override_settings(SRVSESSION_REAUTH_AGE=0):
        sent = social.get("/devices/confirm/?next=/devices/sessions/")["Location"]
    assert sent == "/confirm/?next=/devices/sessions/", sent
    asked = social.get(sent)
    form = social.get(asked["Location"]).content.decode()
    (recipient,) = re.findall(r'name="recipient"[^>]*value="([^"]+)"', form) or re.findall(
        r'<option value="([^"]+)"', form
    )
    entered = social.post(asked["Location"], {"recipient": recipient})["Location"]
    (code,) = re.findall(r"^[A-Z0-9-]{6,12}$", str(mail.outbox[-1].body), re.MULTILINE)
    back = social.post(entered, {"code": code})["Location"]
    assert back == sent
    assert social.get(back)["Location"] == "/devices/sessions/"
    with override_settings(SRVSESSION_REAUTH_AGE=30):
        assert social.get("/devices/sessions/end-others/").context["form"] is None


def channels(site: Site) -> None:
    """Open a socket with the session's cookie; it is closed when the session ends, and does not open again."""
    import asyncio
    from importlib import import_module

    from asgiref.sync import sync_to_async
    from asgiref.testing import ApplicationCommunicator

    application = import_module("mysite.asgi").application
    ann = get_user_model().objects.create_user("ann")
    client = Client()
    client.force_login(ann)
    cookie = client.cookies["sessionid"].value

    async def socket(value: str = cookie, origin: str = "http://testserver") -> tuple[ApplicationCommunicator, Any]:
        headers = [(b"cookie", f"sessionid={value}".encode()), (b"origin", origin.encode())]
        scope = {"type": "websocket", "path": "/news/", "query_string": b"", "headers": headers, "subprotocols": []}
        one = ApplicationCommunicator(application, scope)
        await one.send_input({"type": "websocket.connect"})
        answer = await one.receive_output(timeout=patient(10))
        return one, answer.get("code", answer["type"])

    async def story() -> None:
        first, answer = await socket()
        assert answer == "websocket.accept"
        assert (await socket(""))[1] == ENDED_CODE
        assert (await socket(origin="http://evil.example"))[1] != "websocket.accept"
        sid = (await services.asessions_of(ann))[0].sid
        await sync_to_async(services.revoke)(sid)
        closed = await first.receive_output(timeout=patient(10))
        assert closed == {"type": "websocket.close", "code": ENDED_CODE, "reason": "revoked"}
        assert (await socket())[1] == ENDED_CODE

    asyncio.run(story())


def rest_framework(site: Site) -> None:
    """Ask for a recent proof."""
    from importlib import import_module

    from rest_framework.request import Request

    from tests.docs.site import signed_in_request

    ann = get_user_model().objects.create_user("ann")
    request = Request(signed_in_request(ann))
    request.user = ann
    from django.test import override_settings

    permission = import_module("mysite.permissions").RecentProof()
    assert permission.has_permission(request, None)
    time.sleep(0.01)
    request.session.reload()
    with override_settings(SRVSESSION_REAUTH_AGE=0):
        assert not permission.has_permission(request, None)


ELSEWHERE = "https://id.example.com"
"""The provider that the pages name."""


def oidc_by_mozilla(site: Site) -> None:
    _signed_in_by_a_provider("/oidc/authenticate/", "get", "/oidc/logout/")


def oidc_by_allauth(site: Site) -> None:
    _signed_in_by_a_provider("/accounts/oidc/example/login/", "post", "/accounts/logout/")


def oidc_by_social_auth(site: Site) -> None:
    _signed_in_by_a_provider("/login/oidc/", "post", "/devices/logout/")


def _signed_in_by_a_provider(begin: str, method: str, end: str) -> None:
    """Sign in three browsers by a provider; it ends one session, and two sign out here and there."""
    from django.conf import settings
    from django.test import override_settings

    from tests.oidc.sign_ins import SignInProvider

    provider = SignInProvider()
    values = {name: getattr(settings, name) for name in dir(settings) if name.isupper()}
    moved = {name: _moved(value, provider.base) for name, value in values.items() if ELSEWHERE in str(value)}
    with override_settings(**moved):
        _use(provider, begin, method, end)
    provider.stop()


def _use(provider: SignInProvider, begin: str, method: str, end: str) -> None:
    from tests.oidc.sign_ins import BACK

    def sign_in(browser: str) -> Client:
        provider.browser, client = browser, Client()
        answer = getattr(client, method)(begin)
        assert answer.status_code == 302, answer.content
        back = _visited(answer["Location"])
        assert back.startswith("http://testserver/")
        answer = client.get(back)
        assert answer.status_code == 302, answer.content
        assert _is_in(client)
        return client

    first, second, third = sign_in("p1"), sign_in("p2"), sign_in("p3")
    (ann,) = get_user_model().objects.all()
    assert ann.email == "ann@example.com"
    hears = "/oidc/back-channel-logout/"
    assert Client().post(hears, {"logout_token": provider.logout_token(sid="p1")}).status_code == 200
    assert [_is_in(client) for client in (first, second, third)] == [False, True, True]
    for client, address in ((second, end), (third, "/devices/logout/")):
        answer = client.post(address)
        assert _visited(answer["Location"]) == BACK
        assert not _is_in(client)
    assert provider.signed_out == ["p2", "p3"]
    assert provider.base not in Client().post(end).get("Location", "")  # Nobody is signed in.


def _is_in(client: Client) -> bool:
    return client.get("/devices/sessions/").status_code == 200


def _visited(address: str) -> str:
    """Return where a page of the provider sends the browser."""
    from urllib.error import HTTPError
    from urllib.request import HTTPRedirectHandler, build_opener

    class Staying(HTTPRedirectHandler):
        def redirect_request(self, *args: Any, **kwargs: Any) -> None:
            pass

    try:
        build_opener(Staying).open(address, timeout=patient(10))
    except HTTPError as answer:
        with answer:
            assert answer.code == 302, answer.read()
            return str(answer.headers["Location"])
    raise AssertionError(f"{address} sends nobody anywhere.")


def _moved(value: Any, base: str) -> Any:
    if isinstance(value, dict):
        return {name: _moved(part, base) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_moved(part, base) for part in value)
    return value.replace(ELSEWHERE, base) if isinstance(value, str) else value
