"""Users, by the ids that records hold of them: text, which need be no key of today's user model.

A site may have users of several kinds: those of ``AUTH_USER_MODEL``, and those of other models, which a backend of its
own signs in. Keys of two kinds may be equal. So the id of a user of another kind names the model: ``:shop.customer:1``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

from django.apps import apps
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, SESSION_KEY, get_user_model, load_backend
from django.core.exceptions import ValidationError
from django.db import router
from django.db.models import Model, QuerySet

from django_srvsession.records import is_storable


def user_id_of(user: Any) -> str:
    """Return a user's id as records hold it, from a user object, or from such an id or a primary key itself."""
    meta = getattr(user, "_meta", None)
    return str(user) if meta is None else user_id(kind_of(meta.concrete_model), str(meta.pk.value_to_string(user)))


def user_id(kind: str, key: str) -> str:
    """Return the id of the user of a kind with this primary key, as text."""
    return key if not kind and not key.startswith(":") else f":{kind}:{key}"


def kind_in(user_id: str) -> str:
    """Return of which kind an id says that its user is: the label of a model; empty for ``AUTH_USER_MODEL``."""
    return user_id[1:].partition(":")[0] if user_id.startswith(":") else ""


def key_in(user_id: str) -> str:
    """Return the primary key that an id stands for, as text: what ``django.contrib.auth`` keeps in the session."""
    return user_id[1:].partition(":")[2] if user_id.startswith(":") else user_id


def kind_of(model: type[Model]) -> str:
    """Return which kind of users a model holds: its label; nothing for ``AUTH_USER_MODEL`` and what shares its key.

    A model that inherits from another one whose users may sign in holds users of that one: one saves or deletes them
    there, too.
    """
    own: Any = get_user_model()._meta.concrete_model
    if model is own or shares_key(model, own) or shares_key(own, model):
        return ""
    for base in model.__mro__[:0:-1]:
        if _holds_users(base) and shares_key(model, base) and not shares_key(own, base):
            return base._meta.label_lower
    return model._meta.label_lower


def _holds_users(base: type) -> TypeGuard[type[Model]]:
    return hasattr(base, "_meta") and issubclass(base, Model) and may_sign_in(base)


def shares_key(child: type[Model], base: type[Model]) -> bool:
    """Tell whether rows of both have one primary key: the child's is its link to the base, or to a base between."""
    key = child._meta.pk
    while key.remote_field is not None and getattr(key.remote_field, "parent_link", False):
        if key.remote_field.model is base:
            return True
        key = key.remote_field.model._meta.pk
    return False


def may_sign_in(model: type[Model]) -> bool:
    """Tell whether a model that is not of ``AUTH_USER_MODEL`` is made for users who sign in."""
    from django.contrib.auth.base_user import AbstractBaseUser  # Only while the apps are ready.

    return issubclass(model, AbstractBaseUser) and not model._meta.abstract and not model._meta.swapped


def has_other_kinds() -> bool:
    """Tell whether users of another model than ``AUTH_USER_MODEL`` may sign in."""
    return any(may_sign_in(model) and kind_of(model) for model in apps.get_models())


def only_backend_knows(contents: Mapping[Any, Any]) -> bool:
    """Tell whether nobody but a backend of the site's own can say of which kind the user is whom contents name."""
    from django.contrib.auth.backends import ModelBackend  # Only while the apps are ready.

    path = contents.get(BACKEND_SESSION_KEY)
    if SESSION_KEY not in contents or path is None:
        return False
    if path not in settings.AUTHENTICATION_BACKENDS:
        return has_other_kinds()
    return getattr(type(load_backend(path)), "get_user", None) is not ModelBackend.get_user


def named_in(contents: Mapping[Any, Any]) -> str | None:
    """Return the id of the user whom the contents of another engine's session name; asks a database only if need be.

    None where the backend that has signed them in does not say who that is: Django takes them for nobody then, too.
    """
    if (found := contents.get(SESSION_KEY)) is None:
        return None
    if not only_backend_knows(contents):
        return user_id("", str(found))
    path = contents[BACKEND_SESSION_KEY]
    if path not in settings.AUTHENTICATION_BACKENDS:
        return None
    backend: Any = load_backend(path)
    user = backend.get_user(get_user_model()._meta.pk.to_python(found))  # As Django itself asks for its user.
    return None if user is None else user_id_of(user)


def keys_of(user_ids: Iterable[str | None], model: type[Model] | None = None) -> dict[str, Any]:
    """Return the primary keys that ids stand for, by id; without those that no user of a model can have.

    Of ``AUTH_USER_MODEL``, unless another model is named. A number that no column holds, and text that no database
    takes, would be an error of the query for all of them.
    """
    own = get_user_model()
    model = model or own
    kind, pk = ("" if model is own else kind_of(model)), model._meta.pk
    field: Any = pk
    while field.remote_field is not None:
        field = field.target_field  # The key is another model's: only its own field knows what a column holds.
    keys: dict[str, Any] = {}
    for user_id in {user_id for user_id in user_ids if user_id is not None and is_storable(user_id)}:
        if kind_in(user_id) != kind:
            continue
        with contextlib.suppress(ValueError, ValidationError):
            key = pk.to_python(key_in(user_id))
            field.run_validators(key)
            keys[user_id] = key
    return keys


def users_of(user_ids: Iterable[str | None], among: QuerySet[Any] | None = None) -> dict[str, Any]:
    """Return those of the users of ``AUTH_USER_MODEL`` with these ids that are ``among`` these, by id; in one query."""
    keys = keys_of(user_ids)
    return _found(keys, get_user_model()._base_manager.all() if among is None else among)


def written_users_of(user_ids: Iterable[str | None]) -> dict[str, Any]:
    """Return the users with these ids, by id, of every kind that there is; None for one who is not found.

    Asks the database that each kind is written to, in one query. An id that says nothing of today's users is left out.
    """
    user_ids = set(user_ids)
    users: dict[str, Any] = {}
    for kind in {kind_in(user_id) for user_id in user_ids if user_id is not None}:
        try:
            model = apps.get_model(kind) if kind else get_user_model()
        except (LookupError, ValueError):
            continue
        keys = keys_of(user_ids, model)
        users |= dict.fromkeys(keys) | _found(keys, model._base_manager.using(router.db_for_write(model)))
    return users


def _found(keys: dict[str, Any], among: QuerySet[Any]) -> dict[str, Any]:
    if not keys:
        return {}
    users = {user.pk: user for user in among.filter(pk__in=list(keys.values()))}
    return {user_id: users[key] for user_id, key in keys.items() if key in users}
