"""The Lua scripts of the Redis store: every step that must be atomic.

The files in ``lua/`` are Lua as it stands. Each begins with what it does, its keys, and its arguments by name. Two
things are done to a file before Redis gets it: a line ``-- include name.lua`` becomes the text of that file, which says
that it is a part of others; and a name in capitals becomes the value that it has in ``CONSTANTS``, so that a number of
the format stands in Python alone. Comments are left out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from django_srvsession.backends.redis import format as redis_format
from django_srvsession.records import LATEST_MS, ROTATION_GRACE_MS
from django_srvsession.store import framing

MARGIN_MS: Final = 60_000
"""How far a client's idea of Redis' clock, and the two steps of a login, may be apart; milliseconds."""

TTL_STEP_MS: Final = 60_000
"""A save that moves the expiry within such a step leaves the key's TTL, which is later by a step at least."""

DAY_MS: Final = 86_400_000

ADMITTED_FROM: Final = 4_000_000_000_000_000
CONDEMNED_FROM: Final = 6_000_000_000_000_000
"""Scores of the marks in a user's index: above every expiry, below 2**53; what exceeds them is when (ms) it was set."""
ADMITTED_MARK: Final = "a:"
CONDEMNED_MARK: Final = "x:"
"""What a mark has before the sid; equally long."""

CONSTANTS: Final[Mapping[str, int | str]] = {
    **redis_format.LUA,
    "SHORT": framing.SHORT,
    "LONG": framing.LONG,
    "SHORT_BELOW": framing.SHORT_BELOW,
    "LATEST_MS": LATEST_MS,
    "GRACE_MS": ROTATION_GRACE_MS,
    "MARGIN_MS": MARGIN_MS,
    "DAY_MS": DAY_MS,
    "TTL_STEP_MS": TTL_STEP_MS,
    "ADMITTED_FROM": ADMITTED_FROM,
    "CONDEMNED_FROM": CONDEMNED_FROM,
    "ADMITTED_MARK": ADMITTED_MARK,
    "CONDEMNED_MARK": CONDEMNED_MARK,
}

_FILES: Final = files(__package__) / "lua"
_INCLUDE: Final = re.compile(r"^ *-- include (\w+\.lua)$", re.MULTILINE)
_TOKEN: Final = re.compile(r"(?P<text>'(?:[^'\\\n]|\\.)*')|(?P<comment> *--.*)|\b(?P<name>[A-Z][A-Z0-9_]*)\b")
_REDIS_OWN: Final = ("KEYS", "ARGV")


class Script(str):
    """Be a script's text, and know the digest that Redis calls it by."""

    __slots__ = ("sha",)

    sha: str

    def __new__(cls, text: str) -> Script:
        """Digest the text; Redis asks for SHA-1, as a name and not for security."""
        script = super().__new__(cls, text)
        script.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        return script


def source(name: str) -> str:
    """Return the text of a file with the parts that it includes."""
    text = (_FILES / name).read_text(encoding="utf-8")
    return _INCLUDE.sub(lambda found: source(found[1]).rstrip(), text)


def compiled(text: str) -> str:
    """Return Lua with the values of its constants, and without comments; raises ``KeyError`` for an unknown one."""
    lines = _TOKEN.sub(_value, text).splitlines()
    return "\n".join(line for line in lines if line.strip())


def _value(found: re.Match[str]) -> str:
    if found["comment"] is not None:
        return ""
    if found["text"] is not None or found["name"] in _REDIS_OWN:
        return found[0]
    value = CONSTANTS[found["name"]]
    return f"'{value}'" if isinstance(value, str) else str(value)


def _script(name: str) -> Script:
    return Script(compiled(source(name)))


SAVE: Final = _script("save.lua")
WRITE: Final = _script("write.lua")
END: Final = _script("end.lua")
END_AS_KNOWN: Final = _script("end_as_known.lua")
ADMIT: Final = _script("admit.lua")
LIST: Final = _script("list.lua")
FORGET: Final = _script("forget.lua")

TEXTS: Final = {script.sha: str(script) for script in (SAVE, WRITE, END, END_AS_KNOWN, ADMIT, LIST, FORGET)}
"""Each script's text by its digest, for the first time that a server meets it."""
