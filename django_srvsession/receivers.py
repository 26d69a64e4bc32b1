"""What Django's own signals mean for sessions; connected when the app is ready."""

from __future__ import annotations

import functools
from collections.abc import Collection
from typing import Any

from django.contrib.auth import get_user_model, signals
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.db.models.signals import post_delete, post_save

from django_srvsession import services
from django_srvsession.engine import SessionStore, current_store


def connect() -> None:
    """Connect all receivers, once."""
    signals.user_logged_out.connect(_mark_logout, dispatch_uid="srvsession.logout")
    # Without a sender: proxies of the user model, and subclasses, send their own class.
    post_save.connect(_end_if_deactivated, dispatch_uid="srvsession.user_saved")
    post_delete.connect(_end_of_deleted, dispatch_uid="srvsession.user_deleted")


def _mark_logout(*, request: Any, **kwargs: Any) -> None:
    """Note that the flush which follows is a logout: it ends the session whatever its key has become."""
    session = getattr(request, "session", None)
    if isinstance(session, SessionStore):
        session.logging_out = True


def _end_if_deactivated(
    *, sender: Any, instance: Any, raw: bool, using: str, update_fields: Collection[str] | None, **kwargs: Any
) -> None:
    if raw or not _is_user(sender) or getattr(instance, "is_active", True):
        return
    if update_fields is None or "is_active" in update_fields:
        _end_all_after_commit(instance, "user_deactivated", using)


def _end_of_deleted(*, sender: Any, instance: Any, using: str, **kwargs: Any) -> None:
    if _is_user(sender):
        _end_all_after_commit(instance, "user_deleted", using)


def _is_user(model: Any) -> bool:
    return issubclass(model, get_user_model()._meta.concrete_model or get_user_model())


def _end_all_after_commit(user: Any, reason: str, using: str) -> None:
    """End the user's sessions once the change is final; the id is taken now, since a deleted user loses it."""
    try:
        current_store()
    except (ImproperlyConfigured, ImportError):
        return  # Another engine is in use; the checks say so.
    end_all = functools.partial(services.revoke_all, services.user_id_of(user), reason=reason)
    transaction.on_commit(end_all, using=using)
