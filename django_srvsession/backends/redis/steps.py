"""The verbs on one session in Redis, each written once for threads and event loops."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, NoReturn

from django_srvsession import conf
from django_srvsession.backends.redis.clock import RedisClock
from django_srvsession.backends.redis.codec import (
    Command,
    end_command,
    evalsha,
    is_only_values,
    read_conflicts,
    save_command,
    write_command,
)
from django_srvsession.backends.redis.creation import Creation, bound, keep_ms, senseless
from django_srvsession.backends.redis.format import read_image, read_record
from django_srvsession.backends.redis.keys import ANONYMOUS, KINDS, Keys, decoded, kind_of
from django_srvsession.backends.redis.limit import forget_commands
from django_srvsession.backends.redis.scripts import EXPIRE, MARGIN_MS
from django_srvsession.backends.redis.wire import Steps, checked, checked_index
from django_srvsession.records import (
    UNSET,
    Delta,
    Ending,
    Loaded,
    SessionRecord,
    Tombstone,
    rotated,
    updated,
    updated_values,
)
from django_srvsession.store import (
    GONE,
    TAKEN,
    ConflictError,
    CorruptSessionError,
    CreateError,
    StoreUnavailableError,
    UpdateError,
)

_TRIES: Final = 3
"""How often within one call an expiry may turn out to be beyond what the user's index promises: once, as a rule."""

_LIST_PRECISION_MS: Final = 1000
"""Within so long the list of everybody's sessions may mix up who was seen last; a user's own list never does."""

_DEAD: Final = (b"absent", b"ended")


