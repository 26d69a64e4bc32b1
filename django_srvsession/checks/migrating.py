"""Moving from other sessions, or back: two engines that are there, one of which is ours, and a date."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured

from django_srvsession import conf, migrating
from django_srvsession.migrating.kinds import source_of

_NAMES: Final = ("MIGRATE_FROM", "MIGRATE_TO")
_LONG: Final = timedelta(days=100)


def check_migrating(**kwargs: Any) -> list[CheckMessage]:
    """Report a move that cannot work, has no date, is over, or lasts so long that tombstones pile up."""
    try:
        paths = {name: conf.read(name) for name in _NAMES if conf.read(name) is not None}
        until_ms, _ = conf.read("MIGRATE_UNTIL"), conf.read("MIGRATE_SERIALIZER")
    except ImproperlyConfigured:
        return []  # Reported as srvsession.E002.
    if not paths:
        return []
    return [*_wrong(paths), *_dates(" and ".join(f"{conf.PREFIX}{name}" for name in paths), until_ms)]


def _wrong(paths: dict[str, str]) -> Iterator[CheckMessage]:
    if len(paths) > 1:
        text = "SRVSESSION_MIGRATE_FROM and SRVSESSION_MIGRATE_TO are both set."
        hint = "Set the one that the step of the move needs: first MIGRATE_TO on all servers, then MIGRATE_FROM."
        yield Error(text, hint=hint, id="srvsession.E016")
    for name, path in paths.items():
        if path == settings.SESSION_ENGINE:
            text = f"SRVSESSION_{name} is {path}, as SESSION_ENGINE is."
            yield Error(text, hint="Name the other engine there.", id="srvsession.E016")
        elif not (_is_ours(path) or _is_ours(settings.SESSION_ENGINE)):
            text = f"Neither SRVSESSION_{name} nor SESSION_ENGINE names an engine of django-srvsession."
            yield Error(text, hint="One of the two must be ours.", id="srvsession.E016")
        elif (error := _error_of(path)) is not None:
            yield Error(f"SRVSESSION_{name}: {error}", id="srvsession.E016")


def _dates(names: str, until_ms: int | None) -> Iterator[CheckMessage]:
    now_ms = time.time_ns() // 1_000_000
    if until_ms is None:
        text = f"{names} needs SRVSESSION_MIGRATE_UNTIL: else keys of the other engine would open sessions for ever."
        hint = f"Set it to the day on which the last old session has run out: SESSION_COOKIE_AGE from now, {_day()}."
        yield Error(text, hint=hint, id="srvsession.E017")
    elif until_ms <= now_ms:
        text = f"{names} does nothing any more: SRVSESSION_MIGRATE_UNTIL has passed."
        yield Warning(text, hint="Remove both.", id="srvsession.W025")
    elif until_ms - now_ms > _LONG / timedelta(milliseconds=1):
        text = "SRVSESSION_MIGRATE_UNTIL is more than 100 days away: until then what sessions leave behind is kept."
        yield Warning(
            text, hint="Old sessions run out after SESSION_COOKIE_AGE; a later day is of no use.", id="srvsession.W026"
        )


def _day() -> str:
    """Return the day on which a session that is used today runs out, in quotes: as the setting takes it."""
    age = settings.SESSION_COOKIE_AGE
    days = math.ceil(age / 86_400) if isinstance(age, int | float) and 0 <= age < _LONG.total_seconds() else _LONG.days
    return f'"{datetime.now(UTC).date() + timedelta(days=days)}"'


def _is_ours(path: str) -> bool:
    try:
        return migrating.is_ours(migrating.engine_at(path))
    except ImproperlyConfigured:
        return False


def _error_of(path: str) -> ImproperlyConfigured | None:
    try:
        if not migrating.is_ours(migrating.engine_at(path)):
            source_of(path)
    except ImproperlyConfigured as error:
        return error
    return None
