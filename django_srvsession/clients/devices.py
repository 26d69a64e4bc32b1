"""What a device is, out of a user agent: a name for people ("Firefox on Linux"), a family and a kind for lists.

The name is ua-parser's work. It takes a millisecond for a text that it has not seen, and visitors choose the text; so
the family, which stores keep and lists count, is found by looking for a few words.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from django.utils.translation import gettext, override

from django_srvsession.escaping import escaped

FAMILIES: Final = {
    "windows": "desktop",
    "mac": "desktop",
    "chromebook": "desktop",
    "linux": "desktop",
    "iphone": "phone",
    "android-phone": "phone",
    "other-phone": "phone",
    "ipad": "tablet",
    "android-tablet": "tablet",
    "bot": "bot",
    "unknown": "unknown",
}
"""Every family, and the kind that it belongs to. Databases store these words."""

KINDS: Final = tuple(dict.fromkeys(FAMILIES.values()))

_MAX_PARSED: Final = 256  # Longer ones cost the parser milliseconds, and no browser sends them.
_BOT: Final = re.compile(r"(?<!cu)bot\b|crawler|spider\b|slurp")  # Cubot makes telephones.
# The first of which all words are there: a Chromebook says X11 too, an Android device Linux, an iPhone "like Mac OS X".
_SIGNS: Final = (
    ("other-phone", ("Windows Phone",)),
    ("windows", ("Windows",)),
    ("ipad", ("iPad",)),
    ("iphone", ("iPhone",)),
    ("iphone", ("iPod",)),
    ("android-phone", ("Android", "Mobile")),  # As Chrome and Firefox document it.
    ("android-tablet", ("Android",)),
    ("chromebook", ("CrOS",)),
    ("mac", ("Macintosh",)),
    ("linux", ("Linux",)),
    ("linux", ("X11",)),
    ("linux", ("BSD",)),
)


class _Parsed(NamedTuple):
    browser: str
    system: str


def device_name(user_agent: str) -> str:
    """Return what a person would call the device; "Unknown device" for anything that is not recognised."""
    browser, system = _parsed(user_agent[:_MAX_PARSED])
    if browser and system:
        return gettext("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system or gettext("Unknown device")


def english_device_name(user_agent: str) -> str:
    """Return the name in English, whatever the language: commands speak it, and programs compare it."""
    with override("en"):
        return device_name(user_agent)


@lru_cache(maxsize=1024)
def device_family(user_agent: str) -> str:
    """Return one of ``FAMILIES``; a tablet that says it is a desktop is taken at its word."""
    user_agent = user_agent[:_MAX_PARSED]
    if _BOT.search(user_agent.lower()):
        return "bot"
    return next((family for family, words in _SIGNS if all(word in user_agent for word in words)), "unknown")


def device_kind(user_agent: str) -> str:
    """Return one of ``KINDS``, for an icon."""
    return FAMILIES[device_family(user_agent)]


@lru_cache(maxsize=1024)
def _parsed(user_agent: str) -> _Parsed:
    if not user_agent:
        return _Parsed("", "")
    from ua_parser import parse  # Here, since its patterns take longer to load than all of this app.

    found = parse(user_agent)
    families = (escaped(part.family) if part else "" for part in (found.user_agent, found.os))
    return _Parsed(*("" if family == "Other" else family for family in families))
