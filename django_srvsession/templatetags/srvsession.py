"""Template filters: ``{% load srvsession %}``."""

from __future__ import annotations

from django import template

from django_srvsession import devices

register = template.Library()


@register.filter
def device_name(user_agent: object) -> str:
    """Return a name for the device with this user agent; "Unknown device" for anything that is no text."""
    return devices.device_name(user_agent if isinstance(user_agent, str) else "")
