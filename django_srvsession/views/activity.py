"""A person's recent activity: sign-ins, also those that failed, changes of the account, and how devices signed out."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any, ClassVar, NamedTuple
from urllib.parse import urlencode

from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext
from django.views.generic import TemplateView

from django_srvsession.events import log as event_log
from django_srvsession.events.history import Entry, Place, asking_the_database, recent
from django_srvsession.events.words import CHOICES
from django_srvsession.views.own_sessions import OwnSessionsView


class Day(NamedTuple):
    """Hold what happened on one day of the current time zone, newest first; ``name`` is "Today", or the date."""

    name: str
    entries: list[Entry]


class FilterChoice(NamedTuple):
    """Hold what may be chosen to be shown: its name, and the query of its link."""

    name: str
    query: str
    is_chosen: bool


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
        """Return a page of the activity by days, where the next one begins, and for how many days it is kept."""
        after, show = Place.parse(self.request.GET.get("after", "")), self.request.GET.get("show", "")
        show = show if show in CHOICES else ""
        found = recent(self.request.user, count=self.paginate_by, after=after, kinds=CHOICES[show][1])
        return super().get_context_data(
            entries=found.entries,
            days=_by_day(found.entries),
            further=found.further,
            choices=[FilterChoice(str(name), _query(show=word), word == show) for word, (name, _) in CHOICES.items()],
            newest=_query(show=show),
            older=_query(show=show, after=str(found.further)) if found.further else "",
            is_newest=after is None,
            current_sid=self.current_sid(),
            days_kept=event_log.days_kept(),
            **kwargs,
        )


def _query(**parameters: str) -> str:
    """Return the query of a link, without what is empty."""
    return urlencode({name: value for name, value in parameters.items() if value})


def _by_day(entries: Iterable[Entry]) -> list[Day]:
    today = timezone.localtime().date()
    groups = itertools.groupby(entries, lambda entry: timezone.localtime(entry.at).date())
    return [Day(_name_of(day, today), list(group)) for day, group in groups]


def _name_of(day: date, today: date) -> str:
    if day == today:
        return gettext("Today")
    return gettext("Yesterday") if day == today - timedelta(days=1) else date_format(day, "DATE_FORMAT")
