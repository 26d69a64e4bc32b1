"""What the middleware does for a request on a site that binds sessions: before it, before it is saved, and after."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponseBase

from django_srvsession.binding import cookies, offering
from django_srvsession.binding.guarding import DeviceGuard, note_use
from django_srvsession.engine import SessionStore

__all__ = ["answer", "delete_cookie", "note_use", "watch"]


def watch(request: HttpRequest, session: SessionStore) -> None:
    """Have a request's session opened only to who may use it; no I/O."""
    session.note_guard(DeviceGuard(request))


def answer(request: HttpRequest, session: SessionStore, to_bind: Any, response: HttpResponseBase) -> None:
    """Put into an answer what binding adds; ``to_bind`` is the user whose device is asked for a key, or None."""
    if to_bind is not None:
        offering.offer(request, session, to_bind, response)


def delete_cookie(request: HttpRequest, response: HttpResponseBase) -> None:
    """Take the bound cookie away with the session's."""
    if cookies.name() in request.COOKIES:
        cookies.delete(response)
