"""The live sessions in the database, read as they are asked for."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple, overload

from django_srvsession.backends.db.format import records_of
from django_srvsession.backends.db.listing_sql import ListStatements
from django_srvsession.backends.db.sql import RECORD_COLUMNS, Params, Row
from django_srvsession.records import LATEST_MS, SessionRecord, is_instant, is_sid
from django_srvsession.store.listings import (
    Activity,
    Filter,
    Step,
    clock_ms,
    hour_begins,
    parse_place,
    place_at,
    place_of,
    spread,
)

Which = Callable[[ListStatements], str]
"""Choose one of the statements."""
Fetch = Callable[[Which, Params], list[Row]]
"""Execute the statement that is chosen and return its rows."""

FOREVER: Final = 2**62
"""Is later than everything."""

_SID, _LAST_SEEN = (RECORD_COLUMNS.index(name) for name in ("sid", "last_seen_ms"))
_BATCH: Final = 500
_FIRST_BATCH: Final = 128
"""A page of an administrator's list, and what is read ahead of it."""
_FIRST_WINDOW: Final = 500
_WINDOW: Final = 5000
"""Among how many of the next rows live sessions, or those of one kind, are looked for, in one statement: some 40 ms on
PostgreSQL; ten times as long where none of them is in the database's memory.

The first window is smaller: most rows are live."""
_COUNTED: Final = 10_000
_COUNTED_ANYWHERE: Final = 2500
"""How many rows one statement of the overview counts: in a small table, and in one of any size."""
_SAMPLED_PAGES: Final = 500
"""Of how many pages of the table (8 kB) a sample is made: some thousands of sessions."""
_SAMPLED_FROM_PAGES: Final = 2000
"""From which size on a table is sampled: to find ten thousand rows all over a large one takes longer."""


class UserRows(Sequence[SessionRecord]):
    """One user's live sessions, newest activity first: one statement, when first looked at.

    Of one with very many, what is asked for beyond the newest is read when it is asked for.
    """

    def __init__(self, fetch: Fetch, user_id: str) -> None:
        self._fetch = fetch
        self._user_id = user_id

    @cached_property
    def _first(self) -> list[Row]:
        return self._rows(0, _BATCH + 1)

    def _rows(self, offset: int, limit: int) -> list[Row]:
        return self._fetch(lambda sql: sql.of_user_page, {"user_id": self._user_id, "offset": offset, "limit": limit})

    @cached_property
    def _newest(self) -> list[SessionRecord]:
        return list(records_of(self._first))

    @property
    def _has_more(self) -> bool:
        return len(self._first) > _BATCH

    @cached_property
    def _count(self) -> int:
        return int(self._fetch(lambda sql: sql.count_of_user, {"user_id": self._user_id})[0][0])

    @cached_property
    def _all(self) -> list[SessionRecord]:
        return (
            list(records_of(self._fetch(lambda sql: sql.of_user, {"user_id": self._user_id})))
            if self._has_more
            else self._newest
        )

    def __len__(self) -> int:
        return self._count if self._has_more else len(self._newest)

    def __iter__(self) -> Iterator[SessionRecord]:
        return iter(self._all)

    @overload
    def __getitem__(self, index: int) -> SessionRecord: ...
    @overload
    def __getitem__(self, index: slice) -> list[SessionRecord]: ...
    def __getitem__(self, index: int | slice) -> SessionRecord | list[SessionRecord]:
        if not self._has_more:
            return self._newest[index]
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step == 1 and stop <= len(self._newest) == len(self._first):
                return self._newest[start:stop]
            if step == 1:
                return list(records_of(self._rows(start, max(stop - start, 0))))
        return self._all[index]


class AllRows(Sequence[SessionRecord]):
    """All live sessions, newest activity first: one statement for a slice, one for ``len()``, which counts exactly.

    Counting reads the whole index. Iterating goes by the last activity, in batches, and holds no transaction open: a
    session used meanwhile moves to the front and may be passed over.
    """

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch

    def __len__(self) -> int:
        return int(self._fetch(lambda sql: sql.count, {})[0][0])

    def __bool__(self) -> bool:
        return bool(self._page(0, 1))

    @overload
    def __getitem__(self, index: int) -> SessionRecord: ...
    @overload
    def __getitem__(self, index: slice) -> list[SessionRecord]: ...
    def __getitem__(self, index: int | slice) -> SessionRecord | list[SessionRecord]:
        if isinstance(index, slice):
            return self._slice(index)
        place = index if index >= 0 else len(self) + index
        page = self._page(place, 1) if place >= 0 else []
        if not page:
            raise IndexError("There is no session at this place.")
        return page[0]

    def _slice(self, index: slice) -> list[SessionRecord]:
        numbers = (index.start, index.stop, index.step)
        if index.stop is None or any(number is not None and number < 0 for number in numbers):
            start, stop, step = index.indices(len(self))
        else:
            start, stop, step = index.start or 0, index.stop, 1 if index.step is None else index.step
        if step > 0:
            return self._page(start, max(stop - start, 0))[::step]
        return self._page(stop + 1, max(start - stop, 0))[::-1][::-step]

    def _page(self, offset: int, limit: int) -> list[SessionRecord]:
        return list(records_of(self._rows(offset, limit))) if limit else []

    def _rows(self, offset: int, limit: int) -> list[Row]:
        return self._fetch(lambda sql: sql.page, {"offset": offset, "limit": limit})

    def __iter__(self) -> Iterator[SessionRecord]:
        rows = self._rows(0, _BATCH)
        while rows:
            yield from records_of(rows)
            if len(rows) < _BATCH:
                return
            seen, sid = _moment_and_sid(rows[-1])
            rows = self._fetch(lambda sql: sql.further, {"seen": seen, "sid": sid, "limit": _BATCH})


