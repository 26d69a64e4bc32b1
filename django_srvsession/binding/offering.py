"""Ask a browser to register its device's key: in the answer of a sign-in, and of a proof of the person.

Nowhere else, for the signed challenge is what the thief of a cookie lacks. What a browser that cannot do it gets is a
header that it does not know.
"""

from __future__ import annotations

import logging
from typing import Any

from django.http import HttpRequest, HttpResponseBase

from django_srvsession.binding.challenges import REGISTER, Challenge
from django_srvsession.binding.guarding import address_of
from django_srvsession.binding.policy import REQUIRE, policy_of
from django_srvsession.clients import header
from django_srvsession.engine import SessionStore
from django_srvsession.engine.details import BIND_WITHIN_MS, Details

log = logging.getLogger("django_srvsession")


def note_proof(request: HttpRequest, session: SessionStore, user: Any) -> bool:
    """Return whether the answer is to ask for a key; where it is required, have the session remember until when.

    An app that keeps its session's key itself, and sends it in a header, has nothing to be bound by.
    """
    if header.is_used(request):
        return False
    policy = policy_of(user)
    if policy == REQUIRE:
        session.change_details_later(_require)
    return policy is not None


def _require(details: Details, now_ms: int) -> Details:
    return details if details.binding else details._replace(bind_by_ms=now_ms + BIND_WITHIN_MS)


def offer(request: HttpRequest, session: SessionStore, response: HttpResponseBase) -> None:
    """Ask for a key in this answer, if its session is stored, somebody is signed in, and it is not bound yet."""
    record, now_ms = session.record, session.now_ms
    if record is None or now_ms is None or not session.is_live or record.user_id is None:
        return
    if session.details.binding or not request.is_secure():
        return
    if (path := address_of("register")) is None:
        log.error("SRVSESSION_BIND does nothing without django_srvsession.binding.urls among the site's URLs.")
        return
    challenge = Challenge.new(REGISTER, record.sid, 0, now_ms)
    response.headers["Secure-Session-Registration"] = f'(ES256 RS256);path="{path}";challenge="{challenge}"'
