"""The verbs on one session in Redis, each one coroutine over a transport (see ``transport``).

The indexes are supersets of the live sessions, by the order of what is awaited: what lists a session is written before
the session, and removed after it, or with it by one script.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NoReturn

from django_srvsession.backends.redis.clock import RedisClock
from django_srvsession.backends.redis.commands import (
    end_command,
    evalsha,
    forget_commands,
    list_command,
    listed_record,
    read_conflicts,
    write_command,
)
from django_srvsession.backends.redis.format import (
    is_tombstone,
    raw_verifier,
    read_image,
    read_record,
    session_image,
    tombstone_rest,
)
from django_srvsession.backends.redis.ghosts import Ghosts
from django_srvsession.backends.redis.keys import ANONYMOUS, KINDS, USERS, Keys, decoded, kind_of
from django_srvsession.backends.redis.record_reading import record_replies
from django_srvsession.backends.redis.scripts import END_AS_KNOWN, FORGET, MARGIN_MS, SAVE, TTL_STEP_MS
from django_srvsession.backends.redis.transport import Command, Transport
from django_srvsession.backends.redis.transport.replies import checked, checked_index, senseless
from django_srvsession.records import (
    LATEST_MS,
    UNSET,
    Delta,
    Ending,
    Loaded,
    SessionRecord,
    Tombstone,
    conflicts,
    new_session,
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
    rules,
)
from django_srvsession.store.framing import frame

_TRIES: Final = 3
"""How often within one call an expiry may turn out to be beyond what the user's index promises: once, as a rule."""

_LIST_PRECISION_MS: Final = 1000
"""Within so long the list of everybody's sessions may mix up who was seen last; a user's own list never does."""

_DEAD: Final = (b"absent", b"ended")


