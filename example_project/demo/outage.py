"""An outage of the session store by a button, for a few seconds: the store is there, and does not answer.

On SQLite a helper process holds an exclusive lock on the file. On Redis the server is stopped (SIGSTOP), if it is the
demo's own. On any other store there is no button: the demo stops nothing that it did not start.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from django.conf import settings
from django.db import connections
from django.http import HttpRequest

from example_project.demo import hold_lock, own_redis

_LOOPBACK = ("127.0.0.1", "::1")
_ends_at = 0.0
# Our ends of the pipes stay open for as long as the demo runs: each helper lets go when the demo ends.
_helpers: list[subprocess.Popen[str]] = []


def is_possible(request: HttpRequest) -> bool:
    """Tell whether this visitor may bring one about: while developing, from this machine."""
    is_at_home = settings.DEBUG and request.META.get("REMOTE_ADDR") in _LOOPBACK
    return bool(is_at_home and (_sqlite_file() or own_redis.is_running()))


def begin() -> bool:
    """Let the store answer nobody for ``OUTAGE_SECONDS``; return once it does not. False if that failed."""
    global _ends_at
    if time.monotonic() < _ends_at:
        return True
    seconds, file = settings.OUTAGE_SECONDS, _sqlite_file()
    has_begun = _lock(file, seconds) if file else own_redis.pause(seconds)
    if has_begun:
        _ends_at = time.monotonic() + seconds
    return has_begun


def is_just_over() -> bool:
    """Tell whether there was one within the last minute."""
    return _ends_at > 0 and time.monotonic() - _ends_at < 60


def _sqlite_file() -> Path | None:
    if not settings.SESSION_ENGINE.endswith(".db") or connections["default"].vendor != "sqlite":
        return None
    return Path(connections["default"].settings_dict["NAME"])


def _lock(file: Path, seconds: float) -> bool:
    connections.close_all()  # This request's own connection would keep the lock from being had.
    command = [sys.executable, hold_lock.__file__, str(file), str(seconds)]
    helper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
    _helpers[:] = [*(other for other in _helpers if other.poll() is None), helper]
    assert helper.stdout is not None
    return helper.stdout.readline().strip() == "locked"
