"""What a device is, out of a user agent: a name for people ("Safari on iPhone"), a family and a kind for lists.

One reading of the text serves all three, by words and in microseconds: visitors choose the text, and the family is
found for each new session.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from django.utils.text import capfirst
from django.utils.translation import gettext, override
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django_srvsession.clients.programs import Name

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
    "app": "app",
    "bot": "bot",
    "unknown": "unknown",
}
"""Every family, and the kind that it belongs to. Databases store these words. An "app" does not tell its device."""

KINDS: Final = tuple(dict.fromkeys(FAMILIES.values()))

BROWSERS: Final = {
    "Firefox": "firefox",
    "Firefox Focus": "firefox",
    "Chrome": "chrome",
    "Safari": "safari",
    "Edge": "edge",
    "Opera": "opera",
    "Samsung Internet": "samsung",
}
"""The browsers that there is an icon of."""

APP_MARK: Final = "(app) "
"""Stands before the user agent of a request whose key came in a header: it is an app, whatever it calls itself."""

_MAX_PARSED: Final = 256
_BOT: Final = re.compile(r"(?<!cu)bot\b|crawler|spider\b|slurp")  # Cubot makes telephones.
# The first of which all words are there: a Chromebook says X11 too, an Android device Linux, an iPhone "like Mac OS X".
_SIGNS: Final[tuple[tuple[str, Name, tuple[str, ...]], ...]] = (
    ("other-phone", "Windows Phone", ("Windows Phone",)),
    ("other-phone", "KaiOS", ("KAIOS",)),
    ("windows", "Windows", ("Windows",)),
    ("ipad", "iPad", ("iPad",)),
    ("iphone", "iPhone", ("iPhone",)),
    ("iphone", "iPod touch", ("iPod",)),
    ("android-phone", _("Android phone"), ("Android", "Mobile")),  # As Chrome and Firefox document it.
    ("android-tablet", _("Android tablet"), ("Mozilla/", "Android")),
    ("android-phone", "Android", ("Android",)),  # Apps say nothing of the kind, and most are on phones.
    ("chromebook", "Chromebook", ("CrOS",)),
    ("mac", "Mac", ("Macintosh",)),
    ("mac", "Mac", ("macOS",)),
    ("mac", "Mac", ("Darwin", "x86_64")),
    ("iphone", "iOS", ("iOS",)),
    ("app", _("Apple device"), ("CFNetwork", "Darwin")),
    ("linux", "Linux", ("Linux",)),
    ("linux", "Linux", ("X11",)),
    ("linux", "BSD", ("BSD",)),
)
_APPLE: Final = ("iphone", "ipad", "mac")


class _Device(NamedTuple):
    family: str
    program: Name
    system: Name


def device_name(user_agent: str) -> str:
    """Return what a person would call the device; "Unknown device" for anything that is not recognised."""
    _, program, system = _device(user_agent[:_MAX_PARSED])
    if program and system:
        return gettext("%(browser)s on %(system)s") % {"browser": program, "system": system}
    name = program or system
    # A word of the language's begins with a capital letter where it stands alone; "iPhone" is no such word.
    return (name if isinstance(name, str) else capfirst(str(name))) or gettext("Unknown device")


def english_device_name(user_agent: str) -> str:
    """Return the name in English, whatever the language: commands speak it, and programs compare it."""
    with override("en"):
        return device_name(user_agent)


def device_family(user_agent: str) -> str:
    """Return one of ``FAMILIES``; a tablet that says it is a desktop is taken at its word."""
    return _device(user_agent[:_MAX_PARSED]).family


def device_kind(user_agent: str) -> str:
    """Return one of ``KINDS``, for an icon."""
    return FAMILIES[device_family(user_agent)]


def browser_icon(user_agent: str) -> str:
    """Return one of the values of ``BROWSERS``; empty for another program."""
    return BROWSERS.get(str(_device(user_agent[:_MAX_PARSED]).program), "")


@lru_cache(maxsize=1024)
def _device(user_agent: str) -> _Device:
    from django_srvsession.clients.programs import app_name, bot_name, program_of  # Not before a device is to be named.

    is_app, user_agent = user_agent.startswith(APP_MARK), user_agent.removeprefix(APP_MARK)
    if not is_app and _BOT.search(user_agent.lower()):
        return _Device("bot", bot_name(user_agent), "")
    signs = (sign for sign in _SIGNS if all(word in user_agent for word in sign[2]))
    family, system, _words = next(signs, ("", "", ()))
    if is_app:
        return _Device("app", app_name(user_agent), system)
    program = program_of(user_agent, family in _APPLE)
    return _Device(family or ("app" if program else "unknown"), program, system)
