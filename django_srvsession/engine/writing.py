"""What a request writes: new sessions, touches, and the delta that names what it changed."""

from __future__ import annotations

from typing import Any, Final

from django_srvsession.engine import lifetimes
from django_srvsession.engine.keys import SessionKey
from django_srvsession.engine.reading import ENDED, SINCE, SWITCHED, USER_KEY, WRONG, Found, SessionReading, user_id_in
from django_srvsession.engine.seal import SealError
from django_srvsession.engine.sealed_record import RECORD, SealedRecord, is_sealed_anew
from django_srvsession.engine.signalling import started
from django_srvsession.engine.steps import Call, Steps
from django_srvsession.engine.values import Changes, SealedValues
from django_srvsession.records import TOUCH, UNSET, Delta, Loaded, SessionRecord, given
from django_srvsession.store import GONE, ConflictError, CreateError, StoreUnavailableError, UpdateError

_SEAL_TRIES: Final = 50  # Each time that one try fails, somebody else's has succeeded.
_CREATE_TRIES: Final = 5  # 72 random bits collide about never; a store that says so five times is broken.


class SessionWriting(SessionReading):
    """Create and touch a session, and compute what a save changes."""

    def create_steps(self, values: SealedValues) -> Steps[None]:
        """Store the contents as a new session under a key of its own.

        Raises ``UpdateError`` for a session that would live on in a copy: its user was signed in when the request
        began, the session was ended since, and nobody has signed in.
        """
        user_id = user_id_in(values)
        if user_id is not None and user_id == self.came_as and not (self.was_ended_here or self.signing_in == user_id):
            raise UpdateError(GONE)
        self._leave_marks(values)
        for _ in range(_CREATE_TRIES):
            key = SessionKey.generate()
            sealer = self._sealer(key)
            now_ms, state = self.store().clock_ms, values.state
            changes = Changes(values.everything(sealer), frozenset(), True, {}, state)
            delta = self._delta(values, changes, None, now_ms)
            mark = SealedRecord.new(key.verifier, delta, now_ms).seal(sealer)
            changes.changed[RECORD] = mark  # The delta's are the same.
            try:
                loaded = yield Call("create", (key.sid, key.verifier, delta))
            except CreateError:
                continue
            self._adopt(key, loaded)
            self._take(mark)
            values.stored(changes, sealer)
            self.needs_cookie, self.modified = True, True
            if loaded.record.user_id is not None:
                yield started(loaded.record)
            return
        raise CreateError("The store found every new session key taken.")

    def _leave_marks(self, values: SealedValues) -> None:
        """Note in a session that begins, or that somebody signs in to, what is to be known of it later."""
        user_id = user_id_in(values)
        if user_id is None:
            if self.ended is not None:
                values.put(ENDED, list(self.ended))
            return
        self._carry_marks(values)
        came_as = self.came_as or (None if self.record is None else self.record.user_id)
        if self.signing_in == user_id:
            values.discard(WRONG)
        if self.signing_in == user_id or came_as != user_id:
            values.discard(SINCE)
        if self.signing_in == user_id == self.authenticated:
            values.discard(SWITCHED)
        elif self.signing_in != user_id or came_as not in (None, user_id):
            values.put(SWITCHED, True)

    def _carry_marks(self, values: SealedValues) -> None:
        """Take along what only a sign-in takes away."""
        for name, value in self._carried.items():
            if values.peek(name) is None:
                values.put(name, value)

    def _signs_in(self, values: SealedValues) -> bool:
        """Tell whether saving these contents signs somebody in: by ``login()``, or by hand as who was nobody before.

        To assign the user of the session anew is no sign-in: whoever can have names assigned would renew the proof.
        """
        if not values.is_assigned(USER_KEY):
            return False
        user_id = user_id_in(values)
        before = self.came_as if self.record is None else self.record.user_id
        return user_id is not None and (self.signing_in == user_id or before != user_id)

    def _delta(self, values: SealedValues, changes: Changes, base: Loaded | None, now_ms: int) -> Delta:
        """Name what this request changes; of the record only what differs from what it loaded."""
        record, sealed = (None, None) if base is None else (base.record, self._sealed)
        user_id = user_id_in(values) if record is None or self._signs_in(values) else None
        signed_in_ms = now_ms if user_id is not None else (None if sealed is None else sealed.signed_in_ms)
        if signed_in_ms is not None and SINCE in self._carried:
            signed_in_ms = values.peek(SINCE) or signed_in_ms
        expiry = values.get(lifetimes.EXPIRY_KEY)
        lifetime = lifetimes.lifetime_of(expiry, self.get_session_cookie_age(), signed_in_ms, now_ms)
        # A fixed date keeps its deadline; its remaining time, computed anew each time, is no change.
        same_expiry = lifetimes.EXPIRY_KEY not in changes.changed and lifetimes.EXPIRY_KEY not in changes.removed
        is_dated = lifetime.deadline_ms is not None and same_expiry
        known = None if base is None else self._lifetime or sealed
        keep = known is not None and (lifetime.lifetime_ms == known.lifetime_ms or is_dated) and not changes.cleared
        keep_deadline = known is not None and lifetime.deadline_ms == known.deadline_ms
        return Delta(
            changed=changes.changed,
            removed=changes.removed,
            cleared=changes.cleared,
            resealed=changes.resealed,
            user_id=UNSET if user_id is None else user_id,
            client=self._client_if_new(record),
            lifetime_ms=UNSET if keep else lifetime.lifetime_ms,
            deadline_ms=UNSET if keep_deadline else lifetime.deadline_ms,
        )

    def _written_steps(
        self,
        key: SessionKey,
        delta: Delta,
        base: Loaded,
        now_ms: int,
        new: SessionKey | None = None,
        final: bool = True,
    ) -> Steps[SessionRecord]:
        """Update the session or, to a ``new`` key, rotate it; what changes of the record is sealed in the same step.

        When another request has changed the record first, what is named here is named of what stands then.
        """
        if new is None and not is_sealed_anew(delta):
            loaded = yield Call("update", (key.sid, key.verifier, delta, base))
            self._adopt(key, loaded)
            return loaded.record  # type: ignore[no-any-return]
        sealer = self._sealer(key)
        mark, stands = self._mark, self._sealed
        known = self._lifetime or stands
        for _ in range(_SEAL_TRIES):
            sealed = stands.after(delta, now_ms)
            if new is not None:
                sealed = sealed.rotated(new.verifier, final, now_ms)
            new_mark = sealed.seal(sealer)
            step = delta._replace(changed={**delta.changed, RECORD: new_mark}, expected={RECORD: mark})
            if new is not None:
                step = step._replace(new_verifier=new.verifier, final=final)
            try:
                loaded = yield Call("update", (key.sid, key.verifier, step, base))
            except ConflictError as conflict:
                mark = conflict.current[RECORD] or b""
                stands = self._sealed_by_another(key, mark)
            else:
                self._adopt(new or key, loaded)
                lifetime_ms = given(delta.lifetime_ms, known.lifetime_ms)
                deadline_ms = given(delta.deadline_ms, known.deadline_ms)
                self._take(new_mark, lifetimes.Lifetime(lifetime_ms, deadline_ms))
                return loaded.record  # type: ignore[no-any-return]
        raise StoreUnavailableError("Other requests kept changing the session; nothing was written.")

    def _sealed_by_another(self, key: SessionKey, mark: bytes) -> SealedRecord:
        """Read the mark that another request has written meanwhile."""
        try:
            self._sealer(key).verify(RECORD, mark)
            sealed = SealedRecord.read(mark)
            # Or an older mark that somebody has put back would be sealed anew: its key with what this step adds.
            if not sealed.opens(key.verifier, self.store().clock_ms):
                raise SealError("its record is sealed for another key")
            return sealed
        except SealError as error:
            self._session_cache = self._refuse(key.sid, error)
            raise UpdateError(GONE) from error

    def _client_if_new(self, record: SessionRecord | None) -> Any:
        if self.client_of_request is None:
            return UNSET
        client = self.client_of_request()
        return UNSET if record is not None and record.client == client else client

    def resign(self) -> None:
        """Sign a live session's key with the current ``SECRET_KEY`` where a fallback had signed it; no I/O.

        Only the signature changes, to the same text for all concurrent requests. The next save re-seals the values.
        """
        key = self._key
        if self._found is Found.LIVE and key is not None and not key.is_current:
            self._session_key = key.resigned().text
            self.needs_cookie = True

    def touch_steps(self, extend: bool = True) -> Steps[None]:
        """Record that the session is in use; with ``extend`` its lifetime starts anew."""
        yield from self.values_steps()
        key, base = self._key, self._loaded
        if key is None or base is None:
            return
        delta = Delta(client=self._client_if_new(base.record), extend=extend)
        loaded = yield Call("update", (key.sid, key.verifier, TOUCH if delta == TOUCH else delta, base))
        self._adopt(key, loaded)
