"""Wrong confirmations, counted in the session itself: five in a row end it.

Who holds somebody's cookie would otherwise guess the password without an end, and the answers would tell when it is
right. Whatever counts failures elsewhere (django-axes) counts these too.
"""

from __future__ import annotations

import contextlib
from typing import Any, Final

from django.contrib.sessions.backends.base import UpdateError
from django.db import connections, transaction
from django.http import HttpRequest

from django_srvsession.accounts import current_request
from django_srvsession.engine import SessionStore
from django_srvsession.store import ConflictError

MOST: Final = 5
"""How many wrong confirmations in a row end a session."""

REASON: Final = "confirmation_failed"


def begin(request: HttpRequest, session: SessionStore) -> bool:
    """Count a try, at once and atomically, before it is judged; False where it must not be judged.

    That is so for the sixth of several at a time, in a session that has ended, and in one that is not the user's (who
    comes with a token, say, has no session to count in).
    """
    if not current_request.belongs_to(session, request.user):
        return False
    try:
        count = _count(session)
    except UpdateError:
        _leave(request, session)
        return False
    except ConflictError:
        return False  # So many at once that this one could not be counted.
    if count > MOST:
        _end(request, session)
    return count <= MOST


def fail(request: HttpRequest, session: SessionStore) -> None:
    """Take note that a try was wrong; the fifth in a row ends the session, and nobody is signed in then."""
    if session.details.wrong >= MOST:
        _end(request, session)


def take_back(session: SessionStore) -> None:
    """Count a try no longer: who was to judge it did not answer, and that is not the person's fault."""
    with contextlib.suppress(UpdateError, ConflictError):
        _count(session, -1)


def outside_of_transactions(view: Any) -> Any:
    """Decorate a view so that ``ATOMIC_REQUESTS`` does not roll back what it has counted."""
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view


def _count(session: SessionStore, by: int = 1) -> int:
    """Add to the count, at once and atomically, and return it; a sign-in and a right one begin it anew."""
    session.change_details(lambda details, now_ms: details._replace(wrong=max(details.wrong + by, 0)))
    return session.details.wrong


def _end(request: HttpRequest, session: SessionStore) -> None:
    """End the session, unless a right confirmation at the same time has given it a new key."""
    session.end(REASON)
    _leave(request, session)


def _leave(request: HttpRequest, session: SessionStore) -> None:
    """Leave nobody signed in. The cookie stays: by its key the sign-in page tells what became of the session."""
    session.stand_aside()
    current_request.forget_user(request)
