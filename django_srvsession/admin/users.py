"""What the project's own ``UserAdmin`` gets: an action that signs people out, and "Sessions" on a user's page.

Django's own for ``auth.User`` has the latter without it, from ``admin/auth/user/change_form_object_tools.html``.
"""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.admin.options import IS_POPUP_VAR
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_srvsession import services
from django_srvsession.admin import ending

ACTION: Final = "log_out_selected_users"
MOST_USERS: Final = 1000


class EndSessionsMixin:
    """Add "Sign out selected users", and "Sessions" above a user's page, to a ``ModelAdmin`` of users.

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
        from django_srvsession.admin import questions  # Few requests ask one.

        hidden = questions.chosen(ACTION, [user.pk for user in users])
        asking = questions.about_users(request, self, user_ids, hidden)
        if asking is None:
            ending.end_sessions_of(request, self.admin_site, user_ids, "all sessions of the user")
        return asking

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        """Return a user's page, whichever template it has, with the link to the user's sessions above it."""
        response = super().render_change_form(request, context, *args, **kwargs)  # type: ignore[misc]
        if isinstance(response, TemplateResponse) and response.context_data is not None:
            response.context_data["srvsession_page"] = response.resolve_template(response.template_name)
            response.template_name = "admin/srvsession/user_change_form.html"
        return response
