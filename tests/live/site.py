"""A site with a WebSocket and event streams, all live, and views that end sessions in every way there is."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import threading
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.site_settings")

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.asgi import get_asgi_application
from django.core.signals import setting_changed
from django.db import transaction
from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.urls import include, path

from django_srvsession import live, services
from django_srvsession.binding.keys import Binding
from django_srvsession.engine import current_store
from django_srvsession.engine.details import Details
from django_srvsession.live.connections import Connection
from django_srvsession.live.watching import Watch
from tests.site_urls import answer, argument, routes

TICK_SECONDS = 0.02
noted: list[list[str]] = []
"""What ``on_end`` was called with: the kind of each connection, and the reason."""


async def ticks() -> AsyncIterator[str]:
    """Yield events for as long as somebody listens."""
    number = 0
    while True:
        yield f"data: {number}\n\n"
        number += 1
        await asyncio.sleep(TICK_SECONDS)


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Send events, and know nothing of sessions."""
    return StreamingHttpResponse(ticks(), content_type="text/event-stream")


async def guarded(request: HttpRequest) -> StreamingHttpResponse:
    """Send events that are guarded by the view."""
    return StreamingHttpResponse(live.guard(request, ticks(), every=every()), content_type="text/event-stream")


@live.unguarded
async def news(request: HttpRequest) -> StreamingHttpResponse:
    """Send events that are for everybody."""
    return StreamingHttpResponse(ticks(), content_type="text/event-stream")


def every() -> float:
    """Return how often the site looks."""
    return float(getattr(settings, "TEST_LIVE_EVERY", 0.1))


def revoke(request: HttpRequest) -> JsonResponse:
    """End a session by its sid."""
    return answer(ended=services.revoke(argument(request, "sid")) is not None)


def revoke_all(request: HttpRequest) -> JsonResponse:
    """End all sessions of a user but one."""
    user = get_user_model().objects.get(username=argument(request, "user"))
    return answer(ended=len(services.revoke_all(user, keep=argument(request, "keep") or None)))


def change_password(request: HttpRequest) -> JsonResponse:
    """Change the password of a user, as the shell or the admin does it."""
    user = get_user_model().objects.get(username=argument(request, "user"))
    user.set_password(argument(request, "password", "another"))
    user.save()
    return answer()


def deactivate(request: HttpRequest) -> JsonResponse:
    """Deactivate a user."""
    user = get_user_model().objects.get(username=argument(request, "user"))
    user.is_active = False
    user.save()
    return answer()


def expire_soon(request: HttpRequest) -> JsonResponse:
    """Let the session expire in a second."""
    request.session.set_expiry(1)
    return answer()


def bind(request: HttpRequest) -> JsonResponse:
    """Bind the session to a device that nobody here has."""

    def change(details: Details, now_ms: int) -> Details:
        return details._replace(binding=Binding(now_ms - 3_600_000, True, b"{}").encode())

    request.session.change_details(change)  # type: ignore[attr-defined]
    return answer()


def set_violation(request: HttpRequest) -> JsonResponse:
    """Say what becomes of a bound session that is used without its device's key."""
    settings.SRVSESSION_BIND_VIOLATION = argument(request, "value")
    setting_changed.send(settings, setting="SRVSESSION_BIND_VIOLATION", value=None, enter=True)
    return answer()


def roll_back(request: HttpRequest) -> JsonResponse:
    """End a session, and take it back a while later."""
    with transaction.atomic():
        ended = services.revoke(argument(request, "sid"))
        time.sleep(float(argument(request, "seconds", "0.5")))
        transaction.set_rollback(True)
    return answer(ended=ended is not None)


def told(request: HttpRequest) -> JsonResponse:
    """Show what ``on_end`` was told."""
    return answer(noted=noted)


async def quiet(request: HttpRequest) -> StreamingHttpResponse:
    """Send one event, and wait."""

    async def events() -> AsyncIterator[str]:
        yield "data: 0\n\n"
        await asyncio.Event().wait()

    return StreamingHttpResponse(events(), content_type="text/event-stream")


def crowd(request: HttpRequest) -> JsonResponse:
    """Begin so many sessions, and show their keys."""
    keys = []
    for _ in range(int(argument(request, "count"))):
        session = type(request.session)()
        session["here"] = True
        session.save()
        keys.append(session.session_key)
    return answer(keys=keys)


def end_crowd(request: HttpRequest) -> JsonResponse:
    """End so many of the sessions."""
    sids = [record.sid for record in services.live_sessions()][: int(argument(request, "count"))]
    return answer(ended=len(list(services.revoke_many(sids))))


async def census(request: HttpRequest) -> JsonResponse:
    """Count what is held for connections, and how many sessions were named in each question since the last time."""
    gc.collect()
    held = sum(issubclass(type(one), Connection | Watch) for one in gc.get_objects())  # A lazy object says otherwise.
    counted, asked[:] = list(asked), []
    return answer(held=held, tasks=len(asyncio.all_tasks()), threads=threading.active_count(), asked=counted)


asked: list[int] = []


def count_questions() -> None:
    """Note how many sessions each question to the store names."""
    store: Any = current_store()
    alive = store.alive

    def counting(sids: Sequence[str]) -> Any:
        asked.append(len(sids))
        return alive(sids)

    store.alive = counting


urlpatterns = [
    path("stream/", stream),
    path("quiet/", quiet),
    path("census/", census),
    path("guarded/", guarded),
    path("news/", news),
    *routes(
        {
            "revoke": revoke,
            "revoke_all": revoke_all,
            "change_password": change_password,
            "deactivate": deactivate,
            "expire_soon": expire_soon,
            "bind": bind,
            "crowd": crowd,
            "end_crowd": end_crowd,
            "set_violation": set_violation,
            "roll_back": roll_back,
            "told": told,
        }
    ),
    path("", include("tests.site_urls")),
]


async def socket(scope: Any, receive: Any, send: Any) -> None:
    """Accept a WebSocket, send numbers, and give back what comes."""
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    ticking = asyncio.create_task(asyncio.sleep(0) if scope["path"] == "/quiet/" else send_ticks(send))
    try:
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": f"back: {message.get('text')}"})
    finally:
        ticking.cancel()


async def send_ticks(send: Any) -> None:
    number = 0
    while True:
        await send({"type": "websocket.send", "text": json.dumps(number)})
        number += 1
        await asyncio.sleep(TICK_SECONDS)


django_application = get_asgi_application()
public_socket = live.unguarded(socket)


async def route(scope: Any, receive: Any, send: Any) -> None:
    """Serve requests and sockets."""
    if scope["type"] == "websocket":
        await (public_socket if scope["path"] == "/public/" else socket)(dict(scope), receive, send)
    else:
        await django_application(scope, receive, send)


async def note_end(scope: Any, reason: str) -> None:
    noted.append([scope["type"], reason])


count_questions()
application = live.LiveSessions(route, every=every(), on_end=note_end)
