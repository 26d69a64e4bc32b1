"""The request that is being answered, for receivers that are told of a user and not of a request.

A user is saved by code that knows no request (a form, a model's method); which session makes the change is known by the
request that is under way in this thread or task. The middleware notes it for the length of the answer's making. What
``sync_to_async`` runs sees it too; threads of one's own, commands and task queues see none.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from django.http import HttpRequest

from django_srvsession import conf
from django_srvsession.engine import SessionStore
from django_srvsession.services import user_id_of


@dataclass(frozen=True, slots=True)
class SignIn:
    """Hold what is known of a sign-in at its moment, and is needed when its answer goes out."""

    user: Any
    is_first: bool
    """Whether this user has never signed in before, anywhere."""
    language: str | None
    zone: tzinfo


@dataclass(slots=True)
class Visit:
    """Hold a request that is being answered; ``sign_in`` is set when a user signs in who is to hear of new devices."""

    request: HttpRequest
    session: SessionStore
    sign_in: SignIn | None = None
    asks_for_key: bool = False
    """Whether the browser is to be asked for its device's key: somebody has just proved who they are."""

    @property
    def user_id(self) -> str | None:
        """Return the id of who is signed in, or None; reads the session if need be."""
        return self.session.user_id

    def sid_of(self, user: Any) -> str | None:
        """Return the sid of the request's session if it is this user's (an object or an id), else None."""
        return self.session.sid if belongs_to(self.session, user) else None


_current: ContextVar[Visit | None] = ContextVar("srvsession_visit", default=None)


def current() -> Visit | None:
    """Return the visit of the request that is being answered, or None outside of one."""
    return _current.get()


def ask_for_key(request: HttpRequest, session: SessionStore, user: Any) -> None:
    """Have the answer ask the browser for its device's key: this user has just proved who they are."""
    if conf.bind is None:
        return
    from django_srvsession.binding import offering  # Not on a site that binds nothing.

    is_wanted, visit = offering.note_proof(request, session, user), _current.get()
    if visit is not None and visit.session is session:
        visit.asks_for_key = is_wanted


def asks_for_key(session: SessionStore) -> bool:
    """Tell whether the answer of this session's request is to ask the browser for its device's key."""
    visit = _current.get()
    return visit is not None and visit.session is session and visit.asks_for_key


def enter(request: HttpRequest) -> Visit | None:
    """Note that a request is being answered; return what :func:`leave` must be given afterwards."""
    outer, session = _current.get(), getattr(request, "session", None)
    _current.set(Visit(request, session) if isinstance(session, SessionStore) else None)
    return outer


def leave(outer: Visit | None) -> None:
    """Forget the request, and go on with the one around it: a view may visit its own site by a test client."""
    # Not by a token: a cancelled request may be closed in another context than its own, where a token is refused.
    _current.set(outer)


def belongs_to(session: SessionStore, user: Any) -> bool:
    """Tell whether somebody is signed in as this user (an object or an id) in this session; reads it if need be."""
    return session.user_id == user_id_of(user)


def forget_user(request: Any) -> None:
    """Let nobody be signed in for the rest of a request, whatever ``login()`` or a middleware did to it."""
    from django.contrib.auth.models import AnonymousUser  # Only while the apps are ready.

    anonymous = AnonymousUser()

    async def auser() -> AnonymousUser:
        return anonymous

    if hasattr(request, "user"):
        request.user = anonymous
    if hasattr(request, "auser"):
        request.auser = auser