class _Way(NamedTuple):
    """Say which statement walks, within which first window, by which parameters, and which one tells a window's end."""

    which: Which
    first_window: int
    params: Params
    end: Which = lambda sql: sql.window_end


def walk(fetch: Fetch, after: str, wanted: Filter) -> Iterator[Step]:
    """Walk the live sessions from behind a place on; see ``Store.walk``."""
    seen, sid = parse_place(after) if after else (FOREVER, "~")
    walks = (_walk_along(fetch, way, seen, sid, wanted) for way in _ways(wanted))
    return heapq.merge(*walks, key=lambda step: parse_place(step.place), reverse=True)


def _ways(wanted: Filter) -> list[_Way]:
    """Return the ways along which all that is wanted is found; each family of devices has its own part of an index."""
    if wanted.ip:
        return [_Way(lambda sql: sql.of_ip, _WINDOW, {"ip": wanted.ip})]
    if wanted.devices:
        named = [{"device_family": family} for family in sorted(wanted.devices)]
        return [
            _Way(lambda sql: sql.of_device, _FIRST_WINDOW, params, lambda sql: sql.window_end_of_device)
            for params in named
        ]
    if wanted.signed_in is None:
        return [_Way(lambda sql: sql.everyone, _FIRST_WINDOW, {})]
    if wanted.signed_in:
        return [_Way(lambda sql: sql.signed_in, _WINDOW, {})]
    return [_Way(lambda sql: sql.anonymous, _WINDOW, {})]


def _walk_along(fetch: Fetch, way: _Way, seen: int, sid: str, wanted: Filter) -> Iterator[Step]:
    """Walk window by window; where one ends without enough sessions, say so by a step that stands for all of it."""
    limit, window = _FIRST_BATCH, way.first_window
    while True:
        bounds = {**way.params, "seen": seen, "sid": sid}
        batch = fetch(way.which, {**bounds, "window": window, "limit": limit})
        for record in records_of(batch):
            yield Step(place_of(record), record)
        if len(batch) < limit:
            ends = fetch(way.end, {**bounds, "window": window - 1})
            if not ends or ends[0][0] < (wanted.seen_from_ms or 0):
                return
            seen, sid = ends[0]
            if is_instant(seen) and is_sid(sid):  # The row of a damaged session is no place.
                yield Step(place_at(seen, sid), None, window - len(batch))
        else:
            seen, sid = _moment_and_sid(batch[-1])
        limit, window = _BATCH, _WINDOW


def _moment_and_sid(row: Row) -> tuple[int, str]:
    """Return the last use and the sid of a row that begins with ``RECORD_COLUMNS``, sound or not."""
    return row[_LAST_SEEN], row[_SID]


def activity(fetch: Fetch, can_sample: bool) -> Activity:
    """Count what is live, and the last hour by minute: all of it where that is few rows; see ``Store.activity``.

    Of more, a database that can takes a sample of its pages; the others count the newest rows.
    """
    since = hour_begins(clock_ms())
    if can_sample and (pages := int(fetch(lambda sql: sql.pages, {})[0][0])) > _SAMPLED_FROM_PAGES:
        return _sampled(fetch, since, pages)
    most = _COUNTED if can_sample else _COUNTED_ANYWHERE
    ((rows, live),) = fetch(lambda sql: sql.count_some, {"window": most})
    found = fetch(lambda sql: sql.by_minute, {"since": since, "window": most})
    # SQLite keeps whatever somebody has written into a column, infinity too.
    counts = {int(minute): int(count) for minute, count in found if _is_instant(minute)}
    precision = "exact" if rows < most else "at least"
    return Activity(int(live or 0), precision, spread(counts, clock_ms()), sum(counts.values()) < most)


def _is_instant(minute: Any) -> bool:
    """Tell whether a number that a database computed is an instant that can be shown."""
    return minute is not None and 0 <= minute <= LATEST_MS


def _sampled(fetch: Fetch, since: int, pages: int) -> Activity:
    percent = min(100 * _SAMPLED_PAGES / pages, 100.0)
    counts = {
        minute: round(int(count) * 100 / percent)
        for minute, count in fetch(lambda sql: sql.sample, {"percent": percent, "since": since})
    }
    of_hour = {int(minute): count for minute, count in counts.items() if minute is not None}
    return Activity(sum(counts.values()), "about", spread(of_hour, clock_ms()))
