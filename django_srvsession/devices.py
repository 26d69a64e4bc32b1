"""A name for a device: "Firefox on Linux" out of a user agent."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from django.utils.translation import gettext
from ua_parser import parse

_MAX_PARSED: Final = 256  # Longer ones cost the parser milliseconds, and no browser sends them.


def device_name(user_agent: str) -> str:
    """Return what a person would call the device; "Unknown device" for anything that is not recognised."""
    browser, system = _families(user_agent[:_MAX_PARSED])
    if browser and system:
        return gettext("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system or gettext("Unknown device")


@lru_cache(maxsize=1024)
def _families(user_agent: str) -> tuple[str, str]:
    if not user_agent:
        return "", ""
    found = parse(user_agent)
    browser = found.user_agent.family if found.user_agent else ""
    system = found.os.family if found.os else ""
    return _known(browser), _known(system)


def _known(family: str) -> str:
    return "" if family == "Other" else family
