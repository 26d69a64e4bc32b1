"""What the middleware does for a request on a site that binds sessions: before it, before it is saved, and after."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponseBase

from django_srvsession.binding import cookies, offering, violations
from django_srvsession.binding.guarding import DeviceGuard, note_use
from django_srvsession.engine import SessionStore
from django_srvsession.records import SessionRecord
from django_srvsession.users import user_id_of

__all__ = ["aanswer", "answer", "delete_cookie", "note_use", "watch"]


def watch(request: HttpRequest, session: SessionStore) -> None:
    """Have a request's session opened only to who may use it; no I/O."""
    session.note_guard(DeviceGuard(request))


def answer(request: HttpRequest, session: SessionStore, to_bind: Any, response: HttpResponseBase) -> None:
    """Put into an answer what binding adds; ``to_bind`` is the user whose device is asked for a key, or None."""
    _offer(request, session, to_bind, response)
    if (record := _violated(session)) is not None:
        violations.tell(request, record)


async def aanswer(request: HttpRequest, session: SessionStore, to_bind: Any, response: HttpResponseBase) -> None:
    """Do as :func:`answer`."""
    _offer(request, session, to_bind, response)
    if (record := _violated(session)) is not None:
        await violations.atell(request, record)


def _offer(request: HttpRequest, session: SessionStore, to_bind: Any, response: HttpResponseBase) -> None:
    """Ask for a key where the person has just proved who they are; or where a bound session goes on in a new one."""
    goes_on = isinstance(session.guard, DeviceGuard) and session.guard.is_shown and session.must_send_cookie
    if to_bind is None and not goes_on:
        return
    if to_bind is None or _is_of(session, to_bind):
        offering.offer(request, session, response)


def _is_of(session: SessionStore, user: Any) -> bool:
    return session.record is not None and session.record.user_id == user_id_of(user)


def _violated(session: SessionStore) -> SessionRecord | None:
    """Return the session that this request had the key of, and was not let into."""
    return session.guard.violated if isinstance(session.guard, DeviceGuard) else None


def delete_cookie(request: HttpRequest, response: HttpResponseBase) -> None:
    """Take the bound cookie away with the session's."""
    if cookies.name() in request.COOKIES:
        cookies.delete(response)
