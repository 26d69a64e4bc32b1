"""What a request writes: new sessions, touches, and the delta that names what it changed."""

from __future__ import annotations

import time
from typing import Any, Final

from django_srvsession import lifetimes
from django_srvsession.keys import SessionKey
from django_srvsession.lifecycle.events import started
from django_srvsession.lifecycle.reading import ENDED, SWITCHED, USER_KEY, Found, SessionReading, user_id_in
from django_srvsession.records import TOUCH, UNSET, Delta, Loaded, SessionRecord
from django_srvsession.steps import Call, Steps
from django_srvsession.store import CreateError
from django_srvsession.values import Changes, SealedValues

_CREATE_TRIES: Final = 5  # 72 random bits collide about never; a store that says so five times is broken.


class SessionWriting(SessionReading):
    """Create and touch a session, and compute what a save changes."""

    def create_steps(self, values: SealedValues) -> Steps[None]:
        """Store the contents as a new session under a key of its own."""
        self._leave_marks(values)
        for _ in range(_CREATE_TRIES):
            key = SessionKey.generate()
            sealer = self._sealer(key)
            state = values.state
            changes = Changes(values.everything(sealer), frozenset(), True, {}, state)
            try:
                loaded = yield Call("create", (key.sid, key.verifier, self._delta(values, changes, None)))
            except CreateError:
                continue
            self._adopt(key, loaded)
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
        elif self.was_authenticated:
            values.discard(SWITCHED)
        elif self.came_as not in (None, user_id):
            values.put(SWITCHED, True)

    def _delta(self, values: SealedValues, changes: Changes, base: Loaded | None) -> Delta:
        """Name what this request changes; of the record only what differs from what it loaded."""
        record = None if base is None else base.record
        user_id = user_id_in(values) if record is None or values.is_assigned(USER_KEY) else None
        lifetime = self._lifetime(values, base, signs_in=user_id is not None)
        # A fixed date keeps its deadline; its remaining time, computed anew each time, is no change.
        same_expiry = lifetimes.EXPIRY_KEY not in changes.changed and lifetimes.EXPIRY_KEY not in changes.removed
        is_dated = lifetime.deadline_ms is not None and same_expiry
        keep = record is not None and (lifetime.lifetime_ms == record.lifetime_ms or is_dated) and not changes.cleared
        keep_deadline = record is not None and lifetime.deadline_ms == record.deadline_ms
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

    def _lifetime(self, values: SealedValues, base: Loaded | None, signs_in: bool) -> lifetimes.Lifetime:
        now_ms = int(time.time() * 1000) if base is None else base.now_ms
        signed_in_ms = now_ms if signs_in else (None if base is None else base.record.signed_in_ms)
        expiry = values.get(lifetimes.EXPIRY_KEY)
        return lifetimes.lifetime_of(expiry, self.get_session_cookie_age(), signed_in_ms, now_ms)

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
