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

from django_srvsession.backends.file import format as file_format
from django_srvsession.backends.file.minutes import MINUTE_MS, MinuteMarkers, minute_of
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
from django_srvsession.records import Loaded, SessionRecord, Tombstone, is_sid
from django_srvsession.store import CorruptSessionError, StoreUnavailableError, TooLargeError, rules

_SESSION_FILE: Final = re.compile(r"([0-9a-f]{18})\.json")
_SHARD: Final = re.compile(r"[0-9a-f]{2}")
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_MINUTE_US: Final = MINUTE_MS * 1000
_SIGN: Final = ".srvsession"


def now_ms() -> int:
    """Return the store's clock: milliseconds since 1970 UTC."""
    return int(time.time() * 1000)


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
        self.minutes = MinuteMarkers(f"{path}/recent")
        self._timeout_seconds = timeout_seconds
        self._is_ready = False

    @property
    def now_ms(self) -> int:
        """Return the store's clock."""
        return now_ms()

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

    def write(self, session: Loaded, before: Loaded | None = None) -> Loaded:
        """Store a session, durably, and return it; under its lock. Raises ``TooLargeError`` above 16 MiB.

        ``before`` is what it replaces.
        """
        data = file_format.encode(session)
        if len(data) > MAX_FILE_BYTES:
            raise TooLargeError(f"The session would take {len(data)} bytes; a file may have {MAX_FILE_BYTES}.")
        with self._marked(session.record, None if before is None else before.record):
            write_file(self._file(session.record.sid), data, session.record.expires_ms)
        return session

    @contextlib.contextmanager
    def _marked(self, record: SessionRecord, before: SessionRecord | None) -> Iterator[None]:
        """Mark the minute of a session's last use before it is written, and no earlier one afterwards."""
        minute, minute_before = minute_of(record), None if before is None else minute_of(before)
        if minute != minute_before:
            self.minutes.add(record.sid, minute)
        yield
        if minute_before not in (None, minute):
            self.minutes.remove(record.sid, minute_before)

    def bury(self, record: SessionRecord, tombstone: Tombstone, *, durable: bool) -> None:
        """Put a tombstone in a session's place, under its lock; on a full disk nothing, since ending comes first."""
        self._bury(tombstone, durable)
        self.minutes.remove(record.sid, minute_of(record))

    def _bury(self, tombstone: Tombstone, durable: bool) -> None:
        path = self._file(tombstone.sid)
        try:
            keep_until_ms = rules.kept_until_ms(tombstone.ended_ms)
            write_file(path, file_format.encode(tombstone), keep_until_ms, durable=durable)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            remove_file(path, durable=durable)

    def remove(self, record: SessionRecord) -> None:
        """Remove a session that ended so long ago that no tombstone is due, under its lock; time repeats it."""
        remove_file(self._file(record.sid), durable=False)
        self.minutes.remove(record.sid, minute_of(record))

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

    def by_last_write(self, minute: int) -> list[tuple[int, str]]:
        """Return when the files of the sessions of a minute were written, and their sids; reads no file.

        In microseconds since 1970 UTC; one that is just outside of the minute counts as its first or its last moment.
        """
        found: list[tuple[int, str]] = []
        first, last = minute * _MINUTE_US, (minute + 1) * _MINUTE_US - 1
        for sid in self.minutes.sids(minute):
            with contextlib.suppress(FileNotFoundError):
                written_us = os.lstat(self._file(sid)).st_ctime_ns // 1000
                found.append((min(max(written_us, first), last), sid))
        return found

    def by_last_use(self, sids: list[str]) -> list[str]:
        """Return sids by when their files were last written, the newest first; reads no file."""
        return sorted(sids, key=lambda sid: (self._written_ns(sid), sid), reverse=True)

    def _written_ns(self, sid: str) -> int:
        try:
            return os.lstat(self._file(sid)).st_ctime_ns
        except FileNotFoundError:
            return 0

    def remove_stale_marks(self) -> int:
        """Remove the marks of minutes in which sessions were not last used; return how many.

        The time of a file says it nearly always, without reading it. Writers mark under the session's lock.
        """
        removed = 0
        for minute in self.minutes.present():
            for sid in self.minutes.sids(minute):
                if not self._was_written_about(sid, minute):
                    removed += self._remove_stale_mark(sid, minute)
        return removed

    def _was_written_about(self, sid: str, minute: int) -> bool:
        try:
            return abs(os.lstat(self._file(sid)).st_ctime_ns // (1000 * _MINUTE_US) - minute) <= 1
        except FileNotFoundError:
            return False

    def _remove_stale_mark(self, sid: str, minute: int) -> bool:
        with self.locked(sid):
            found = self.read_sound(sid, 0)
            is_stale = not isinstance(found, Loaded) or minute_of(found.record) != minute
            if is_stale:
                self.minutes.remove(sid, minute)
            return is_stale

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
