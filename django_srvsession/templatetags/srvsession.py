"""Template filters and tags: ``{% load srvsession %}``. None ever raises: a page is worth more than a detail."""

from __future__ import annotations

from django import template
from django.contrib.sites.shortcuts import get_current_site
from django.core.exceptions import DisallowedHost, ImproperlyConfigured, ObjectDoesNotExist
from django.db import DatabaseError
from django.templatetags.static import static

from django_srvsession.accounts import passwords
from django_srvsession.clients import devices, geoip
from django_srvsession.engine.naming import device_name_of
from django_srvsession.escaping import escaped
from django_srvsession.moments import ago, exactly, when
from django_srvsession.records import SessionRecord

register = template.Library()
for moment_filter in (ago, when, exactly):
    register.filter(moment_filter)


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
