"""Who may use a bound session: requests that bring its bound cookie.

All others read as if nobody were signed in. The stored session stays, so that its device goes on, and signing in works.
"""

from __future__ import annotations

import logging
from typing import Final

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from django_srvsession import conf
from django_srvsession.binding import cookies
from django_srvsession.binding.keys import Binding
from django_srvsession.engine import SessionStore
from django_srvsession.engine.bookkeeping import best_effort
from django_srvsession.engine.details import Details
from django_srvsession.engine.ending import end as end_session
from django_srvsession.engine.knowledge import NotNowError, Verdict
from django_srvsession.records import Ending, SessionRecord
from django_srvsession.store.face import Face

REASON: Final = "unbound"

log = logging.getLogger("django.security.SuspiciousSession")


class DeviceGuard:
    """Judge whether one request may open its session; remembers what its answer needs."""

    reason = REASON

    def __init__(self, request: HttpRequest) -> None:
        self.request = request
        self.is_shown = self.is_first_show = False
        self.violated: SessionRecord | None = None
        self.to_end: SessionRecord | None = None

    def judge(self, record: SessionRecord, details: Details, now_ms: int) -> Verdict:
        """Return what becomes of the request; see ``engine.knowledge.Guard``."""
        if not details.binding:
            if details.bind_by_ms is None or now_ms < details.bind_by_ms:
                return Verdict.OPEN
            self.to_end = record
            return Verdict.REFUSE
        binding = Binding.decode(details.binding)
        if cookies.is_shown(self.request, record.sid, binding, details.generation, now_ms):
            self.is_shown, self.is_first_show = True, not binding.was_shown
            return Verdict.OPEN
        if self._may_lack_it(binding, now_ms):
            return Verdict.OPEN
        if "HTTP_SECURE_SESSION_SKIPPED" in self.request.META:
            raise NotNowError("The browser could not renew its proof, and is asked to come again.")
        self.violated = record
        if conf.bind_violation == "end":
            self.to_end = record
            return Verdict.REFUSE
        # While its device may still come with a good cookie, no other cookie is to replace the session's.
        return Verdict.WAIT if now_ms < binding.at_ms + conf.bind_age_ms else Verdict.REFUSE

    def _may_lack_it(self, binding: Binding, now_ms: int) -> bool:
        """Tell whether the request left before its browser had the cookie, or comes to get one."""
        if not binding.was_shown and now_ms - binding.at_ms < cookies.IN_FLIGHT_MS:
            return True
        return self.request.path in (address_of("register"), address_of("refresh"))


def address_of(view: str) -> str | None:
    """Return where one of our two views answers, or None where the site has not included them."""
    try:
        return reverse(f"srvsession_binding:{view}")
    except NoReverseMatch:
        return None


async def end(face: Face, guard: DeviceGuard) -> None:
    """End the session that was judged so; outside of the view, whose transaction must not undo it.

    What cannot be ended now is judged again at the next request.
    """
    if (record := guard.to_end) is not None:
        ending = Ending(REASON, None, record.verifier)
        await best_effort(face, lambda brief: end_session(brief, SessionStore, record.sid, ending))


def note_use(session: SessionStore) -> None:
    """Before a session is saved: have it remember that its browser has the cookie."""
    guard = session.guard
    if isinstance(guard, DeviceGuard) and guard.is_first_show and session.is_live:
        session.change_details_with_bookkeeping(_show)


def _show(details: Details, now_ms: int) -> Details:
    if not details.binding:
        return details
    return details._replace(binding=Binding.decode(details.binding)._replace(was_shown=True).encode())
