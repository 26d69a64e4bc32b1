"""Random sessions, and threads, for tests of stores: all names are random, so that nothing need be emptied."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from typing import Any

from django_srvsession.records import TOUCH, Delta, Loaded, SessionRecord
from django_srvsession.store import Store

HOUR_MS = 3_600_000
SAYS_SOMETHING = r"\w"
"""What the text of every error matches."""

_LONG_SECONDS = 300
"""More than any step of a test takes, on the slowest machine: a store that hangs must fail."""


def new_sid() -> str:
    """Make a sid that nobody has."""
    return secrets.token_hex(9)


def new_verifier() -> str:
    """Make a verifier that nobody has."""
    return secrets.token_hex(32)


def new_user() -> str:
    """Make a user id that nobody has."""
    return f"user-{secrets.token_hex(6)}"


def new_delta(**fields: Any) -> Delta:
    """Make the delta of a new session that lives for an hour."""
    return Delta(**{"lifetime_ms": HOUR_MS, **fields})


def create(store: Store, **fields: Any) -> Loaded:
    """Store a new session under random names."""
    return store.create(new_sid(), new_verifier(), new_delta(**fields))


def make_due(store: Store, session: Loaded) -> Loaded:
    """Let a live session's time be up, without waiting."""
    record = session.record
    due = store.update(record.sid, record.verifier, Delta(deadline_ms=session.now_ms - 1000))
    assert due.record.expires_ms <= due.now_ms, "a deadline in the past makes a session due"
    return due


def touch_later(store: Store, session: Loaded, after_ms: int | None = None) -> Loaded:
    """Touch a session until the store's clock has moved on, so that orders by last use are not left to chance."""
    after_ms = session.record.last_seen_ms if after_ms is None else after_ms
    for _ in range(10_000):
        touched = store.update(session.record.sid, session.record.verifier, TOUCH)
        if touched.record.last_seen_ms > after_ms:
            return touched
    raise AssertionError("the store's clock stands still")


def stored(store: Store, sid: str) -> Loaded:
    """Load a session that must be there."""
    found = store.load(sid)
    assert isinstance(found, Loaded), f"{sid} is {found!r}"
    return found


def snapshot(store: Store, sid: str) -> tuple[SessionRecord, dict[str, bytes]]:
    """Return all that is stored of a session, to compare with later."""
    found = stored(store, sid)
    return found.record, dict(found.values)


def sids(records: Sequence[SessionRecord]) -> list[str]:
    """Return the sids, in order."""
    return [record.sid for record in records]


def in_threads(functions: Sequence[Callable[[], Any]], done: Callable[[], None]) -> list[Any]:
    """Run functions at the same moment, each in a thread that calls ``done`` at its end; return results or errors."""
    barrier = threading.Barrier(len(functions))
    outcomes: list[Any] = [None] * len(functions)

    def run(number: int, function: Callable[[], Any]) -> None:
        try:
            barrier.wait(_LONG_SECONDS)
            outcomes[number] = function()
        except BaseException as error:  # noqa: BLE001 - an outcome like any other, judged by the test.
            outcomes[number] = error
        finally:
            done()

    threads = [threading.Thread(target=run, args=item, daemon=True) for item in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_LONG_SECONDS)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    return outcomes


def unexpected(outcomes: Sequence[Any], *allowed: type[BaseException]) -> list[BaseException]:
    """Return the errors among outcomes that are not of an allowed type."""
    return [o for o in outcomes if isinstance(o, BaseException) and not isinstance(o, allowed)]
