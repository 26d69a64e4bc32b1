"""The live sessions in the database, read as they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Final, overload

from django_srvsession.backends.db.statements import FOREVER, Params, Row, record_of
from django_srvsession.listings import (
    Activity,
    Step,
    Wanted,
    clock_ms,
    hour_begins,
    parse_place,
    place_at,
    place_of,
    spread,
)
from django_srvsession.records import SessionRecord

Fetch = Callable[[str, Params], list[Row]]
"""Execute the statement of this name (an attribute of ``Statements``) and return its rows."""

_BATCH: Final = 500
_FIRST_BATCH: Final = 128
"""A page of an administrator's list, and what is read ahead of it."""
_WINDOW: Final = 10_000
"""Among how many of the next sessions those of one kind are looked for, in one statement of some 50 ms."""
_COUNTED: Final = 10_000
"""How many rows one statement of the overview counts."""
_SAMPLED_PAGES: Final = 1000
"""Of how many pages of the table (8 kB) a sample is made: some thousands of sessions."""


class UserRecords(Sequence[SessionRecord]):
    """One user's live sessions, newest activity first: one statement, when first looked at."""

    def __init__(self, fetch: Fetch, user_id: str) -> None:
        self._fetch = fetch
        self._user_id = user_id

    @cached_property
    def _records(self) -> list[SessionRecord]:
        return [record_of(row) for row in self._fetch("of_user", {"user_id": self._user_id})]

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> SessionRecord: ...
    @overload
    def __getitem__(self, index: slice) -> list[SessionRecord]: ...
    def __getitem__(self, index: int | slice) -> SessionRecord | list[SessionRecord]:
        return self._records[index]


class AllRecords(Sequence[SessionRecord]):
    """All live sessions, newest activity first: one statement for a slice, one for ``len()``, which counts exactly.

    Counting reads the whole index. Iterating goes by the last activity, in batches, and holds no transaction open: a
    session used meanwhile moves to the front and may be passed over.
    """

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch

    def __len__(self) -> int:
        return int(self._fetch("count", {})[0][0])

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
        return [record_of(row) for row in self._fetch("page", {"offset": offset, "limit": limit})] if limit else []

    def __iter__(self) -> Iterator[SessionRecord]:
        batch = self._page(0, _BATCH)
        while batch:
            yield from batch
            if len(batch) < _BATCH:
                return
            last = batch[-1]
            further = {"seen": last.last_seen_ms, "sid": last.sid, "limit": _BATCH}
            batch = [record_of(row) for row in self._fetch("further", further)]


def walk(fetch: Fetch, after: str, wanted: Wanted) -> Iterator[Step]:
    """Walk the live sessions from behind a place on; see ``Store.walk``."""
    seen, sid = parse_place(after) if after else (FOREVER, "~")
    which = "of_ip" if wanted.ip else {None: "", True: "signed_in", False: "anonymous"}[wanted.signed_in]
    if which:
        yield from _walk_some(fetch, seen, sid, which, wanted)
    else:
        yield from _walk_all(fetch, seen, sid)


def _walk_all(fetch: Fetch, seen: int, sid: str) -> Iterator[Step]:
    limit = _FIRST_BATCH
    while True:
        batch = fetch("further", {"seen": seen, "sid": sid, "limit": limit})
        for record in map(record_of, batch):
            yield Step(place_of(record), record)
            seen, sid = record.last_seen_ms, record.sid
        if len(batch) < limit:
            return
        limit = _BATCH


def _walk_some(fetch: Fetch, seen: int, sid: str, which: str, wanted: Wanted) -> Iterator[Step]:
    """Walk some, window by window; where one ends without them, say so by a step that stands for all of it."""
    limit = _FIRST_BATCH
    while True:
        window = {"seen": seen, "sid": sid, "window": _WINDOW}
        batch = fetch(which, {**window, "ip": wanted.ip, "limit": limit})
        for record in map(record_of, batch):
            yield Step(place_of(record), record)
            seen, sid = record.last_seen_ms, record.sid
        if len(batch) < limit:
            ends = fetch("window_end", {**window, "window": _WINDOW - 1})
            if not ends or ends[0][0] < (wanted.seen_from_ms or 0):
                return
            seen, sid = ends[0]
            yield Step(place_at(seen, sid), None, _WINDOW)
        limit = _BATCH


def activity(fetch: Fetch, can_sample: bool) -> Activity:
    """Count what is live, and the last hour by minute: all of it where that is few rows; see ``Store.activity``.

    Of more, a database that can takes a sample of its pages; the others count the newest.
    """
    since, live = hour_begins(clock_ms()), int(fetch("count_some", {"window": _COUNTED})[0][0])
    if live >= _COUNTED and can_sample:
        return _sampled(fetch, since)
    counts = {int(minute): int(count) for minute, count in fetch("by_minute", {"since": since, "window": _COUNTED})}
    precision = "exact" if live < _COUNTED else "at least"
    return Activity(live, precision, spread(counts, clock_ms()), sum(counts.values()) < _COUNTED)


def _sampled(fetch: Fetch, since: int) -> Activity:
    pages = max(int(fetch("pages", {})[0][0]), 1)
    percent = min(100 * _SAMPLED_PAGES / pages, 100.0)
    counts = {
        minute: round(int(count) * 100 / percent)
        for minute, count in fetch("sample", {"percent": percent, "since": since})
    }
    of_hour = {int(minute): count for minute, count in counts.items() if minute is not None}
    return Activity(sum(counts.values()), "about", spread(of_hour, clock_ms()))
