"""Confirm it is you: how old the last proof of it is, and how to give a new one.

What cannot be undone, or helps a thief to stay, asks again (ASVS 7.5.2) when the last proof, a sign-in or a
confirmation, is older than ``SRVSESSION_REAUTH_AGE``. A confirmation changes the session's key (ASVS 7.2.4). How it can
be given is in ``authentication_methods.py``; that it cannot be guessed, in ``attempts.py``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY, authenticate
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.debug import sensitive_variables

from django_srvsession import conf
from django_srvsession.accounts import attempts, authentication_methods, current_request, destinations
from django_srvsession.engine import SessionStore
from django_srvsession.users import user_id_of

_SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")

View = Callable[..., HttpResponseBase]


def is_recent(request: HttpRequest) -> bool:
    """Tell whether the person behind a request proved who they are no longer ago than ``SRVSESSION_REAUTH_AGE``.

    Always true when that is None; never for a visitor, and where no proof can be known (``proofs_elsewhere.py``).
    """
    age_ms = conf.reauth_age_ms
    if age_ms is None:
        return True
    if not takes_password(request):
        from django_srvsession.accounts import proofs_elsewhere  # Most sites do not move.

        return proofs_elsewhere.is_recent(request.session, request.user, age_ms)
    return _age_ms(request, _session_of(request)) <= age_ms


def takes_password(request: HttpRequest) -> bool:
    """Tell whether wrong passwords can be counted: not while the site moves, in a session of the other engine."""
    return isinstance(request.session, SessionStore) or not conf.is_moving()


@sensitive_variables("password")
def confirm(request: HttpRequest, password: str) -> bool:
    """Check the password of the request's user; when it is right, note the proof and change the session's key.

    All authentication backends are asked, so that what counts failures (django-axes) counts these too. False for a
    wrong password, for a visitor, and when the backends name somebody else. Always false in a session of another
    engine, while the site moves: there wrong ones cannot be counted, and the proof is a sign-in.

    The fifth wrong one in a row ends the session (reason ``confirmation_failed``), and ``request.user`` is nobody
    from then on: send who is to sign in. Each is counted in the session before it is checked. Do not call this in a
    transaction that a wrong password rolls back: what is rolled back was not counted.
    """
    user = request.user
    if not user.is_authenticated or not takes_password(request):
        return False
    session = _session_of(request)
    if not attempts.begin(request, session):
        return False
    try:
        found = authenticate(request, username=user.get_username(), password=password)
    except Exception:
        attempts.take_back(session)
        raise
    if found is None or user_id_of(found) != user_id_of(user):
        attempts.fail(request, session)
        return False
    given(request, means="password")
    return True


def given(request: HttpRequest, *, means: str = "") -> None:
    """Note that the request's user has just proved who they are, in whatever way, and change the session's key.

    For a site's own page at ``SRVSESSION_REAUTH_URL``, after it has checked a code, a passkey, or an answer of the
    identity provider; also after it has signed the person in again, for where they were another user before, the
    sign-in alone is no proof. ``means`` is kept with the session. Does nothing where that is not the request's user's.
    """
    if not takes_password(request):
        from django_srvsession.accounts import proofs_elsewhere

        proofs_elsewhere.give(request.session, request.user)
        return
    session = _session_of(request)
    if not current_request.belongs_to(session, request.user):
        return
    session.note_proof(means)
    current_request.ask_for_key(request, session, request.user)
    if HASH_SESSION_KEY in session:
        session[HASH_SESSION_KEY] = session[HASH_SESSION_KEY]  # Or one that a fallback secret sealed keeps the key.
    session.cycle_key()


def can_confirm(request: HttpRequest) -> bool:
    """Tell whether the request's user has a password to confirm."""
    return isinstance(authentication_methods.way_of(request), authentication_methods.Password)


def is_asked_before_ending(request: HttpRequest) -> bool:
    """Tell whether a person is asked for a proof before they end another session of theirs.

    Not when the last one is recent, and not who has no way to give one: better without than never.
    """
    return not is_recent(request) and authentication_methods.way_of(request) is not None


def ask(request: HttpRequest, next_url: str) -> HttpResponseBase:
    """Send a person to where they prove who they are, or to sign in again, and from there on to ``next_url``."""
    way = authentication_methods.way_of(request)
    return destinations.to_sign_in(next_url) if way is None else redirect(way.address(next_url))


def recent_proof_required(view: View) -> View:
    """Decorate a view so that it asks for a proof first, unless the last one is recent.

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


def _age_ms(request: HttpRequest, session: SessionStore) -> float:
    """Return how old the last proof is, by the store's clock; infinite where there is none.

    What lies in the future, or before the sign-in, is none. A sign-in is none if it was a mere switch to another user,
    and the session's proof is none of a user whom some code has put in its user's place.
    """
    if not current_request.belongs_to(session, request.user):
        return math.inf
    signed_in_ms, now_ms = session.signed_in_ms, session.now_ms
    if now_ms is None or signed_in_ms is None:
        return math.inf
    details = session.details
    proofs = [] if details.was_switched else [signed_in_ms]
    if details.proved_ms is not None and details.proved_ms >= signed_in_ms:
        proofs.append(details.proved_ms)
    return min((now_ms - proof_ms for proof_ms in proofs if proof_ms <= now_ms), default=math.inf)
