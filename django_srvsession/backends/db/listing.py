"""The live sessions in the database, read as they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Final, overload

from django_srvsession.backends.db.statements import Params, Row, record_of
from django_srvsession.records import SessionRecord

Fetch = Callable[[str, Params], list[Row]]
"""Execute the statement of this name (an attribute of ``Statements``) and return its rows."""

_BATCH: Final = 500


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
