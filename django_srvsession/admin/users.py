"""What the project's own ``UserAdmin`` gets: an action that signs people out, and a link to a user's sessions."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.admin.options import IS_POPUP_VAR
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html_join
from django.utils.http import urlencode
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_srvsession import services
from django_srvsession.admin import ending, questions
from django_srvsession.admin.history import events_url

ACTION: Final = "log_out_selected_users"
MOST_USERS: Final = 1000


class EndSessionsMixin:
    """Add "Sign out selected users" and a link to a user's sessions to a ``ModelAdmin`` of users.

    Name it before the admin class: ``class UserAdmin(EndSessionsMixin, auth.admin.UserAdmin)``. The action is for who
    may delete live sessions, the link for who may view them.
    """

    admin_site: admin.AdminSite

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> Any:
        """Return the actions, with ours."""
        where = {} if action_location is None else {"action_location": action_location}  # Since Django 6.1.
        actions: dict[str, Any] = super().get_actions(request, **where)  # type: ignore[misc]
        is_list = getattr(action_location, "name", "CHANGE_LIST") == "CHANGE_LIST"
        offers_actions = getattr(self, "actions", None) is not None and IS_POPUP_VAR not in request.GET
        if is_list and offers_actions and ending.may_end(request):
            actions[ACTION] = self.get_action(ACTION)  # type: ignore[attr-defined]
        return actions

    @admin.action(description=_("Sign out selected users"))
    def log_out_selected_users(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase | None:
        """End all sessions of the chosen users, having asked."""
        users = list(queryset[: MOST_USERS + 1])
        if len(users) > MOST_USERS:
            messages.warning(request, gettext("Choose no more than %(count)d users at once.") % {"count": MOST_USERS})
            return None
        user_ids = [services.user_id_of(user) for user in users]
        hidden = questions.chosen(ACTION, [user.pk for user in users])
        asking = questions.about_users(request, self, user_ids, hidden)
        if asking is None:
            ending.end_sessions_of(request, self.admin_site, user_ids, "all sessions of the user")
        return asking

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the fields that are only shown, with the link."""
        fields = tuple(super().get_readonly_fields(request, obj))  # type: ignore[misc]
        return (*fields, "live_sessions") if self._has_link(request, obj) else fields

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the fieldsets, with one for the link."""
        fieldsets = super().get_fieldsets(request, obj)  # type: ignore[misc]
        if not self._has_link(request, obj):
            return fieldsets
        # Where a project names no fieldsets, Django's one holds every field, this one included.
        named = [(title, {**options, "fields": _without(options["fields"])}) for title, options in fieldsets]
        return [*named, (_("Sessions"), {"fields": ("live_sessions",)})]

    def _has_link(self, request: HttpRequest, obj: Any) -> bool:
        return obj is not None and request.user.has_perm("srvsession.view_livesession")

    @admin.display(description=_("live sessions"))
    def live_sessions(self, obj: Any) -> str:
        """Show the link to the user's sessions."""
        try:
            path = reverse(f"{self.admin_site.name}:srvsession_livesession_changelist")
        except NoReverseMatch:
            return "-"
        user_id = services.user_id_of(obj)
        links = [
            (f"{path}?{urlencode({'user': user_id})}", gettext("Show sessions")),
            (events_url(self.admin_site, user=user_id), gettext("Show recent activity")),
        ]
        return format_html_join(" · ", '<a href="{}">{}</a>', [link for link in links if link[0]])


def _without(fields: Any) -> tuple[Any, ...]:
    return tuple(field for field in fields if field != "live_sessions")
