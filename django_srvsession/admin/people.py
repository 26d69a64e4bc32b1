"""Users, as the admin asks for them: by the ids that records hold, or by what somebody typed; never too many.

Who may not see users in this admin learns no name, no address and no rank of theirs: ``Viewer`` says what may be shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from django.contrib.admin import AdminSite
from django.contrib.auth import get_permission_codename, get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from django_srvsession.users import user_id_of, users_of, written_users_of

MOST_FOUND: Final = 50
MOST_STAFF: Final = 50
_MOST_TYPED: Final = 254  # The longest e-mail address.


class Viewer:
    """Be who looks at a page of the admin, and may see some users or none.

    The site's own ``ModelAdmin`` of users says which, where there is one, and else a permission to view or change
    users. Everybody may see themselves.
    """

    def __init__(self, request: HttpRequest, site: AdminSite) -> None:
        self._request = request
        self._model = get_user_model()
        self._admin = site._registry.get(self._model)

    @property
    def sees_users(self) -> bool:
        """Tell whether users may be shown, and looked for by name, at all."""
        if self._admin is not None:
            return self._admin.has_view_or_change_permission(self._request)
        meta = self._model._meta
        names = (f"{meta.app_label}.{get_permission_codename(verb, meta)}" for verb in ("view", "change"))
        return self._request.user.is_active and any(map(self._request.user.has_perm, names))

    def people_of(self, user_ids: Iterable[str | None]) -> dict[str | None, Any]:
        """Return those of the users with these ids who may be shown, by id; in one query."""
        own_id, wanted = user_id_of(self._request.user), set(user_ids)
        own: dict[str | None, Any] = {own_id: self._request.user} if own_id in wanted else {}
        found = users_of(wanted, among=self._users()) if self.sees_users else {}
        return {**own, **{user_id: user for user_id, user in found.items() if self._may_see(user)}}

    def people_named(self, text: str) -> list[Any]:
        """Return users whose name begins with a text, or whose e-mail address it is; or the text, as a user's id.

        The name's index can answer the first. The second reads all users where there is no index on the upper-case
        address, as every password reset of Django's does.
        """
        if not text or len(text) > _MOST_TYPED or "\0" in text:
            return []
        if not self.sees_users:
            return [text]
        found = Q(**{f"{self._model.USERNAME_FIELD}__startswith": text})
        if "@" in text and has_field(self._model.get_email_field_name()):
            found |= Q(**{f"{self._model.get_email_field_name()}__iexact": text})
        return list(filter(self._may_see, self._users().filter(found).order_by("pk")[:MOST_FOUND]))

    def staff(self) -> list[Any]:
        """Return the members of the staff; none where the user model knows no staff."""
        if not self.sees_users or not has_field("is_staff"):
            return []
        return list(filter(self._may_see, self._users().filter(is_staff=True).order_by("pk")[:MOST_STAFF]))

    def _users(self) -> QuerySet[Any]:
        return self._model._base_manager.all() if self._admin is None else self._admin.get_queryset(self._request)

    def _may_see(self, user: Any) -> bool:
        return self._admin is None or self._admin.has_view_or_change_permission(self._request, user)


def ordinary_of(user_ids: Iterable[str | None]) -> set[str | None]:
    """Return which of these ids are of accounts that are found, and no superusers'; None, nobody's, is one of them.

    To decide by, and not to show. Asks where users are written. An account that is not found, be it that its key is
    none that the site takes today, may be a superuser's.
    """
    user_ids = set(user_ids)
    users = written_users_of(user_ids)
    found = {user_id for user_id, user in users.items() if user and not getattr(user, "is_superuser", False)}
    return user_ids & {*found, None}


def has_field(name: str) -> bool:
    """Tell whether the user model has a field."""
    try:
        get_user_model()._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return True
