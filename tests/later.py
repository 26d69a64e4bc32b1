"""The store's clock, as sessions tell it, set ahead: proofs of the password grow old, and no session expires."""

from __future__ import annotations

import pytest

from django_srvsession.engine import SessionStore


class Later:
    """How far ahead the clock is, in seconds; 0 at first."""

    def __init__(self, patch: pytest.MonkeyPatch, seconds: float = 0) -> None:
        self.seconds = seconds
        real = SessionStore.now_ms.fget
        assert real is not None

        def now_ms(session: SessionStore) -> int | None:
            now = real(session)
            return None if now is None else now + int(self.seconds * 1000)

        patch.setattr(SessionStore, "now_ms", property(now_ms))

    def advance(self, seconds: float) -> None:
        """Let time go on."""
        self.seconds += seconds
