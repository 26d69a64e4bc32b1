"""The list of events: by places, like the list of live sessions, and never by a lookup that a request names."""

from __future__ import annotations

import re
from typing import Any, Final

from django.contrib.admin.options import IncorrectLookupParameters
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest
from django.utils.translation import gettext

from django_srvsession import services
from django_srvsession.admin.changelist import START_OF_SID, LiveSessionList
from django_srvsession.admin.rows import named
from django_srvsession.events import history
from django_srvsession.models import SessionEvent
from django_srvsession.records import is_sid

_START_OF_ADDRESS: Final = re.compile(r"\d{1,3}\.[\d.]{0,11}|[0-9a-f]{0,4}:[0-9a-f:.]{0,40}", re.IGNORECASE)


class EventList(LiveSessionList):
    """List events from a place on."""

    all_filters: list[Any]

    def get_results(self, request: HttpRequest) -> None:
        """Fetch one portion; what no index answers is asked of a bounded number."""
        after = history.Place.parse(self.after)
        if self.after and after is None:
            raise IncorrectLookupParameters
        with history.asking_the_database():
            found = self._found(after)
            rows = named(found.events, self.viewer)
        self.further = None if found.further is None else str(found.further)
        note = gettext("Only the next %(count)d events were looked at.") % {"count": history.LOOK_AT}
        self.note = note if found.is_cut else ""
        self._show(rows)

    def _found(self, after: history.Place | None) -> history.EventPage:
        indexed, wanted = self._searched(self.query.strip())
        for spec in self.all_filters:
            indexed, wanted = indexed & spec.indexed(), wanted & spec.wanted()
        events = SessionEvent.objects.filter(indexed)
        return history.portion_of(events, count=self.list_per_page, after=after, wanted=wanted)

    def _searched(self, text: str) -> tuple[Q, Q]:
        """Return what is typed as a condition that an index answers, and one that none does."""
        if not text:
            return Q(), Q()
        if is_sid(text):
            return Q(sid=text), Q()
        if _START_OF_ADDRESS.fullmatch(text):
            return Q(), Q(ip__startswith=text.lower())
        # The text itself too: the id of a user who is gone.
        people = self.viewer.people_named(text)
        if START_OF_SID.fullmatch(text) and people in ([], [text]):
            return Q(), Q(sid__startswith=text) | Q(user_id=text)
        ids = [services.user_id_of(user) for user in people]
        return Q(user_id__in=[*ids, text.replace("\0", "")]), Q()

    def _show(self, rows: list[SessionEvent]) -> None:
        self.result_list: Any = rows
        self.result_count = self.full_result_count = len(rows)
        self.show_full_result_count = self.show_admin_actions = False
        self.can_show_all, self.show_all, self.multi_page = True, False, False
        self.paginator = Paginator(rows, self.list_per_page)