class SessionSteps:
    """Make the steps of each verb; what they return and raise is what :class:`django_srvsession.store.Store` says."""

    def __init__(self, keys: Keys, clock: RedisClock) -> None:
        self._keys = keys
        self._clock = clock
        self.creation = Creation(keys, clock, self._list_commands)

    def load(self, sid: str) -> Steps[Loaded | Tombstone | None]:
        """Read the session; once a minute at most, in the same round trip, the time."""
        command = self.load_command(sid)
        if self._clock.needs_asking:
            time, reply = yield [("TIME",), command]
            self._clock.learn_from_time(checked_index(time))
        else:
            (reply,) = yield [command]
        return self.loaded(sid, reply)

    def load_command(self, sid: str) -> Command:
        """Return the command that reads the session."""
        return ("GET", self._keys.session(sid))

    def loaded(self, sid: str, reply: Any) -> Loaded | Tombstone | None:
        """Return what that command's reply means."""
        return None if reply is None else read_image(sid, checked(reply), self._clock.now_ms)

    def create(self, sid: str, verifier: str, delta: Delta, one_server: bool) -> Steps[Loaded]:
        """List the session and store it: on one server in one round trip, on a cluster one after the other."""
        yield from self._now_ms()
        new, reply = yield from self.creation.steps(sid, verifier, delta, one_server)
        return new if self.creation.was_stored(reply) else (yield from self.created_before(sid, verifier))

    def created_before(self, sid: str, verifier: str) -> Steps[Loaded]:
        """Return the session that stands where one was to be created, if the answer to this very creation was lost."""
        try:
            stored = yield from self.load(sid)
        except CorruptSessionError as error:
            raise CreateError from error  # Whatever it is, the place is taken.
        if isinstance(stored, Loaded) and stored.record.verifier == verifier and stored.record.is_live(stored.now_ms):
            return stored
        raise CreateError(TAKEN)

    def update(self, sid: str, verifier: str, delta: Delta, base: Loaded | None) -> Steps[Loaded]:
        """Do as :meth:`write`; nearly every update is only of values, and needs little."""
        if base is not None and self.is_save(verifier, delta, base):
            saved = self.saved(sid, delta, base, (yield self.save_commands(sid, delta, base)))
            if saved is not None:
                return saved
        return (yield from self.write(sid, verifier, delta.new_verifier, delta.final, delta, base))

    def is_save(self, verifier: str, delta: Delta, base: Loaded) -> bool:
        """Tell whether the short script can do an update: it only writes values, by the session's current key."""
        return base.record.verifier == verifier and delta.new_verifier is None and is_only_values(delta)

    def save_commands(self, sid: str, delta: Delta, base: Loaded) -> list[Command]:
        """Return the commands that write values by the short script."""
        command = save_command(self._keys.session(sid), base.record, delta.changed, keep_ms())
        return [*self._touch_commands(sid, base), command]

    def saved(self, sid: str, delta: Delta, base: Loaded, replies: Sequence[Any]) -> Loaded | None:
        """Return the session after that; None: nothing was done, and the long script will say what is to be done."""
        reply = replies[-1]
        if isinstance(reply, int):
            return updated(base, delta, self._clock.learn(reply)) if reply else None
        _, now_ms, rest = self._answer(sid, reply)
        return _written(sid, delta, base, now_ms, rest)

    def write(
        self, sid: str, verifier: str, new_verifier: str | None, final: bool, delta: Delta, base: Loaded | None
    ) -> Steps[Loaded]:
        """Update or rotate in one round trip; before a sign-in the session is listed, since its key is out already."""
        until_ms = 0 if delta.user_id is UNSET else (yield from self._sign_in(sid, delta, base))
        version = None if base is None else base.record.version
        for _ in range(_TRIES):
            command = write_command(
                self._keys.session(sid), verifier, new_verifier, final, delta, keep_ms(), until_ms, version
            )
            *_, reply = yield [*self._touch_commands(sid, base), command]
            status, now_ms, rest = self._answer(sid, reply)
            if status == b"ok":
                yield from self._signed_in(sid, delta, base)
                after = _written(sid, delta, base, now_ms, rest)
                if rest or new_verifier is None:
                    return after
                return rotated(after, new_verifier, final, delta.user_id is not UNSET)
            if status != b"unindexed":
                yield from self._refused(sid, delta, status, rest)
            until_ms = bound(*rest[:2])
            yield from self._list(sid, decoded(rest[2]), until_ms)
        raise _unsettled()

    def end(self, sid: str, ending: Ending) -> Steps[SessionRecord | None]:
        """Put a tombstone in the session's place, then take the session out of the indexes."""
        key, keep_ms = self._keys.session(sid), conf.ended_keep_ms
        if ending.reason is None:
            return (yield from self._buried(sid, evalsha(EXPIRE, key, keep_ms)))
        return (
            yield from self._buried(
                sid, end_command(key, ending.reason, ending.by, ending.verifier, ending.expected, keep_ms)
            )
        )

    def end_many(self, sids: Sequence[str], reason: str, by: str | None) -> Steps[list[SessionRecord]]:
        """Put a tombstone in the place of each, then take them out of the indexes: two round trips for all."""
        keep_ms = conf.ended_keep_ms
        replies = yield [end_command(self._keys.session(sid), reason, by, None, None, keep_ms) for sid in sids]
        ended: list[SessionRecord] = []
        for sid, reply in zip(sids, replies, strict=True):
            with suppress(CorruptSessionError):  # It opens for nobody, ended or not.
                status, _, rest = self._answer(sid, reply)
                ended += [read_record(sid, rest[0])] if status == b"ok" else []
        yield from self._tidy(
            [one for record in ended for one in forget_commands(self._keys, record.sid, record.user_id)]
        )
        return ended

    def _buried(self, sid: str, command: Command) -> Steps[SessionRecord | None]:
        (reply,) = yield [command]
        status, _, rest = self._answer(sid, reply)
        if status != b"ok":
            return None
        try:
            record = read_record(sid, rest[0])
        except CorruptSessionError:
            yield from self._tidy(forget_commands(self._keys, sid, None))  # It has ended, whoever's it was.
            return None
        yield from self._tidy(forget_commands(self._keys, sid, record.user_id))
        return record

    def _sign_in(self, sid: str, delta: Delta, base: Loaded | None) -> Steps[int]:
        """List the session for the user it is about to belong to; return until when that holds."""
        lifetime_ms = delta.lifetime_ms if delta.lifetime_ms is not UNSET else base.record.lifetime_ms if base else 0
        until_ms = bound((yield from self._now_ms()) + lifetime_ms, lifetime_ms)
        yield from self._list(sid, str(delta.user_id), until_ms)
        return until_ms

    def _signed_in(self, sid: str, delta: Delta, base: Loaded | None) -> Steps[None]:
        """Take a session that has got a user out of the list of those that have none."""
        if delta.user_id is not UNSET and (base is None or base.record.user_id is None):
            yield from self._tidy([("ZREM", self._keys.live_of(ANONYMOUS, sid), sid)])

    def _refused(self, sid: str, delta: Delta, status: bytes, rest: Sequence[Any]) -> Steps[NoReturn]:
        if status == b"conflict":
            raise ConflictError(read_conflicts(rest[0]))
        # Only what can never live again is taken out: another request may have signed in under this very sid.
        if status in _DEAD and delta.user_id is not UNSET:
            yield from self._tidy(forget_commands(self._keys, sid, delta.user_id))
        raise UpdateError(GONE)

    def _list(self, sid: str, user_id: str, until_ms: int) -> Steps[None]:
        for reply in (yield self._list_commands(sid, user_id, until_ms)):
            checked_index(reply)

    def _list_commands(self, sid: str, user_id: str | None, until_ms: int) -> list[Command]:
        live: Command = ("ZADD", self._keys.live_of(kind_of(user_id), sid), "GT", self._clock.score, sid)
        if user_id is None:
            return [live]
        key = self._keys.user(user_id)
        past: Command = ("ZREMRANGEBYSCORE", key, "-inf", self._clock.now_ms - MARGIN_MS)
        return [past, ("ZADD", key, "GT", until_ms, sid), live]

    def _touch_commands(self, sid: str, base: Loaded | None) -> list[Command]:
        score = self._clock.score
        if base is not None and score - base.record.last_seen_ms < _LIST_PRECISION_MS:
            return []
        # XX: what has been ended meanwhile is not listed again.
        kinds = KINDS if base is None else [kind_of(base.record.user_id)]
        return [("ZADD", self._keys.live_of(kind, sid), "XX", "GT", score, sid) for kind in kinds]

    def _tidy(self, commands: Sequence[Command]) -> Steps[None]:
        # What was to be done is done. Readers skip what is left in an index, and a sweep removes it.
        if commands:
            with suppress(StoreUnavailableError):
                yield commands

    def _now_ms(self) -> Steps[int]:
        if self._clock.needs_asking:
            (time,) = yield [("TIME",)]
            self._clock.learn_from_time(checked_index(time))
        return self._clock.now_ms

    def _answer(self, sid: str, reply: Any) -> tuple[bytes, int, list[Any]]:
        """Read a script's reply: its status, Redis' time in milliseconds, and the rest."""
        answer = checked(reply)
        if not isinstance(answer, list) or len(answer) < 2 or not isinstance(answer[1], int):
            raise senseless()
        if answer[0] == b"corrupt":
            raise CorruptSessionError(f"What is stored for session {sid} is damaged, or of another format.")
        return answer[0], self._clock.learn(answer[1]), answer[2:]


def _read_live(sid: str, image: Any, now_ms: int) -> Loaded:
    session = read_image(sid, image, now_ms)
    if not isinstance(session, Loaded):
        raise CorruptSessionError(f"What is stored for session {sid} changed within a script.")
    return session


def _written(sid: str, delta: Delta, base: Loaded | None, now_ms: int, rest: Sequence[Any]) -> Loaded:
    """Tell the session after a write: a script sends only what the caller cannot know.

    That is nothing when the version stood that the caller based its delta on, else the record; all that is stored
    when there was no base, or when a rotation had been done before.
    """
    if base is None or len(rest) > 1:
        return _read_live(sid, rest[0], now_ms)
    if rest:
        return Loaded(read_record(sid, rest[0]), updated_values(base.values, delta), now_ms)
    return updated(base, delta, now_ms)


def _unsettled() -> StoreUnavailableError:
    return StoreUnavailableError("The session's expiry kept changing; nothing was written.")
