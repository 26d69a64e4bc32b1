"""A person's own sessions, as a list of devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib.auth.decorators import login_not_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, resolve_url
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_deny
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import TemplateView, View

from django_srvsession import services
from django_srvsession.accounts import destinations
from django_srvsession.events import log as event_log
from django_srvsession.records import SessionRecord
from django_srvsession.views.cards import Card, card_of, digest_of, grouped, in_their_places, packed, unpacked


@method_decorator([login_not_required, never_cache, csrf_protect, sensitive_post_parameters()], name="dispatch")
@method_decorator(xframe_options_deny, name="dispatch")
class OwnSessionsView(View):
    """Work on the sessions of the person who asks, and on nobody else's.

    An anonymous visitor signs in first, and goes on to ``shown_after_sign_in``: what was asked for may take POST alone.
    """

    shown_after_sign_in: ClassVar[str] = "srvsession:sessions"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Let signed-in users pass."""
        if not request.user.is_authenticated:
            return destinations.to_sign_in(resolve_url(self.shown_after_sign_in))
        return super().dispatch(request, *args, **kwargs)

    def own_sessions(self) -> Sequence[SessionRecord]:
        """Return the live sessions of the person who asks, newest activity first."""
        return services.sessions_of(self.request.user)

    def current(self) -> SessionRecord | None:
        """Return the session that the request came with; None where the user needs no session."""
        record: SessionRecord | None = getattr(self.request.session, "record", None)
        return record

    def current_sid(self) -> str | None:
        """Return the sid of the session that the request came with, or None."""
        return getattr(self.request.session, "sid", None)


class IndexView(OwnSessionsView):
    """Lead from the address above all pages to the list."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest) -> HttpResponseBase:
        """Go there."""
        return redirect("srvsession:sessions")


class SessionsView(OwnSessionsView, TemplateView):
    """List the sessions of the person who asks: this one on every page, then the others.

    On the page that follows an end, without scripts, what was signed out stands where it was (``ended``). Since the
    page is another one than the person clicked on, and scrolled otherwise, each of its buttons asks first.
    """

    http_method_names = ["get", "head"]
    template_name = "srvsession/sessions.html"
    paginate_by: ClassVar[int] = 50

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return this session, one page of the others, how many others there are, and whether events are kept."""
        current, page = self.current(), self._page()
        listed = [record for record in page if current is None or record.sid != current.sid]
        others = services.those_that_open(self.request.user, listed)
        # Of many pages only this one was looked at.
        count = page.paginator.count - (current is not None) if page.has_other_pages() else len(others)
        ended = unpacked(self.request.GET.get("ended", ""), self.request.user)
        cards = in_their_places([self._live_card(record) for record in others], ended)
        context = {
            "current": None if current is None else card_of(current),
            "others": cards,
            "groups": grouped(cards),
            "page": page,
            # A list of one page keeps itself up to date.
            "digest": "" if page.has_other_pages() else digest_of(page),
            "ended": self.request.GET.get("ended", ""),
            "asks_first": "ended" in self.request.GET,
            "some_wait": services.some_wait(),
            "keeps_events": event_log.days_kept() is not None,
        }
        return super().get_context_data(count=count, **context, **kwargs)

    def _live_card(self, record: SessionRecord) -> Card:
        card = card_of(record)
        return card._replace(packed=packed([card], self.request.user))

    def _page(self) -> Any:
        return Paginator(self.own_sessions(), self.paginate_by).get_page(self.request.GET.get("page"))


class DigestView(OwnSessionsView):
    """Say by a digest which sessions the person who asks has, for a page that keeps its list up to date."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest) -> HttpResponse:
        """Answer with the digest, as text."""
        return HttpResponse(digest_of(self.own_sessions()[: SessionsView.paginate_by + 1]), content_type="text/plain")
