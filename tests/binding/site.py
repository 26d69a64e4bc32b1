"""A site whose sessions are bound to devices: pages, API, and views that know nothing of it, sync and async."""

from __future__ import annotations

import asyncio
from typing import Any

from django.contrib import admin
from django.contrib.auth import alogin, get_user_model, login, logout, update_session_auth_hash
from django.http import HttpRequest, JsonResponse
from django.urls import include, path

BACKEND = "django.contrib.auth.backends.ModelBackend"


def sign_in(request: HttpRequest, name: str) -> JsonResponse:
    """Sign in as a site's own code does, by Django's ``login()``."""
    login(request, get_user_model().objects.get(username=name), backend=BACKEND)
    return JsonResponse({})


async def asign_in(request: HttpRequest, name: str) -> JsonResponse:
    await alogin(request, await get_user_model().objects.aget(username=name), backend=BACKEND)
    return JsonResponse({})


def sign_out(request: HttpRequest) -> JsonResponse:
    logout(request)
    return JsonResponse({})


def whoami(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"user": request.user.get_username(), "basket": request.session.get("basket", 0)})


async def awhoami(request: HttpRequest) -> JsonResponse:
    user: Any = await request.auser()
    return JsonResponse({"user": user.get_username(), "basket": await request.session.aget("basket", 0)})


def fill(request: HttpRequest) -> JsonResponse:
    """Keep something, signed in or not."""
    request.session["basket"] = request.session.get("basket", 0) + 1
    return JsonResponse({"user": request.user.get_username()})


async def afill(request: HttpRequest) -> JsonResponse:
    request.session["basket"] = await request.session.aget("basket", 0) + 1
    await asyncio.sleep(0)
    return JsonResponse({})


def go_on(request: HttpRequest) -> JsonResponse:
    """Go on in a new session, with the same user."""
    request.session.get("basket")
    request.session.create()
    return JsonResponse({})


def new_password(request: HttpRequest) -> JsonResponse:
    user: Any = request.user
    user.set_password("another")
    user.save()
    update_session_auth_hash(request, user)
    return JsonResponse({})


urlpatterns = [
    path("admin/", admin.site.urls),
    path("account/", include("django_srvsession.urls")),
    path("api/", include("django_srvsession.api.urls")),
    path("device/", include("django_srvsession.binding.urls")),
    path("sign-in/<name>/", sign_in),
    path("sign-out/", sign_out),
    path("go-on/", go_on),
    path("new-password/", new_password),
    path("whoami/", whoami),
    path("fill/", fill),
    path("a/sign-in/<name>/", asign_in),
    path("a/whoami/", awhoami),
    path("a/fill/", afill),
]
