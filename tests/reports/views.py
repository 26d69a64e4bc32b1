"""The views that public reports need, beside those of the races: small, and as sites write them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.urls import include, path

from tests.races import views as races
from tests.site_urls import answer, argument, routes


def state(request: HttpRequest) -> HttpResponse:
    """Show how often the session was written, how long it has, and where it was seen last."""
    user = request.user.get_username()
    record = request.session.record
    return answer(user=user, version=record.version, ip=record.client.ip, agent=record.client.user_agent)


def roll(request: HttpRequest) -> HttpResponse:
    """Let the session end so many seconds after each use."""
    request.session.set_expiry(int(argument(request, "seconds")))
    return answer()


def touch_and_end(request: HttpRequest) -> HttpResponse:
    """Touch the session in each way there is, before its end, after it, or both."""
    order, ways = argument(request, "order"), {"touch": _touch, "modified": _modify, "expiry": _set_expiry}
    touch = ways[argument(request, "way")]
    if order in ("before", "both"):
        touch(request)
    {"logout": logout, "flush": lambda request: request.session.flush()}[argument(request, "end")](request)
    if order in ("after", "both"):
        touch(request)
    return answer()


def _touch(request: HttpRequest) -> None:
    request.session.touch()


def _modify(request: HttpRequest) -> None:
    request.session.modified = True


def _set_expiry(request: HttpRequest) -> None:
    request.session.set_expiry(3600)
    if not request.session.get("_auth_user_id"):
        del request.session["_session_expiry"]


def _redirect(response: Any) -> Any:
    response.status_code, response["Location"] = 302, "/read/"
    return response


def redirect(request: HttpRequest) -> HttpResponse:
    """Assign a value and redirect to the page that shows it."""
    request.session[argument(request, "key")] = argument(request, "value")
    return HttpResponseRedirect("/read/")


def redirect_streaming(request: HttpRequest) -> StreamingHttpResponse:
    """Do so by an answer whose body comes piece by piece, for as long as the test likes."""
    request.session[argument(request, "key")] = argument(request, "value")

    def pieces() -> Iterator[str]:
        yield "moved"
        time.sleep(0.2)
        yield "."

    return _redirect(StreamingHttpResponse(pieces()))  # type: ignore[no-any-return]


async def aredirect(request: HttpRequest) -> HttpResponse:
    """Do as :func:`redirect` in an event loop."""
    await request.session.aset(argument(request, "key"), argument(request, "value"))
    return HttpResponseRedirect("/read/")


async def aredirect_streaming(request: HttpRequest) -> StreamingHttpResponse:
    """Do as :func:`redirect_streaming` in an event loop."""
    await request.session.aset(argument(request, "key"), argument(request, "value"))

    async def pieces() -> AsyncIterator[str]:
        yield "moved"
        await asyncio.sleep(0.2)
        yield "."

    return _redirect(StreamingHttpResponse(pieces()))  # type: ignore[no-any-return]


VIEWS: dict[str, Callable[..., Any]] = {
    "state": state,
    "roll": roll,
    "touch_and_end": touch_and_end,
    "redirect": redirect,
    "redirect_streaming": redirect_streaming,
}
ASYNC: dict[str, Callable[..., Any]] = {"redirect": aredirect, "redirect_streaming": aredirect_streaming}

urlpatterns = [*routes(VIEWS), path("a/", include(routes(ASYNC))), *races.urlpatterns]
