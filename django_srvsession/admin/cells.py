"""What stands in one cell of a list, a detail or a question; all text of users is escaped."""

from __future__ import annotations

from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString

from django_srvsession.clients.devices import browser_icon, device_family
from django_srvsession.escaping import escaped
from django_srvsession.records import as_datetime

_MOST_OF_SID = 8
"""How many letters of a session's public name a list shows."""


def labelled(label: object, cell: str) -> SafeString:
    """Return a cell with the name of its column, which is seen where rows are stacked and have no head."""
    return format_html('<span class="srvsession-label">{}</span> {}', label, cell)


def device(name: str, user_agent: str) -> SafeString:
    """Return a device: its icon and its name, the user agent on hover."""
    icons = {"family": device_family(user_agent), "browser": browser_icon(user_agent)}
    icon = SafeString(render_to_string("srvsession/icon.html", {"card": icons}).strip())
    text = '<span class="srvsession-device" title="{}">{} <span>{}</span></span>'
    return format_html(text, escaped(user_agent), icon, name)


def location(ip: str) -> SafeString | str:
    """Return an address, and above it the place where it is known; "-" without an address."""
    if not ip:
        return "-"
    address = format_html('<bdi dir="ltr" class="srvsession-ip">{}</bdi>', escaped(ip))
    from django_srvsession.clients.geoip import location_of  # Not before a place is shown.

    place = location_of(ip)
    return format_html('<span class="srvsession-place">{}</span> {}', escaped(place), address) if place else address


def ago(moment_ms: int) -> SafeString:
    """Return how long ago a moment was; the moment itself, with its zone, on hover."""
    from django_srvsession import moments

    return _time(moment_ms, moments.ago(as_datetime(moment_ms)))


def until(moment_ms: int) -> SafeString:
    """Return in how long a moment comes; the moment itself, with its zone, on hover."""
    from django_srvsession import moments

    return _time(moment_ms, moments.until(as_datetime(moment_ms)))


def exactly(moment_ms: int | None) -> SafeString | str:
    """Return a moment with its zone; "-" for None."""
    from django_srvsession import moments

    return "-" if moment_ms is None else _time(moment_ms, moments.exactly(as_datetime(moment_ms)))


def _time(moment_ms: int, text: str) -> SafeString:
    from django_srvsession import moments

    moment = as_datetime(moment_ms)
    at, exact = moment.isoformat(timespec="seconds"), moments.exactly(moment)
    return format_html('<time datetime="{}" title="{}">{}</time>', at, exact, text)


def short(sid: str) -> SafeString:
    """Return the beginning of a session's public name, all of it on hover."""
    return format_html('<code title="{}">{}</code>', escaped(sid), escaped(sid)[:_MOST_OF_SID])
