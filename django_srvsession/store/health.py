"""What an examination finds, and what a store may offer for it.

A store need not have these methods: it is examined as far as it can be.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Final, NamedTuple, Protocol, runtime_checkable

_SKEW_MS: Final = 1000


class Level(StrEnum):
    """Say how bad a finding is."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


class Finding(NamedTuple):
    """Hold one finding: what was looked at (a stable name), what there is, and what to do about it, if anything."""

    level: Level
    name: str
    text: str
    advice: str = ""


class IndexHealth(NamedTuple):
    """Hold how a store's indexes compare with its live sessions.

    ``ghosts``: entries that point nowhere, which readers skip and ``clearsessions_srv`` removes. ``unlisted``: live
    sessions that open and that no list shows. ``repaired``: how many of those are listed now.
    """

    looked_at: int
    ghosts: int
    unlisted: int
    repaired: int


class StorageInfo(NamedTuple):
    """Say what a store keeps its sessions in: a proper name, the alias by which the settings call it, and its room.

    ``used_bytes`` is what the sessions (a database's table) or the whole server (Redis) take; ``most_bytes`` what it
    may take, ``free_bytes`` what is left on a disk. None: not known, or not cheap to know.
    """

    name: str
    alias: str = ""
    used_bytes: int | None = None
    most_bytes: int | None = None
    free_bytes: int | None = None


@runtime_checkable
class Housed(Protocol):
    """Be a store that can say, cheaply, what it keeps its sessions in."""

    def storage_info(self) -> StorageInfo:
        """Return it; may raise ``StoreUnavailableError``."""
        ...


@runtime_checkable
class Examinable(Protocol):
    """Be a store that can tell of itself."""

    def examine(self) -> Iterator[Finding]:
        """Yield findings; may raise ``StoreUnavailableError``."""
        ...


@runtime_checkable
class Preparable(Protocol):
    """Be a store that needs something on its server that no request makes: indexes."""

    def prepare(self) -> Iterator[Finding]:
        """Make what is missing, beside users, and yield what was made; may raise ``StoreUnavailableError``."""
        ...


@runtime_checkable
class Indexed(Protocol):
    """Be a store whose indexes are apart from its sessions, and may differ from them."""

    def check_index(self, *, repair: bool = False) -> IndexHealth:
        """Compare them, beside users; ``repair``: list what is not listed."""
        ...


def clock_finding(ahead_ms: float, whose: str) -> Finding:
    """Say how far a store's clock is from this machine's, in milliseconds."""
    text = f"{whose} clock is {abs(ahead_ms):.0f} ms {'ahead of' if ahead_ms >= 0 else 'behind'} this machine's."
    if abs(ahead_ms) < _SKEW_MS:
        return Finding(Level.OK, "clock", text)
    advice = "Sessions expire by the store's clock, and are shown by this one. Keep both machines' time by NTP."
    return Finding(Level.WARNING, "clock", text, advice)
