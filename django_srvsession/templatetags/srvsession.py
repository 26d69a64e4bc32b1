"""Template filters and tags: ``{% load srvsession %}``. None ever raises: a page is worth more than a detail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from django import template
from django.contrib.sites.shortcuts import get_current_site
from django.core.exceptions import DisallowedHost, ImproperlyConfigured, ObjectDoesNotExist
from django.db import DatabaseError
from django.templatetags.static import static
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.timesince import timesince
from django.utils.translation import gettext

from django_srvsession.accounts import passwords
from django_srvsession.clients import devices, geoip
from django_srvsession.engine.naming import device_name_of
from django_srvsession.escaping import escaped
from django_srvsession.records import SessionRecord

register = template.Library()

_MOMENT_S: Final = 60
_AGES_RELATIVE: Final = timedelta(days=7)
_AGES_WITHOUT_YEAR: Final = timedelta(days=300)


@register.filter
def device_name(session: object) -> str:
    """Return a name for the device of a session (its record), or with a user agent; else "Unknown device"."""
    if isinstance(session, SessionRecord):
        return device_name_of(session)
    return devices.device_name(_text(session))


@register.filter
def device_kind(session: object) -> str:
    """Return the kind of a session's device, or of one with this user agent: one of ``devices.KINDS``."""
    return devices.device_kind(session.client.user_agent if isinstance(session, SessionRecord) else _text(session))


@register.filter
def place(ip: object) -> str:
    """Return the place of an address where the site has a GeoIP database; empty otherwise."""
    return geoip.location_of(_text(ip))


@register.filter
def inert(text: object) -> str:
    """Return a text in one line in which nothing acts: control characters and marks of direction are spelt out."""
    return escaped(_text(text))


@register.filter
def ago(moment: object) -> str:
    """Return how long ago a moment was, as "3 minutes ago"; empty for anything that is no moment."""
    if (aware := _aware(moment)) is None:
        return ""
    now = datetime.now(UTC)
    if (now - aware).total_seconds() < _MOMENT_S:
        return gettext("just now")  # Also when another machine's clock is ahead of ours.
    return gettext("%(time)s ago") % {"time": timesince(aware, now, depth=1)}


@register.filter
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


@register.filter
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


@register.simple_tag
def password_link(page: object) -> passwords.Link:
    """Return the link to the page where a password is changed ("change") or reset ("reset"); an empty one without."""
    return passwords.link_to(_text(page))


@register.simple_tag(takes_context=True)
def site_name(context: template.Context) -> str:
    """Return the name of the site by ``contrib.sites``, or else its host; empty where there is no request."""
    if (request := context.get("request")) is None:
        return ""
    try:
        return str(get_current_site(request).name)
    except (DatabaseError, DisallowedHost, ImproperlyConfigured, ObjectDoesNotExist):
        return ""


@register.simple_tag
def static_url(path: object) -> str:
    """Return the URL of a static file, as ``{% static %}`` does; empty where the site did not collect it.

    The page for an outage uses it: it must come whatever else is wrong.
    """
    try:
        return str(static(_text(path)))
    except (ImproperlyConfigured, ValueError):
        return ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
