"""Fixtures: the engine's site, store and browsers, and a clock that can be moved."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from django_srvsession.backends import memory
from tests.engine.conftest import ann, bob, browser, engine, site, store

__all__ = ["ann", "bob", "browser", "engine", "let_pass", "site", "store"]


@pytest.fixture
def let_pass(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that moves the memory store's clock: ``let_pass(minutes=5)``."""
    real, ahead_ms = memory.now_ms, 0

    def advance(**duration: float) -> None:
        nonlocal ahead_ms
        ahead_ms += int(timedelta(**duration).total_seconds() * 1000)

    monkeypatch.setattr(memory, "now_ms", lambda: real() + ahead_ms)
    return advance
