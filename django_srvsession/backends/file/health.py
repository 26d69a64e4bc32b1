"""What an operator should know of a directory of sessions."""

from __future__ import annotations

import os
from typing import Final

from django_srvsession.store.health import Finding, Level, StorageInfo

_LEAST_SHARE: Final = 0.05


def storage_info(path: str) -> StorageInfo:
    """Return how much room a directory's disk has left. Raises ``OSError``."""
    info = os.statvfs(path)
    return StorageInfo("SESSION_FILE_PATH", free_bytes=info.f_bavail * info.f_frsize)


def room_on(path: str) -> Finding:
    """Say how much room, or how many files, a directory's disk has left. Raises ``OSError``."""
    info = os.statvfs(path)
    shares = [info.f_bavail / info.f_blocks if info.f_blocks else 1.0]
    if info.f_files:  # Some file systems have no such limit.
        shares.append(info.f_favail / info.f_files)
    left = min(shares)
    text = f"{left:.0%} of the disk of SESSION_FILE_PATH is free."
    if left >= _LEAST_SHARE:
        return Finding(Level.OK, "disk", text)
    return Finding(
        Level.WARNING, "disk", text, "On a full disk nobody can sign in. Make room, and run clearsessions_srv."
    )
