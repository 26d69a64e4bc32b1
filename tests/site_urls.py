"""A site of small views to race against each other; the same views, async, under ``/a/``.

They know nothing of our engine, so that stock Django can run the same site. Every answer is JSON with the number of
the process that gave it. GET and POST do the same, without CSRF tokens: this site is for tests alone.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any

from django.contrib.auth import alogin, alogout, get_user_model, login, logout
from django.http import HttpRequest, JsonResponse
from django.urls import URLPattern, include, path
from django.views.decorators.csrf import csrf_exempt

BACKEND = "django.contrib.auth.backends.ModelBackend"


def answer(**content: Any) -> JsonResponse:
    """Answer with JSON, whatever the session holds."""
    return JsonResponse(content | {"pid": os.getpid()}, json_dumps_params={"default": repr})


def argument(request: HttpRequest, name: str, default: str = "") -> str:
    """Return an argument of the query or the form."""
    return str(request.GET.get(name) or request.POST.get(name, default))


def log_in(request: HttpRequest) -> JsonResponse:
    """Sign an existing user in, without a password."""
    user = get_user_model().objects.get(username=argument(request, "user"))
    login(request, user, backend=BACKEND)
    return answer(user=user.get_username())


def log_out(request: HttpRequest) -> JsonResponse:
    """Sign out."""
    logout(request)
    return answer(user="")


def whoami(request: HttpRequest) -> JsonResponse:
    """Name the user, and the address that the request came from."""
    return answer(user=request.user.get_username(), address=request.META.get("REMOTE_ADDR"))


def read(request: HttpRequest) -> JsonResponse:
    """Show all that the session holds."""
    return answer(user=request.user.get_username(), items=dict(request.session.items()))


def assign(request: HttpRequest) -> JsonResponse:
    """Set one key."""
    request.session[argument(request, "key")] = argument(request, "value")
    return answer()


def slow_set(request: HttpRequest) -> JsonResponse:
    """Load the session, dawdle for ``ms`` milliseconds, set one key."""
    before = request.session.get(argument(request, "key"))
    time.sleep(int(argument(request, "ms", "0")) / 1000)
    request.session[argument(request, "key")] = argument(request, "value")
    return answer(before=before)


def delete(request: HttpRequest) -> JsonResponse:
    """Remove one key, if it is there."""
    return answer(value=request.session.pop(argument(request, "key"), None))


def increment(request: HttpRequest) -> JsonResponse:
    """Add one to a key: exactly, where the engine can."""
    key, session = argument(request, "key"), request.session
    if hasattr(session, "incr"):
        return answer(value=session.incr(key))
    session[key] = session.get(key, 0) + 1
    return answer(value=session[key])


def nested(request: HttpRequest) -> JsonResponse:
    """Append to a list inside a dict, and tell nobody (no ``modified = True``)."""
    session = request.session
    if "nested" not in session:
        session["nested"] = {"list": []}
    session["nested"]["list"].append(argument(request, "value"))
    return answer(nested=session["nested"])


def rotate(request: HttpRequest) -> JsonResponse:
    """Give the session a new key."""
    request.session.cycle_key()
    return answer()


def none(request: HttpRequest) -> JsonResponse:
    """Leave the session alone."""
    return answer()


async def alog_in(request: HttpRequest) -> JsonResponse:
    """Sign an existing user in, without a password."""
    user = await get_user_model().objects.aget(username=argument(request, "user"))
    await alogin(request, user, backend=BACKEND)
    return answer(user=user.get_username())


async def alog_out(request: HttpRequest) -> JsonResponse:
    """Sign out."""
    await alogout(request)
    return answer(user="")


async def awhoami(request: HttpRequest) -> JsonResponse:
    """Name the user, and the address that the request came from."""
    return answer(user=(await request.auser()).get_username(), address=request.META.get("REMOTE_ADDR"))


async def aread(request: HttpRequest) -> JsonResponse:
    """Show all that the session holds."""
    user = await request.auser()
    return answer(user=user.get_username(), items=dict(await request.session.aitems()))


async def aassign(request: HttpRequest) -> JsonResponse:
    """Set one key."""
    await request.session.aset(argument(request, "key"), argument(request, "value"))
    return answer()


async def aslow_set(request: HttpRequest) -> JsonResponse:
    """Load the session, dawdle for ``ms`` milliseconds, set one key."""
    before = await request.session.aget(argument(request, "key"))
    await asyncio.sleep(int(argument(request, "ms", "0")) / 1000)
    await request.session.aset(argument(request, "key"), argument(request, "value"))
    return answer(before=before)


async def adelete(request: HttpRequest) -> JsonResponse:
    """Remove one key, if it is there."""
    return answer(value=await request.session.apop(argument(request, "key"), None))


async def aincrement(request: HttpRequest) -> JsonResponse:
    """Add one to a key: exactly, where the engine can."""
    key, session = argument(request, "key"), request.session
    if hasattr(session, "aincr"):
        return answer(value=await session.aincr(key))
    value = await session.aget(key, 0) + 1
    await session.aset(key, value)
    return answer(value=value)


async def anested(request: HttpRequest) -> JsonResponse:
    """Append to a list inside a dict, and tell nobody (no ``modified = True``)."""
    session = request.session
    if not await session.ahas_key("nested"):
        await session.aset("nested", {"list": []})
    value = await session.aget("nested")
    value["list"].append(argument(request, "value"))
    return answer(nested=value)


async def arotate(request: HttpRequest) -> JsonResponse:
    """Give the session a new key."""
    await request.session.acycle_key()
    return answer()


async def anone(request: HttpRequest) -> JsonResponse:
    """Leave the session alone."""
    return answer()


def routes(views: dict[str, Callable[..., Any]]) -> list[URLPattern]:
    """Return a URL for each view."""
    return [path(f"{name}/", csrf_exempt(view)) for name, view in views.items()]


SYNC = {
    "login": log_in,
    "logout": log_out,
    "whoami": whoami,
    "read": read,
    "set": assign,
    "slow_set": slow_set,
    "delete": delete,
    "incr": increment,
    "nested": nested,
    "rotate": rotate,
    "none": none,
}
ASYNC = {
    "login": alog_in,
    "logout": alog_out,
    "whoami": awhoami,
    "read": aread,
    "set": aassign,
    "slow_set": aslow_set,
    "delete": adelete,
    "incr": aincrement,
    "nested": anested,
    "rotate": arotate,
    "none": anone,
}

urlpatterns = [*routes(SYNC), path("a/", include(routes(ASYNC)))]
