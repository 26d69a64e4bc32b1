"""What tests ask of a browser and of the store."""

from __future__ import annotations

from typing import Any

from django_srvsession.engine.keys import SessionKey
from django_srvsession.records import SessionRecord, Tombstone
from tests.engine.pages import Browser
from tests.engine.watched import WatchedStore

WRITES = {"create", "update", "rotate", "end", "expire"}


def key_of(browser: Browser) -> SessionKey:
    """Return the key in a browser's cookie."""
    key = SessionKey.parse(browser.cookie)
    assert key is not None
    return key


def record_of(browser: Browser, store: WatchedStore) -> SessionRecord:
    """Return the stored record of a browser's session."""
    return store.inner.load(key_of(browser).sid).record  # type: ignore[union-attr, no-any-return]


def tombstone_of(sid: str, store: WatchedStore) -> Tombstone:
    """Return what an ended session left."""
    found = store.inner.load(sid)
    assert isinstance(found, Tombstone)
    return found


def seconds_left(browser: Browser, store: WatchedStore) -> float:
    """Return how long a browser's session still lives, in seconds, if it is not used again."""
    loaded: Any = store.inner.load(key_of(browser).sid)
    return float((loaded.record.expires_ms - loaded.now_ms) / 1000)


def writes(store: WatchedStore) -> list[str]:
    """Return the writing verbs that were asked of the store so far, in order."""
    return [verb for verb in store.verbs if verb in WRITES]
