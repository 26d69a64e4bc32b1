"""A person's recent activity: when they signed in, and how sessions of theirs ended."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.views.generic import TemplateView

from django_srvsession.events import log as event_log
from django_srvsession.events.history import Place, asking_the_database, recent
from django_srvsession.views.own_sessions import OwnSessionsView


class ActivityView(OwnSessionsView, TemplateView):
    """List the recent activity of the person who asks; no such page where ``SRVSESSION_EVENT_LOG`` keeps nothing."""

    http_method_names = ["get", "head"]
    template_name = "srvsession/activity.html"
    shown_after_sign_in = "srvsession:activity"
    paginate_by: ClassVar[int] = 25

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer 503 when the database is out, which the user is asked of too, whatever store the sessions are in."""
        if event_log.days_kept() is None:
            raise Http404
        with asking_the_database():
            return super().dispatch(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return a page of the activity, where the next one begins, and for how many days it is kept."""
        after = Place.parse(self.request.GET.get("after", ""))
        found = recent(self.request.user, count=self.paginate_by, after=after)
        return super().get_context_data(
            entries=found.entries,
            further=found.further,
            is_newest=after is None,
            current_sid=self.current_sid(),
            days=event_log.days_kept(),
            **kwargs,
        )
