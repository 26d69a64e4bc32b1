"""What the middleware does for a request on a site that binds sessions: before it, before it is saved, and after."""

from __future__ import annotations

from typing import cast

from django.http import HttpRequest, HttpResponseBase

from django_srvsession.binding import cookies, offering, violations
from django_srvsession.binding.guarding import DeviceGuard, end, note_use
from django_srvsession.engine import SessionStore
from django_srvsession.store.face import BlockingFace, run_blocking

__all__ = ["aanswer", "answer", "atell", "delete_cookie", "note_use", "tell", "watch"]


def watch(request: HttpRequest, session: SessionStore) -> None:
    """Have a request's session opened only to who may use it; no I/O."""
    session.note_guard(DeviceGuard(request))


def answer(request: HttpRequest, session: SessionStore, asks_for_key: bool, response: HttpResponseBase) -> None:
    """Put into an answer what binding adds; tell of a use that was refused, and end what it ends."""
    guard = _guard_of(session)
    if asks_for_key or (guard.is_shown and session.must_send_cookie):  # A bound session may go on in a new one.
        offering.offer(request, session, response)
    run_blocking(end(BlockingFace(session.store()), guard))
    if guard.violated is not None:
        violations.tell(request, guard.violated)


async def aanswer(request: HttpRequest, session: SessionStore, asks_for_key: bool, response: HttpResponseBase) -> None:
    """Do as :func:`answer`."""
    guard = _guard_of(session)
    if asks_for_key or (guard.is_shown and session.must_send_cookie):
        offering.offer(request, session, response)
    await end(session.store().face(), guard)
    if guard.violated is not None:
        await violations.atell(request, guard.violated)


def tell(request: HttpRequest, session: SessionStore) -> None:
    """Tell of a use that was refused where the answer is 503, because the browser says that it could not renew."""
    if (record := _guard_of(session).violated) is not None:
        violations.tell(request, record)


async def atell(request: HttpRequest, session: SessionStore) -> None:
    """Do as :func:`tell`."""
    if (record := _guard_of(session).violated) is not None:
        await violations.atell(request, record)


def _guard_of(session: SessionStore) -> DeviceGuard:
    return cast(DeviceGuard, session.guard)  # There is no other.


def delete_cookie(request: HttpRequest, response: HttpResponseBase) -> None:
    """Take the bound cookie away with the session's."""
    if cookies.name() in request.COOKIES:
        cookies.delete(response)
