"""How long a session lives: Django's settings, ``set_expiry()`` and our limits, as a lifetime and a deadline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.utils import timezone

from django_srvsession import conf
from django_srvsession.records import LATEST_MS

EXPIRY_KEY: Final = "_session_expiry"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Lifetime(NamedTuple):
    """Say how long a session lives after each use, and the instant that ends it whatever its use (milliseconds)."""

    lifetime_ms: int
    deadline_ms: int | None


def fit_time_zone(expiry: Any) -> Any:
    """Return an expiry (number, datetime, ISO string or None) with a datetime that fits ``USE_TZ``.

    One that does not, because the setting changed or naive code stored it, is read in the default time zone.
    """
    if isinstance(expiry, str):
        expiry = datetime.fromisoformat(expiry)
    if isinstance(expiry, datetime) and timezone.is_naive(expiry) == settings.USE_TZ:
        zone = timezone.get_default_timezone()
        return timezone.make_aware(expiry, zone) if settings.USE_TZ else timezone.make_naive(expiry, zone)
    return expiry


def ends_with_browser(expiry: Any) -> bool:
    """Tell whether the cookie ends with the browser."""
    return conf.flag("SESSION_EXPIRE_AT_BROWSER_CLOSE") if expiry is None else expiry == 0


def slides(expiry: Any) -> bool:
    """Tell whether every use extends the session, rather than only a change of its contents."""
    has_idle_limit = conf.idle_timeout_ms is not None
    return conf.flag("SESSION_SAVE_EVERY_REQUEST") or has_idle_limit or ends_with_browser(expiry)


def cookie_age_seconds(is_signed_in: bool, ordinary_seconds: int) -> int:
    """Return how long a session without an expiry of its own lives: shorter, as a rule, where nobody is signed in."""
    anonymous_ms = None if is_signed_in else conf.anonymous_age_ms
    return ordinary_seconds if anonymous_ms is None else -(-anonymous_ms // 1000)


def lifetime_of(expiry: Any, cookie_age_seconds: int, signed_in_ms: int | None, now_ms: int) -> Lifetime:
    """Compute the lifetime and deadline of a session with this ``_session_expiry``.

    The deadline is the earlier of a fixed date (``set_expiry(datetime)``) and ``SRVSESSION_MAX_LIFETIME`` after sign-in
    (ASVS 7.3.2); ``SRVSESSION_IDLE_TIMEOUT`` shortens the lifetime (ASVS 7.3.1). Raises ``ImproperlyConfigured`` when
    an age out of the settings is no number.
    """
    expiry = None if expiry is None else fit_time_zone(expiry)
    deadlines = [signed_in_ms + limit_ms] if signed_in_ms is not None and (limit_ms := conf.max_lifetime_ms) else []
    if isinstance(expiry, datetime):
        fixed_ms = _instant_ms(expiry)
        deadlines.append(fixed_ms)
        lifetime_ms = max(fixed_ms - now_ms, 0)
    elif ends_with_browser(expiry):
        lifetime_ms = conf.browser_session_age_ms
        if signed_in_ms is None and expiry is None and (anonymous_ms := conf.anonymous_age_ms) is not None:
            lifetime_ms = min(lifetime_ms, anonymous_ms)
    else:
        age = conf.seconds("SESSION_COOKIE_AGE", cookie_age_seconds) if expiry is None else expiry
        lifetime_ms = int(age * 1000)
    idle_ms = conf.idle_timeout_ms
    lifetime_ms = _storable(lifetime_ms if idle_ms is None else min(lifetime_ms, idle_ms))
    return Lifetime(lifetime_ms, _storable(min(deadlines)) if deadlines else None)


def _storable(number_ms: int) -> int:
    """Return the nearest that a record may hold."""
    return min(max(number_ms, 0), LATEST_MS)


def _instant_ms(moment: datetime) -> int:
    if timezone.is_naive(moment):
        moment = moment.replace(tzinfo=timezone.get_default_timezone())
    # Not by a conversion to UTC, which fails at either end of the calendar.
    return (moment - _EPOCH) // timedelta(milliseconds=1)
