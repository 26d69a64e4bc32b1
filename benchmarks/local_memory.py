"""Django's cache engine on its local-memory cache, beside the one on Redis in the same process."""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends import cache
from django.core.cache import caches


class SessionStore(cache.SessionStore):  # type: ignore[misc]
    """Django's, on the alias ``local``."""

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        self._cache: Any = caches["local"]
