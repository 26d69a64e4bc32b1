"""Users, as the admin asks for them: by what somebody typed; never too many."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Q

MOST_FOUND: Final = 50
MOST_STAFF: Final = 50
_MOST_TYPED: Final = 254  # The longest e-mail address.


def people_named(text: str) -> list[Any]:
    """Return users whose name begins with a text, or whose e-mail address it is.

    The name's index can answer the first. The second reads all users where there is no index on the upper-case
    address, as every password reset of Django's does.
    """
    if not text or len(text) > _MOST_TYPED or "\0" in text:
        return []
    model = get_user_model()
    found = Q(**{f"{model.USERNAME_FIELD}__startswith": text})
    if "@" in text and has_field(model.get_email_field_name()):
        found |= Q(**{f"{model.get_email_field_name()}__iexact": text})
    return list(model._base_manager.filter(found).order_by("pk")[:MOST_FOUND])


def staff() -> list[Any]:
    """Return the members of the staff; none where the user model knows no staff."""
    if not has_field("is_staff"):
        return []
    return list(get_user_model()._base_manager.filter(is_staff=True).order_by("pk")[:MOST_STAFF])


def has_field(name: str) -> bool:
    """Tell whether the user model has a field."""
    try:
        get_user_model()._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return True
