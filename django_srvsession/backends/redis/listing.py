"""Lists of sessions in Redis: a user's, exactly; everybody's, in pages out of 32 shards that are merged by last use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, overload

from django_srvsession.backends.redis.clock import RedisClock
from django_srvsession.backends.redis.commands import is_absent, listed_record, scored
from django_srvsession.backends.redis.format import is_tombstone
from django_srvsession.backends.redis.keys import ANONYMOUS, USERS, Keys, decoded, kind_of
from django_srvsession.backends.redis.record_reading import record_replies
from django_srvsession.backends.redis.scripts import ADMITTED_FROM
from django_srvsession.backends.redis.transport import BlockingTransport, Command, Transport
from django_srvsession.backends.redis.transport.replies import checked_index
from django_srvsession.records import SessionRecord, is_sid
from django_srvsession.store.face import run_blocking
from django_srvsession.store.listings import (
    MINUTE_MS,
    Activity,
    Step,
    hour_begins,
    note_damaged,
    parse_place,
    place_at,
    spread,
)

_PORTION: Final = 500
_FIRST_PORTION: Final = 128
"""A page of an administrator's list, and what is read ahead of it."""
_LATEST_SCORE: Final = 9_999_999_999_999
"""The year 2286, in milliseconds: no place is later."""
_SEEK_FROM: Final = 1000
"""Pages that begin before this rank are cheaper to reach by reading what comes before them."""


class ListedSession(NamedTuple):
    """Hold what a shard says of a session; entries compare by last use, then by sid, as Redis orders them."""

    score: float
    sid: str
    kind: str


class Position(NamedTuple):
    """Point into the merged list: ``skip`` entries on from the first whose score is not above ``score``."""

    score: float
    skip: int


TOP: Final = Position(float("inf"), 0)


