"""What an operator should know of sessions in memory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Final

from django_srvsession.store.health import Finding, Level

_GUNICORN: Final = re.compile(r"(?:^|\s)(?:-w|--workers)[\s=]*(\d+)")


def findings() -> Iterator[Finding]:
    """Yield what there is to say."""
    text = "Sessions are in the memory of each process: this command sees none of the site's."
    yield Finding(Level.NOTE, "memory", text, "Use another engine to see and end sessions from outside.")
    workers = workers_asked_for()
    if workers > 1:
        text = (
            f"The environment asks for {workers} workers, and each has sessions of its own: people are signed out "
            "whenever another one answers."
        )
        advice = "Set SESSION_ENGINE to django_srvsession.backends.db or .redis, or serve with one process."
        yield Finding(Level.ERROR, "workers", text, advice)


def workers_asked_for() -> int:
    """Return how many processes the environment asks a server for, as gunicorn and uvicorn read it; 1 if not at all."""
    found = _GUNICORN.search(os.environ.get("GUNICORN_CMD_ARGS", ""))
    texts = (os.environ.get("WEB_CONCURRENCY", ""), found[1] if found else "")
    return max((int(text) for text in texts if text.isdecimal()), default=1)
