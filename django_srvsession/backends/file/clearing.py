"""Ending what is due, shard by shard, and tidying up behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django_srvsession.backends.file.listing import Listing
from django_srvsession.backends.file.system import answering
from django_srvsession.records import EXPIRED, SessionRecord
from django_srvsession.store import rules


class Clearing:
    """Go through all files whose time is up; ``end`` ends one of the sessions, and returns its record."""

    def __init__(self, listing: Listing, end: Callable[[str], SessionRecord | None]) -> None:
        self._listing = listing
        self._sessions = listing.sessions
        self._end = end

    @answering
    def count_due(self, now: int) -> int:
        """Return how many sessions are due."""
        due = (
            self._sessions.read_sound(sid, now)
            for shard in self._sessions.shards()
            for sid in self._sessions.due(shard, now)
        )
        return sum(rules.may_end(stored, EXPIRED, now) is not None for stored in due)

    def expire_all(self, now: int, swept: Callable[[str, int], object]) -> Iterator[SessionRecord]:
        """End what is due at ``now``, one by one as it is asked for, and tidy up behind."""
        with answering:
            for shard in self._sessions.shards():
                forgotten = 0
                for sid in self._sessions.due(shard, now):
                    record = self._end(sid)
                    if record is None:
                        forgotten += self._sessions.forget(sid, now)
                    else:
                        yield record
                swept("tombstones", forgotten)
                swept("leftovers", self._sessions.remove_leftovers(shard))
            for digest in self._listing.users.digests():
                self._tidy_list(digest, now, swept)
            swept("index entries", self._sessions.remove_stale_marks())

    def _tidy_list(self, digest: str, now: int, swept: Callable[[str, int], object]) -> None:
        """Take ghosts off a user's list. Under the lock there is no login half done that could be taken for one."""
        users = self._listing.users
        ghosts = [sid for sid in users.sids(digest) if self._listing.live(sid, digest, now) is None]
        if ghosts or users.has_leftovers(digest):
            with users.locked(digest):
                swept("index entries", sum(self._listing.unlist_ghost(digest, sid) for sid in ghosts))
                swept("leftovers", users.remove_leftovers(digest))