class Lists:
    """Read the indexes; what is listed there and gone, due, or not what it was, is left out."""

    def __init__(self, keys: Keys, clock: RedisClock) -> None:
        self._keys = keys
        self._clock = clock

    async def user(self, to: Transport, user_id: str) -> list[SessionRecord]:
        """Return a user's live sessions, newest activity first: two round trips, however many others there are."""
        mine = await self.those_of(to, user_id, await self.sids_of(to, user_id))
        return sorted(mine, key=lambda record: (record.last_seen_ms, record.sid), reverse=True)

    async def sids_of(self, to: Transport, user_id: str) -> list[str]:
        """Return the sids that are listed as a user's, in no order; some may have ended."""
        listed: Command = ("ZRANGEBYSCORE", self._keys.user(user_id), "-inf", f"({ADMITTED_FROM}")
        members, time = await to.call([listed, ("TIME",)])
        self._clock.learn_from_time(checked_index(time))
        return [decoded(sid) for sid in checked_index(members)]

    async def those_of(self, to: Transport, user_id: str, sids: Sequence[str]) -> list[SessionRecord]:
        """Return those of these sessions that are live and the user's, in this order."""
        found = await self._live(to, sids)
        return [record for record in found if record is not None and record.user_id == user_id]

    async def by_last_use(self, to: Transport, sids: Sequence[str]) -> list[str]:
        """Return signed-in sessions' sids by what the list of everybody says of their last use, newest first."""
        shards: dict[str, list[str]] = {}
        for sid in sids:
            shards.setdefault(self._keys.live_of(USERS, sid), []).append(sid)
        replies = await to.call([("ZMSCORE", key, *listed) for key, listed in shards.items()])
        seen = {
            sid: float(score or 0)
            for listed, scores in zip(shards.values(), map(checked_index, replies), strict=True)
            for sid, score in zip(listed, scores, strict=True)
        }
        return sorted(sids, key=lambda sid: (seen[sid], sid), reverse=True)

    async def count(self, to: Transport) -> int:
        """Return how many sessions are listed, those included that nobody has found gone yet."""
        replies = await to.call([("ZCARD", key) for _, key in self._keys.all_live])
        return sum(map(checked_index, replies))

    async def everybody(self, to: Transport, start: int, count: int) -> list[SessionRecord]:
        """Return ``count`` live sessions from a rank on, fewer only at the list's end."""
        if count <= 0:
            return []
        position = await self._seek(to, start)
        found: list[SessionRecord] = []
        while len(found) < count:
            records, position, is_end = await self.page(to, position, count - len(found))
            found += records
            if is_end:
                break
        return found

    async def everyone(self, to: Transport) -> list[SessionRecord]:
        """Return all live sessions."""
        found: list[SessionRecord] = []
        position, is_end = TOP, False
        while not is_end:
            records, position, is_end = await self.page(to, position, _PORTION)
            found += records
        return found

    async def page(self, to: Transport, position: Position, count: int) -> tuple[list[SessionRecord], Position, bool]:
        """Return the live ones of the next ``count`` entries, the position after them, and whether none are left."""
        merged = await self._merged(to, position.score, position.skip + count, self._keys.all_live)
        entries = merged[position.skip :]
        await self._know_the_time(to)
        found = await self._live(to, [entry.sid for entry in entries])
        records = [record for record in map(_listed_as, entries, found) if record is not None]
        return records, _after(merged, position), len(entries) < count

    async def steps_behind(self, to: Transport, after: str, count: int, signed_in: bool | None) -> list[Step]:
        """Return the next ``count`` entries behind a place, with what they list; fewer only at the list's end."""
        score, sid = _parse(after) if after else (TOP.score, "")
        shards = [shard for shard in self._keys.all_live if signed_in is None or shard[0] == _kind(signed_in)]
        asked = count + 1  # What the place is behind of comes first.
        while True:  # Of several sessions in one microsecond, some may be before the place and some behind it.
            merged = await self._merged(to, score, asked, shards)
            entries = [entry for entry in merged if (entry.score, entry.sid) < (score, sid) or not sid][:count]
            if len(entries) == count or len(merged) < asked:
                break
            asked *= 2
        await self._know_the_time(to)
        found = await self._live(to, [entry.sid for entry in entries])
        return [Step(_place(entry), _listed_as(entry, record)) for entry, record in zip(entries, found, strict=True)]

    async def activity(self, to: Transport) -> Activity:
        """Count the entries, and those of each minute of the last hour: some two thousand commands, one round trip."""
        (time,) = await to.call([("TIME",)])
        now_ms = self._clock.learn_from_time(checked_index(time))
        begins = range(hour_begins(now_ms), now_ms, MINUTE_MS)
        commands: list[Command] = [("ZCARD", key) for _, key in self._keys.all_live]
        for begin in begins:
            end = f"({begin + MINUTE_MS}" if begin != begins[-1] else "+inf"
            commands += [("ZCOUNT", key, begin, end) for _, key in self._keys.all_live]
        replies = await to.call(commands)
        counts = [checked_index(reply) for reply in replies]
        each = len(self._keys.all_live)
        sums = [sum(counts[start : start + each]) for start in range(0, len(counts), each)]
        return Activity(sums[0], "about", spread(dict(zip(begins, sums[1:], strict=True)), now_ms))

    async def _know_the_time(self, to: Transport) -> None:
        if self._clock.needs_asking:
            (time,) = await to.call([("TIME",)])
            self._clock.learn_from_time(checked_index(time))

    async def _live(self, to: Transport, sids: Sequence[str]) -> list[SessionRecord | None]:
        found: list[SessionRecord | None] = []
        for start in range(0, len(sids), _PORTION):
            portion = sids[start : start + _PORTION]
            replies = await record_replies(to, [self._keys.session(sid) for sid in portion])
            now_ms = self._clock.now_ms
            for sid, reply in zip(portion, replies, strict=True):
                record = _sound_record(sid, reply)
                found.append(record if record is not None and record.is_live(now_ms) else None)
        return found

    async def _merged(
        self, to: Transport, score: float, count: int, of: Sequence[tuple[str, str]]
    ) -> list[ListedSession]:
        """Return the first ``count`` entries with no greater score.

        Asks each shard for its fair share first, and again for all where a shard may hold more of them.
        """
        share = min(count, count // 8 + 8)
        shards = dict.fromkeys(of, share)
        heads: dict[tuple[str, str], list[ListedSession]] = {}
        while shards:
            replies = await to.call([_head(key, score, limit) for (_, key), limit in shards.items()])
            for shard, reply in zip(shards, replies, strict=True):
                heads[shard] = [ListedSession(at, sid, shard[0]) for sid, at in scored(checked_index(reply))]
            merged = sorted((entry for head in heads.values() for entry in head), reverse=True)[:count]
            shards = {
                shard: count
                for shard, limit in shards.items()
                if limit < count
                and len(heads[shard]) == limit
                and (len(merged) < count or heads[shard][-1] >= merged[-1])
            }
        return merged

    async def _seek(self, to: Transport, rank: int) -> Position:
        """Find a rank: the least whole score that no more than so many entries exceed, by halving."""
        if rank < _SEEK_FROM:
            return Position(TOP.score, rank)
        (time,) = await to.call([("TIME",)])
        low, high = 0, self._clock.learn_from_time(checked_index(time)) + 1000
        above_high = 0
        while high - low > 1:
            middle = (low + high) // 2
            above = await self._count_above(to, middle)
            if above > rank:
                low = middle
            else:
                high, above_high = middle, above
        return Position(high, rank - above_high)

    async def _count_above(self, to: Transport, score: int) -> int:
        replies = await to.call([("ZCOUNT", key, f"({score}", "+inf") for _, key in self._keys.all_live])
        return sum(map(checked_index, replies))


def _sound_record(sid: str, reply: Any) -> SessionRecord | None:
    """Read what is listed under a sid; None for what is gone, and, logged, for what is damaged."""
    record = listed_record(sid, reply) if is_sid(sid) else None
    if record is None and not is_absent(reply) and not is_tombstone(reply):
        note_damaged(sid)
    return record


def _head(key: str, score: float, limit: int) -> Command:
    return ("ZREVRANGEBYSCORE", key, repr(score), "-inf", "WITHSCORES", "LIMIT", 0, limit)


def _listed_as(entry: ListedSession, record: SessionRecord | None) -> SessionRecord | None:
    """Return the record if it is of the kind it is listed under: who has just signed in is listed twice."""
    return record if record is not None and kind_of(record.user_id) == entry.kind else None


def _kind(signed_in: bool) -> str:
    return USERS if signed_in else ANONYMOUS


def _place(entry: ListedSession) -> str:
    """Return the place behind an entry; scores are milliseconds, in whole microseconds.

    What is not of ours in the list is put where a place can say it is.
    """
    return place_at(round(min(max(entry.score, 0), _LATEST_SCORE) * 1000), entry.sid)


def _parse(after: str) -> tuple[float, str]:
    microseconds, sid = parse_place(after)
    return microseconds / 1000, sid


def _after(merged: Sequence[ListedSession], position: Position) -> Position:
    """Return the position behind the last of the entries that were read from a position's score on."""
    if not merged:
        return position
    score = merged[-1].score
    return Position(score, sum(1 for entry in merged if entry.score == score))


class EverySession(Sequence[SessionRecord]):
    """List everybody's sessions, read anew by each look; ``len()`` counts the index, which may run ahead of them."""

    def __init__(self, lists: Lists, to: BlockingTransport) -> None:
        self._lists = lists
        self._to = to

    def __len__(self) -> int:
        return run_blocking(self._lists.count(self._to))

    def __iter__(self) -> Iterator[SessionRecord]:
        position, is_end = TOP, False
        while not is_end:
            records, position, is_end = run_blocking(self._lists.page(self._to, position, _PORTION))
            yield from records

    @overload
    def __getitem__(self, index: int) -> SessionRecord: ...
    @overload
    def __getitem__(self, index: slice) -> list[SessionRecord]: ...
    def __getitem__(self, index: int | slice) -> SessionRecord | list[SessionRecord]:
        if isinstance(index, slice):
            return self._slice(index)
        start = index if index >= 0 else index + len(self)
        if start < 0:
            raise IndexError(index)
        for record in self._from(start, 1):
            return record
        raise IndexError(index)

    def _slice(self, part: slice) -> list[SessionRecord]:
        # Only what is counted from the end, or goes up to it, needs the length.
        if part.stop is None or part.stop < 0 or (part.start or 0) < 0 or (part.step or 1) < 0:
            start, stop, step = part.indices(len(self))
        else:
            start, stop, step = part.start or 0, part.stop, part.step or 1
        if step < 0:
            return list(self)[part]
        return self._from(start, stop - start)[::step]

    def _from(self, start: int, count: int) -> list[SessionRecord]:
        return run_blocking(self._lists.everybody(self._to, start, count))


def walk(lists: Lists, to: BlockingTransport, after: str, signed_in: bool | None) -> Iterator[Step]:
    """Walk the entries behind a place, in portions; see ``Store.walk``."""
    portion = _FIRST_PORTION
    while True:
        steps = run_blocking(lists.steps_behind(to, after, portion, signed_in))
        yield from steps
        if len(steps) < portion:
            return
        after, portion = steps[-1].place, _PORTION
