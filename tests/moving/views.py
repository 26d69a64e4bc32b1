"""The site whose sessions move: each visit counts in the session, and says who is signed in."""

from __future__ import annotations

import contextlib
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth import login as django_login
from django.contrib.auth import logout as django_logout
from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.urls import path

from django_srvsession import services
from django_srvsession.engine.going_back import session_of
from django_srvsession.records import Client
from tests.engine.pages import BACKEND


def make(request: HttpRequest) -> JsonResponse:
    """Make sessions in the engine in use, each of one of the users; return their keys, and whose they are."""
    engine = import_module(settings.SESSION_ENGINE).SessionStore
    users = list(get_user_model().objects.order_by("pk"))
    made = []
    for number in range(int(request.GET["first"]), int(request.GET["behind"])):
        # As requests are: some engines save a session that comes from elsewhere, and lose what another tab does.
        user, session = users[number % len(users)], session_of(engine, None, lambda: Client("127.0.0.1", ""))
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


def enter(request: HttpRequest) -> JsonResponse:
    """Sign in."""
    django_login(request, get_user_model().objects.get(username=request.GET["name"]), BACKEND)
    request.session["n"] = 0
    return _shown(request)


def end(request: HttpRequest) -> JsonResponse:
    """End all sessions of a user; as an administrator does it, in a transaction of the request's."""
    with transaction.atomic() if "atomic" in request.GET else contextlib.nullcontext():
        ended = services.revoke_all(get_user_model().objects.get(username=request.GET["name"]))
    return JsonResponse({"ended": len(ended)})


def none(request: HttpRequest) -> JsonResponse:
    """Answer without a look at the session."""
    return JsonResponse({})


_PAGES = (none, make, bump, see, out, enter, end)
urlpatterns = [path(f"{page.__name__}/", page) for page in _PAGES]
