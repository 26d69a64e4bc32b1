"""A site that tells who it takes a client for."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.urls import path

from django_srvsession.clients.address import client_of


def seen(request: HttpRequest) -> JsonResponse:
    """Show address and user agent as a session would keep them, and the cookie that is taken for the session's."""
    client = client_of(request)
    cookie = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    return JsonResponse({"ip": client.ip, "user_agent": client.user_agent, "cookie": cookie})


urlpatterns = [path("none/", seen)]
