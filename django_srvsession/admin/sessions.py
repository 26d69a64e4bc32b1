"""The admin of live sessions: Django's ``ModelAdmin`` over records instead of rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin, messages
from django.contrib.admin.options import ShowFacets
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.http import urlencode
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_srvsession import services
from django_srvsession.admin import ending, filters
from django_srvsession.admin.columns import Columns
from django_srvsession.admin.history import History, events_url
from django_srvsession.admin.rows import name_of, row_of, rows_of, shown
from django_srvsession.models import LiveSession
from django_srvsession.records import is_sid

if TYPE_CHECKING:
    from django_srvsession.admin.changelist import LiveSessionList

    ModelAdmin = admin.ModelAdmin[LiveSession]
else:
    ModelAdmin = admin.ModelAdmin

LIST_HEADER: Final = "X-Srvsession-List"
"""In which the script that keeps the list up to date says which one it shows, by ``LiveSessionList.digest``."""

_WHAT: Final = ("user", "device", "location_in_full", "agent", "full_sid", "store")
_TIMES: Final = ("started_at", "signed_in_at", "last_active_at", "expires_at", "deadline", "key_changed_at")


def _overview() -> dict[str, Any]:
    from django_srvsession.admin.overview import overview

    return overview()


class Chosen:
    """Stand where Django's code for actions narrows a queryset to the chosen rows: the sids, and nothing else.

    It begins empty: "all that there are, across pages" is no choice.
    """

    def __init__(self, sids: Iterable[str] = ()) -> None:
        self.sids = [sid for sid in dict.fromkeys(sids) if is_sid(sid)]

    def filter(self, pk__in: Iterable[str]) -> Chosen:
        """Return what was chosen."""
        return Chosen(pk__in)


class LiveSessionAdmin(History, Columns, ModelAdmin):
    """List, show and end live sessions: who may view sees, who may delete ends, nobody adds or changes."""

    list_display = ("user", "device", "location", "last_active", "started", "expires", "session", "sign_out")
    list_display_links = ("device", "session")
    list_filter = (
        filters.UserFilter,
        filters.SignedInFilter,
        filters.ActivityFilter,
        filters.DeviceFilter,
        filters.BoundFilter,
        filters.StaffFilter,
    )
    list_per_page = 50
    sortable_by = ()
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    search_fields = ("sid",)  # Makes the search form appear; what is typed there never reaches a lookup.
    search_help_text = _("The beginning of a user name, an e-mail address, an IP address, or a session's name.")
    actions = ("end_selected", "end_all_of_users")
    fieldsets = (
        (None, {"fields": _WHAT}),
        (_("Times"), {"fields": _TIMES}),
        (_("Contents"), {"fields": ("contents",)}),
    )
    readonly_fields = (*_WHAT, *_TIMES, "contents", "events")

    class Media:
        css = {"all": ("srvsession/admin.css",)}
        js = ("srvsession/admin.js",)

    # Permissions.

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Say that nobody adds a session."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether who asks may end sessions, or this one; see ``ending.may_end_of``."""
        allowed = super().has_delete_permission(request, obj)
        return allowed and (obj is None or not shown(obj).is_for_superusers)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say that nobody changes a session."""
        return False

    def get_list_display(self, request: HttpRequest) -> Any:
        """Return the columns; the one that signs out is for those who may."""
        columns = super().get_list_display(request)
        return columns if self.has_delete_permission(request) else [name for name in columns if name != "sign_out"]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the fieldsets, with one for the user's recent activity where there is any."""
        fieldsets = super().get_fieldsets(request, obj)
        has_events = obj is not None and shown(obj).events
        return [*fieldsets, (_("Recent activity"), {"fields": ("events",)})] if has_events else fieldsets

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        """Show the detail below the name of its user and device."""
        row = kwargs["obj"]
        return super().render_change_form(
            request, {**context, "subtitle": f"{name_of(row)}, {shown(row).device}"}, *args, **kwargs
        )

    # What Django would read from the table.

    def get_queryset(self, request: HttpRequest) -> QuerySet[LiveSession]:
        """Return no rows: whatever code asks for some, of Django or of a theme, learns nothing."""
        return LiveSession._default_manager.none()

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> LiveSession | None:
        """Return a live session by its sid, or None."""
        found = services.contents_of(object_id) if is_sid(object_id) else None
        return None if found is None else row_of(request, self.admin_site, *found)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Allow no lookup."""
        return False

    def to_field_allowed(self, request: HttpRequest, to_field: str) -> bool:
        """Allow the primary key alone to be referred to."""
        return to_field == "sid"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[LiveSessionList]:
        """Return the list over records, imported when it is asked for, as Django does with its own."""
        from django_srvsession.admin.changelist import LiveSessionList

        return LiveSessionList

    # Pages.

    def get_urls(self) -> list[Any]:
        """Return Django's addresses, and ours before them."""
        view = self.admin_site.admin_view
        return [
            path("overview/", view(self.overview_view), name="srvsession_livesession_overview"),
            path("end-user/", view(self.end_user_view), name="srvsession_livesession_end_user"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the list, on its first page below the overview; or do an action."""
        context = {"title": gettext("Live sessions"), "overview_url": self._url("overview"), **(extra_context or {})}
        may_see = request.method == "GET" and self.has_view_permission(request)
        known = request.headers.get(LIST_HEADER)
        if known is not None:
            if may_see and self.get_changelist(request).is_as(known, self, request):
                return HttpResponse(status=204)
            context["messages"] = ()  # They are for the next page that a person sees.
        elif may_see and not request.GET:
            context["overview"] = _overview()
        user_id = request.GET.get("user")
        if user_id:
            context["events_url"] = events_url(self.admin_site, user=user_id)
        if user_id and self.has_delete_permission(request) and ending.may_end_of(request, [user_id]):
            query = urlencode({"user": user_id, "_changelist_filters": request.GET.urlencode()})
            context["end_user_url"] = f"{self._url('end_user')}?{query}"
        return super().changelist_view(request, context)

    def overview_view(self, request: HttpRequest) -> HttpResponse:
        """Return the overview alone, for the script that refreshes it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return TemplateResponse(request, "admin/srvsession/livesession/overview.html", {"overview": _overview()})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show one session."""
        return super().change_view(
            request, object_id, form_url, {"title": gettext("Live session"), **(extra_context or {})}
        )

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        """End one session, having asked."""
        if not self.has_delete_permission(request):  # First: who may end none learns not which there are.
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined]
        if not self.has_delete_permission(request, row):
            raise PermissionDenied
        from django_srvsession.admin import questions  # Few requests ask one.

        asking = questions.about_sessions(request, self, [row])
        if asking is not None:
            return asking
        ending.end_sessions(request, self.admin_site, [row], "one session")
        return HttpResponseRedirect(self._way_back(request))

    def end_user_view(self, request: HttpRequest) -> HttpResponseBase:
        """End all sessions of one user, having asked."""
        if not self.has_delete_permission(request):
            raise PermissionDenied
        user_id = (request.POST if request.method == "POST" else request.GET).get("user", "")
        if not user_id or len(user_id) > 255 or "\0" in user_id:
            return HttpResponseRedirect(self._url("changelist"))
        if not ending.may_end_of(request, [user_id]):
            raise PermissionDenied
        from django_srvsession.admin import questions  # Few requests ask one.

        asking = questions.about_users(request, self, [user_id], [("user", user_id)])
        if asking is not None:
            return asking
        ending.end_sessions_of(request, self.admin_site, [user_id], "all sessions of the user")
        return HttpResponseRedirect(self._way_back(request))

    def _way_back(self, request: HttpRequest) -> str:
        """Return the list as it was, with its filter."""
        kept: Any = {"preserved_filters": self.get_preserved_filters(request), "opts": self.opts}
        return add_preserved_filters(kept, self._url("changelist"))

    def _url(self, name: str) -> str:
        return reverse(f"{self.admin_site.name}:srvsession_livesession_{name}")

    # Ending.

    def response_action(self, request: HttpRequest, queryset: Any, *args: Any, **kwargs: Any) -> HttpResponse | None:
        """Do an action to the chosen sessions."""
        return super().response_action(request, Chosen(), *args, **kwargs)  # type: ignore[arg-type]

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> Any:
        """Return the actions of this class alone: those of the whole site, deleting and exporting, are for rows."""
        where = {} if action_location is None else {"action_location": action_location}  # Since Django 6.1.
        actions = super().get_actions(request, **where)
        return {name: action for name, action in actions.items() if name in self.actions}

    @admin.action(permissions=["delete"], description=_("Sign out selected sessions"))
    def end_selected(self, request: HttpRequest, queryset: Any) -> HttpResponseBase | None:
        """End the chosen sessions, having asked."""
        rows = self._rows(request, queryset)
        if not rows:
            messages.warning(request, gettext("Already signed out: there was no session to end any more."))
            return None
        from django_srvsession.admin import questions  # Few requests ask one.

        asking = questions.about_sessions(
            request, self, rows, questions.chosen("end_selected", [row.sid for row in rows])
        )
        if asking is None:
            ending.end_sessions(request, self.admin_site, rows, "chosen in the list")
        return asking

    @admin.action(permissions=["delete"], description=_("Sign out the users of selected sessions everywhere"))
    def end_all_of_users(self, request: HttpRequest, queryset: Any) -> HttpResponseBase | None:
        """End all sessions of those whose sessions were chosen, having asked."""
        rows = self._rows(request, queryset)
        user_ids = sorted({row.user_id for row in rows if row.user_id is not None})
        if not user_ids:
            messages.warning(request, gettext("Nobody is signed in in these sessions."))
            return None
        from django_srvsession.admin import questions  # Few requests ask one.

        hidden = questions.chosen("end_all_of_users", [row.sid for row in rows])
        asking = questions.about_users(request, self, user_ids, hidden)
        if asking is None:
            ending.end_sessions_of(request, self.admin_site, user_ids, "all sessions of the user")
        return asking

    def _rows(self, request: HttpRequest, chosen: Chosen) -> list[LiveSession]:
        found = (services.contents_of(sid) for sid in chosen.sids[: self.list_per_page])
        return rows_of(request, self.admin_site, [contents.record for contents in found if contents is not None])
