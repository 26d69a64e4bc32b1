"""How moments are said to people: how long ago, or exactly; in the active language and time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.timesince import timesince, timeuntil
from django.utils.translation import gettext, npgettext_lazy

_MOMENT_S: Final = 60
_AGES_RELATIVE: Final = timedelta(days=7)
_AGES_WITHOUT_YEAR: Final = timedelta(days=300)
# Not Django's: after "vor" and "in", German says "3 Tagen", and not "3 Tage".
_SPANS: Final[dict[str, Any]] = {
    "year": npgettext_lazy("ago, in", "%(num)d year", "%(num)d years", "num"),
    "month": npgettext_lazy("ago, in", "%(num)d month", "%(num)d months", "num"),
    "week": npgettext_lazy("ago, in", "%(num)d week", "%(num)d weeks", "num"),
    "day": npgettext_lazy("ago, in", "%(num)d day", "%(num)d days", "num"),
    "hour": npgettext_lazy("ago, in", "%(num)d hour", "%(num)d hours", "num"),
    "minute": npgettext_lazy("ago, in", "%(num)d minute", "%(num)d minutes", "num"),
}


def ago(moment: object) -> str:
    """Return how long ago a moment was, as "3 minutes ago"; empty for anything that is no moment."""
    if (aware := _aware(moment)) is None:
        return ""
    now = datetime.now(UTC)
    if (now - aware).total_seconds() < _MOMENT_S:
        return gettext("just now")  # Also when another machine's clock is ahead of ours.
    return gettext("%(time)s ago") % {"time": timesince(aware, now, time_strings=_SPANS, depth=1)}


def until(moment: datetime) -> str:
    """Return in how long a moment comes, as "in 2 weeks"."""
    return gettext("in %(time)s") % {"time": timeuntil(moment, time_strings=_SPANS, depth=1)}


def when(moment: object, style: object = "when") -> str:
    """Return a moment in the active time zone, no longer than it need be; empty for anything that is no moment.

    ``style`` is "when" (day and time; the day alone after some months), "relative" (how long ago, within a week), or
    "clock" (the time alone, below the name of a day). The year is said of what is not recent.
    """
    if (aware := _aware(moment)) is None:
        return ""
    age = datetime.now(UTC) - aware
    if style == "relative" and age < _AGES_RELATIVE:
        return ago(aware)
    local = timezone.localtime(aware)
    if style == "clock":
        return date_format(local, "TIME_FORMAT")
    if abs(age) > _AGES_WITHOUT_YEAR:
        return date_format(local, "DATE_FORMAT")
    day = date_format(local, "MONTH_DAY_FORMAT")
    return day if style == "relative" else _joined(day, date_format(local, "TIME_FORMAT"))


def exactly(moment: object) -> str:
    """Return a moment with year, time and zone, in the active time zone; empty for anything that is no moment."""
    if (aware := _aware(moment)) is None:
        return ""
    local = timezone.localtime(aware)
    # Not DATETIME_FORMAT: in Korean, Django's says the time before its half of the day.
    text = _joined(date_format(local, "DATE_FORMAT"), date_format(local, "TIME_FORMAT"))
    return f"{text} {date_format(local, 'T')}"


def _aware(moment: object) -> datetime | None:
    if not isinstance(moment, datetime):
        return None
    return moment.replace(tzinfo=timezone.get_default_timezone()) if timezone.is_naive(moment) else moment


def _joined(day: str, time: str) -> str:
    return gettext("%(day)s, %(time)s") % {"day": day, "time": time}
