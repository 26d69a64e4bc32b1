"""What the middleware does for a request on a site that binds sessions: before it, before it is saved, and after."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase

from django_srvsession.binding import cookies, offering, violations
from django_srvsession.binding.guarding import DeviceGuard, note_use
from django_srvsession.engine import SessionStore
from django_srvsession.records import SessionRecord

__all__ = ["aanswer", "answer", "delete_cookie", "note_use", "watch"]


def watch(request: HttpRequest, session: SessionStore) -> None:
    """Have a request's session opened only to who may use it; no I/O."""
    session.note_guard(DeviceGuard(request))


def answer(request: HttpRequest, session: SessionStore, asks_for_key: bool, response: HttpResponseBase) -> None:
    """Put into an answer what binding adds, and tell of a use that was refused."""
    if asks_for_key or _goes_on_in_a_new_one(session):
        offering.offer(request, session, response)
    if (record := _violated(session)) is not None:
        violations.tell(request, record)


async def aanswer(request: HttpRequest, session: SessionStore, asks_for_key: bool, response: HttpResponseBase) -> None:
    """Do as :func:`answer`."""
    if asks_for_key or _goes_on_in_a_new_one(session):
        offering.offer(request, session, response)
    if (record := _violated(session)) is not None:
        await violations.atell(request, record)


def _goes_on_in_a_new_one(session: SessionStore) -> bool:
    """Tell whether a bound session may have become another one in this request, which its own browser sent."""
    return isinstance(session.guard, DeviceGuard) and session.guard.is_shown and session.must_send_cookie


def _violated(session: SessionStore) -> SessionRecord | None:
    """Return the session that this request had the key of, and was not let into."""
    return session.guard.violated if isinstance(session.guard, DeviceGuard) else None


def delete_cookie(request: HttpRequest, response: HttpResponseBase) -> None:
    """Take the bound cookie away with the session's."""
    if cookies.name() in request.COOKIES:
        cookies.delete(response)
