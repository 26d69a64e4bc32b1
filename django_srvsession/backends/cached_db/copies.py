"""What Redis is asked and told of copies; ``sessions`` says when.

Redis may forget any of it at any time, and refuse what takes memory. To remove a copy is what it must acknowledge. Any
failure opens the breaker; nothing here raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from django_srvsession import conf
from django_srvsession.backends.cached_db.breaker import Breaker
from django_srvsession.backends.cached_db.format import (
    Generation,
    head_of,
    is_copy,
    is_lease,
    new_copy,
    new_guard,
    new_lease,
    read_copy,
    taken_ms,
)
from django_srvsession.backends.redis.clock import RedisClock
from django_srvsession.backends.redis.transport import Command, Transport
from django_srvsession.records import Loaded
from django_srvsession.store import StoreUnavailableError

_MOST_UNTOLD: Final = 10_000

GUARDED_MS: Final = 30_000
"""How long a session is guarded, in milliseconds, should whoever changes it die meanwhile."""
LEASED_MS: Final = 10_000

# A lease takes the place of nothing, and of a copy that begins like one that was not believed. Tells what stands then.
_TAKE_LEASE: Final = """
local held = redis.call('GET', KEYS[1])
if held and (ARGV[3] == '' or string.sub(held, 1, #ARGV[3]) ~= ARGV[3]) then return held end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
"""
# A copy takes the place of the generation that stood before the database was asked, and of nothing else. Where that has
# gone, whoever wrote has removed whatever stands instead.
_FILL: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'PXAT', ARGV[3])
elseif ARGV[4] == '1' then
  redis.call('DEL', KEYS[1])
end
return 1
"""


class Guarded(NamedTuple):
    """Hold the guard that was put up, and the copy that it replaced, if there was one."""

    generation: Generation
    replaced: bytes | None


class Copies:
    """Keep copies of sessions in one Redis, by its clock; transports give the run of Redis after the replies."""

    def __init__(self, clock: RedisClock) -> None:
        self.clock = clock
        self.breaker = Breaker()
        self._untold: dict[bytes, None] = {}
        self._owes_ends = False

    # Who reads.

    def believed(self, key: bytes, sid: str, value: Any, run: bytes | None) -> Loaded | None:
        """Return the session of a copy, unless it was forged, is of another run, or older than it may be."""
        now_ms = self.clock.now_ms
        from_ms = max(self.breaker.trusted_from_ms, now_ms - conf.cache_check_ms + 1)
        return read_copy(key, sid, value, run, from_ms, now_ms)

    async def look(self, to: Transport, key: bytes, sid: str) -> Loaded | Generation | None:
        """Return the session of a copy, or what a copy may take the place of; None: none is to be stored."""
        if not (self.breaker.is_closed or await self._is_back(to, key)):
            return None
        replies = await self._ask(to, [("GET", key)])
        return None if replies is None else await self.understood(to, key, sid, *replies)

    async def understood(
        self, to: Transport, key: bytes, sid: str, value: Any, run: bytes | None
    ) -> Loaded | Generation | None:
        """Do as :meth:`look`, where it is known what stands under the key."""
        if (session := self.believed(key, sid, value, run)) is not None:
            return session
        if run is None:
            return None  # Nobody would believe it.
        if value is None or is_copy(value):
            bad = b"" if value is None else head_of(value)
            replies = await self._ask(to, [("EVAL", _TAKE_LEASE, 1, key, new_lease(), LEASED_MS, bad)])
            if replies is None:
                return None
            value, run = replies
            if (session := self.believed(key, sid, value, run)) is not None:
                return session  # Somebody else has stored it meanwhile.
        return Generation(value, run, self.clock.now_ms) if is_lease(value) else None

    async def lease(self, to: Transport, key: bytes) -> Generation | None:
        """Take a lease where nothing stands: for a session that is about to be stored, of which nobody knows yet."""
        if not (self.breaker.is_closed or await self._is_back(to, key)):
            return None
        lease = new_lease()
        replies = await self._ask(to, [("SET", key, lease, "NX", "PX", LEASED_MS)])
        if replies is None:
            return None
        taken, run = replies
        return Generation(lease, run, self.clock.now_ms) if taken == b"OK" else None

    async def fill(self, to: Transport, key: bytes, generation: Generation, session: Loaded) -> None:
        """Store the copy of a session that was read, if what stood under its key before the reading still does."""
        if self.breaker.is_closed and (command := self._fill(key, generation, session, "0")):
            await self._ask(to, [command])

    # Who writes.

    async def guard(self, to: Transport, keys: Sequence[bytes]) -> list[Guarded] | None:
        """Remove copies, and have nobody else store any; None if that was not acknowledged."""
        if not keys:
            return []
        if not (self.breaker.is_closed or await self._is_back(to, keys[0])):
            self._note_untold(keys)
            return None
        guards = [new_guard() for _ in keys]
        commands: list[Command] = []
        for key, guard in zip(keys, guards, strict=True):
            # Redis deletes when its memory is full, and refuses the guard: where nothing stands nobody stores a copy.
            commands += [("GETDEL", key), ("SET", key, guard, "PX", GUARDED_MS)]
        replies = await self._ask(to, commands)
        if replies is None:
            self._note_untold(keys)
            return None
        *replaced, run = replies[::2]
        at_ms = self.clock.now_ms
        return [
            Guarded(Generation(guard, run, at_ms), value if is_copy(value) else None)
            for guard, value in zip(guards, replaced, strict=True)
        ]

    async def settle(self, to: Transport, key: bytes, guarded: Guarded | None, session: Loaded) -> None:
        """Store the copy of a session that was written, if its guard still stands; else have none there."""
        command = None if guarded is None else self._fill(key, guarded.generation, session, "1")
        await self._tell(to, [key], command or ("DEL", key))

    async def restore(self, to: Transport, key: bytes, guarded: Guarded) -> None:
        """Put back the copy that a guard replaced, if that still stands: nothing has been written that is known of."""
        command = None
        if guarded.replaced is not None:
            due_ms = taken_ms(guarded.replaced) + conf.cache_check_ms
            command = ("EVAL", _FILL, 1, key, guarded.generation.value, guarded.replaced, due_ms, "1")
        await self._tell(to, [key], command or ("DEL", key))

    async def drop(self, to: Transport, keys: Sequence[bytes]) -> bool:
        """Remove what stands under keys; tell whether that was acknowledged."""
        return not keys or await self._tell(to, keys, ("DEL", *keys))

    async def _tell(self, to: Transport, keys: Sequence[bytes], command: Command) -> bool:
        is_well = self.breaker.is_closed or await self._is_back(to, keys[0])
        is_told = is_well and await self._ask(to, [command]) is not None
        if not is_told:
            self._note_untold(keys)
        return is_told

    def owe_ends(self) -> None:
        """Take note that sessions have ended that Redis does not know of."""
        self._owes_ends = True

    async def tell_ends(self, to: Transport) -> bool:
        """Tell Redis of all that has ended; False while it cannot be told."""
        return not self._owes_ends or (await self._is_back(to) and not self._owes_ends)

    def _note_untold(self, keys: Sequence[bytes]) -> None:
        """Have copies removed when Redis is back: others may believe them. Of too many their check is due soon."""
        if len(self._untold) < _MOST_UNTOLD:
            self._untold.update(dict.fromkeys(keys))

    def _fill(self, key: bytes, generation: Generation, session: Loaded, or_remove: str) -> Command | None:
        copy = new_copy(key, generation, session, self.clock.now_ms)
        if copy is None:
            return None
        due_ms = generation.taken_ms + conf.cache_check_ms
        return ("EVAL", _FILL, 1, key, generation.value, copy, due_ms, or_remove)

    # Redis.

    async def _ask(self, to: Transport, commands: Sequence[Command]) -> list[Any] | None:
        """Return the replies and the run that gave them; None where Redis has failed."""
        needs_time = self.clock.needs_asking
        try:
            replies = await to.call([("TIME",), *commands] if needs_time else commands)
        except StoreUnavailableError:
            self.breaker.note_failure()
            return None
        if any(isinstance(reply, Exception) and not _is_of_this_key(reply) for reply in replies):
            self.breaker.note_failure()
            return None
        if needs_time:
            self.clock.learn_from_time(replies.pop(0))
        return replies

    async def _is_back(self, to: Transport, key: bytes = b"") -> bool:
        """See whether a Redis that has failed takes writes again, if it is time to, and tell it what it missed."""
        if not self.breaker.may_try():
            return False
        untold, self._untold, owed, self._owes_ends = self._untold, {}, self._owes_ends, False
        replies = await self._ask(to, [("TIME",), ("DEL", key, *untold)])
        if replies is None:
            self._note_untold([*untold])
            self._owes_ends = owed
            return False
        self.breaker.note_recovery(self.clock.learn_from_time(replies[0]))
        return True


def _is_of_this_key(error: Exception) -> bool:
    """Tell whether Redis did only what takes no memory, or a key holds another type: it is well otherwise."""
    return "maxmemory" in str(error) or "WRONGTYPE" in str(error)
