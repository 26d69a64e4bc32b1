"""WebSockets of a bound session, as Channels signs people in: only its device's browser gets one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.conf import settings as site_settings

from django_srvsession.binding.sockets import BoundSockets
from tests.binding.devices import Device, bound_name
from tests.engine.every_store import on_every_store
from tests.engine.watched import WatchedStore
from tests.patience import patient

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


def test_what_is_no_socket_passes(binding: Any) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    scope = {"type": "http", "headers": [(b"cookie", b"sessionid=x")]}
    asyncio.run(BoundSockets(app)(scope, None, None))  # type: ignore[arg-type]
    assert seen == [scope] and seen[0] is scope
