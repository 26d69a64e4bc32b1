"""Who may use a bound session: requests that bring its bound cookie.

All others read as if nobody were signed in. The stored session stays, so that its device goes on, and signing in works.
"""

from __future__ import annotations

import logging
from typing import Final

from django.conf import settings
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
from django_srvsession.records import ROTATION_GRACE_MS, Ending, SessionRecord
from django_srvsession.store.face import Face

REASON: Final = "unbound"

log = logging.getLogger("django.security.SuspiciousSession")


class DeviceGuard:
    """Judge whether one request may open its session; remembers what its answer needs."""

    reason = REASON

    def __init__(self, request: HttpRequest) -> None:
        self.request = request
        self.is_shown = self.is_first_show = False
        self.awaits_proof = False
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
        if not binding.was_shown and now_ms - binding.at_ms < cookies.IN_FLIGHT_MS:
            return Verdict.OPEN  # It left before its browser had the cookie.
        if self._is_for_proofs:
            self.awaits_proof = True
            return Verdict.OPEN
        if "HTTP_SECURE_SESSION_SKIPPED" in self.request.META:
            if self._must_have_it(binding, now_ms):
                self.violated = record  # It is told of. To end a session for it would be too much.
            raise NotNowError("The browser could not renew its proof, and is asked to come again.")
        self.violated = record
        if conf.bind_violation == "end":
            self.to_end = record
            return Verdict.REFUSE
        # While its device may still come with a good cookie, no other cookie is to replace the session's.
        return Verdict.WAIT if now_ms < binding.at_ms + conf.bind_age_ms else Verdict.REFUSE

    def _must_have_it(self, binding: Binding, now_ms: int) -> bool:
        """Tell whether the device's browser has the cookie: it got one over a minute ago, which is not about to end."""
        age_ms = now_ms - binding.at_ms
        return ROTATION_GRACE_MS < age_ms < conf.bind_age_ms - ROTATION_GRACE_MS

    def is_no_use_of(self, session: SessionStore) -> bool:
        """Tell whether the request came to bring a proof, and brought none; a sign-in on the way is a use."""
        # Nobody may have looked at the session yet, which is to be saved all the same.
        is_unread = settings.SESSION_SAVE_EVERY_REQUEST and not session.is_live
        return (self.awaits_proof or (is_unread and self._is_for_proofs)) and not session.must_send_cookie

    @property
    def _is_for_proofs(self) -> bool:
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
    """Before a session is saved: have it remember that its browser has the cookie.

    Who was let in to prove to have the key, and did not, has not used the session: nothing is saved, whatever ran
    before the view, and with ``SESSION_SAVE_EVERY_REQUEST`` too. Else a thief could keep it alive there.
    """
    guard = session.guard
    if not isinstance(guard, DeviceGuard):
        return
    if guard.is_no_use_of(session):
        session.stand_aside()
    elif guard.is_first_show and session.is_live:
        session.change_details_with_bookkeeping(_show)


def note_proof(session: SessionStore) -> None:
    """Take note that the request has proved to have the key: from now on it is a use."""
    if isinstance(session.guard, DeviceGuard):
        session.guard.awaits_proof = False


def _show(details: Details, now_ms: int) -> Details:
    if not details.binding:
        return details
    return details._replace(binding=Binding.decode(details.binding)._replace(was_shown=True).encode())
