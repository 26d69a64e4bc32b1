"""A name and a kind for a device, out of a user agent: "Firefox on Linux", desktop."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from django.utils.translation import gettext
from ua_parser import parse

KINDS: Final = ("desktop", "phone", "tablet", "bot", "unknown")

_MAX_PARSED: Final = 256  # Longer ones cost the parser milliseconds, and no browser sends them.
_DESKTOPS: Final = ("Windows", "Mac OS X", "Linux", "Ubuntu", "Fedora", "Debian", "Chrome OS", "FreeBSD", "OpenBSD")


class _Parsed(NamedTuple):
    browser: str
    system: str
    device: str


def device_name(user_agent: str) -> str:
    """Return what a person would call the device; "Unknown device" for anything that is not recognised."""
    browser, system, _ = _parsed(user_agent[:_MAX_PARSED])
    if browser and system:
        return gettext("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system or gettext("Unknown device")


def device_kind(user_agent: str) -> str:
    """Return one of ``KINDS``, for an icon; a tablet that says it is a desktop is taken at its word."""
    user_agent = user_agent[:_MAX_PARSED]
    _, system, device = _parsed(user_agent)
    if device == "Spider":
        return "bot"
    if system in _DESKTOPS:
        return "desktop"
    if system == "iOS":
        return "tablet" if device == "iPad" else "phone"
    if system == "Android":
        return "phone" if "Mobile" in user_agent else "tablet"  # As Chrome and Firefox document it.
    return "phone" if system == "Windows Phone" else "unknown"


@lru_cache(maxsize=1024)
def _parsed(user_agent: str) -> _Parsed:
    if not user_agent:
        return _Parsed("", "", "")
    found = parse(user_agent)
    families = (part.family if part else "" for part in (found.user_agent, found.os, found.device))
    return _Parsed(*("" if family == "Other" else family for family in families))
