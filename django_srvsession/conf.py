"""Every setting of ours: its default, unit and meaning, read live.

Django's ``SESSION_*`` settings keep their meaning and are read where they are needed; ours are ``SRVSESSION_*``.
Durations are seconds or a ``timedelta``, and are handed out in whole milliseconds, the unit of records and stores.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

PREFIX: Final = "SRVSESSION_"


class Setting(NamedTuple):
    """Describe one setting; ``kind`` is "duration" (seconds or timedelta), "count", "choice" or "plain"."""

    default: Any
    kind: str
    meaning: str
    choices: tuple[str, ...] = ()


SETTINGS: Final[dict[str, Setting]] = {
    "IDLE_TIMEOUT": Setting(None, "duration", "Ends a session that was not used for so long. None: no such limit."),
    "MAX_LIFETIME": Setting(None, "duration", "Ends a session so long after sign-in, whatever its use."),
    "BROWSER_SESSION_AGE": Setting(
        timedelta(hours=12),
        "duration",
        "How long after its last use the server keeps a session whose cookie ends with the browser.",
    ),
    "TOUCH_INTERVAL": Setting(60, "duration", "A reading request records its use at most once in so long."),
    "LATE_SAVE": Setting(
        "discard",
        "choice",
        "A save that comes after the session was ended: discard it, or interrupt with status 400.",
        ("discard", "interrupt"),
    ),
    "ENDED_KEEP": Setting(timedelta(days=1), "duration", "How long an ended session's tombstone is kept."),
    "TRUSTED_PROXIES": Setting((), "plain", "Networks (CIDR) whose X-Forwarded-For is believed."),
    "STORE_IP": Setting("full", "choice", "How much of a client's address is kept.", ("full", "truncated", "none")),
    "REDIS_PREFIX": Setting("srvsession:", "plain", "Comes before every key of ours in Redis."),
    "MEMORY_MAX_SESSIONS": Setting(10_000, "count", "How many sessions the memory store holds at most."),
}

_cache: dict[str, Any] = {}


def get(name: str) -> Any:
    """Return the setting ``SRVSESSION_<name>``; a duration as milliseconds, or None.

    Raises ``ImproperlyConfigured`` for a value that is not of the setting's kind.
    """
    try:
        return _cache[name]
    except KeyError:
        setting = SETTINGS[name]
        value = getattr(settings, PREFIX + name, setting.default)
        value = _cache[name] = _checked(name, setting, value)
        return value


def _checked(name: str, setting: Setting, value: Any) -> Any:
    if setting.kind == "duration":
        return _milliseconds(name, setting, value)
    if setting.kind == "count" and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ImproperlyConfigured(f"{PREFIX}{name} is {value!r}; it must be a whole number above 0.")
    if setting.kind == "choice" and value not in setting.choices:
        raise ImproperlyConfigured(f"{PREFIX}{name} is {value!r}; it must be one of {', '.join(setting.choices)}.")
    return value


def _milliseconds(name: str, setting: Setting, value: Any) -> int | None:
    if value is None and setting.default is None:
        return None
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ImproperlyConfigured(f"{PREFIX}{name} is {value!r}; it must be seconds (0 or more) or a timedelta.")
    return int(value * 1000)


def _forget(*, setting: str, **kwargs: Any) -> None:
    _cache.pop(setting.removeprefix(PREFIX), None)


setting_changed.connect(_forget, dispatch_uid="srvsession.conf")
