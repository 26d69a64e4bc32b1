"""A new session in Redis: listed, and stored only if that was done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django_srvsession import conf
from django_srvsession.backends.redis.clock import RedisClock
from django_srvsession.backends.redis.codec import Command, create_command, list_and_create_command, was_created
from django_srvsession.backends.redis.keys import Keys
from django_srvsession.backends.redis.scripts import MARGIN_MS, TTL_STEP_MS
from django_srvsession.backends.redis.wire import Steps, checked_index
from django_srvsession.records import LATEST_MS, Delta, Loaded, new_session
from django_srvsession.store import StoreUnavailableError

Listing = Callable[[str, str | None, int], list[Command]]
"""Make the commands that list a session, by its sid, for its user, until so many milliseconds."""


class Creation:
    """Make what lists a new session and stores it."""

    def __init__(self, keys: Keys, clock: RedisClock, listing: Listing) -> None:
        self._keys = keys
        self._clock = clock
        self._listing = listing

    def steps(self, sid: str, verifier: str, delta: Delta, one_server: bool) -> Steps[tuple[Loaded, Any]]:
        """Return a new session, and the reply to what stored it."""
        if not one_server:
            return (yield from self._in_order(sid, verifier, delta))
        new, command = self.new(sid, verifier, delta)
        (stored,) = yield [command]
        return new, stored

    def new(self, sid: str, verifier: str, delta: Delta) -> tuple[Loaded, Command]:
        """Return a new session, by what is known of the time, and the one command that lists and stores it."""
        new = new_session(sid, verifier, delta, self._clock.now_ms)
        listing, storing = self._commands(new)
        return new, list_and_create_command(listing, storing)

    def was_stored(self, reply: Any) -> bool:
        """Tell whether the session was stored; if not, its place is taken."""
        was_free = was_created(checked_index(reply))
        if was_free is None:
            raise senseless()
        return was_free

    def _in_order(self, sid: str, verifier: str, delta: Delta) -> Steps[tuple[Loaded, Any]]:
        new = new_session(sid, verifier, delta, self._clock.now_ms)
        listing, storing = self._commands(new)
        for reply in (yield listing):
            checked_index(reply)
        (stored,) = yield [storing]
        if new.record.user_id is not None and not isinstance(stored, Exception):
            # A sweep that found the entry without its session may have lowered it meanwhile.
            for reply in (yield listing[:-1]):
                checked_index(reply)  # The key of a session that is not listed must not go out.
        return new, stored

    def _commands(self, new: Loaded) -> tuple[list[Command], Command]:
        """Return the commands that list a new session, and the one that stores it."""
        record = new.record
        until_ms = bound(record.expires_ms, record.lifetime_ms)
        listing = self._listing(record.sid, record.user_id, until_ms)
        return listing, create_command(self._keys.session(record.sid), new, keep_ms(), until_ms)


def keep_ms() -> int:
    """Return how long a session stays after its expiry, in milliseconds, for somebody to notice it and end it."""
    return max(int(conf.ended_keep_ms), MARGIN_MS) + TTL_STEP_MS


def bound(expires_ms: int, lifetime_ms: int) -> int:
    """Return until when the user's index is to hold a session: far enough ahead that most saves need not touch it."""
    return expires_ms + min(lifetime_ms, LATEST_MS) + MARGIN_MS  # Below the marks of `admit`.


def senseless() -> StoreUnavailableError:
    """Make the error that says that a reply is none to what was asked."""
    return StoreUnavailableError("Redis gave no answer to what it was asked.")
