"""Ask the store, for all connections of an event loop at once, which of their sessions are live."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from functools import partial
from itertools import islice
from typing import Final
from weakref import WeakKeyDictionary

from django.db import close_old_connections, connections

from django_srvsession.engine import current_store
from django_srvsession.engine.keys import SessionKey
from django_srvsession.escaping import escaped
from django_srvsession.live.hints import Hints
from django_srvsession.records import Loaded, Tombstone
from django_srvsession.store import CorruptSessionError, Store, StoreUnavailableError

UNKNOWN: Final = "ended"
"""The reason of an end that left no trace, or none for the holder of this key."""

_MOST_AT_ONCE: Final = 1000
"""How many sessions one question names, at most."""

log = logging.getLogger("django_srvsession")


class Watch:
    """Hold one connection's interest in its session; ``on_end`` is called once, with the reason, on the loop."""

    __slots__ = ("key", "on_end")

    def __init__(self, key: SessionKey, on_end: Callable[[str], object]) -> None:
        self.key = key
        self.on_end = on_end


class Watcher:
    """Tell connections of one event loop that their sessions have ended, within ``every`` seconds.

    Works only while there is something to watch, in threads of its own: a store that hangs keeps nobody waiting, and
    a database is asked on a connection that is in nobody's transaction. What it does not know ends nothing: an outage,
    or a session that was never found, though no tombstone says that it ended.

    Where the store tells of ends (``Store.listen``), that is a hint to ask for these sessions at once, and no more.
    """

    def __init__(self, every: float) -> None:
        self.every = every
        self._watched: dict[str, set[Watch]] = {}
        self._was_live: set[str] = set()
        self._hinted: set[str] = set()
        self._wake = asyncio.Event()
        self._is_down = False
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return sum(map(len, self._watched.values()))

    def add(self, watch: Watch) -> None:
        """Begin to watch."""
        self._watched.setdefault(watch.key.sid, set()).add(watch)
        if self._task is None:
            # In no request's context: it outlives them.
            self._task = asyncio.get_running_loop().create_task(self._run(), context=Context())

    def remove(self, watch: Watch) -> None:
        """Watch no more; nothing happens where it is not watched."""
        of_session = self._watched.get(watch.key.sid, set())
        of_session.discard(watch)
        if not of_session:
            self._watched.pop(watch.key.sid, None)
            self._was_live.discard(watch.key.sid)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        thread, hints = ThreadPoolExecutor(1, "srvsession-live"), Hints(partial(self._hear, loop))
        due = loop.time() + self.every
        try:
            while self._watched:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(due):
                        await self._wake.wait()
                self._wake.clear()
                hinted, self._hinted = self._hinted & self._watched.keys(), set()
                if loop.time() >= due:
                    due = loop.time() + self.every
                    hinted = set(self._watched)
                await self._look(thread, hinted)
        finally:
            self._task = None
            hints.stop()
            thread.submit(connections.close_all)
            thread.shutdown(wait=False)

    def _hear(self, loop: asyncio.AbstractEventLoop, sids: Collection[str]) -> None:
        """Take a hint, in the thread of the hints; none named means that any may have ended."""
        watched = {sid for sid in sids if sid in self._watched} if sids else set(self._watched)
        if watched:
            loop.call_soon_threadsafe(self._take_hint, watched)

    def _take_hint(self, sids: Collection[str]) -> None:
        self._hinted.update(sids)
        self._wake.set()

    async def _look(self, thread: ThreadPoolExecutor, asked: Collection[str]) -> None:
        loop = asyncio.get_running_loop()
        for sids in _batches(asked):
            try:
                live, others = await loop.run_in_executor(thread, _asked, sids)
            except Exception as error:  # noqa: BLE001 - those who watch must be told of the ends to come.
                self._note_outage(error)
                return
            self._is_down = False
            self._was_live |= live & self._watched.keys()
            for sid, found in others.items():
                if _is_over(found) and (found is not None or sid in self._was_live):
                    self._tell(sid, found)

    def _note_outage(self, error: Exception) -> None:
        if self._is_down:
            return
        self._is_down = True
        if isinstance(error, StoreUnavailableError):
            log.warning("Live connections stay open, since the session store did not answer: %s", escaped(error))
        else:
            log.error("Live connections could not be checked.", exc_info=error)

    def _tell(self, sid: str, found: Loaded | Tombstone | None) -> None:
        for watch in self._watched.pop(sid, set()):
            watch.on_end(_reason_for(watch.key, found))
        self._was_live.discard(sid)


def _asked(sids: Sequence[str]) -> tuple[frozenset[str], dict[str, Loaded | Tombstone | None]]:
    """Return which of these sessions are live, and what the store has of the others; called in the thread."""
    close_old_connections()
    store = current_store()
    live = store.alive(sids)
    return live, {sid: _look_up(store, sid) for sid in sids if sid not in live}


def _look_up(store: Store, sid: str) -> Loaded | Tombstone | None:
    with contextlib.suppress(CorruptSessionError):  # It opens for nobody.
        return store.load(sid)
    return None


def _is_over(found: Loaded | Tombstone | None) -> bool:
    return not isinstance(found, Loaded) or not found.record.is_live(found.now_ms)


def _reason_for(key: SessionKey, found: Loaded | Tombstone | None) -> str:
    """Return why a session ended, as far as the holder of this key may know it."""
    if isinstance(found, Loaded) and found.record.accepts(key.verifier, found.now_ms):
        return found.record.expiry_reason
    if isinstance(found, Tombstone) and found.was_of(key.verifier):
        return found.reason
    return UNKNOWN


def _batches(sids: Collection[str]) -> Iterator[Sequence[str]]:
    remaining = iter(sids)
    while batch := list(islice(remaining, _MOST_AT_ONCE)):
        yield batch


_watchers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[float, Watcher]] = WeakKeyDictionary()


def watcher(every: float) -> Watcher:
    """Return the running event loop's one watcher that looks so often."""
    of_loop = _watchers.setdefault(asyncio.get_running_loop(), {})
    return of_loop.setdefault(every, Watcher(every))
