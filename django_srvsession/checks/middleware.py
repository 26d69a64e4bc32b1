"""Our middleware: there once, and before whatever needs the session."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.utils.module_loading import import_string

from django_srvsession import conf

_NEEDS_SESSION: Final = (
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.RemoteUserMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
)
_CSRF: Final = "django.middleware.csrf.CsrfViewMiddleware"
_UPDATE_CACHE: Final = "django.middleware.cache.UpdateCacheMiddleware"
_NEED_MIDDLEWARE: Final = (
    *("IDLE_TIMEOUT", "TRUSTED_PROXIES", "CLIENT_IP", "STORE_IP", "LATE_SAVE", "NOTIFY_NEW_DEVICE", "HEADER"),
    *("BIND", "MIGRATE_FROM", "MIGRATE_TO"),
)
_HINT: Final = "MIDDLEWARE needs django_srvsession.middleware.SessionMiddleware once, in the place of Django's."


def check_middleware(**kwargs: Any) -> list[CheckMessage]:
    """Report a missing session middleware of ours, two of them, and one that comes too late."""
    classes = [_imported(path) for path in settings.MIDDLEWARE]
    ours = [place for place, middleware in enumerate(classes) if _is_a(middleware, "django_srvsession.middleware")]
    if not ours:
        return [_missing()]
    if len(ours) > 1:
        text = "The session middleware of django-srvsession is in MIDDLEWARE twice."
        return [Warning(text, hint=_HINT, id="srvsession.W002")]
    return list(_misplaced(classes, ours[0]))


def _missing() -> CheckMessage:
    text = (
        "The session middleware of django-srvsession is not in MIDDLEWARE: an outage of the store is answered "
        "with 500, and no session knows where it was last used."
    )
    needing = [conf.PREFIX + name for name in _NEED_MIDDLEWARE if getattr(settings, conf.PREFIX + name, None)]
    if not needing:
        return Warning(text, hint=_HINT, id="srvsession.W002")
    return Error(
        f"{text} These settings do not work without it: {', '.join(needing)}.", hint=_HINT, id="srvsession.E003"
    )


def _misplaced(classes: list[Any], place: int) -> Iterator[CheckMessage]:
    needing = (*_NEEDS_SESSION, *((_CSRF,) if settings.CSRF_USE_SESSIONS else ()))
    late = [name for name in needing if any(_is_called(middleware, name) for middleware in classes[:place])]
    if late:
        text = f"The session middleware stands after what needs a session: {', '.join(late)}."
        yield Error(text, hint="Move django_srvsession's before it in MIDDLEWARE.", id="srvsession.E004")
    if any(_is_called(middleware, _UPDATE_CACHE) for middleware in classes[place:]):
        text = (
            "UpdateCacheMiddleware stands after the session middleware: it does not see that a page varies by cookie, "
            "and may give one person's page to another."
        )
        yield Warning(text, hint="Move UpdateCacheMiddleware to the top of MIDDLEWARE.", id="srvsession.W010")


def _imported(path: str) -> Any:
    try:
        return import_string(path)
    except ImportError:
        return None  # Django says so itself.


def _is_a(middleware: Any, module: str) -> bool:
    # By name: front ends do not import each other.
    return any(base.__module__ == module for base in getattr(middleware, "__mro__", ()))


def _is_called(middleware: Any, name: str) -> bool:
    return any(f"{base.__module__}.{base.__qualname__}" == name for base in getattr(middleware, "__mro__", ()))
