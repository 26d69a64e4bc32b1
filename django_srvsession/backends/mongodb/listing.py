"""The live sessions, newest activity first, read as they are asked for: by keyset, along an index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, overload

from bson import Int64

from django_srvsession.backends.mongodb.format import RECORD_ONLY, records_of, sound_record
from django_srvsession.backends.mongodb.pipelines import INSTANT, LISTED, LIVE
from django_srvsession.backends.mongodb.transport import SESSIONS, Document, Pipeline, Query, Transport
from django_srvsession.records import SessionRecord, is_sid, is_storable
from django_srvsession.store.face import run_blocking
from django_srvsession.store.listings import (
    Activity,
    Filter,
    Step,
    clock_ms,
    hour_begins,
    parse_place,
    place_at,
    spread,
)

_BATCH: Final = 500
_FIRST_BATCH: Final = 128
"""A page of an administrator's list, and what is read ahead of it."""
_WINDOW: Final = 5000
"""Among how many of the next sessions those of one kind, or one address, are looked for by one command."""
_RECORDS: Final = {"$project": RECORD_ONLY}
_COUNTED: Final = 100_000
_COUNTED_BY_MINUTE: Final = 10_000

_BEFORE_ALL: Final = "0" * 18
"""The first of all sids."""
_NEWEST_FIRST: Final = {"seen": -1, "_id": -1}
_LATEST_CREATED_FIRST: Final = {"created": -1, "_id": -1}


class Lists:
    """Say what is wanted of a list: of one user's sessions, or of everybody's. None is anybody."""

    def __init__(self, user_id: str | None = None) -> None:
        self.user_id = user_id

    @property
    def _query(self) -> Mapping[str, Any]:
        return LISTED if self.user_id is None else {"user_id": self.user_id, **LISTED}

    @property
    def is_empty(self) -> bool:
        """Tell whether no user can have such an id."""
        return self.user_id is not None and not is_storable(self.user_id)

    async def _found(self, to: Transport, pipeline: Pipeline, most: int) -> list[Document]:
        return [] if self.is_empty or not most else await to.aggregate(SESSIONS, pipeline, most)

    async def page(self, to: Transport, offset: int, count: int) -> list[Document]:
        """Return the sessions from a number on."""
        found: Pipeline = [{"$match": self._query}, {"$sort": _NEWEST_FIRST}, {"$skip": offset}, {"$limit": count}]
        return await self._found(to, [*found, _RECORDS], count)

    async def behind(self, to: Transport, place: tuple[int, str] | None, count: int) -> list[Document]:
        """Return the next sessions behind a last use and a sid."""
        return await self._next(to, "seen", _NEWEST_FIRST, place, count)

    async def in_window(
        self, to: Transport, place: tuple[int, str] | None, condition: Query, count: int
    ) -> list[Document]:
        """Return the first of the next sessions for which a condition holds, having looked at so many at most."""
        window = [*self._behind("seen", _NEWEST_FIRST, place), {"$limit": _WINDOW}]
        return await self._found(to, [*window, {"$match": condition}, {"$limit": count}, _RECORDS], count)

    async def end_of_window(self, to: Transport, place: tuple[int, str] | None) -> tuple[int, str] | None:
        """Return the place at which that window ends; None: there are fewer sessions."""
        window = [*self._behind("seen", _NEWEST_FIRST, place), {"$skip": _WINDOW - 1}, {"$limit": 1}]
        found = await self._found(to, [*window, {"$project": {"seen": 1}}], 1)
        return _place_of(found[0]) if found else None

    async def created_before(self, to: Transport, place: tuple[int, str] | None, count: int) -> list[SessionRecord]:
        """Return the next sessions behind a moment of creation and a sid, latest created first."""
        return records_of(await self._next(to, "created", _LATEST_CREATED_FIRST, place, count))

    async def _next(
        self, to: Transport, name: str, order: Mapping[str, int], place: tuple[int, str] | None, count: int
    ) -> list[Document]:
        return await self._found(to, [*self._behind(name, order, place), {"$limit": count}, _RECORDS], count)

    def _behind(self, name: str, order: Mapping[str, int], place: tuple[int, str] | None) -> Pipeline:
        """Return the stages that find what comes behind a place in this order."""
        behind: Document = {}
        if place is not None:
            moment, sid = Int64(place[0]), place[1]
            # The first condition alone is one stretch of the index; the second one leaves out its beginning.
            behind = {name: {**INSTANT, "$lte": moment}, "$or": [{name: {"$lt": moment}}, {"_id": {"$lt": sid}}]}
        return [{"$match": {**self._query, **behind}}, {"$sort": order}]

    async def count(self, to: Transport) -> int:
        """Count the sessions."""
        found = await self._found(to, [{"$match": self._query}, {"$count": "count"}], 1)
        return int(found[0]["count"]) if found else 0

    async def all(self, to: Transport) -> list[SessionRecord]:
        """Return all of them."""
        documents = await self.behind(to, None, _BATCH)
        found = records_of(documents)
        while len(documents) == _BATCH:
            documents = await self.behind(to, _place_of(documents[-1]), _BATCH)
            found += records_of(documents)
        return found


