"""End all sessions of a person but the one in use, as every front end of ours does it."""

from __future__ import annotations

from django.http import HttpRequest

from django_srvsession import services
from django_srvsession.engine import SessionStore
from django_srvsession.records import SessionRecord


def end(request: HttpRequest) -> list[SessionRecord]:
    """End all sessions of the request's user but the one that it came with, and return the ended records.

    While the site moves that one may be another engine's, without a sid to keep it by: it notes that it stays.
    """
    session = request.session
    if isinstance(session, SessionStore):
        return services.revoke_all(request.user, keep=session.sid, by=request.user)
    ended = services.revoke_all(request.user, by=request.user)
    from django_srvsession.engine import waiting  # Most sites do not move.

    waiting.keep(session, services.user_id_of(request.user))
    return ended
