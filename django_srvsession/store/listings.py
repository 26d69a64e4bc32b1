"""Lists of live sessions for administrators: in portions, each found by looking at a bounded number of sessions.

A store walks its sessions, newest activity first, from a *place* on; a place is text of the store's own. Where a
portion ends the next one begins, however deep that is: nobody counts what comes before it.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from django_srvsession.clients.devices import device_family
from django_srvsession.escaping import escaped
from django_srvsession.records import SessionRecord, is_sid

LOOK_AT: Final = 750
"""How many sessions one portion looks at, at most, for those that are wanted; also how many an activity is made of."""

MINUTE_MS: Final = 60_000

log = logging.getLogger("django_srvsession")


class Filter(NamedTuple):
    """Say which live sessions are wanted: those for which all of it holds.

    ``ip`` is a whole address; ``devices`` are some of ``devices.FAMILIES``, none: any. ``matches`` is for what no store
    can look for by itself; it is asked of ``LOOK_AT`` sessions at most.
    """

    signed_in: bool | None = None
    seen_from_ms: int | None = None
    ip: str = ""
    devices: frozenset[str] = frozenset()
    matches: Callable[[SessionRecord], bool] | None = None

    def holds(self, record: SessionRecord) -> bool:
        """Tell whether a session is wanted."""
        return (
            (self.signed_in is None or self.signed_in is (record.user_id is not None))
            and (self.seen_from_ms is None or record.last_seen_ms >= self.seen_from_ms)
            and (not self.ip or record.client.ip == self.ip)
            and (not self.devices or device_family(record.client.user_agent) in self.devices)
            and (self.matches is None or self.matches(record))
        )

    def which(self, matches: Callable[[SessionRecord], bool]) -> Filter:
        """Return what is wanted, and of which this holds, too."""
        before = self.matches
        both = matches if before is None else (lambda record: before(record) and matches(record))
        return self._replace(matches=both)


EVERYONE: Final = Filter()


class Step(NamedTuple):
    """Hold a session on the way and the place right behind it; None: it is gone, or not one of those asked for.

    ``looked_at`` says for how many sessions the step stands.
    """

    place: str
    record: SessionRecord | None
    looked_at: int = 1


class Portion(NamedTuple):
    """Hold the wanted sessions that were found, newest activity first, and the place to look further from.

    Without a place that was all. With one there may be more, also when fewer were found than asked for.
    """

    records: list[SessionRecord]
    further: str | None = None
    looked_at: int = 0


class Activity(NamedTuple):
    """Say how many sessions are live, and how many of them were last used in each minute of the last hour.

    ``minutes`` begins an hour ago. ``precision`` of ``live`` is "exact", "about" or "at least"; without
    ``has_all_minutes`` only the newest sessions were counted.
    """

    live: int
    precision: str
    minutes: tuple[int, ...]
    has_all_minutes: bool = True


def gather(steps: Iterable[Step], wanted: Filter, count: int) -> Portion:
    """Return the first ``count`` wanted sessions on the way, having looked at ``LOOK_AT`` in vain at most."""
    found: list[SessionRecord] = []
    looked_at, last_place = 0, ""
    for place, record, stands_for in steps:
        if record is not None and wanted.seen_from_ms is not None and is_far_before(record, wanted.seen_from_ms):
            break
        looked_at += stands_for
        if record is not None and wanted.holds(record):
            if len(found) == count:
                return Portion(found, last_place, looked_at)
            found.append(record)
            last_place = place
        if looked_at >= max(LOOK_AT, count + 1):
            return Portion(found, last_place if len(found) == count else place, looked_at)
    return Portion(found, None, looked_at)


def is_far_before(record: SessionRecord, moment_ms: int) -> bool:
    """Tell whether nothing on the way behind this session was last used after a moment.

    Some stores order by an index that is a few seconds coarse.
    """
    return record.last_seen_ms < moment_ms - 5000


def note_damaged(sid: object) -> None:
    """Log that a session is left out of a list, because what is stored of it is no session of ours."""
    log.warning("Session %s is damaged: it opens for nobody, and is left out of lists.", escaped(sid))


def walk(records: Iterable[SessionRecord], after: str) -> Iterator[Step]:
    """Walk records that are at hand, in any order; raises ``ValueError`` for what is no place."""
    bound = parse_place(after) if after else None
    newest_first = sorted(records, key=_rank, reverse=True)
    return (Step(place_of(record), record) for record in newest_first if bound is None or _rank(record) < bound)


def _rank(record: SessionRecord) -> tuple[int, str]:
    return record.last_seen_ms, record.sid


def place_of(record: SessionRecord) -> str:
    """Return the place behind a session: its last use and its sid."""
    return place_at(record.last_seen_ms, record.sid)


def place_at(moment_ms: int, sid: str) -> str:
    """Return the place behind the session that a store's own order puts at this moment."""
    return f"{moment_ms}-{sid}"


def parse_place(text: str) -> tuple[int, str]:
    """Return the moment and the sid of a place; raises ``ValueError`` for anything else."""
    moment, _, sid = text.partition("-")
    if len(text) > 64 or not (moment.isascii() and moment.isdigit() and len(moment) < 17):
        raise ValueError("This is no place in the list.")
    if not is_sid(sid):
        raise ValueError("This is no place in the list.")
    return int(moment), sid


def activity_of(portion: Portion, now_ms: int | None = None) -> Activity:
    """Make an activity of the newest sessions; they are all there are if the portion has no further place."""
    is_all = portion.further is None
    now_ms = clock_ms() if now_ms is None else now_ms
    seen = [record.last_seen_ms for record in portion.records]
    has_hour = is_all or (bool(seen) and seen[-1] < hour_begins(now_ms))
    return Activity(len(seen), "exact" if is_all else "at least", by_minute(seen, now_ms), has_hour)


def by_minute(moments_ms: Iterable[int], now_ms: int) -> tuple[int, ...]:
    """Count moments of the last hour by the minute of the clock, the oldest first; what lies ahead is now."""
    return spread(Counter(moment_ms - moment_ms % MINUTE_MS for moment_ms in moments_ms), now_ms)


def spread(counts: Mapping[int, int], now_ms: int) -> tuple[int, ...]:
    """Return the last hour's counts, the oldest first, of counts by the millisecond at which a minute begins."""
    this_minute = now_ms - now_ms % MINUTE_MS
    minutes = [counts.get(this_minute - ago * MINUTE_MS, 0) for ago in reversed(range(60))]
    minutes[-1] += sum(count for minute, count in counts.items() if minute > this_minute)
    return tuple(minutes)


def hour_begins(now_ms: int) -> int:
    """Return the first millisecond of the oldest minute that :func:`spread` shows."""
    return now_ms - now_ms % MINUTE_MS - 59 * MINUTE_MS


def clock_ms() -> int:
    """Return this machine's clock: good enough to say "in the last hour", never to end a session by."""
    return time.time_ns() // 1_000_000
