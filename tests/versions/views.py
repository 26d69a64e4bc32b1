"""The site of both versions: each page says which version has made it."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth import login as django_login
from django.contrib.auth import logout as django_logout
from django.http import HttpRequest, JsonResponse
from django.urls import path

import django_srvsession
from django_srvsession import services
from tests.engine.pages import BACKEND


def none(request: HttpRequest) -> JsonResponse:
    """Answer without a look at the session."""
    return JsonResponse({})


def _shown(request: HttpRequest) -> JsonResponse:
    session: Any = request.session
    user: Any = request.user
    return JsonResponse(
        {
            "user": user.get_username(),
            "n": session.get("n"),
            "name": session.details.name,
            "added": getattr(session.details, "added", None),
            "sessions": len(services.sessions_of(user)) if user.pk else 0,
            "code": django_srvsession.__file__,
        }
    )


def enter(request: HttpRequest) -> JsonResponse:
    """Sign in."""
    django_login(request, get_user_model().objects.get(username="user0"), BACKEND)
    request.session["n"] = 0
    request.session.save()
    return _shown(request)


def bump(request: HttpRequest) -> JsonResponse:
    """Count a visit."""
    request.session["n"] += 1
    return _shown(request)


def note(request: HttpRequest) -> JsonResponse:
    """Change one of the details."""
    session: Any = request.session
    changed = {request.GET["field"]: request.GET["text"]}
    session.change_details(lambda details, now_ms: details._replace(**changed))
    return _shown(request)


def rotate(request: HttpRequest) -> JsonResponse:
    """Change the key."""
    request.session.cycle_key()
    return _shown(request)


def out(request: HttpRequest) -> JsonResponse:
    """Sign out."""
    django_logout(request)
    return _shown(request)


_PAGES = (none, enter, bump, note, rotate, out)
urlpatterns = [path(f"{page.__name__}/", page) for page in _PAGES]
