"""One user's live sessions in Redis, read as they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Final, overload

from django_srvsession.backends.redis.lists import Lists, Run
from django_srvsession.records import SessionRecord

_READ_AT_ONCE: Final = 500


class UserRecords(Sequence[SessionRecord]):
    """List one user's sessions, as they were when first looked at.

    Of one with very many only what is asked for is read. Their order is then that of the list of everybody, a second
    coarse, and ``len()`` counts what is listed: a session whose time is up counts until it is cleared.
    """

    def __init__(self, lists: Lists, run: Run, user_id: str) -> None:
        self._lists = lists
        self._run = run
        self._user_id = user_id

    @cached_property
    def _sids(self) -> list[str]:
        sids: list[str] = self._run(self._lists.sids_of(self._user_id))
        return sids if len(sids) <= _READ_AT_ONCE else self._run(self._lists.by_last_use(sids))

    @cached_property
    def _all(self) -> list[SessionRecord] | None:
        """All of them, where they are few."""
        return self._read(self._sids) if len(self._sids) <= _READ_AT_ONCE else None

    def _read(self, sids: Sequence[str]) -> list[SessionRecord]:
        return self._run(self._lists.those_of(self._user_id, sids))  # type: ignore[no-any-return]

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
        found = self._read(self._sids[index])
        return found if (index.step or 1) > 0 else found[::-1]
