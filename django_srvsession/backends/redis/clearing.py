"""Clearing in Redis: end what is due, and take out of the indexes what has gone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django_srvsession.backends.redis.clock import RedisClock
from django_srvsession.backends.redis.commands import end_command, forget_commands, is_absent, listed_record, scored
from django_srvsession.backends.redis.format import indexed_until_ms, is_tombstone
from django_srvsession.backends.redis.keys import ANONYMOUS, KINDS, Keys, decoded, kind_of
from django_srvsession.backends.redis.record_reading import record_replies
from django_srvsession.backends.redis.scripts import ADMITTED_FROM, CONDEMNED_FROM, DAY_MS, MARGIN_MS
from django_srvsession.backends.redis.transport import BlockingTransport, Command
from django_srvsession.backends.redis.transport.replies import checked_index
from django_srvsession.records import EXPIRED, SessionRecord
from django_srvsession.store import rules
from django_srvsession.store.face import run_blocking


class Clearing:
    """Go through the indexes in batches. Others may clear, sign in and out meanwhile, and it may be interrupted.

    An entry without a session may be a login under way, so it goes only when it is a minute old.
    """

    def __init__(self, to: BlockingTransport, keys: Keys, clock: RedisClock, batch_size: int) -> None:
        self._to = to
        self._keys = keys
        self._clock = clock
        self._batch_size = batch_size
        self.removed = 0
        """How many entries that pointed nowhere were taken out of the indexes."""

    def due(self, forget: bool) -> Iterator[list[str]]:
        """Yield the sids of sessions whose time is up, batch by batch; ``forget`` entries of sessions that are gone."""
        for kind, key in self._keys.all_live:
            for entries in self._entries(key):
                replies = self._look([sid for sid, _ in entries])
                yield [sid for sid, reply in replies.items() if self._is_due(sid, kind, reply)]
                if forget:
                    gone = [sid for sid, score in entries if self._is_gone(kind, score, replies[sid])]
                    self._remove(key, gone)

    def count_ghosts(self) -> int:
        """Return how many entries of the lists of everybody point nowhere."""
        ghosts = 0
        for kind, key in self._keys.all_live:
            for entries in self._entries(key):
                replies = self._look([sid for sid, _ in entries])
                ghosts += sum(self._is_gone(kind, score, replies[sid]) for sid, score in entries)
        return ghosts

    def expire(self, sids: Sequence[str]) -> list[SessionRecord]:
        """End those whose time is still up, by Redis' clock; return the ones that this call has ended."""
        replies = self._call(
            [end_command([self._keys.session(sid)], sid, EXPIRED, None, rules.keep_ms()) for sid in sids]
        )
        answers = zip(sids, map(checked_index, replies), strict=True)
        ended = (listed_record(sid, answer[2]) for sid, answer in answers if answer[0] == b"ok")
        return [record for record in ended if record is not None]

    def forget(self, ended: Sequence[SessionRecord]) -> None:
        """Take ended sessions out of the indexes."""
        self._call([one for record in ended for one in forget_commands(self._keys, record.sid, KINDS, record.user_id)])

    def forget_of_users(self) -> None:
        """Take past and lost entries out of the users' indexes."""
        for found in self._to.scan(self._keys.every_user, self._batch_size):
            user_keys = [key for key in found if self._keys.is_user(key)]
            now_ms = self.now_ms()
            replies = self._call([command for key in user_keys for command in _past_commands(key, now_ms)])
            self.removed += sum(map(checked_index, replies[:: len(_past_commands("", 0))]))
            replies = self._call([("ZRANGEBYSCORE", key, "-inf", f"({ADMITTED_FROM}") for key in user_keys])
            for key, reply in zip(user_keys, replies, strict=True):
                self._forget_lost(key, [decoded(sid) for sid in checked_index(reply)], now_ms)

    def _forget_lost(self, user_key: bytes, sids: Sequence[str], now_ms: int) -> None:
        for start in range(0, len(sids), self._batch_size):
            replies = self._look(sids[start : start + self._batch_size])
            ended = [sid for sid, reply in replies.items() if is_tombstone(reply)]
            lost = [sid for sid, reply in replies.items() if is_absent(reply)]
            self._remove(user_key, ended)
            # Past from now on, and removed a margin later: unless a login follows, which raises it again. One that was
            # between its two steps is raised by whoever comes last: by itself after the second, or here.
            self._call([("ZADD", user_key, "XX", "LT", now_ms, sid) for sid in lost])
            stored = [(sid, reply) for sid, reply in self._look(lost).items() if listed_record(sid, reply) is not None]
            raised = self._call([("ZADD", user_key, "XX", "GT", indexed_until_ms(reply), sid) for sid, reply in stored])
            for reply in raised:
                checked_index(reply)

    def _remove(self, key: bytes | str, sids: Sequence[str]) -> None:
        if sids:
            (removed,) = self._call([("ZREM", key, *sids)])
            self.removed += checked_index(removed)

    def _entries(self, key: str) -> Iterator[list[tuple[str, float]]]:
        cursor: Any = b"0"
        while cursor is not None:
            (reply,) = self._call([("ZSCAN", key, cursor, "COUNT", self._batch_size)])
            cursor, items = checked_index(reply)
            cursor = None if int(cursor) == 0 else cursor
            entries = list(dict(scored(items)).items())
            for start in range(0, len(entries), self._batch_size):
                yield entries[start : start + self._batch_size]

    def _look(self, sids: Sequence[str]) -> dict[str, Any]:
        replies = run_blocking(record_replies(self._to, [self._keys.session(sid) for sid in sids])) if sids else []
        return dict(zip(sids, replies, strict=True))

    def _is_due(self, sid: str, kind: str, reply: Any) -> bool:
        record = listed_record(sid, reply)
        return record is not None and kind_of(record.user_id) == kind and not record.is_live(self.now_ms())

    def _is_gone(self, kind: str, score: float, reply: Any) -> bool:
        if is_absent(reply):
            return score < self.now_ms() - MARGIN_MS
        record = listed_record("", reply)
        moved = record is not None and kind == ANONYMOUS and record.user_id is not None
        return moved or is_tombstone(reply)

    def now_ms(self) -> int:
        """Return Redis' time in milliseconds, asking for it if need be."""
        if self._clock.needs_asking:
            (time,) = self._call([("TIME",)])
            self._clock.learn_from_time(checked_index(time))
        return self._clock.now_ms

    def _call(self, commands: Sequence[Command]) -> list[Any]:
        return self._to.exchange(commands) if commands else []


def _past_commands(user_key: bytes | str, now_ms: int) -> list[Command]:
    """Make the commands that drop what is past: sids by their expiry, marks by their age."""
    return [
        ("ZREMRANGEBYSCORE", user_key, "-inf", now_ms - MARGIN_MS),
        ("ZREMRANGEBYSCORE", user_key, ADMITTED_FROM, ADMITTED_FROM + now_ms - DAY_MS),
        ("ZREMRANGEBYSCORE", user_key, CONDEMNED_FROM, CONDEMNED_FROM + now_ms - MARGIN_MS),
    ]
