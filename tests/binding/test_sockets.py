"""WebSockets of a bound session, as Channels signs people in: only its device's browser gets one."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.conf import settings as site_settings
from django.contrib.auth import get_user_model

from django_srvsession.binding import violations
from django_srvsession.binding.sockets import BoundSockets
from django_srvsession.signals import unbound_use
from tests.binding.devices import Device, bound_name, change, renewed_ago
from tests.binding.devices import engine as engine_of
from tests.engine.every_store import on_every_store
from tests.engine.watched import WatchedStore
from tests.patience import patient
from tests.runs import ROOT

channels_auth = pytest.importorskip("channels.auth")

pytestmark = pytest.mark.django_db(transaction=True)


async def says_who(scope: Any, receive: Any, send: Any) -> None:
    """Accept a socket and say who is signed in, and which cookies there are."""
    await receive()
    await send({"type": "websocket.accept"})
    names = ",".join(sorted(scope["cookies"]))
    await send({"type": "websocket.send", "text": f"{scope['user'].username or 'nobody'} {names}"})


def said(header: str | bytes, app: Any = None, **more: str) -> str:
    """Open a socket with these cookies; return what it said, or the code that it was refused with."""

    async def talk() -> str:
        headers = [(b"cookie", header if isinstance(header, bytes) else header.encode())]
        headers += [(name.replace("_", "-").encode(), value.encode()) for name, value in more.items()]
        scope = {"type": "websocket", "path": "/ws/", "headers": headers, "client": ("127.0.0.1", 1)}
        served = app or BoundSockets(channels_auth.AuthMiddlewareStack(says_who))
        communicator = ApplicationCommunicator(served, scope)
        await communicator.send_input({"type": "websocket.connect"})
        answer = await communicator.receive_output(patient(5))
        if answer["type"] == "websocket.close":
            return str(answer["code"])
        text = await communicator.receive_output(patient(5))
        await communicator.wait(patient(5))
        return str(text["text"])

    return str(async_to_sync(talk)())


@pytest.fixture
def owner(binding: Any, ann: Any) -> Device:
    device = Device()
    device.sign_in()
    assert device.user == "ann"
    return device


def both(owner: Device) -> str:
    return "; ".join(f"{name}={owner.cookie(name)}" for name in (site_settings.SESSION_COOKIE_NAME, bound_name()))


def stolen(owner: Device, name: str = "sessionid") -> str:
    return f"language=ko; {name}={owner.cookie(site_settings.SESSION_COOKIE_NAME)}"


@on_every_store
def test_the_device_s_browser_gets_a_socket_and_a_thief_gets_nobody_s(engine: WatchedStore, owner: Device) -> None:
    assert said(both(owner)).split()[0] == "ann"
    assert said(stolen(owner)) == "nobody language"
    assert owner.user == "ann"


def test_without_the_wrapper_a_stolen_cookie_would_open_a_socket(owner: Device) -> None:
    app = channels_auth.AuthMiddlewareStack(says_who)
    assert said(stolen(owner), app).split()[0] == "ann"


@pytest.mark.parametrize("blank", [b"\xe2\x80\x80", b"\xc2\xa0", b"\xa0", b"\x85", b"\t", b"\x0b", b" "])
def test_no_look_alike_of_the_cookie_s_name_gets_past(owner: Device, blank: bytes) -> None:
    header = blank + stolen(owner).partition("; ")[2].encode()
    assert said(header).split()[0] == "nobody"
    assert said(b"a=b;" + header + b";" + blank + header).split()[0] == "nobody"


def test_two_headers_of_cookies_are_one(owner: Device) -> None:
    assert said(f"{bound_name()}={owner.cookie(bound_name())}", cookie=stolen(owner)).split()[0] == "ann"


def test_a_browser_that_is_not_bound_is_as_before(binding: Any, ann: Any) -> None:
    other = Device(can=False)
    other.sign_in()
    assert said(stolen(other)).split()[0] == "ann"
    assert said("").split() == ["nobody"] and said("sessionid=x").split()[0] == "nobody"


def test_an_outage_and_a_skipped_renewal_refuse_the_socket_and_end_nothing(owner: Device, store: WatchedStore) -> None:
    assert said(stolen(owner), secure_session_skipped="server_error") == "1013"
    store.go_out()
    assert said(both(owner)) == "1013"
    store.come_back()
    assert said(both(owner)).split()[0] == "ann"


def test_a_site_that_does_not_bind_asks_nothing(owner: Device, settings: Any, store: WatchedStore) -> None:
    settings.SRVSESSION_BIND = None
    asked = store.since(lambda: said(stolen(owner)))
    assert [call.verb for call in asked] == ["load"]  # Channels' own.


async def says_whose_token(scope: Any, receive: Any, send: Any) -> None:
    """Accept a socket and say whose session the header names, as an application that reads it by itself does."""
    await receive()
    await send({"type": "websocket.accept"})
    tokens = [value.decode() for name, value in scope["headers"] if name.lower().replace(b"_", b"-") == TOKEN]
    whose = [await sync_to_async(user_of)(token) for token in tokens]
    await send({"type": "websocket.send", "text": ",".join(whose)})


TOKEN = b"x-session-token"


def user_of(token: str) -> str:
    found = get_user_model().objects.filter(pk=engine_of(token).get("_auth_user_id", 0))
    return found[0].get_username() if found else token


def test_a_key_in_the_header_for_apps_is_judged_as_one_in_the_cookie(owner: Device, settings: Any) -> None:
    settings.SRVSESSION_HEADER = "X-Session-Token"
    app = Device(can=False)
    app.sign_in()
    key, token = owner.cookie("sessionid") or "", app.cookie("sessionid") or ""
    served = BoundSockets(says_whose_token)
    assert said("", says_whose_token, x_session_token=key) == "ann", "what it would be without"
    assert said("", served, x_session_token=key) == ""
    assert said(f"{bound_name()}={owner.cookie(bound_name())}", served, x_session_token=key) == "ann"
    assert said("", served, x_session_token=token) == "ann", "an app is not bound"
    assert said("", served, x_session_token="new") == "new"
    assert said("", served) == ""
    assert owner.user == "ann"


def test_a_refused_socket_is_told_of_though_it_says_that_it_could_not_renew(
    owner: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(violations, "_told", {})
    unbound_use.connect(note := lambda **kwargs: told.append(kwargs["record"].sid))
    try:
        change(owner, renewed_ago(300))
        assert said(stolen(owner), secure_session_skipped="server_error") == "1013"
    finally:
        unbound_use.disconnect(note)
    assert told == [owner.sid]


def test_what_is_no_socket_passes(binding: Any) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    scope = {"type": "http", "headers": [(b"cookie", b"sessionid=x")]}
    asyncio.run(BoundSockets(app)(scope, None, None))  # type: ignore[arg-type]
    assert seen == [scope] and seen[0] is scope


def test_asgi_py_may_import_us_before_the_apps_are_ready() -> None:
    program = "import django_srvsession.live, django_srvsession.binding.sockets"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.site_settings"}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=True, timeout=patient(30))
