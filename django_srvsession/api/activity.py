"""A person's recent activity as JSON."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from django_srvsession.api.endpoint import Endpoint
from django_srvsession.api.own_sessions import current_sid
from django_srvsession.api.parameters import cursor_of, limit_of
from django_srvsession.api.problems import ProblemError
from django_srvsession.api.shown import entry_as_json
from django_srvsession.events import log as event_log
from django_srvsession.events.history import Place, asking_the_database, recent


class ActivityEndpoint(Endpoint):
    """List when the person who asks signed in, and how sessions of theirs ended."""

    def checked(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer 503 when the database is out, which the user is asked of too, whatever store the sessions are in."""
        with asking_the_database():
            return super().checked(request, *args, **kwargs)

    def get(self, request: HttpRequest) -> HttpResponse:
        """Answer with a page, newest first, and the cursor of the next one; a problem where nothing is kept."""
        days = event_log.days_kept()
        if days is None:
            raise ProblemError(404, _("This site keeps no recent activity."))
        found = recent(request.user, count=limit_of(request), after=cursor_of(request, Place.parse))
        cursor, sid = None if found.further is None else str(found.further), current_sid(request)
        events = [entry_as_json(entry, sid) for entry in found.entries]
        return JsonResponse({"events": events, "days_kept": days, "next_cursor": cursor})
