"""What a browser talks to, and no person: it registers its device's key here, and proves now and then to have it.

A browser forgets its key at most answers of 4xx, for good. So an outage is 503, a session that has ended is
``{"continue": false}``, and 400 is for what no browser sends. Neither needs a CSRF token: what is signed is enough.
"""

from __future__ import annotations

import logging
from functools import wraps
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.log import log_response
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from django_srvsession import conf
from django_srvsession.binding import cookies
from django_srvsession.binding.challenges import REFRESH, REGISTER, Challenge
from django_srvsession.binding.guarding import address_of, note_proof
from django_srvsession.binding.keys import Binding, ProofError
from django_srvsession.engine import SessionStore
from django_srvsession.engine.details import Details
from django_srvsession.store import ConflictError, StoreUnavailableError, UpdateError

log = logging.getLogger("django.security.SuspiciousSession")

_GONE: Final = {"continue": False}


class StaleError(Exception):
    """Report a challenge that was right, and is used up or old: a new one must be signed."""


class View(Protocol):
    """Answer a request that came with the key of a session in which somebody is signed in."""

    def __call__(self, request: HttpRequest, session: SessionStore) -> HttpResponse:
        """Return the answer; raises ``ProofError`` and what sessions raise."""


def _answered(view: View) -> Any:
    """Make a view of ours out of what it does for a session; whatever is refused stores nothing."""

    @csrf_exempt
    @login_not_required
    @never_cache
    @require_POST
    @wraps(view)
    def answer(request: HttpRequest) -> HttpResponse:
        session = request.session
        if not isinstance(session, SessionStore) or session.get(SESSION_KEY) is None or not session.is_live:
            return JsonResponse(_GONE)
        sid = session.sid
        try:
            return view(request, session)
        except ProofError as error:
            session.stand_aside()
            response = JsonResponse(_GONE, status=400)
            text = "A proof for session %s is refused: %s."
            log_response(text, sid, error, response=response, request=request, logger=log)
            return response
        except UpdateError:
            return JsonResponse(_GONE)  # It was ended meanwhile.
        except ConflictError as error:
            raise StoreUnavailableError("Other requests kept changing the session.") from error

    return answer


@_answered
def register(request: HttpRequest, session: SessionStore) -> HttpResponse:
    """Bind the session to the key that the proof brings, if it is not bound yet."""
    from django_srvsession.binding import proofs  # PyJWT, which sites that bind nothing need not have.

    sid, now_ms = _standing(session)
    if (proof := proofs.sent_in(request)) is None:
        raise ProofError("there is none")
    key = proofs.key_in(proof)
    challenge = Challenge.parse(proofs.challenge_in(proof, key, request), REGISTER, sid)
    if challenge.is_old(now_ms):
        raise ProofError("its challenge is too old")

    def bind(details: Details, now_ms: int) -> Details:
        if details.binding and not _is_repeated(details, key):
            raise ProofError("the session is bound already")
        return details._replace(binding=Binding(now_ms, False, key).encode(), generation=0, bind_by_ms=None)

    session.change_details(bind)
    return _bound(session, sid)


@_answered
def refresh(request: HttpRequest, session: SessionStore) -> HttpResponse:
    """Give the browser another bound cookie for a proof, or a challenge for none."""
    from django_srvsession.binding import proofs

    sid, now_ms = _standing(session)
    details, asked_for = session.details, request.META.get("HTTP_SEC_SECURE_SESSION_ID", "").strip(' "')
    if not details.binding or asked_for not in ("", sid):
        session.stand_aside()
        return JsonResponse(_GONE)
    binding = Binding.decode(details.binding)
    if (proof := proofs.sent_in(request)) is None:
        return _asked(session, sid, details.generation, now_ms)
    challenge = Challenge.parse(proofs.challenge_in(proof, binding.jwk, request), REFRESH, sid)

    def renew(details: Details, now_ms: int) -> Details:
        if not details.binding or challenge.generation != details.generation or challenge.is_old(now_ms):
            raise StaleError
        return details._replace(
            binding=binding._replace(at_ms=now_ms, was_shown=True).encode(), generation=details.generation + 1
        )

    try:
        session.change_details(renew)
    except StaleError:
        return _asked(session, sid, session.details.generation, now_ms)
    return _bound(session, sid)


def _standing(session: SessionStore) -> tuple[str, int]:
    sid, now_ms = session.sid, session.now_ms
    assert sid is not None and now_ms is not None  # noqa: S101 - a live session has both.
    return sid, now_ms


def _is_repeated(details: Details, key: bytes) -> bool:
    """Tell whether a browser registers again because the first answer did not reach it."""
    binding = Binding.decode(details.binding)
    return binding.jwk == key and not binding.was_shown and details.generation == 0


def _bound(session: SessionStore, sid: str) -> HttpResponse:
    """Answer a proof that was accepted, with the next challenge, so that the next proof takes one request."""
    note_proof(session)
    session.modified = True  # Its own cookie goes along, too, where that slides.
    _, now_ms = _standing(session)
    details = session.details
    response = JsonResponse(
        {
            "session_identifier": sid,
            "refresh_url": address_of("refresh"),
            "scope": _scope(),
            "credentials": [{"type": "cookie", "name": cookies.name(), "attributes": cookies.attributes()}],
        }
    )
    response.headers["Secure-Session-Challenge"] = _challenge(sid, details.generation, now_ms)
    cookies.put(response, sid, details, now_ms)
    return response


def _asked(session: SessionStore, sid: str, generation: int, now_ms: int) -> HttpResponse:
    """Answer with a challenge, and store nothing: who asks has shown no more than a cookie."""
    session.stand_aside()
    response = HttpResponse(status=403)
    response.headers["Secure-Session-Challenge"] = _challenge(sid, generation, now_ms)
    # So it goes each time; Django would log a warning.
    log_response("Session %s is asked for a proof.", sid, response=response, logger=log, level="debug")
    return response


def _challenge(sid: str, generation: int, now_ms: int) -> str:
    return f'"{Challenge.new(REFRESH, sid, generation, now_ms)}";id="{sid}"'


def _scope() -> dict[str, Any]:
    """Return for which requests the browser must have the cookie: for those to this host, or to the whole site."""
    site = conf.bind_site
    scope = {"include_site": site is not None, "scope_specification": _excluded()}
    return scope if site is None else {"origin": site, **scope}


def _excluded() -> list[dict[str, str]]:
    """Return what needs no proof: static files, where they are of this host and in a place of their own."""
    path = urlsplit(settings.STATIC_URL or "").path
    is_here = not urlsplit(settings.STATIC_URL or "").netloc and path not in ("", "/")
    return [{"type": "exclude", "domain": "*", "path": path}] if is_here else []
