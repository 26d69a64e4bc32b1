"""The engine: whether it is ours, and what its store has to say."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.db.models import CharField, TextField

from django_srvsession import migrating
from django_srvsession.engine import SessionStore

_MOST_OF_USER_ID: Final = 255
_EXTRAS: Final = {"bson": "mongodb", "django_redis": "redis", "pymongo": "mongodb", "redis": "redis"}
_ENGINES: Final = "Set it to django_srvsession.backends.db, .redis, .cached_db, .mongodb, .file or .memory."


def check_engine(**kwargs: Any) -> list[CheckMessage]:
    """Report an engine that is not ours, and what its store has to say about its settings."""
    return _engine_messages(deploy=False)


def check_engine_for_deployment(**kwargs: Any) -> list[CheckMessage]:
    """Report what the engine's store has to say about serving a real site."""
    return _engine_messages(deploy=True)


def check_user_ids(**kwargs: Any) -> list[CheckMessage]:
    """Report users' ids for which our tables may have no room: no such user can sign in, or has a recent activity."""
    if (
        not settings.SESSION_ENGINE.endswith((".db", ".cached_db"))
        and getattr(settings, "SRVSESSION_EVENT_LOG", None) is None
    ):
        return []
    key: Any = get_user_model()._meta.pk
    while key.remote_field is not None:
        key = key.target_field
    if not isinstance(key, CharField | TextField) or (key.max_length or 0) in range(1, _MOST_OF_USER_ID + 1):
        return []
    text = (
        f"The primary key of users may have more than {_MOST_OF_USER_ID} characters, which our tables have no room for."
    )
    hint = "Nobody with such a key can sign in on the database engine, and no event of theirs is kept."
    if key.max_length is None:
        return [Warning(text, hint=f"{hint} Keep keys shorter.", id="srvsession.W110")]
    return [Error(text, hint=f"{hint} Use a shorter key, or keep sessions elsewhere.", id="srvsession.E110")]


def _beside() -> Any:
    """Return the engine of ours that the site moves to, or from; what is wrong with that is reported elsewhere."""
    try:
        return migrating.our_engine()
    except ImproperlyConfigured:
        return None


def _engine_messages(deploy: bool) -> list[CheckMessage]:
    try:
        engine = import_module(settings.SESSION_ENGINE).SessionStore
    except (ImportError, AttributeError, RuntimeError) as error:  # The latter: its model's app is not installed.
        text = f"SESSION_ENGINE is {settings.SESSION_ENGINE}, which cannot be used: {error}."
        return [] if deploy else [Error(text, hint=_remedy(error), id="srvsession.E001")]
    ours = engine if issubclass(engine, SessionStore) else _beside()
    if ours is not None:
        return list(ours.store_class.check(deploy))
    text = f"SESSION_ENGINE is {settings.SESSION_ENGINE}: its sessions cannot be listed or ended."
    return [] if deploy else [Error(text, hint=_ENGINES, id="srvsession.E001")]


def _remedy(error: Exception) -> str:
    """Return what to install where a store's library is missing; the name of the module alone may mislead (bson)."""
    if isinstance(error, RuntimeError):
        return "Have its app in INSTALLED_APPS."
    extra = _EXTRAS.get((getattr(error, "name", None) or "").partition(".")[0])
    return _ENGINES if extra is None else f'Run: pip install "django-srvsession[{extra}]"'
