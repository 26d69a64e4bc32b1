"""One user's live sessions, read as they are asked for: for stores that know a user's sids and read each by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Final, overload

from django_srvsession.records import SessionRecord

_READ_AT_ONCE: Final = 500


class UserRecords(Sequence[SessionRecord]):
    """List one user's sessions, as they were when first looked at.

    Of one with very many only what is asked for is read. Their order is then what ``by_last_use`` says without reading
    them, about a second coarse, and ``len()`` counts what is listed: a session whose time is up counts until it is
    cleared. ``listed`` returns the user's sids in any order, ``read`` the live records of some in the order given.
    """

    def __init__(
        self,
        listed: Callable[[], list[str]],
        by_last_use: Callable[[list[str]], list[str]],
        read: Callable[[Sequence[str]], list[SessionRecord]],
    ) -> None:
        self._listed = listed
        self._by_last_use = by_last_use
        self._read = read

    @cached_property
    def _sids(self) -> list[str]:
        sids = self._listed()
        return sids if len(sids) <= _READ_AT_ONCE else self._by_last_use(sids)

    @cached_property
    def _all(self) -> list[SessionRecord] | None:
        """All of them, where they are few."""
        if len(self._sids) > _READ_AT_ONCE:
            return None
        return sorted(self._read(self._sids), key=lambda record: (record.last_seen_ms, record.sid), reverse=True)

    def __len__(self) -> int:
        return len(self._sids if self._all is None else self._all)

    def __iter__(self) -> Iterator[SessionRecord]:
        if self._all is not None:
            yield from self._all
            return
        for start in range(0, len(self._sids), _READ_AT_ONCE):
            yield from self._read(self._sids[start : start + _READ_AT_ONCE])

    @overload
    def __getitem__(self, index: int) -> SessionRecord: ...
    @overload
    def __getitem__(self, index: slice) -> list[SessionRecord]: ...
    def __getitem__(self, index: int | slice) -> SessionRecord | list[SessionRecord]:
        if self._all is not None:
            return self._all[index]
        if isinstance(index, int):
            return self._read([self._sids[index]])[0]
        return self._read(self._sids[index])
