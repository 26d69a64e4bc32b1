"""The views that only races need, beside those of ``tests.site_urls``; our API where the engine has it.

Where stock Django has no answer (who lists the sessions of a user on a cache?) these views do what sites do: a
home-made index, see ``tests.races.homemade``.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model, login, update_session_auth_hash
from django.contrib.auth.signals import user_login_failed
from django.contrib.sessions.backends.base import UpdateError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path

from tests import site_urls
from tests.patience import patient
from tests.races import limited
from tests.site_urls import BACKEND, answer, argument

IS_OURS = settings.SESSION_ENGINE.startswith("django_srvsession.")
PATIENCE_SECONDS = patient(20)

# As the harness's servers: the races are between processes, and no machine loses its power here.
os.fsync = lambda descriptor: None  # type: ignore[assignment]

if settings.SESSION_ENGINE.endswith(".memory"):
    # One process: requests race only when threads take turns in the middle of them, not every 5 ms as by default.
    sys.setswitchinterval(20e-6)

if IS_OURS:
    from django_srvsession import services
else:
    from tests.races import homemade as services


def wait_at_gate(name: str) -> None:
    """Say that this request has come to a gate, and wait until the test opens it (files in the site's directory)."""
    Path(f"{name}.reached").touch()
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not Path(f"{name}.open").exists():
        if time.monotonic() > give_up:
            raise TimeoutError(f"nobody opened gate {name}")
        time.sleep(0.001)


def held(view: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Load the session, wait at the gate, then do what the view does: the request becomes as stale as a test wants."""

    @functools.wraps(view)
    def wrapper(request: HttpRequest) -> HttpResponse:
        dict(request.session.items())
        wait_at_gate(argument(request, "gate"))
        return view(request)

    return wrapper


def key(request: HttpRequest) -> JsonResponse:
    """Show what the session is known by: ``sid`` here, the key in stock Django."""
    name = request.session.sid if IS_OURS else request.session.session_key
    return answer(user=request.user.get_username(), key=name)


def sessions(request: HttpRequest) -> JsonResponse:
    """List a user's sessions."""
    user = get_user_model().objects.get(username=argument(request, "user"))
    return answer(keys=[record.sid for record in services.sessions_of(user)])


def revoke_all(request: HttpRequest) -> JsonResponse:
    """End all sessions of a user."""
    user = get_user_model().objects.get(username=argument(request, "user"))
    return answer(ended=len(services.revoke_all(user)))


def touch(request: HttpRequest) -> JsonResponse:
    """Have the session saved, or its use recorded, though nothing in it changed."""
    request.session.modified = True
    return answer()


def touch_at_once(request: HttpRequest) -> JsonResponse:
    """Record the session's use in the view."""
    request.session.touch()
    return answer()


def expire(request: HttpRequest) -> JsonResponse:
    """Let the session end a minute ago."""
    request.session.set_expiry(datetime.now(UTC) - timedelta(minutes=1))
    return answer()


def shorten(request: HttpRequest) -> JsonResponse:
    """Let the session end in ten minutes."""
    request.session.set_expiry(datetime.now(UTC) + timedelta(minutes=10))
    return answer()


def shorten_lifetime(request: HttpRequest) -> JsonResponse:
    """Let the session end after ten minutes without use."""
    request.session.set_expiry(600)
    return answer()


def seconds_left(request: HttpRequest) -> JsonResponse:
    """Show how long the session still lives."""
    request.session.get("load")
    if not IS_OURS:
        return answer(seconds=request.session.get_expiry_age())
    record = request.session.record
    return answer(seconds=record and (record.expires_at - datetime.now(UTC)).total_seconds())


def change_password(request: HttpRequest) -> JsonResponse:
    """Change the password as Django's view does: the user first, then the session; at a gate in between, if named."""
    user = request.user
    user.set_password(argument(request, "password"))
    user.save()
    if gate := argument(request, "gate"):
        wait_at_gate(gate)
    update_session_auth_hash(request, user)
    return answer()


def set_and_name_user(request: HttpRequest) -> JsonResponse:
    """Set one key, as a page of a signed-in user does: it looks at the user first."""
    user = request.user.get_username()
    request.session[argument(request, "key")] = argument(request, "value")
    return answer(user=user)


def log_in_again(request: HttpRequest) -> JsonResponse:
    """Sign in where nobody should be signed in yet, as a login form does (reads the session first)."""
    was = request.user.get_username()
    user = get_user_model().objects.get(username=argument(request, "user"))
    login(request, user, backend=BACKEND)
    return answer(was=was)


def increment(request: HttpRequest) -> JsonResponse:
    """Add one to a key, or say that the session is gone."""
    try:
        return site_urls.increment(request)
    except UpdateError:
        return answer(value=None)


def guess(request: HttpRequest) -> JsonResponse:
    """Confirm a password; say whether it was right, and whether anybody was asked that it is wrong."""
    from django_srvsession.accounts import reauthentication

    right = reauthentication.confirm(request, argument(request, "password"))
    return answer(right=right, was_refused=hasattr(request, "was_refused"), user=request.user.get_username())


def _note_refusal(request: HttpRequest, **kwargs: object) -> None:
    vars(request)["was_refused"] = True


user_login_failed.connect(_note_refusal)


VIEWS = {
    "guess": guess,
    "incr": increment,
    "key": key,
    "sessions": sessions,
    "revoke_all": revoke_all,
    "touch": touch,
    "touch_at_once": touch_at_once,
    "expire": expire,
    "shorten": shorten,
    "shorten_lifetime": shorten_lifetime,
    "seconds_left": seconds_left,
    "change_password": change_password,
    "log_in_again": log_in_again,
    "set_and_name_user": set_and_name_user,
}
ALL = site_urls.SYNC | VIEWS | limited.VIEWS
HELD = {name: held(view) for name, view in ALL.items()}

urlpatterns = [*site_urls.routes(ALL), path("held/", include(site_urls.routes(HELD)))]