class Sessions:
    """Do what :class:`django_srvsession.store.Store` says to the sessions of one tenant."""

    def __init__(self, keys: Keys, clock: RedisClock, ghosts: Ghosts) -> None:
        self._keys = keys
        self._clock = clock
        self._ghosts = ghosts
        self._prefix = keys.sessions

    def _key(self, sid: str) -> bytes:
        return self._prefix + sid.encode("utf-8", "surrogatepass")

    async def load(self, to: Transport, sid: str) -> Loaded | Tombstone | None:
        """Read the session; once a minute at most, in the same round trip, the time."""
        command = self.load_command(sid)
        if self._clock.needs_asking:
            time, reply = await to.call([("TIME",), command])
            self._clock.learn_from_time(checked_index(time))
        else:
            (reply,) = await to.call([command])
        return self.loaded(sid, reply)

    def load_command(self, sid: str) -> Command:
        """Return the command that reads the session."""
        return ("GET", self._key(sid))

    def loaded(self, sid: str, reply: Any) -> Loaded | Tombstone | None:
        """Return what that command's reply means."""
        return None if reply is None else read_image(sid, checked(reply), self._clock.now_ms)

    async def alive(self, to: Transport, sids: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Return those that are live, and what opens them: one round trip."""
        replies = await record_replies(to, [self._key(sid) for sid in sids])
        now_ms = await self._now_ms(to)
        found = ((sid, listed_record(sid, reply)) for sid, reply in zip(sids, replies, strict=True))
        return {sid: record.openers(now_ms) for sid, record in found if record is not None and record.is_live(now_ms)}

    # Create.

    async def create(self, to: Transport, sid: str, verifier: str, delta: Delta) -> Loaded:
        """Store a new session."""
        return await self.store(to, new_session(sid, verifier, delta, await self._now_ms(to)))

    async def restore(self, to: Transport, session: Loaded) -> Loaded:
        """Store a session as it stood elsewhere; what it left when it moved away from here gives way."""
        session = session._replace(now_ms=await self._now_ms(to))
        try:
            return await self.store(to, session)
        except CreateError:
            if not await self._forget_moved(to, session.record.sid):
                raise
        return await self.store(to, session)

    async def _forget_moved(self, to: Transport, sid: str) -> bool:
        (reply,) = await to.call([self.load_command(sid)])
        image = checked(reply)
        if not is_tombstone(image) or not rules.has_moved(read_image(sid, image, 0)):
            return False
        (forgotten,) = await to.call([evalsha(FORGET, [self._key(sid)], image)])
        return bool(checked(forgotten))

    async def store(self, to: Transport, new: Loaded) -> Loaded:
        """List the session and store it, in this order: on one server in one round trip, on a cluster step by step."""
        record = new.record
        sid, verifier, key = record.sid, record.verifier, self._key(record.sid)
        until_ms = _bound(record.expires_ms, record.lifetime_ms)
        image = session_image(record, new.values, until_ms)
        goes_ms = max(record.expires_ms, new.now_ms) + _keep_ms()
        live = self._live_command(sid, record.user_id)
        storing: Command = ("SET", key, image, "NX", "PXAT", goes_ms)
        if record.user_id is None:
            stored = await self._store_new(to, [live], storing, [])
        else:
            # Clearing that found the entry without its session may have lowered it meanwhile: it is raised once more.
            user_key = self._keys.user(record.user_id)
            listed: Command = ("ZADD", user_key, "GT", until_ms, sid)
            again = list_command(user_key, sid, until_ms)
            stored = await self._store_new(to, [listed, live], storing, [again])
        if stored is None:
            return await self._created_before(to, sid, verifier)
        if stored != b"OK":
            raise senseless()
        await self._ghosts.note_listed(to, self._keys, kind_of(record.user_id))
        return new

    async def _store_new(
        self, to: Transport, listing: Sequence[Command], storing: Command, again: Sequence[Command]
    ) -> Any:
        """Return what SET says of a new session; its key must not go out unless the session is listed."""
        if to.is_one_server:
            replies = await to.call([*listing, storing, *again])
            stored, listed = replies.pop(len(listing)), replies
            if stored == b"OK" and any(isinstance(reply, Exception) for reply in listed):
                await self._tidy(to, [("DEL", storing[1])])
        else:
            for reply in await to.call(listing):
                checked_index(reply)
            (stored,) = await to.call([storing])
            listed = await to.call(again) if again and not isinstance(stored, Exception) else []
        for reply in listed:
            checked_index(reply)
        return checked_index(stored)

    async def _created_before(self, to: Transport, sid: str, verifier: str) -> Loaded:
        """Return the session that stands where one was to be created, if the answer to this very creation was lost."""
        try:
            stored = await self.load(to, sid)
        except CorruptSessionError as error:
            raise CreateError from error  # Whatever it is, the place is taken.
        if isinstance(stored, Loaded) and stored.record.verifier == verifier and stored.record.is_live(stored.now_ms):
            return stored
        raise CreateError(TAKEN)

    # Update.

    async def update(self, to: Transport, sid: str, verifier: str, delta: Delta, base: Loaded | None = None) -> Loaded:
        """Change a session in one round trip; before a sign-in it is listed, since its key is out already."""
        if base is not None and base.record.verifier == verifier and _is_only_values(delta):
            saved = await self._save(to, sid, delta, base)
            if saved is not None:
                return saved
        return await self._write(to, sid, verifier, delta, base)

    async def _save(self, to: Transport, sid: str, delta: Delta, base: Loaded) -> Loaded | None:
        """Write values by the short script; None: nothing was done, and the long one will say what is to be done."""
        record = base.record
        run = frame(delta.changed) if delta.changed else b""
        key, verifier = self._key(sid), bytes.fromhex(record.verifier)
        save = ("EVALSHA", SAVE.sha, 1, key, verifier, record.version, _keep_ms(), run)
        reply = (await to.call([*self._touch_commands(sid, base), save]))[-1]
        if isinstance(reply, int):
            return updated(base, delta, self._clock.learn(reply)) if reply else None
        _, now_ms, rest = self._answer(sid, reply)
        return _written(sid, delta, base, now_ms, rest)

    async def _write(self, to: Transport, sid: str, verifier: str, delta: Delta, base: Loaded | None) -> Loaded:
        until_ms = 0 if delta.user_id is UNSET else await self._list_sign_in(to, sid, delta, base)
        version = None if base is None else base.record.version
        for _ in range(_TRIES):
            write = write_command(self._key(sid), verifier, delta, _keep_ms(), until_ms, version)
            *_, reply = await to.call([*self._touch_commands(sid, base), write])
            status, now_ms, rest = self._answer(sid, reply)
            if status == b"ok":
                await self._forget_visitor(to, sid, delta, base)
                after = _written(sid, delta, base, now_ms, rest)
                if rest or delta.new_verifier is None:
                    return after
                return rotated(after, delta.new_verifier, delta.final, delta.user_id is not UNSET)
            if status != b"unindexed":
                await self._refuse(to, sid, delta, status, rest)
            until_ms = _bound(*rest[:2])
            await self._list(to, sid, decoded(rest[2]), until_ms)
        raise StoreUnavailableError("The session's expiry kept changing; nothing was written.")

    async def _list_sign_in(self, to: Transport, sid: str, delta: Delta, base: Loaded | None) -> int:
        """List the session for the user it is about to belong to; return until when that holds."""
        lifetime_ms = delta.lifetime_ms if delta.lifetime_ms is not UNSET else base.record.lifetime_ms if base else 0
        until_ms = _bound(await self._now_ms(to) + lifetime_ms, lifetime_ms)
        await self._list(to, sid, str(delta.user_id), until_ms)
        await self._ghosts.note_listed(to, self._keys, USERS)
        return until_ms

    async def _forget_visitor(self, to: Transport, sid: str, delta: Delta, base: Loaded | None) -> None:
        """Take a session that has got a user out of the list of those that have none."""
        if delta.user_id is not UNSET and (base is None or base.record.user_id is None):
            await self._tidy(to, forget_commands(self._keys, sid, [ANONYMOUS], None))

    async def _refuse(self, to: Transport, sid: str, delta: Delta, status: bytes, rest: Sequence[Any]) -> NoReturn:
        if status == b"conflict":
            raise ConflictError(read_conflicts(rest[0]))
        # Only what can never live again is taken out: another request may have signed in under this very sid.
        if status in _DEAD and delta.user_id is not UNSET:
            await self._tidy(to, forget_commands(self._keys, sid, KINDS, delta.user_id))
        raise UpdateError(GONE)

    # End.

    async def end(self, to: Transport, sid: str, ending: Ending) -> SessionRecord | None:
        """Put a tombstone in the session's place and take the session out of the indexes.

        On one server in one round trip, if the caller knows whose session it is; else there is something left to do.
        """
        known = None if ending.base is None else ending.base.record
        if known is not None and _holds_of(known, ending) and await self._end_as_known(to, sid, ending, known):
            return known
        kinds: Collection[str] = () if not to.is_one_server else KINDS if known is None else (kind_of(known.user_id),)
        index_of = known.user_id if known is not None and to.is_one_server else None
        (reply,) = await to.call([self._end_command(sid, ending, kinds, index_of)])
        status, _, rest = self._answer(sid, reply)
        if status != b"ok":
            return None
        record = listed_record(sid, rest[0])  # None: it has ended, whoever's it was.
        user_id = None if record is None else record.user_id
        missed = {kind_of(user_id)} if kinds and record is not None else {*KINDS}
        left = forget_commands(self._keys, sid, missed.difference(kinds), None if user_id == index_of else user_id)
        await self._tidy(to, left)
        return record

    async def _end_as_known(self, to: Transport, sid: str, ending: Ending, known: SessionRecord) -> bool:
        """End a session by the short script; False: nothing was done, and the long one will say what is to be done."""
        keys: list[bytes | str] = [self._key(sid)]
        if to.is_one_server:
            keys.append(self._keys.live_of(kind_of(known.user_id), sid))
            if known.user_id is not None:
                keys.append(self._keys.user(known.user_id))
        rest = tombstone_rest(known, ending.reason or "", ending.by)
        verifier = raw_verifier(known.verifier)
        (reply,) = await to.call([evalsha(END_AS_KNOWN, keys, sid, known.version, verifier, rules.keep_ms(), rest)])
        if checked(reply) == 0:
            return False
        if not isinstance(reply, int):
            raise senseless()
        self._clock.learn(reply)
        if not to.is_one_server:
            await self.forget(to, [known])
        return True

    async def end_many(self, to: Transport, sids: Sequence[str], ending: Ending) -> list[SessionRecord]:
        """Do as :meth:`end` for all of them, in two round trips; return the records of those that have ended."""
        replies = await to.call([self._end_command(sid, ending) for sid in sids])
        ended: list[SessionRecord] = []
        for sid, reply in zip(sids, replies, strict=True):
            with suppress(CorruptSessionError):  # It opens for nobody, ended or not.
                status, _, rest = self._answer(sid, reply)
                ended += [read_record(sid, rest[0])] if status == b"ok" else []
        await self.forget(to, ended)
        return ended

    async def forget(self, to: Transport, ended: Sequence[SessionRecord]) -> None:
        """Take ended sessions out of the indexes."""
        await self._tidy(
            to, [one for record in ended for one in forget_commands(self._keys, record.sid, KINDS, record.user_id)]
        )

    def _end_command(
        self,
        sid: str,
        ending: Ending,
        kinds: Collection[str] = (),
        index_of: str | None = None,
    ) -> Command:
        keys: list[bytes | str] = [self._key(sid), *(self._keys.live_of(kind, sid) for kind in kinds)]
        if index_of is not None:
            keys.append(self._keys.user(index_of))
        return end_command(keys, sid, ending, index_of, rules.keep_ms())

    # Lists.

    async def _list(self, to: Transport, sid: str, user_id: str, until_ms: int) -> None:
        live, of_user = self._live_command(sid, user_id), list_command(self._keys.user(user_id), sid, until_ms)
        for reply in await to.call([live, of_user]):
            checked_index(reply)

    def _live_command(self, sid: str, user_id: str | None) -> Command:
        return ("ZADD", self._keys.live_of(kind_of(user_id), sid), "GT", self._clock.score, sid)

    def _touch_commands(self, sid: str, base: Loaded | None) -> list[Command]:
        score = self._clock.score
        if base is not None and score - base.record.last_seen_ms < _LIST_PRECISION_MS:
            return []
        # XX: what has been ended meanwhile is not listed again.
        kinds = KINDS if base is None else [kind_of(base.record.user_id)]
        return [("ZADD", self._keys.live_of(kind, sid), "XX", "GT", score, sid) for kind in kinds]

    async def _tidy(self, to: Transport, commands: Sequence[Command]) -> None:
        # What was to be done is done. Readers skip what is left in an index, and a sweep removes it.
        if commands:
            with suppress(StoreUnavailableError):
                await to.call(commands)

    async def _now_ms(self, to: Transport) -> int:
        if self._clock.needs_asking:
            (time,) = await to.call([("TIME",)])
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


def _is_only_values(delta: Delta) -> bool:
    """Tell whether the short script can do all that a delta asks for: write values, and start the lifetime anew."""
    return (
        delta.extend
        and delta.new_verifier is None
        and delta.client is delta.user_id is delta.lifetime_ms is delta.deadline_ms is delta.details is UNSET
        and not (delta.cleared or delta.removed or delta.resealed or delta.expected)
    )


def _holds_of(known: SessionRecord, ending: Ending) -> bool:
    """Tell whether a session that is still as it was loaded fulfils all conditions of an ending, whatever the time."""
    return (
        bool(ending.reason)
        and ending.verifier in (None, known.verifier)
        and ending.version in (None, known.version)
        and not (ending.expected and ending.base and conflicts(ending.base.values, ending.expected))
    )


def _keep_ms() -> int:
    """Return how long a session stays after its expiry, in milliseconds, for somebody to notice it and end it."""
    return max(rules.keep_ms(), MARGIN_MS) + TTL_STEP_MS


def _bound(expires_ms: int, lifetime_ms: int) -> int:
    """Return until when the user's index is to hold a session: far enough ahead that most saves need not touch it."""
    return expires_ms + min(lifetime_ms, LATEST_MS) + MARGIN_MS  # Below the marks of `admit`.


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
