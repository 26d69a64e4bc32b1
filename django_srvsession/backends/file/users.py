"""Which sessions are whose, as a directory of markers: ``users/<2 hex>/<SHA-256 of the user id>/<sid>``.

The markers are a superset of the live sessions: one is made before its session, and removed after it. Both happen under
the user's lock, so whoever holds it sees no login half done. A marker holds what ``admit`` remembers: nothing,
"admitted", or "leaving" and since when (milliseconds).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from typing import Final

from django_srvsession.backends.file.system import (
    locked,
    make_directory,
    names_in,
    read_file,
    remove_file,
    write_file,
)
from django_srvsession.store import rules

ADMITTED: Final = b"admitted"
_LEAVING: Final = b"leaving "
_SID: Final = re.compile(r"[0-9a-f]{18}")


def digest_of(user_id: str) -> str:
    """Return the name of a user's directory: any text makes a safe one."""
    return hashlib.sha256(user_id.encode("utf-8", "surrogatepass")).hexdigest()


class UserMarkers:
    """Keep the markers below one directory; users are named by their digest. Raises ``OSError``."""

    def __init__(self, path: str, timeout_seconds: float) -> None:
        self._path = path
        self._timeout_seconds = timeout_seconds

    def _directory(self, digest: str) -> str:
        return f"{self._path}/{digest[:2]}/{digest}"

    @contextlib.contextmanager
    def locked(self, digest: str) -> Iterator[None]:
        """Hold the user's lock, which some other users share."""
        make_directory(self._path)
        make_directory(f"{self._path}/{digest[:2]}")
        with locked(f"{self._path}/{digest[:2]}/.lock", self._timeout_seconds):
            yield

    def sids(self, digest: str) -> list[str]:
        """Return the sids that are marked as the user's; they may have ended."""
        return [name for name in names_in(self._directory(digest)) if _SID.fullmatch(name)]

    def digests(self) -> Iterator[str]:
        """Return all users that have markers."""
        for stripe in names_in(self._path):
            yield from (name for name in names_in(f"{self._path}/{stripe}") if name != ".lock")

    def has(self, digest: str, sid: str) -> bool:
        """Tell whether a session is marked as the user's."""
        return os.path.lexists(f"{self._directory(digest)}/{sid}")

    # Under the user's lock:

    def add(self, digest: str, sid: str) -> None:
        """Mark a session as the user's, durably, unless it is."""
        directory = self._directory(digest)
        make_directory(directory)
        if not os.path.lexists(f"{directory}/{sid}"):
            write_file(f"{directory}/{sid}", b"")

    def remove(self, digest: str, sid: str) -> None:
        """Remove a mark, and the user's directory with the last one."""
        directory = self._directory(digest)
        remove_file(f"{directory}/{sid}", durable=False)  # What comes back after a power failure is skipped.
        with contextlib.suppress(OSError):  # Not empty, or gone.
            os.rmdir(directory)

    def has_leftovers(self, digest: str) -> bool:
        """Tell whether there is something that is no mark, or no mark at all; needs no lock."""
        names = names_in(self._directory(digest))
        return not names or not all(map(_SID.fullmatch, names))

    def remove_leftovers(self, digest: str) -> int:
        """Remove what killed writers left; under the lock nobody is writing. Returns how many files."""
        directory = self._directory(digest)
        leftovers = [name for name in names_in(directory) if not _SID.fullmatch(name)]
        for name in leftovers:
            remove_file(f"{directory}/{name}", durable=False)
        with contextlib.suppress(OSError):
            os.rmdir(directory)
        return len(leftovers)

    def admitted(self, digest: str) -> set[str]:
        """Return the sids that were admitted and not told to leave."""
        return {sid for sid, mark in self._marks(digest) if mark == ADMITTED}

    def leaving(self, digest: str, now_ms: int) -> set[str]:
        """Return the sids that a caller was given to end, not long ago."""
        return {sid for sid, mark in self._marks(digest) if now_ms - _leaving_since(mark) < rules.LEAVING_MS}

    def _marks(self, digest: str) -> Iterator[tuple[str, bytes]]:
        directory = self._directory(digest)
        return ((sid, read_file(f"{directory}/{sid}") or b"") for sid in self.sids(digest))

    def admit(self, digest: str, sid: str) -> None:
        """Remember that a session was admitted."""
        write_file(f"{self._directory(digest)}/{sid}", ADMITTED)

    def tell_to_leave(self, digest: str, sid: str, now_ms: int) -> None:
        """Remember that a caller was given a session to end."""
        write_file(f"{self._directory(digest)}/{sid}", _LEAVING + b"%d" % now_ms)


def _leaving_since(mark: bytes) -> int:
    since = mark.removeprefix(_LEAVING) if mark.startswith(_LEAVING) else b""
    return int(since) if since.isdigit() else 0
