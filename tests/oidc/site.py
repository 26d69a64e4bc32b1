"""A site on which people sign in by an identity provider: the ID token's claims come as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable

from django.contrib.auth import get_user_model, login
from django.http import HttpRequest, JsonResponse
from django.urls import include, path

from django_srvsession import services
from django_srvsession.oidc import BackChannelLogoutView, SecurityEventView, link

after_link: list[Callable[[], object]] = []
"""What else a request does after it has linked its session."""


def sign_in(request: HttpRequest, name: str) -> JsonResponse:
    login(request, get_user_model().objects.get(username=name), "django.contrib.auth.backends.ModelBackend")
    link(request, json.loads(request.body), id_token=request.GET.get("id_token"))
    for function in after_link:
        function()
    return JsonResponse({"sid": request.session.sid})  # type: ignore[attr-defined]


def too_early(request: HttpRequest) -> JsonResponse:
    link(request, json.loads(request.body))
    return JsonResponse({})


def whoami(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"user": request.user.get_username()})


async def where_to(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"url": await services.aprovider_logout_url(request, state="s 1")})


urlpatterns = [
    path("where-to/", where_to),
    path("account/", include("django_srvsession.urls")),
    path("sign-in/<name>/", sign_in),
    path("too-early/", too_early),
    path("whoami/", whoami),
    path("oidc/logout/", BackChannelLogoutView.as_view()),
    path("oidc/events/", SecurityEventView.as_view()),
]
