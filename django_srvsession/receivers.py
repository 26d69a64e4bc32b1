"""What Django's own signals mean for sessions; connected when the app is ready."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from django.apps import apps
from django.contrib.auth import get_user_model, signals
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.db.models import Model
from django.db.models.signals import ModelSignal, class_prepared, post_delete, post_save, pre_save

from django_srvsession import conf
from django_srvsession.accounts import account_changes, admission, current_request, new_devices
from django_srvsession.engine import SessionStore
from django_srvsession.users import may_sign_in, shares_key, user_id_of


def connect_first() -> None:
    """Connect what must come before other apps' receivers: a refused sign-in is no ``last_login``, and no news."""
    signals.user_logged_in.connect(_admit, dispatch_uid="srvsession.login")


def connect() -> None:
    """Connect all other receivers, once."""
    signals.user_logged_out.connect(_mark_logout, dispatch_uid="srvsession.logout")
    signals.user_login_failed.connect(_note_failure, dispatch_uid="srvsession.failed")
    class_prepared.connect(_connect_to, dispatch_uid="srvsession.model_made")
    setting_changed.connect(_exchange_user_model, dispatch_uid="srvsession.user_model")
    _connect_to_users()


def _admit(*, request: Any, user: Any, **kwargs: Any) -> None:
    """Change the key, hold the user to the limit of sessions, and note who signed in for the answer."""
    session = getattr(request, "session", None)
    if isinstance(session, SessionStore):
        user_id = user_id_of(user)
        if session.has_taken(user_id):  # Some code says "signed in" of a token, without a session.
            session.note_sign_in(user_id)
            current_request.ask_for_key(request, session, user)
        admission.enforce(request, session, user)
        new_devices.note_sign_in(session, user)
    elif session is not None and conf.is_moving():
        from django_srvsession.accounts import proofs_elsewhere  # Most sites do not move.
        from django_srvsession.engine import waiting

        waiting.note(session, user_id_of(user))
        proofs_elsewhere.note_sign_in(session, user)


def _mark_logout(*, request: Any, **kwargs: Any) -> None:
    """Note that the flush which follows is a logout: it ends the session whatever its key has become."""
    session = getattr(request, "session", None)
    if isinstance(session, SessionStore):
        session.note_sign_out()


def _note_failure(*, credentials: Mapping[str, Any], request: Any = None, **kwargs: Any) -> None:
    """Note a wrong password; one that no request brought is nobody's try."""
    if request is not None:
        from django_srvsession.accounts import failed_sign_ins  # Not before one is wrong.

        failed_sign_ins.note(request, credentials)


def _note_change(*, instance: Any, raw: bool, using: str, update_fields: Collection[str] | None, **kwargs: Any) -> None:
    if not raw:
        account_changes.note_change(instance, using=using, update_fields=update_fields)


def _end_after_change(
    *, instance: Any, raw: bool, using: str, update_fields: Collection[str] | None, **kwargs: Any
) -> None:
    if raw:
        return
    is_active = getattr(instance, "is_active", True)
    if not is_active and (update_fields is None or "is_active" in update_fields):
        account_changes.end_all(instance, "user_deactivated", using=using)
    account_changes.follow(instance, using=using)


def _end_of_deleted(*, instance: Any, using: str, **kwargs: Any) -> None:
    account_changes.end_all(instance, "user_deleted", using=using)
    account_changes.note_deletion(instance, using=using)


# A receiver without a sender would slow every save of the site, and Django deletes rows one by one where it finds a
# receiver. So these are connected to the classes that hold users, and to no other.
_SAVING: Final[tuple[tuple[ModelSignal, Callable[..., None]], ...]] = (
    (pre_save, _note_change),
    (post_save, _end_after_change),
)
_DELETING: Final[tuple[tuple[ModelSignal, Callable[..., None]], ...]] = ((post_delete, _end_of_deleted),)

# Django knows senders by their number (`id`): a class that was forgotten could leave its number to another one.
_connected: set[type[Model]] = set()
_user_model: type[Model] | None = None


def _connect_to_users() -> None:
    global _user_model
    try:
        _user_model = get_user_model()._meta.concrete_model
    except ImproperlyConfigured:
        _user_model = None
    for model in apps.get_models(include_swapped=True):
        _connect_to(model)


def _connect_to(sender: type[Model], **kwargs: Any) -> None:
    """Connect to one model, if it holds users: the user model, a subclass or proxy, or a base that shares its key.

    And to any other model for users who sign in. A base is heard when it is saved: it may hold the password. When it
    is deleted, Django deletes the user with it.
    """
    model = sender._meta.concrete_model
    if model is None or _user_model is None:
        return
    if issubclass(model, _user_model):
        chosen = _SAVING + _DELETING
    elif issubclass(_user_model, model) and shares_key(_user_model, model):
        chosen = _SAVING
    elif may_sign_in(model):
        chosen = _SAVING + _DELETING
    else:
        return
    _connected.add(sender)
    for signal, receiver in chosen:
        signal.connect(receiver, sender=sender)


def _exchange_user_model(*, setting: str, **kwargs: Any) -> None:
    """Follow ``AUTH_USER_MODEL``, which tests exchange."""
    if setting != "AUTH_USER_MODEL":
        return
    while _connected:
        model = _connected.pop()
        for signal, receiver in _SAVING + _DELETING:
            signal.disconnect(receiver, sender=model)
    _connect_to_users()
