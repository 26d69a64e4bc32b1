"""The directory of session files: one for each sid, in 256 shards by its first two digits."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import time
from collections.abc import Iterator
from typing import Final

from django.core.exceptions import ImproperlyConfigured

from django_srvsession import conf
from django_srvsession.backends import rules
from django_srvsession.backends.file import format as file_format
from django_srvsession.backends.file.system import (
    MAX_FILE_BYTES,
    TEMPORARY,
    locked,
    make_directory,
    names_in,
    read_file,
    remove_file,
    write_file,
)
from django_srvsession.records import Loaded, Tombstone
from django_srvsession.store import CorruptSessionError, StoreUnavailableError

_SID: Final = re.compile(r"[0-9a-f]{18}")
_SESSION_FILE: Final = re.compile(r"([0-9a-f]{18})\.json")
_SHARD: Final = re.compile(r"[0-9a-f]{2}")
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_SIGN: Final = ".srvsession"


def now_ms() -> int:
    """Return the store's clock: milliseconds since 1970 UTC."""
    return int(time.time() * 1000)


def is_sid(sid: str) -> bool:
    """Tell whether a text may become part of a path."""
    return _SID.fullmatch(sid) is not None


def problem_with(path: str) -> str | None:
    """Return why sessions cannot be kept safely in a directory that exists, or None. Raises ``OSError``."""
    info = os.lstat(path)
    if stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid() and not stat.S_IMODE(info.st_mode) & 0o077:
        return None
    return (
        f"SESSION_FILE_PATH {path!r} must be a directory, not a link to one, that belongs to the user who runs the "
        "site, and that nobody else can enter (chmod 700)."
    )


class SessionDirectory:
    """Read and write session files.

    Raises ``OSError``, ``ImproperlyConfigured`` when others can enter the directory, and ``StoreUnavailableError``
    when it is not there any more.
    """

    def __init__(self, path: str, timeout_seconds: float) -> None:
        self.path = path
        self._timeout_seconds = timeout_seconds
        self._is_ready = False

    def prepare(self) -> None:
        """Make the directory if need be, and check it; once."""
        if self._is_ready:
            return
        make_directory(self.path)
        if problem := problem_with(self.path):
            raise ImproperlyConfigured(problem)
        if not os.path.lexists(f"{self.path}/{_SIGN}"):
            write_file(f"{self.path}/{_SIGN}", b"The sessions of a site are kept here.\n")
        self._is_ready = True

    def _file(self, sid: str) -> str:
        return f"{self.path}/{sid[:2]}/{sid}.json"

    # One session.

    @contextlib.contextmanager
    def locked(self, sid: str) -> Iterator[None]:
        """Hold the lock that a session shares with those of the same shard."""
        self.prepare()
        shard = f"{self.path}/{sid[:2]}"
        make_directory(shard)
        with locked(f"{shard}/.lock", self._timeout_seconds):
            yield

    def read(self, sid: str, now: int) -> rules.Stored:
        """Return what stands under a sid. Raises ``CorruptSessionError`` as ``Store.load``."""
        if not is_sid(sid):
            return None
        self.prepare()
        data = read_file(self._file(sid))
        if data:
            return file_format.decode(data, sid, now)
        if data is None and not os.path.lexists(f"{self.path}/{_SIGN}"):
            raise StoreUnavailableError(f"The session directory {self.path!r} is not there: not mounted, or removed.")
        return None  # An empty file: an expiry, which is not synced to the disk, met a power failure.

    def read_sound(self, sid: str, now: int) -> rules.Stored:
        """Return what stands under a sid, and None for what is no session."""
        try:
            return self.read(sid, now)
        except CorruptSessionError:
            return None

    def write(self, session: Loaded) -> Loaded:
        """Store a session, durably, and return it; under its lock. Raises ``ValueError`` above 16 MiB."""
        data = file_format.encode(session)
        if len(data) > MAX_FILE_BYTES:
            raise ValueError(f"The session would take {len(data)} bytes; a file may have {MAX_FILE_BYTES}.")
        write_file(self._file(session.record.sid), data, session.record.expires_ms)
        return session

    def bury(self, tombstone: Tombstone, *, durable: bool) -> None:
        """Put a tombstone in a session's place, under its lock; on a full disk nothing, since ending comes first."""
        path = self._file(tombstone.sid)
        try:
            keep_until_ms = tombstone.ended_ms + conf.get("ENDED_KEEP")
            write_file(path, file_format.encode(tombstone), keep_until_ms, durable=durable)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            remove_file(path, durable=durable)

    def forget(self, sid: str, now: int) -> bool:
        """Remove a tombstone that is past its time, or an empty file; tell whether it was one."""
        with self.locked(sid):
            is_past = self._is_due(sid, now) and self._is_past(sid)
            if is_past:
                remove_file(self._file(sid), durable=False)
            return is_past

    def _is_past(self, sid: str) -> bool:
        try:
            return not isinstance(self.read(sid, 0), Loaded)
        except CorruptSessionError:
            return False  # Not ours to remove.

    # Many.

    def shards(self) -> list[str]:
        """Return the shards that there are, in order."""
        self.prepare()
        return sorted(name for name in names_in(self.path) if _SHARD.fullmatch(name))

    def sids(self, shard: str) -> list[str]:
        """Return the sids of a shard's sessions and tombstones."""
        found = (_SESSION_FILE.fullmatch(name) for name in names_in(f"{self.path}/{shard}"))
        return [match[1] for match in found if match]

    def by_last_write(self) -> list[tuple[int, str]]:
        """Return when each file was last written, in microseconds since 1970 UTC, and its sid; reads no file."""
        found: list[tuple[int, str]] = []
        for shard in self.shards():
            with contextlib.suppress(FileNotFoundError), os.scandir(f"{self.path}/{shard}") as entries:
                for entry in entries:
                    if match := _SESSION_FILE.fullmatch(entry.name):
                        with contextlib.suppress(FileNotFoundError):
                            found.append((entry.stat(follow_symlinks=False).st_ctime_ns // 1000, match[1]))
        return found

    def due(self, shard: str, now: int) -> list[str]:
        """Return the sids of a shard whose files' time is up; only reading them tells for certain."""
        return [sid for sid in self.sids(shard) if self._is_due(sid, now)]

    def _is_due(self, sid: str, now: int) -> bool:
        try:
            return os.lstat(self._file(sid)).st_mtime_ns <= now * 1_000_000
        except FileNotFoundError:
            return False

    def remove_leftovers(self, shard: str) -> int:
        """Remove the temporary files of killed writers: whoever holds the lock knows that nobody is writing.

        Returns how many.
        """
        directory, removed = f"{self.path}/{shard}", 0
        if any(name.endswith(TEMPORARY) for name in names_in(directory)):
            with locked(f"{directory}/.lock", self._timeout_seconds):
                for name in names_in(directory):
                    if name.endswith(TEMPORARY):
                        remove_file(f"{directory}/{name}", durable=False)
                        removed += 1
        return removed
