"""Files that are whole or not there, private whatever the umask, and locks between threads and processes.

All of it raises ``OSError`` as the system does; ``answering`` makes the store's own error of it. POSIX only; not for
NFS, whose locks and renames promise less.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
import secrets
import stat
import time
from collections.abc import Iterator
from typing import Final

from django_srvsession.store import CorruptSessionError, StoreUnavailableError, waiting

MAX_FILE_BYTES: Final = 16 * 1024 * 1024
"""Above it a file is neither written nor read."""

TEMPORARY: Final = ".tmp"
_SAFELY: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY  # A planted FIFO must not hang us.
_LATEST_MS: Final = 4_000_000_000_000  # The year 2096: file systems differ in the latest time that they can keep.


def make_directory(path: str) -> None:
    """Make a directory that only we can enter, durably, unless it is there."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return
    os.chmod(path, 0o700)  # The umask can only have taken rights away, from us too.
    sync_directory(os.path.dirname(path))


def sync_directory(path: str) -> None:
    """Wait until renames and removals in a directory will survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_file(path: str) -> bytes | None:
    """Return what a file of ours holds, or None if there is none.

    Raises ``CorruptSessionError`` for what we never make: a symbolic link, a FIFO, a device, a directory, a file that
    is somebody else's or too large. (Hard links pass: backups make them, and a file says which session it holds.)
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | _SAFELY)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise CorruptSessionError(f"{path} is no regular file.") from error
        raise
    try:
        return _read_all(descriptor, path)
    finally:
        os.close(descriptor)


def _read_all(descriptor: int, path: str) -> bytes:
    info = os.fstat(descriptor)
    if not stat.S_ISREG(info.st_mode) or info.st_uid != os.geteuid() or info.st_size > MAX_FILE_BYTES:
        raise CorruptSessionError(f"{path} is no regular file, not ours, or too large.")
    data = os.read(descriptor, info.st_size)
    while len(data) < info.st_size:
        more = os.read(descriptor, info.st_size - len(data))
        if not more:
            raise CorruptSessionError(f"{path} was cut short.")
        data += more
    return data


def write_file(path: str, data: bytes, modified_ms: int = 0, *, durable: bool = True) -> None:
    """Put a file in place, or replace it, in one step; its time of modification becomes ``modified_ms``.

    ``durable``: on return it survives a power failure. Without, a power failure may bring back the file before it, or
    leave an empty one.

    Raises ``OSError``: then the file before it stands; only if the directory could not be synced is that not known.
    """
    temporary = f"{path}.{secrets.token_hex(8)}{TEMPORARY}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFELY, 0o600)
    try:
        try:
            _write_all(descriptor, data, modified_ms, durable)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if durable:
        sync_directory(os.path.dirname(path))


def _write_all(descriptor: int, data: bytes, modified_ms: int, durable: bool) -> None:
    os.fchmod(descriptor, 0o600)
    rest = memoryview(data)
    while rest:
        written = os.write(descriptor, rest)
        if not written:
            raise OSError(errno.EIO, "The file takes no more bytes")
        rest = rest[written:]
    instant_ns = min(max(modified_ms, 0), _LATEST_MS) * 1_000_000
    os.utime(descriptor, ns=(instant_ns, instant_ns))
    if durable:
        os.fsync(descriptor)


def remove_file(path: str, *, durable: bool = True) -> None:
    """Remove a file, if it is there; ``durable``: on return it does not come back after a power failure."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    if durable:
        sync_directory(os.path.dirname(path))


def names_in(path: str) -> list[str]:
    """Return the names in a directory; none if there is no such directory."""
    try:
        return os.listdir(path)
    except FileNotFoundError:
        return []


@contextlib.contextmanager
def locked(path: str, timeout_seconds: float) -> Iterator[None]:
    """Hold the lock that a file stands for, alone among all threads and processes of this machine.

    The file stays; a process that dies lets go. Raises ``TimeoutError`` when another holds it for too long.
    """
    limit = waiting.limit()
    descriptor = _lock(path, time.monotonic() + (timeout_seconds if limit is None else min(limit, timeout_seconds)))
    try:
        yield
    finally:
        # Closing alone would not do: a child that was forked meanwhile has the descriptor too.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _lock(path: str, give_up_at: float) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _SAFELY, 0o600)
        try:
            _wait_for_lock(descriptor, path, give_up_at)
            info = os.fstat(descriptor)
            if stat.S_IMODE(info.st_mode) != 0o600:
                os.fchmod(descriptor, 0o600)
        except BaseException:
            os.close(descriptor)
            raise
        if info.st_nlink:
            return descriptor
        os.close(descriptor)  # Somebody tidied the file away while we waited: others lock the next one.


def _wait_for_lock(descriptor: int, path: str, give_up_at: float) -> None:
    """Poll rather than block: a holder that was stopped must not take every other worker with it."""
    pause_seconds = 0.0002
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up_at:
                raise TimeoutError(errno.ETIMEDOUT, "The lock is held by another", path) from None
        time.sleep(random.uniform(0, pause_seconds))  # noqa: S311 - jitter
        pause_seconds = min(pause_seconds * 2, 0.005)


class _Answering(contextlib.ContextDecorator):
    """Report every error of the file system as ``StoreUnavailableError``: none of them says that a session is gone."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise StoreUnavailableError(f"The session files do not answer: {error}") from error


answering = _Answering()
