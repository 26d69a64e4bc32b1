"""A site of two tenants, told by the host: a schema each, and a prefix each of what is in Redis."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from django.conf import settings
from django.contrib.auth import alogin, get_user_model, login
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import include, path

from tests.site_urls import BACKEND, answer, none, routes

IS_OURS = settings.SESSION_ENGINE.startswith("django_srvsession.")
HOSTS = {"green.example.com": "green", "blue.example.com": "blue"}

tenant: ContextVar[str] = ContextVar("tenant")


class ByHost:
    """Be that tenant for the request; sync, as the middleware of such packages is, also under ASGI."""

    async_capable = False

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer as the tenant of the host."""
        name = HOSTS.get(request.get_host())
        if name is None:
            if request.path == "/none/":  # Whether the server is up.
                return none(request)
            raise Http404("No such tenant.")
        with connection.cursor() as cursor:
            cursor.execute(f"SET search_path TO {name}")
        token = tenant.set(name)
        try:
            return self.get_response(request)  # type: ignore[no-any-return]
        finally:
            tenant.reset(token)


def prefix() -> str:
    """Return the tenant's prefix, for ``SRVSESSION_REDIS_PREFIX``."""
    return f"{settings.PREFIX}{tenant.get()}:"


def sign_in(request: HttpRequest) -> HttpResponse:
    """Sign in the user with the primary key 1, whom every tenant has."""
    user = get_user_model().objects.get(pk=1)
    login(request, user, backend=BACKEND)
    request.session["tenant"] = user.get_username()
    return answer()


def see(request: HttpRequest) -> HttpResponse:
    """Show whose session it is, count up in it, and list those of its user."""
    from django_srvsession import services

    user, session = request.user, request.session
    number = session.incr("number") if user.is_authenticated else 0
    listed = [record.sid for record in services.sessions_of(user)] if user.is_authenticated else []
    return answer(user=user.get_username(), tenant=session.get("tenant"), number=number, sid=session.sid, listed=listed)


async def asign_in(request: HttpRequest) -> HttpResponse:
    """Do as :func:`sign_in` in an event loop."""
    user = await get_user_model().objects.aget(pk=1)
    await alogin(request, user, backend=BACKEND)
    await request.session.aset("tenant", user.get_username())
    return answer()


async def asee(request: HttpRequest) -> HttpResponse:
    """Do as :func:`see` in an event loop."""
    from django_srvsession import services

    user, session = await request.auser(), request.session
    number = await session.aincr("number") if user.is_authenticated else 0
    listed = [record.sid for record in await services.asessions_of(user)] if user.is_authenticated else []
    name = await session.aget("tenant")
    return answer(user=user.get_username(), tenant=name, number=number, sid=session.sid, listed=listed)


urlpatterns = [
    *routes({"login": sign_in, "see": see}),
    path("a/", include(routes({"login": asign_in, "see": asee}))),
]
