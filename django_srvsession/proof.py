"""Confirm it is you: how old the last proof of the password is, and how to give a new one.

What cannot be undone, or helps a thief to stay, asks again (ASVS 7.5.2) when the last proof, a sign-in or a
confirmation, is older than ``SRVSESSION_REAUTH_AGE``. A confirmation changes the session's key (ASVS 7.2.4).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from django.contrib.auth import SESSION_KEY, authenticate
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.debug import sensitive_variables

from django_srvsession import conf
from django_srvsession.engine import SessionStore

CONFIRMED_MARK: Final = "confirmed_ms"
"""The session's mark that holds when the password was last confirmed, in milliseconds since 1970 UTC."""

_SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")

View = Callable[..., HttpResponseBase]


def is_recent(request: HttpRequest) -> bool:
    """Tell whether the person behind a request proved who they are no longer ago than ``SRVSESSION_REAUTH_AGE``.

    Always true when that is None; never for a visitor.
    """
    age_ms = conf.get("REAUTH_AGE")
    return age_ms is None or _age_ms(_session_of(request)) <= age_ms


@sensitive_variables("password")
def confirm(request: HttpRequest, password: str) -> bool:
    """Check the password of the request's user; when it is right, note the proof and change the session's key.

    All authentication backends are asked, so that what counts failures (django-axes) counts these too. False for a
    wrong password, for a visitor, and when the backends name somebody else.
    """
    user = request.user
    if not user.is_authenticated:
        return False
    found = authenticate(request, username=user.get_username(), password=password)
    if found is None or found.pk != user.pk:
        return False
    session = _session_of(request)
    session.set_mark(CONFIRMED_MARK, session.now_ms)
    session.cycle_key()
    return True


def can_confirm(request: HttpRequest) -> bool:
    """Tell whether the request's user has a password to confirm; who has none (single sign-on) signs in again."""
    user: Any = request.user
    return bool(user.is_authenticated and user.has_usable_password())


def ask(request: HttpRequest, next_url: str) -> HttpResponseBase:
    """Send a person to the page that asks for the password, or to sign in again, and from there on to ``next_url``."""
    if not can_confirm(request):
        return redirect_to_login(next_url)
    return redirect(f"{resolve_url('srvsession:confirm')}?{urlencode({'next': next_url})}")


def recent_proof_required(view: View) -> View:
    """Decorate a view so that it asks for the password first, unless the last proof is recent.

    A page is shown after it. Anything but GET leads back to the page that it was sent from: the person repeats it. Goes
    below ``login_required``; for a class, use ``method_decorator(recent_proof_required, name="dispatch")``.
    """

    @functools.wraps(view)
    def asking(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if is_recent(request):
            return view(request, *args, **kwargs)
        return ask(request, _way_back(request))

    return asking


def _way_back(request: HttpRequest) -> str:
    """Return where to go after the proof, on this site: this page, or the one that a form was sent from."""
    if request.method in _SAFE_METHODS:
        return request.get_full_path()
    referrer = str(request.META.get("HTTP_REFERER", ""))
    if not url_has_allowed_host_and_scheme(referrer, {request.get_host()}, request.is_secure()):
        return resolve_url("srvsession:sessions")
    parts = urlsplit(referrer)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def _session_of(request: HttpRequest) -> SessionStore:
    session = request.session
    if not isinstance(session, SessionStore):
        raise ImproperlyConfigured(
            "To know how old a proof is needs a SESSION_ENGINE of django-srvsession; here sessions are those of "
            f"{type(session).__module__}."
        )
    session.get(SESSION_KEY)  # Loads the record.
    return session


def _age_ms(session: SessionStore) -> float:
    """Return how old the last proof is, by the store's clock; infinite where there is none.

    What lies in the future, or before the sign-in, is none. A sign-in is none if it was a mere switch to another user.
    """
    record, now_ms = session.record, session.now_ms
    if record is None or now_ms is None or record.signed_in_ms is None:
        return math.inf
    signed_in_ms, confirmed_ms = record.signed_in_ms, session.mark(CONFIRMED_MARK)
    proofs = [] if session.was_switched else [signed_in_ms]
    if isinstance(confirmed_ms, int) and confirmed_ms >= signed_in_ms:
        proofs.append(confirmed_ms)
    return min((now_ms - proof_ms for proof_ms in proofs if proof_ms <= now_ms), default=math.inf)
