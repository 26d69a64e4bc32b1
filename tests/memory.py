"""An empty memory store, and a clock for it that a test may put forward.

Import a fixture by its function's name, and ask for ``store`` or ``later``.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.contrib.auth import get_user_model

from django_srvsession.backends.memory import MemoryStore
from django_srvsession.backends.memory.table import SessionTable
from django_srvsession.engine import current_store
from django_srvsession.store import Store

CLOCKS = ("django_srvsession.backends.memory.now_ms", "django_srvsession.operations.selection._now_ms")


@pytest.fixture(name="store")
def memory_store_fixture(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty memory store."""
    settings.SESSION_ENGINE = "django_srvsession.backends.memory"
    monkeypatch.setattr(MemoryStore, "table", SessionTable())
    return current_store()


@pytest.fixture(name="later")
def later_fixture(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list of one number, to be set: by how many milliseconds the clock is ahead."""
    ahead = [0]
    for name in CLOCKS:
        monkeypatch.setattr(name, lambda: int(time.time() * 1000) + ahead[0])
    return ahead


@pytest.fixture(name="pages")
def pages_fixture(store: Store, settings: Any) -> None:
    """A site that uses our pages, on an empty memory store."""
    settings.LOGIN_URL = "srvsession:login"
    settings.LOGIN_REDIRECT_URL = "/whoami/"


@pytest.fixture(name="alice")
def alice_fixture() -> Any:
    """A user."""
    return get_user_model().objects.create_user("alice", password="pass-alice")
