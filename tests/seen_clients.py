"""A site that tells who it takes a client for."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.urls import path

from django_srvsession.clients import client_of


def seen(request: HttpRequest) -> JsonResponse:
    """Show address and user agent as a session would keep them."""
    client = client_of(request)
    return JsonResponse({"ip": client.ip, "user_agent": client.user_agent})


urlpatterns = [path("none/", seen)]
