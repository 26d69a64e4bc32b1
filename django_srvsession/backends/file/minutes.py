"""In which minute a session was last used: empty files ``recent/<day>/<minute>/<sid>``, counted from 1970.

A list of the newest sessions looks into the last minutes, and never at the files of all sessions. A mark is there
before the session is written, and the one before it goes afterwards: so each session is listed by the mark of its own
minute, and readers skip the others. Nobody waits until a mark is on the disk: what a power failure takes, the next use
of the session brings back, or ``doctorsessions_srv --repair``.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Final

from django_srvsession.backends.file.system import names_in
from django_srvsession.records import SessionRecord

MINUTE_MS: Final = 60_000
_MINUTES_OF_DAY: Final = 1440
_SID: Final = re.compile(r"[0-9a-f]{18}")
_TRIES: Final = 5
"""How often a directory is made anew that somebody tidies away before there is a marker in it."""


def minute_of(record: SessionRecord) -> int:
    """Return the minute in which a session was last used, counted from 1970."""
    return record.last_seen_ms // MINUTE_MS


class MinuteMarkers:
    """Keep the markers below one directory. Raises ``OSError``."""

    def __init__(self, path: str) -> None:
        self._path = path

    def _directory(self, minute: int) -> str:
        return f"{self._path}/{minute // _MINUTES_OF_DAY}/{minute}"

    def _marker(self, sid: str, minute: int) -> str:
        return f"{self._directory(minute)}/{sid}"

    # Under the session's lock:

    def add(self, sid: str, minute: int) -> None:
        """Mark a session, unless it is marked."""
        for _ in range(_TRIES):
            with contextlib.suppress(FileNotFoundError):
                flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
                descriptor = os.open(self._marker(sid, minute), flags, 0o600)
                try:
                    os.fchmod(descriptor, 0o600)  # The umask can only have taken rights away, from us too.
                finally:
                    os.close(descriptor)
                return
            self._make(minute)
        raise FileNotFoundError(f"{self._directory(minute)} goes as often as it is made.")

    def _make(self, minute: int) -> None:
        directory = self._directory(minute)
        for path in (self._path, os.path.dirname(directory), directory):
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                os.mkdir(path, 0o700)
                os.chmod(path, 0o700)

    def remove(self, sid: str, minute: int) -> None:
        """Remove a mark, and the directory with the last one; readers skip what is left by a failure."""
        with contextlib.suppress(OSError):
            os.unlink(self._marker(sid, minute))
        directory = self._directory(minute)
        with contextlib.suppress(OSError):  # Not empty, or gone.
            os.rmdir(directory)
            os.rmdir(os.path.dirname(directory))

    # Without a lock:

    def has(self, sid: str, minute: int) -> bool:
        """Tell whether a session is marked in a minute."""
        return os.path.lexists(self._marker(sid, minute))

    def present(self, last: int | None = None) -> Iterator[int]:
        """Return the minutes that have markers, the newest first, from ``last`` on backwards."""
        for day in _numbers_in(self._path, None if last is None else last // _MINUTES_OF_DAY):
            yield from _numbers_in(f"{self._path}/{day}", last)

    def sids(self, minute: int) -> list[str]:
        """Return the sids that are marked in a minute; they may have ended, or been used since."""
        return [name for name in names_in(self._directory(minute)) if _SID.fullmatch(name)]


def _numbers_in(path: str, most: int | None) -> list[int]:
    numbers = (int(name) for name in names_in(path) if name.isascii() and name.isdigit())
    return sorted((number for number in numbers if most is None or number <= most), reverse=True)