class Records(Sequence[SessionRecord]):
    """List live sessions: the newest are read when first looked at, the others when they are asked for.

    ``len()`` counts exactly. Iterating goes by the last use: a session used meanwhile moves to the front, and of very
    many it may be passed over.
    """

    def __init__(self, lists: Lists, to: Transport) -> None:
        self._lists = lists
        self._to = to

    @cached_property
    def _first(self) -> list[Document]:
        return run_blocking(self._lists.behind(self._to, None, _BATCH + 1))

    @cached_property
    def _newest(self) -> list[SessionRecord]:
        return records_of(self._first)

    @property
    def _has_more(self) -> bool:
        return len(self._first) > _BATCH

    @cached_property
    def _count(self) -> int:
        return run_blocking(self._lists.count(self._to))

    def __len__(self) -> int:
        return self._count if self._has_more else len(self._newest)

    def __bool__(self) -> bool:
        return bool(self._newest) or (self._has_more and bool(len(self)))

    def __iter__(self) -> Iterator[SessionRecord]:
        yield from self._newest
        documents = self._first if self._has_more else []
        while documents:
            documents = run_blocking(self._lists.behind(self._to, _place_of(documents[-1]), _BATCH))
            yield from records_of(documents)

    @overload
    def __getitem__(self, index: int) -> SessionRecord: ...
    @overload
    def __getitem__(self, index: slice) -> list[SessionRecord]: ...
    def __getitem__(self, index: int | slice) -> SessionRecord | list[SessionRecord]:
        if not self._has_more:
            return self._newest[index]
        if isinstance(index, slice):
            return self._slice(index)
        place = index if index >= 0 else len(self) + index
        page = self._page(place, 1) if place >= 0 else []
        if not page:
            raise IndexError("There is no session at this place.")
        return page[0]

    def _slice(self, index: slice) -> list[SessionRecord]:
        start, stop, step = index.indices(self._bound(index))
        if step > 0:
            return self._page(start, max(stop - start, 0))[::step]
        return self._page(stop + 1, max(start - stop, 0))[::-1][::-step]

    def _bound(self, index: slice) -> int:
        """Return a length to compute with: a slice that names its ends from the front needs no count."""
        start, stop, step = index.start, index.stop, index.step
        from_the_front = stop is not None and stop >= 0 and (start is None or start >= 0) and (step is None or step > 0)
        return stop if from_the_front else len(self)

    def _page(self, offset: int, count: int) -> list[SessionRecord]:
        if offset + count <= len(self._newest) == len(self._first):
            return self._newest[offset : offset + count]
        return records_of(run_blocking(self._lists.page(self._to, offset, count)))


def walk(to: Transport, after: str, wanted: Filter) -> Iterator[Step]:
    """Walk everybody's sessions from behind a place on; see ``Store.walk``."""
    place = parse_place(after) if after else None
    condition = _condition(wanted)
    return _walk_windows(to, place, condition) if condition else _walk_all(to, place)


def _condition(wanted: Filter) -> Document:
    """Return what MongoDB itself can look for, though by no index."""
    condition: Document = {"ip": wanted.ip} if wanted.ip else {}
    if wanted.signed_in is not None:
        condition["user_id"] = {"$ne": None} if wanted.signed_in else None
    return condition


def _walk_all(to: Transport, place: tuple[int, str] | None) -> Iterator[Step]:
    lists, count = Lists(), _FIRST_BATCH
    while documents := run_blocking(lists.behind(to, place, count)):
        for document in documents:
            place = _place_of(document)
            yield Step(place_at(*place), sound_record(document))
        if len(documents) < count:
            return
        count = _BATCH


def _walk_windows(to: Transport, place: tuple[int, str] | None, condition: Document) -> Iterator[Step]:
    """Look through a window of sessions after the other; where one ends, say so by a step that stands for all of it."""
    lists, count = Lists(), _FIRST_BATCH
    while True:
        documents = run_blocking(lists.in_window(to, place, condition, count))
        for document in documents:
            yield Step(place_at(*_place_of(document)), sound_record(document))
        if len(documents) == count:
            place = _place_of(documents[-1])
        elif (end := run_blocking(lists.end_of_window(to, place))) is not None:
            place = end
            yield Step(place_at(*place), None, _WINDOW - len(documents))
        else:
            return
        count = _BATCH


def _place_of(document: Document) -> tuple[int, str]:
    """Return the place behind a document. If its ``_id`` is no sid, others of its moment may be passed over."""
    sid = document["_id"]
    return int(document["seen"]), sid if is_sid(sid) else _BEFORE_ALL


async def activity(to: Transport) -> Activity:
    """Do as ``Store.activity``: exactly up to 100,000 sessions; by minute the newest 10,000 of the last hour."""
    now_ms = clock_ms()
    first = Int64(hour_begins(now_ms))
    minute = {"$subtract": ["$seen", {"$mod": ["$seen", 60_000]}]}
    live = await to.aggregate(SESSIONS, [{"$match": LIVE}, {"$limit": _COUNTED}, {"$count": "count"}], 1)
    newest: Pipeline = [
        {"$match": {**LIVE, "seen": {"$gte": first}}},
        {"$sort": _NEWEST_FIRST},
        {"$limit": _COUNTED_BY_MINUTE},
    ]
    counts = await to.aggregate(SESSIONS, [*newest, {"$group": {"_id": minute, "count": {"$sum": 1}}}], 1000)
    by_minute = {int(one["_id"]): int(one["count"]) for one in counts}
    count = int(live[0]["count"]) if live else 0
    has_all = sum(by_minute.values()) < _COUNTED_BY_MINUTE
    return Activity(count, "exact" if count < _COUNTED else "at least", spread(by_minute, now_ms), has_all)
