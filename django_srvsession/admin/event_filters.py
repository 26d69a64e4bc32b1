"""The filters of the list of events: each says what it asks for as a condition, and whether an index answers it."""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from django_srvsession.admin.filters import SessionFilter, UserFilter
from django_srvsession.events.words import REASONS
from django_srvsession.models import SessionEvent
from django_srvsession.store.listings import MINUTE_MS, clock_ms

_OTHER = "other"


class EventFilter(SessionFilter):
    """Be a filter of events: ``indexed`` is asked of all of them, ``wanted`` of a bounded number."""

    def indexed(self) -> Q:
        """Return the condition that an index answers."""
        return Q()

    def wanted(self) -> Q:
        """Return the condition that none does."""
        return Q()


class EventUserFilter(UserFilter, EventFilter):
    """Events of one user, as links ask for; shown only when in use."""

    def indexed(self) -> Q:
        """Return the condition."""
        return Q() if self.value() is None else Q(user_id=self.value())


class KindFilter(EventFilter):
    """Signed in or out, or what else happened to an account."""

    title = _("what")
    parameter_name = "kind"
    choices_offered = [
        (SessionEvent.STARTED, _("Started")),
        (SessionEvent.ENDED, _("Ended")),
        (SessionEvent.FAILED, _("Failed sign-ins")),
        (SessionEvent.CHANGED, _("Password and e-mail")),
        (SessionEvent.UNBOUND_USE, _("Refused uses")),
    ]

    def wanted(self) -> Q:
        """Return the condition."""
        return Q() if self.value() is None else Q(kind=self.value())


class ReasonFilter(EventFilter):
    """Why a session ended: one of our reasons, or any of the site's own."""

    title = _("reason")
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the choices."""
        return self.valid_values()

    def valid_values(self) -> list[tuple[str, Any]]:
        """Return the choices that a request may make."""
        return [*REASONS.items(), (_OTHER, _("Other"))]

    def wanted(self) -> Q:
        """Return the condition."""
        if self.value() is None:
            return Q()
        if self.value() == _OTHER:
            return Q(kind=SessionEvent.ENDED) & ~Q(reason__in=list(REASONS))
        return Q(kind=SessionEvent.ENDED, reason=self.value())


class TimeFilter(EventFilter):
    """Happened in the last so many minutes."""

    title = _("time")
    parameter_name = "since"
    choices_offered = [("60", _("Last hour")), ("1440", _("Last day")), ("10080", _("Last week"))]

    def indexed(self) -> Q:
        """Return the condition."""
        value = self.value()
        return Q() if value is None else Q(at_ms__gte=clock_ms() - int(value) * MINUTE_MS)
