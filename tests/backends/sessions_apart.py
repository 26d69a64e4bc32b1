"""A router that keeps sessions, and nothing else of the site, in the database ``sessions``."""

from __future__ import annotations

from typing import Any


class SessionsApart:
    """Say where our models are."""

    def db_for_read(self, model: Any, **hints: object) -> str | None:
        """Return the database of a model of ours; None: the usual one."""
        return "sessions" if model._meta.app_label == "srvsession" else None

    db_for_write = db_for_read
