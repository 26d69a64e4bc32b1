"""The filters of the list. They never touch a queryset: each says, as ``Filter`` or as users, what it asks for."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.text import capfirst, format_lazy
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from django_srvsession import conf
from django_srvsession.admin import people
from django_srvsession.clients.devices import FAMILIES
from django_srvsession.engine import current_store
from django_srvsession.engine.details import is_bound
from django_srvsession.models import LiveSession
from django_srvsession.store.listings import LOOK_AT, MINUTE_MS, Filter, clock_ms

_Choices = list[tuple[str, Any]]


class SessionFilter(admin.SimpleListFilter):
    """Be a filter with choices; any other value is Django's "wacky" parameter: the list without it."""

    choices_offered: _Choices = []

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        self.viewer = people.Viewer(request, model_admin.admin_site)
        super().__init__(request, params, model, model_admin)
        if self.value() is not None and self.value() not in dict(self.valid_values()):
            raise IncorrectLookupParameters

    def lookups(self, request: HttpRequest, model_admin: Any) -> _Choices:
        """Return the choices."""
        return self.choices_offered

    def valid_values(self) -> _Choices:
        """Return the choices that a request may make."""
        return self.choices_offered

    def queryset(self, request: HttpRequest, queryset: QuerySet[LiveSession]) -> None:
        """Leave the queryset alone: it is an empty one."""

    def narrowed(self, wanted: Filter) -> Filter:
        """Return what is wanted, and meets this filter too."""
        return wanted

    def users(self) -> list[Any] | None:
        """Return the users (objects or ids) whose sessions are wanted; None: all, and anonymous sessions too."""
        return None


class SignedInFilter(SessionFilter):
    """Signed in, or anonymous."""

    title = _("sign-in")
    parameter_name = "kind"
    choices_offered = [("user", pgettext_lazy("sessions", "Signed in")), ("anonymous", _("Anonymous"))]

    def narrowed(self, wanted: Filter) -> Filter:
        """Return what is wanted, and of this kind."""
        return wanted if self.value() is None else wanted._replace(signed_in=self.value() == "user")


class ActivityFilter(SessionFilter):
    """Active in the last so many minutes."""

    title = _("last activity")
    parameter_name = "active"
    choices_offered = [("5", _("Last 5 minutes")), ("60", _("Last hour")), ("1440", _("Last day"))]

    def narrowed(self, wanted: Filter) -> Filter:
        """Return what is wanted, and was active then."""
        value = self.value()
        return wanted if value is None else wanted._replace(seen_from_ms=clock_ms() - int(value) * MINUTE_MS)


DEVICE_KINDS: Final[_Choices] = [
    ("desktop", _("Computer")),
    ("phone", _("Phone")),
    ("tablet", _("Tablet")),
    ("app", _("App")),
    ("bot", _("Bot")),
    ("unknown", _("Unknown device")),
]

# Names that are the same in every language are no text to translate.
_DEVICE_FAMILIES: Final[_Choices] = [
    ("windows", "Windows"),
    ("mac", "Mac"),
    ("linux", "Linux"),
    ("chromebook", "Chromebook"),
    ("iphone", "iPhone"),
    ("android-phone", capfirst(_("Android phone"))),
    ("ipad", "iPad"),
    ("android-tablet", capfirst(_("Android tablet"))),
]


class DeviceFilter(SessionFilter):
    """The kind of device, or its family: what the user agent says, which anyone may write."""

    title = _("device")
    parameter_name = "device"
    choices_offered = [*DEVICE_KINDS, *_DEVICE_FAMILIES]

    def __init__(self, request: HttpRequest, params: dict[str, Any], *args: Any) -> None:
        super().__init__(request, params, *args)
        if not current_store().has_device_index:
            self.title = format_lazy(_("device, among the next {count} sessions"), count=LOOK_AT)

    def narrowed(self, wanted: Filter) -> Filter:
        """Return what is wanted, and on such a device."""
        asked = self.value()
        families = frozenset(family for family, kind in FAMILIES.items() if asked in (family, kind))
        return wanted._replace(devices=families)


class BoundFilter(SessionFilter):
    """Bound to a device, or not; where the site binds sessions."""

    title = _("bound to a device")
    parameter_name = "bound"
    choices_offered = [("yes", _("Yes")), ("no", _("No"))]

    def lookups(self, request: HttpRequest, model_admin: Any) -> _Choices:
        """Return the choices, where there are such sessions."""
        return self.valid_values()

    def valid_values(self) -> _Choices:
        """Return the choices that a request may make."""
        return [] if conf.bind is None else self.choices_offered

    def narrowed(self, wanted: Filter) -> Filter:
        """Return what is wanted, and is bound, or is not."""
        if self.value() is None:
            return wanted
        is_wanted = self.value() == "yes"
        return wanted.which(lambda record: is_bound(record) is is_wanted)


class StaffFilter(SessionFilter):
    """Sessions of the staff: of so many of them, at most; for who may see users."""

    title = _("staff")
    parameter_name = "staff"
    choices_offered = [("1", _("Staff"))]

    def lookups(self, request: HttpRequest, model_admin: Any) -> _Choices:
        """Return the choice, where the user model knows a staff."""
        return self.valid_values()

    def valid_values(self) -> _Choices:
        """Return the choice that a request may make."""
        return self.choices_offered if self.viewer.sees_users and people.has_field("is_staff") else []

    def users(self) -> list[Any] | None:
        """Return the staff."""
        return None if self.value() is None else self.viewer.staff()


class UserFilter(SessionFilter):
    """Sessions of one user, as links from the user's page ask for; shown only when in use."""

    title = _("user")
    parameter_name = "user"

    def lookups(self, request: HttpRequest, model_admin: Any) -> _Choices:
        """Return the user who is asked for."""
        user_id = self.value()
        if user_id is None:
            return []
        user = self.viewer.people_of([user_id]).get(user_id)
        return [(user_id, user_id if user is None else user.get_username())]

    def valid_values(self) -> _Choices:
        """Return any id of a possible length."""
        user_id = self.value() or ""
        return [(user_id, user_id)] if len(user_id) <= 255 and "\0" not in user_id else []

    def users(self) -> list[Any] | None:
        """Return the user."""
        return None if self.value() is None else [self.value()]
