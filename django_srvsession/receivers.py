"""What Django's own signals mean for sessions; connected when the app is ready."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.contrib.auth import get_user_model, signals
from django.db.models.signals import post_delete, post_save, pre_save

from django_srvsession import accounts, limits, new_devices, visits
from django_srvsession.engine import SessionStore


def connect_first() -> None:
    """Connect what must come before other apps' receivers: a refused sign-in is no ``last_login``, and no news."""
    signals.user_logged_in.connect(_admit, dispatch_uid="srvsession.login")


def connect() -> None:
    """Connect all other receivers, once."""
    signals.user_logged_out.connect(_mark_logout, dispatch_uid="srvsession.logout")
    # Without a sender: proxies of the user model, and subclasses, send their own class.
    pre_save.connect(_note_change, dispatch_uid="srvsession.user_saving")
    post_save.connect(_end_after_change, dispatch_uid="srvsession.user_saved")
    post_delete.connect(_end_of_deleted, dispatch_uid="srvsession.user_deleted")


def _admit(*, request: Any, user: Any, **kwargs: Any) -> None:
    """Change the key, hold the user to the limit of sessions, and note who signed in for the answer."""
    session = getattr(request, "session", None)
    if isinstance(session, SessionStore):
        if visits.belongs_to(session, user):  # Some code says "signed in" of a token, without a session.
            session.renew_key_after_sign_in()
        limits.enforce(request, session, user)
        new_devices.note_sign_in(session, user)


def _mark_logout(*, request: Any, **kwargs: Any) -> None:
    """Note that the flush which follows is a logout: it ends the session whatever its key has become."""
    session = getattr(request, "session", None)
    if isinstance(session, SessionStore):
        session.logging_out = True


def _note_change(
    *, sender: Any, instance: Any, raw: bool, using: str, update_fields: Collection[str] | None, **kwargs: Any
) -> None:
    if not raw and _is_user(sender):
        accounts.note_change(instance, using=using, update_fields=update_fields)


def _end_after_change(
    *, sender: Any, instance: Any, raw: bool, using: str, update_fields: Collection[str] | None, **kwargs: Any
) -> None:
    if raw or not _is_user(sender):
        return
    is_active = getattr(instance, "is_active", True)
    if not is_active and (update_fields is None or "is_active" in update_fields):
        accounts.end_all(instance, "user_deactivated", using=using)
    accounts.end_others(instance, using=using)


def _end_of_deleted(*, sender: Any, instance: Any, using: str, **kwargs: Any) -> None:
    if _is_user(sender):
        accounts.end_all(instance, "user_deleted", using=using)


def _is_user(model: Any) -> bool:
    return issubclass(model, get_user_model()._meta.concrete_model or get_user_model())
