"""What was written down of sessions, in the admin: all events in a list, and those of one user beside a live session.

Who may view live sessions may view events, where ``SRVSESSION_EVENT_LOG`` keeps them. Nobody adds, changes or deletes
one. As with live sessions no parameter of a request reaches a lookup, and nothing is counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin
from django.contrib.admin.options import ShowFacets
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_srvsession.admin import cells, event_filters
from django_srvsession.admin.rows import shown
from django_srvsession.escaping import escaped
from django_srvsession.events import log as event_log
from django_srvsession.events.history import device_of
from django_srvsession.events.words import text_of
from django_srvsession.models import LiveSession, SessionEvent
from django_srvsession.records import is_storable

if TYPE_CHECKING:
    from django_srvsession.admin.event_list import EventList

    ModelAdmin = admin.ModelAdmin[SessionEvent]
else:
    ModelAdmin = admin.ModelAdmin

PERMISSION: Final = "srvsession.view_livesession"


def events_url(site: admin.AdminSite, **query: str) -> str:
    """Return the address of the list of events, narrowed; empty where it is not on the site, or nothing is kept."""
    if event_log.days_kept() is None or not all(map(is_storable, query.values())):
        return ""
    try:
        path = reverse(f"{site.name}:srvsession_sessionevent_changelist")
    except NoReverseMatch:
        return ""
    return f"{path}?{urlencode(query)}"


def _name(event: SessionEvent, user_id: str) -> str:
    """Return a user's name; the text as it stands where it is nobody's id, or the user is gone."""
    names: Mapping[str, str] = vars(event)["names"]
    return escaped(names.get(user_id, user_id))


def _by(event: SessionEvent) -> str:
    """Return by whom, in words; empty where nobody did it, or it is not known."""
    if not event.by:
        return ""
    return (
        gettext("by the user")
        if event.by == event.user_id
        else gettext("by %(name)s") % {"name": _name(event, event.by)}
    )


def _what(event: SessionEvent) -> str:
    """Return what happened, as its user reads it; below it, who did it."""
    text, by = text_of(event.kind, event.reason), _by(event)
    return format_html('{} <span class="srvsession-by">{}</span>', text, by) if by else text


def _time(event: SessionEvent) -> str:
    from django_srvsession import moments

    moment = event.at.isoformat(timespec="milliseconds")
    return format_html('<time datetime="{}">{}</time>', moment, moments.exactly(event.at))


def _device(event: SessionEvent) -> str:
    name = device_of(event)
    return cells.device(name, event.user_agent) if name else "-"


@admin.register(SessionEvent)
class SessionEventAdmin(ModelAdmin):
    """List what was written down of sessions."""

    list_display = ("when", "happened", "person", "device", "location", "session")
    list_display_links = None
    list_filter = (
        event_filters.EventUserFilter,
        event_filters.KindFilter,
        event_filters.ReasonFilter,
        event_filters.TimeFilter,
    )
    list_per_page = 50
    sortable_by = ()
    actions = None
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    search_fields = ("sid",)  # Makes the search form appear; what is typed there never reaches a lookup.
    search_help_text = _("The beginning of a user name, an e-mail address, an IP address, or a session's name.")

    class Media:
        css = {"all": ("srvsession/admin.css",)}

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Say that nobody adds an event."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say that nobody changes an event."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say that nobody deletes an event: their time does."""
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether who asks may view live sessions, and events are kept."""
        return event_log.days_kept() is not None and request.user.is_active and request.user.has_perm(PERMISSION)

    def get_queryset(self, request: HttpRequest) -> QuerySet[SessionEvent]:
        """Return no rows: the list alone fetches some."""
        return SessionEvent._default_manager.none()

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Allow no lookup."""
        return False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[EventList]:
        """Return the list by places, imported when it is asked for, as Django does with its own."""
        from django_srvsession.admin.event_list import EventList

        return EventList

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the list."""
        return super().changelist_view(request, {"title": gettext("Session events"), **(extra_context or {})})

    @admin.display(description=_("time"))
    def when(self, event: SessionEvent) -> str:
        """Show the moment."""
        return _time(event)

    @admin.display(description=_("what"))
    def happened(self, event: SessionEvent) -> str:
        """Show what happened, why, and by whom."""
        return _what(event)

    @admin.display(description=_("user"))
    def person(self, event: SessionEvent) -> str:
        """Show whose session it was, as a link to all events of theirs."""
        url = events_url(self.admin_site, user=event.user_id)
        return format_html('<a href="{}">{}</a>', url, _name(event, event.user_id))

    @admin.display(description=_("device"))
    def device(self, event: SessionEvent) -> str:
        """Show browser and system; the user agent on hover."""
        return _device(event)

    @admin.display(description=_("IP address"))
    def location(self, event: SessionEvent) -> str:
        """Show the address, and its place where that is known."""
        return cells.location(event.ip)

    @admin.display(description=_("session"))
    def session(self, event: SessionEvent) -> str:
        """Show the public name, as a link to all events of that session."""
        if not event.sid:
            return "-"  # What is said of a user, and of no session.
        url = events_url(self.admin_site, q=event.sid)
        return format_html('<a href="{}">{}</a>', url, cells.short(event.sid))


class History:
    """Show on a live session's page what was written down of it and of its user; before ``Columns``."""

    admin_site: admin.AdminSite

    @admin.display(description=_("recent activity"))
    def events(self, row: LiveSession) -> str:
        """Show the last events of the session's user, this session's own in bold, and links to all of them."""
        lines = format_html_join(
            "",
            '<tr class="{}"><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>',
            (_line(event, row.sid) for event in shown(row).events),
        )
        table = format_html('<table class="srvsession-contents"><tbody>{}</tbody></table>', lines)
        return format_html('<div class="srvsession-events">{}{}</div>', table, self._links(row))

    def _links(self, row: LiveSession) -> str:
        links = [
            (events_url(self.admin_site, q=row.sid), gettext("All events of this session")),
            (events_url(self.admin_site, user=str(row.user_id)), gettext("All events of this user")),
        ]
        return format_html_join(" · ", '<a href="{}">{}</a>', [link for link in links if link[0]])


def _line(event: SessionEvent, sid: str) -> tuple[str, ...]:
    own = "srvsession-own-event" if event.sid == sid else ""
    return own, _time(event), _what(event), _device(event), cells.location(event.ip), cells.short(event.sid)
