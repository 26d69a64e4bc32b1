"""Ask the store, for all connections of an event loop at once, which of their sessions are live."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
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
KEY_CHANGED: Final = "key_changed"
"""Why a connection is closed whose key opens the session no more, which goes on under another one."""

_MOST_AT_ONCE: Final = 1000
"""How many sessions one question names, at most."""

log = logging.getLogger("django_srvsession")


class Watch:
    """Hold one connection's interest in its session; ``on_end`` is called once, with the reason, on the loop.

    ``was_refused`` tells that its key did not open the live session when the store was asked last.
    """

    __slots__ = ("key", "on_end", "was_refused")

    def __init__(self, key: SessionKey, on_end: Callable[[str], object]) -> None:
        self.key = key
        self.on_end = on_end
        self.was_refused = False


class Watcher:
    """Tell connections of one event loop that their sessions have ended, within ``every`` seconds.

    Works only while there is something to watch, in threads of its own: a store that hangs keeps nobody waiting, and
    a database is asked on a connection that is in nobody's transaction. What it does not know ends nothing: an outage,
    or a session that was never found, though no tombstone says that it ended.

    A connection stands for its key. One that opens the session no more ends the connection, at the second question that
    finds it so: by then the browser of who changed the key has the new one.

    Where the store tells of ends (``Store.listen``), that is a hint to ask for these sessions at once, and no more.
    """

    def __init__(self, every: float) -> None:
        self.every = every
        self._watched: dict[str, set[Watch]] = {}
        self._was_live: set[str] = set()
        self._absent: dict[str, int] = {}  # Neither live nor ended: for how many questions so far.
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
            self._forget(watch.key.sid)

    def _forget(self, sid: str) -> set[Watch]:
        self._was_live.discard(sid)
        self._absent.pop(sid, None)
        return self._watched.pop(sid, set())

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
                asked, self._hinted = self._hinted & self._watched.keys(), set()
                if loop.time() >= due:
                    due = loop.time() + self.every
                    asked = set(self._watched)
                await self._look(thread, asked)
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
        for sid in sids:
            self._absent.pop(sid, None)
        self._wake.set()

    async def _look(self, thread: ThreadPoolExecutor, asked: Collection[str]) -> None:
        loop = asyncio.get_running_loop()
        for sids in _batches(asked):
            resting = frozenset(filter(self._rests, sids))
            try:
                live, others = await loop.run_in_executor(thread, _asked, sids, resting)
            except Exception as error:  # noqa: BLE001 - those who watch must be told of the ends to come.
                self._note_outage(error)
                return
            self._is_down = False
            for sid in live.keys() & self._watched.keys():
                self._was_live.add(sid)
                self._absent.pop(sid, None)
                self._judge(sid, live[sid])
            for sid, found in others.items():
                if _is_over(found) and (found is not None or sid in self._was_live):
                    self._tell(sid, found)
            for sid in sids:
                if sid in self._watched and sid not in live:
                    self._absent[sid] = self._absent.get(sid, 0) + 1

    def _rests(self, sid: str) -> bool:
        """Tell whether to spare the store another look for a session of which it knew nothing.

        It may be there one day: one that is still in another engine, say. So it is looked for at the 1st question, at
        the 2nd, 4th, 8th and so on; and at each whether it is live.
        """
        count = self._absent.get(sid, 0) + 1
        return count & (count - 1) != 0

    def _judge(self, sid: str, verifiers: Collection[str]) -> None:
        """End the connections of a live session whose keys do not open it."""
        for watch in tuple(self._watched[sid]):
            is_refused = watch.key.verifier not in verifiers
            if is_refused and watch.was_refused:
                self.remove(watch)
                watch.on_end(KEY_CHANGED)
            watch.was_refused = is_refused

    def _note_outage(self, error: Exception) -> None:
        if self._is_down:
            return
        self._is_down = True
        if isinstance(error, StoreUnavailableError):
            log.warning("Live connections stay open, since the session store did not answer: %s", escaped(error))
        else:
            log.error("Live connections could not be checked.", exc_info=error)

    def _tell(self, sid: str, found: Loaded | Tombstone | None) -> None:
        for watch in self._forget(sid):
            watch.on_end(_reason_for(watch.key, found))


def _asked(
    sids: Sequence[str], resting: Collection[str]
) -> tuple[Mapping[str, Collection[str]], dict[str, Loaded | Tombstone | None]]:
    """Return which of these sessions are live, and what the store has of others; called in the thread."""
    close_old_connections()
    store = current_store()
    live = store.alive(sids)
    return live, {sid: _look_up(store, sid) for sid in sids if sid not in live and sid not in resting}


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
    if isinstance(found, Tombstone) and found.is_of(key.verifier):
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
