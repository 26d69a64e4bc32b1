"""The site whose sessions move: each visit counts in the session, and says who is signed in."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth import logout as django_logout
from django.http import HttpRequest, JsonResponse
from django.urls import path

from tests.engine.pages import BACKEND


def make(request: HttpRequest) -> JsonResponse:
    """Make sessions in the engine in use, each of one of the users; return their keys, and whose they are."""
    engine = import_module(settings.SESSION_ENGINE).SessionStore
    users = list(get_user_model().objects.order_by("pk"))
    made = []
    for number in range(int(request.GET["first"]), int(request.GET["behind"])):
        user, session = users[number % len(users)], engine()
        session["_auth_user_id"], session["_auth_user_backend"] = str(user.pk), BACKEND
        session["_auth_user_hash"] = user.get_session_auth_hash()
        session["number"], session["n"] = number, 0
        session.save()
        made.append((session.session_key, user.get_username()))
    return JsonResponse({"made": made})


def _shown(request: HttpRequest) -> JsonResponse:
    user: Any = request.user
    return JsonResponse({"user": user.get_username(), "n": request.session.get("n")})


def bump(request: HttpRequest) -> JsonResponse:
    """Count a visit."""
    if "n" in request.session:
        request.session["n"] += 1
    return _shown(request)


def see(request: HttpRequest) -> JsonResponse:
    """Look, and change nothing."""
    return _shown(request)


def out(request: HttpRequest) -> JsonResponse:
    """Sign out."""
    django_logout(request)
    return _shown(request)


def none(request: HttpRequest) -> JsonResponse:
    """Answer without a look at the session."""
    return JsonResponse({})


urlpatterns = [path("none/", none), path("make/", make), path("bump/", bump), path("see/", see), path("out/", out)]
