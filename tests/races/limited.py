"""Views of a site on which a user may have so many sessions: ours by its settings, stock Django by what sites write."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model, login
from django.contrib.auth.signals import user_logged_in
from django.core.exceptions import PermissionDenied
from django.core.signals import setting_changed
from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.utils import timezone

from tests.site_urls import BACKEND, answer, argument

SessionStore = import_module(settings.SESSION_ENGINE).SessionStore


def set_limit(request: HttpRequest) -> JsonResponse:
    """Change the settings of this process; 0: no limit."""
    _set("SRVSESSION_MAX_SESSIONS_PER_USER", int(argument(request, "limit")) or None)
    _set("SRVSESSION_LIMIT_POLICY", argument(request, "policy", "end_oldest"))
    return answer()


def _set(name: str, value: object) -> None:
    setattr(settings, name, value)
    setting_changed.send(sender=None, setting=name, value=value, enter=True)


def log_in_within_limit(request: HttpRequest) -> JsonResponse:
    """Sign in, or say that it was refused, as a login form does."""
    user = get_user_model().objects.get(username=argument(request, "user"))
    try:
        login(request, user, backend=BACKEND)
    except PermissionDenied:
        return answer(refused=True, user=request.user.get_username())
    return answer(refused=False, user=request.user.get_username())


def log_in_atomically(request: HttpRequest) -> JsonResponse:
    """Sign in as a view under ``ATOMIC_REQUESTS`` does: in a transaction, which a refusal rolls back."""
    try:
        with transaction.atomic():
            login(request, get_user_model().objects.get(username=argument(request, "user")), backend=BACKEND)
    except PermissionDenied:
        return answer(refused=True, user=request.user.get_username())
    return answer(refused=False, user=request.user.get_username())


def _count_then_delete(*, request: Any, user: Any, **kwargs: Any) -> None:
    """Make place for the session that is being made, as it is done by hand: count, then delete, or refuse."""
    limit = getattr(settings, "SRVSESSION_MAX_SESSIONS_PER_USER", None)
    keys = _keys_of(user) if limit else []
    if not limit or len(keys) < limit:
        return
    if settings.SRVSESSION_LIMIT_POLICY == "refuse":
        request.session.flush()
        raise PermissionDenied
    for key in keys[: len(keys) - limit + 1]:
        SessionStore(key).delete()


def _keys_of(user: Any) -> list[str]:
    """Return the keys of a user's sessions, oldest first: by the table, where there is one, or by a home-made list."""
    if not settings.SESSION_ENGINE.endswith(".db"):
        from tests.races import homemade

        return [record.sid for record in homemade.sessions_of(user)]
    rows = SessionStore.get_model_class().objects.filter(expire_date__gt=timezone.now()).order_by("expire_date")
    return [row.session_key for row in rows if row.get_decoded().get("_auth_user_id") == str(user.pk)]


if settings.SESSION_ENGINE.startswith("django.contrib.sessions."):
    user_logged_in.connect(_count_then_delete, dispatch_uid="races.limited")

VIEWS = {
    "limit": set_limit,
    "log_in_within_limit": log_in_within_limit,
    "log_in_atomically": log_in_atomically,
}
