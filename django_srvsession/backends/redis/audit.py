"""Redis' indexes against its sessions, both ways.

Users sign in and out meanwhile. A session that ends while it is looked at may be listed once more: readers skip that
entry, and clearing removes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from django_srvsession.backends.redis.clearing import Clearing
from django_srvsession.backends.redis.clock import RedisClock
from django_srvsession.backends.redis.commands import list_command, listed_record
from django_srvsession.backends.redis.format import indexed_until_ms
from django_srvsession.backends.redis.keys import Keys, kind_of
from django_srvsession.backends.redis.record_reading import record_replies
from django_srvsession.backends.redis.transport import BlockingTransport, Command
from django_srvsession.backends.redis.transport.replies import checked_index
from django_srvsession.records import SessionRecord
from django_srvsession.store.face import run_blocking
from django_srvsession.store.health import IndexHealth

_PORTION: Final = 500

Session = tuple[SessionRecord, bytes]
"""A record, and the image that it was read from."""


class IndexAudit:
    """Look at every entry and at every session once, in batches."""

    def __init__(self, to: BlockingTransport, keys: Keys, clock: RedisClock) -> None:
        self._to = to
        self._keys = keys
        self._lists = Clearing(to, keys, clock, _PORTION)

    def run(self, repair: bool) -> IndexHealth:
        """Compare; raises ``StoreUnavailableError``."""
        ghosts = self._lists.count_ghosts()
        looked_at, unlisted = 0, set[str]()  # SCAN may show a key twice.
        for count, missing in self.batches(repair):
            looked_at += count
            unlisted |= missing
        return IndexHealth(looked_at, ghosts, len(unlisted), len(unlisted) if repair else 0)

    def batches(self, repair: bool) -> Iterator[tuple[int, set[str]]]:
        """Go through all sessions; tell of each batch how many are live, and the sids of those that a list lacks."""
        for sessions in self._live_sessions():
            missing = self._missing(sessions)
            if repair and missing:
                self._add([command for _, command in missing])
            yield len(sessions), {sid for sid, _ in missing}

    def _live_sessions(self) -> Iterator[list[Session]]:
        for found_keys in self._to.scan(self._keys.every_session, _PORTION):
            session_keys = [key for key in found_keys if self._keys.is_session(key)]
            replies = run_blocking(record_replies(self._to, session_keys))
            sids = map(self._keys.sid_of, session_keys)
            found = ((listed_record(sid, reply), reply) for sid, reply in zip(sids, replies, strict=True))
            now_ms = self._lists.now_ms()
            yield [(record, reply) for record, reply in found if record is not None and record.is_live(now_ms)]

    def _missing(self, sessions: Sequence[Session]) -> list[tuple[str, Command]]:
        """Return what would list each session wherever it ought to be listed and is not, or not for long enough."""
        wanted: dict[str, list[tuple[str, Command, float]]] = {}
        for record, reply in sessions:
            for key, command, least in self._entries(record, reply):
                wanted.setdefault(key, []).append((record.sid, command, least))
        asked: list[Command] = [("ZMSCORE", key, *(sid for sid, *_ in entries)) for key, entries in wanted.items()]
        replies = self._to.exchange(asked) if asked else []
        return [
            (sid, command)
            for (key, entries), scores in zip(wanted.items(), map(checked_index, replies), strict=True)
            for (sid, command, least), found in zip(entries, scores, strict=True)
            if found is None or float(found) < least
        ]

    def _entries(self, record: SessionRecord, image: bytes) -> Iterator[tuple[str, Command, float]]:
        """Yield the indexes that a session belongs in, with what lists it there and the least score that will do."""
        live = self._keys.live_of(kind_of(record.user_id), record.sid)
        yield live, ("ZADD", live, "GT", record.last_seen_ms, record.sid), float("-inf")
        if record.user_id is not None:
            until_ms = max(record.expires_ms, indexed_until_ms(image))  # No save looks at the index before then.
            of_user = self._keys.user(record.user_id)
            yield of_user, list_command(of_user, record.sid, until_ms), until_ms

    def _add(self, commands: Sequence[Command]) -> None:
        for reply in self._to.exchange(commands):
            checked_index(reply)
