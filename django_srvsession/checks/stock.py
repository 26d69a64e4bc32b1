"""Django's own ``SESSION_*`` settings that we compute with: their kinds, and the serializer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from django_srvsession import conf
from django_srvsession.migrating.source import makes_objects

_FLAGS: Final = (
    "SESSION_COOKIE_HTTPONLY",
    "SESSION_COOKIE_SECURE",
    "SESSION_EXPIRE_AT_BROWSER_CLOSE",
    "SESSION_SAVE_EVERY_REQUEST",
)
_SCALARS: Final = ("text", 1, True, None)


def check_stock_settings(**kwargs: Any) -> list[CheckMessage]:
    """Report values of another kind than Django documents: text out of an environment variable, most of all."""
    return [*_kinds(), *_serializer()]


def _kinds() -> Iterator[CheckMessage]:
    try:
        conf.seconds("SESSION_COOKIE_AGE", settings.SESSION_COOKIE_AGE)
    except ImproperlyConfigured as error:
        yield Error(str(error), hint="Write int(...) around what is read from the environment.", id="srvsession.E005")
    for name in _FLAGS:
        value = getattr(settings, name)
        if not conf.is_flag(value):
            text = f"{name} is {value!r}; it must be True or False."
            yield Error(text, hint='Any text is true, "False" too.', id="srvsession.E005")


def _serializer() -> Iterator[CheckMessage]:
    path = settings.SESSION_SERIALIZER
    try:
        serializer = import_string(path)()
        serializer.dumps, serializer.loads  # noqa: B018
    except Exception as error:  # noqa: BLE001 - the site's own code.
        text = f"SESSION_SERIALIZER is {path!r}, which cannot be used: {error}"
        hint = "It must be the path of a class with dumps() and loads()."
        yield Error(text, hint=hint, id="srvsession.E011")
        return
    if not all(_round_trips(serializer, value) for value in _SCALARS):
        text = f"SESSION_SERIALIZER is {path}, which does not give back a text, a number, True or None."
        hint = "Each value of a session is serialized by itself: dumps() must take any of them and return bytes."
        yield Error(text, hint=hint, id="srvsession.E012")
    elif makes_objects(serializer):
        text = f"SESSION_SERIALIZER is {path}, which makes objects of any class, as pickle does."
        hint = "Who learns SECRET_KEY and can write the store can run code. Use a serializer of plain data."
        yield Warning(text, hint=hint, id="srvsession.W015")


def _round_trips(serializer: Any, value: Any) -> bool:
    try:
        data = serializer.dumps(value)
        return isinstance(data, bytes) and bool(serializer.loads(data) == value)
    except Exception:  # noqa: BLE001 - the site's own code, which may raise anything.
        return False
