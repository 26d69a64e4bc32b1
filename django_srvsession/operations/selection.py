"""Choose live sessions by user, kind and activity, and end what was chosen: for commands, on every store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final, NamedTuple

from django_srvsession import services
from django_srvsession.engine import current_store
from django_srvsession.records import Loaded, SessionRecord

_SLACK_MS: Final = 60_000
"""How far a list may be from the order of last use, and the store's clock from ours, in milliseconds."""


class Choice(NamedTuple):
    """Say which sessions are meant; all conditions that are given must hold.

    ``is_signed_in``: True for signed-in ones only, False for anonymous ones. ``active_ms``: used within so long;
    ``inactive_ms``: not used for so long (milliseconds). ``kept``: sids that are never meant.
    """

    user_id: str | None = None
    is_signed_in: bool | None = None
    active_ms: int | None = None
    inactive_ms: int | None = None
    kept: frozenset[str] = frozenset()

    def records(self) -> Iterator[SessionRecord]:
        """Return the live sessions that are meant, newest activity first; stops where no more can follow."""
        now_ms = _now_ms()
        for record in services.live_sessions() if self.user_id is None else services.sessions_of(self.user_id):
            if self.active_ms is not None and record.last_seen_ms < now_ms - self.active_ms - _SLACK_MS:
                return
            if self.means(record, now_ms):
                yield record

    def means(self, record: SessionRecord, now_ms: int) -> bool:
        """Tell whether a session is meant, at that time."""
        unseen_ms = now_ms - record.last_seen_ms
        return (
            record.sid not in self.kept
            and self.is_signed_in in (None, record.user_id is not None)
            and (self.active_ms is None or unseen_ms <= self.active_ms)
            and (self.inactive_ms is None or unseen_ms >= self.inactive_ms)
        )

    @property
    def some_wait(self) -> bool:
        """Whether all sessions of a user are meant, and some may wait in the engine that the site moves from."""
        are_all = self.user_id is not None and self.active_ms is self.inactive_ms is None
        return are_all and self.is_signed_in is not False and services.some_wait()

    def end(self, by: str, reason: str) -> Iterator[SessionRecord]:
        """End the sessions that are meant, and yield each that this call has ended.

        The list moves while sessions of it end, so it is gone through anew until nothing is left of it, and nothing can
        be missing in it.
        """
        store, ended_any = current_store(), True
        if self.some_wait:
            yield from services.end_waiting(self.user_id, keep=self.kept, by=by, reason=reason)
        while ended_any:
            store.ensure_listed()
            ended_any = False
            for record in self._ended_once(by, reason):
                ended_any = True
                yield record

    def _ended_once(self, by: str, reason: str) -> Iterator[SessionRecord]:
        if self.inactive_ms is None:
            yield from services.revoke_many((record.sid for record in self.records()), by=by, reason=reason)
            return
        for record in self.records():  # One by one: what is used between the look and the end is not inactive.
            if self._still_means(record) and services.revoke(record.sid, by=by, reason=reason):
                yield record

    def _still_means(self, record: SessionRecord) -> bool:
        """Look again where a request since the listing changes the answer: a session in use is not inactive."""
        if self.inactive_ms is None:
            return True
        found = current_store().load(record.sid)
        return isinstance(found, Loaded) and self.means(found.record, found.now_ms)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
