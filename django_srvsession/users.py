"""Users, by the ids that records hold of them: text, which need be no key of today's user model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import QuerySet

from django_srvsession.records import is_storable


def user_id_of(user: Any) -> str:
    """Return a user's id as records hold it, from a user object or from its primary key."""
    meta = getattr(user, "_meta", None)
    return str(user) if meta is None else str(meta.pk.value_to_string(user))


def keys_of(user_ids: Iterable[str | None]) -> dict[str, Any]:
    """Return the primary keys that ids stand for, by id; without those that no user of today's model can have.

    A number that no column holds, and text that no database takes, would be an error of the query for all of them.
    """
    pk = get_user_model()._meta.pk
    field: Any = pk
    while field.remote_field is not None:
        field = field.target_field  # The key is another model's: only its own field knows what a column holds.
    keys: dict[str, Any] = {}
    for user_id in {user_id for user_id in user_ids if user_id is not None and is_storable(user_id)}:
        with contextlib.suppress(ValueError, ValidationError):
            key = pk.to_python(user_id)
            field.run_validators(key)
            keys[user_id] = key
    return keys


def users_of(
    user_ids: Iterable[str | None], using: str | None = None, among: QuerySet[Any] | None = None
) -> dict[str, Any]:
    """Return the users with these ids, by id, in one query; ``using`` names the database that is asked."""
    keys = keys_of(user_ids)
    if not keys:
        return {}
    asked = get_user_model()._base_manager.using(using) if among is None else among
    users = {user.pk: user for user in asked.filter(pk__in=list(keys.values()))}
    return {user_id: users[key] for user_id, key in keys.items() if key in users}
