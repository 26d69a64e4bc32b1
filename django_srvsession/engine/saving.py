"""How a request saves and rotates its session, and what becomes of one that lost a race.

A key that was rotated away or ended under a request's feet stores nothing more, *unless the request signs in*.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from django_srvsession.engine.ending import SessionEnding
from django_srvsession.engine.keys import SessionKey
from django_srvsession.engine.reading import USER_KEY, Found, user_id_in
from django_srvsession.engine.signalling import end_steps, started
from django_srvsession.engine.steps import Call, Steps
from django_srvsession.engine.values import HASH_KEY, SealedValues
from django_srvsession.records import Loaded, SessionRecord, Tombstone
from django_srvsession.store import GONE, TAKEN, CorruptSessionError, CreateError, UpdateError

log = logging.getLogger("django_srvsession")


class SessionSaving(SessionEnding):
    """Save what changed, and rotate the key."""

    def save_steps(self, must_create: bool = False) -> Steps[None]:
        """Store what this request changed; see ``SessionStore.save``."""
        values = yield from self.values_steps(no_load=must_create)
        if self._session_key is not None and self._lost_key is not None:
            yield from self._save_lost_steps(self._lost_key, values)
        elif must_create:
            yield from self._refuse_taken_steps()
            yield from self.create_steps(values)
        elif self._session_key is None:
            yield from self._save_new_steps(values)
        elif (key := self._key) is not None:
            yield from self._save_known_steps(key, values)
        else:
            raise UpdateError(GONE)

    def _refuse_taken_steps(self) -> Steps[None]:
        """Raise ``CreateError`` if a caller asks to create a session under the key of one that exists."""
        key = self._key
        if key is not None and (yield Call("load", (key.sid,))) is not None:
            raise CreateError(TAKEN)

    def _save_new_steps(self, values: SealedValues) -> Steps[None]:
        if self._found is Found.JUST_ENDED and not self._signs_in(values):
            log.info("A save came after its session was ended or its key replaced, and stored nothing.")
            return
        yield from self.create_steps(values)

    def _save_known_steps(self, key: SessionKey, values: SealedValues) -> Steps[None]:
        base = yield from self._base_steps()
        if base is None:
            yield from self._save_new_steps(values)
            return
        if _changes_owner(values, base.record):
            yield from self._move_steps(key, values)
            return
        signs_in = self._signs_in(values)
        if signs_in:
            self._leave_marks(values)
        elif values.is_cleared:
            self._carry_marks(values)
        sealer = self._sealer(key)
        changes = values.changes(sealer)
        if not changes and not signs_in and self._was_written:
            return  # Written by this very request already: nothing is left to say, not even "still here".
        now_ms = self.store().clock_ms if signs_in else base.now_ms
        try:
            record = yield from self._written_steps(key, self._delta(values, changes, base, now_ms), base, now_ms)
        except UpdateError:
            if not signs_in:
                raise
            yield from self._sign_in_alone_steps(key, values)
            return
        values.stored(changes, sealer)
        if signs_in:
            yield started(record)

    def _base_steps(self) -> Steps[Loaded | None]:
        """Return what this request has loaded, or load it, when it was cleared or replaced without being read.

        None, and no key, for a key that opens no session.
        """
        if self._loaded is None:
            yield from self.load_steps()
        return self._loaded

    def _move_steps(self, key: SessionKey, values: SealedValues) -> Steps[None]:
        """End the session and go on in a new one: a sid belongs to at most one user in its life."""
        list(values)  # Opens all: what cannot be opened ends nothing.
        ended = yield from end_steps(key.sid, "replaced", None, key.verifier)
        self._note_who_leaves(self.record or ended)
        if ended is not None:
            self.was_ended_here = True
            yield from self._create_with_steps(dict(values))
        elif self._signs_in(values):
            yield from self._sign_in_alone_steps(key, values)
        else:
            raise UpdateError(GONE)

    def _create_with_steps(self, contents: Mapping[Any, Any]) -> Steps[None]:
        self._session_cache = SealedValues()
        self._session_cache.update(contents)
        yield from self.create_steps(self._session_cache)

    # Rotate.

    def cycle_key_steps(self, final: bool = True) -> Steps[None]:
        """Give the session a new key at once, with what is not saved yet; see ``SessionStore.cycle_key``."""
        values = yield from self.values_steps()
        key = self._key
        if key is None:
            yield from self._cycle_nothing_steps(values)
        elif values.awaits_new_hash and not values.is_assigned(USER_KEY):
            # Django's get_user() cycles the key when the auth hash was made with a fallback secret. Sixteen parallel
            # requests must agree on one key, so the same key is signed anew, or left where a page signed it already.
            self.resign()
            self.modified = True
        else:
            yield from self._rotate_steps(key, values, final)

    def _cycle_nothing_steps(self, values: SealedValues) -> Steps[None]:
        self._session_key = None
        if self._found is not Found.JUST_ENDED:
            yield from self.create_steps(values)

    def _rotate_steps(self, key: SessionKey, values: SealedValues, final: bool) -> Steps[None]:
        sealer = self._sealer(key)
        new = key.rotated()
        try:
            base = yield from self._base_steps()
            if base is None:
                yield from self._cycle_nothing_steps(values)
                return
            if _changes_owner(values, base.record):
                yield from self._move_steps(key, values)
                return
            signs_in = self._signs_in(values)
            if signs_in:
                self._leave_marks(values)
            elif values.is_cleared:
                self._carry_marks(values)
            changes, now_ms = values.changes(sealer), self.store().clock_ms
            delta = self._delta(values, changes, base, now_ms)
            record = yield from self._written_steps(key, delta, base, now_ms, new, final)
        except UpdateError:
            # Another request was first. Only the save can tell what to do: it knows whether this one signs in.
            self._lost_key = key if final else None
            return
        values.stored(changes, sealer)
        self.needs_cookie = self.modified = True
        if signs_in:
            yield started(record)

    # Lose a race.

    def _save_lost_steps(self, key: SessionKey, values: SealedValues) -> Steps[None]:
        """Save after another request was first to rotate the key or to end the session."""
        if self._signs_in(values):
            yield from self._sign_in_alone_steps(key, values)
        elif values.is_assigned(HASH_KEY):
            yield from self._go_on_after_losing_steps(key, values)
        else:
            raise UpdateError(GONE)

    def _sign_in_alone_steps(self, key: SessionKey, values: SealedValues) -> Steps[None]:
        """Sign in with a session of its own, since another request has rotated or ended the one that this came with.

        The new session holds what this request loaded and verified while its key was valid, and what it assigned:
        never what anybody stored since. Of a session that has ended it holds only what this request assigned.
        """
        stored = yield from self._look_steps(key)
        is_live = isinstance(stored, Loaded) and stored.record.is_live(stored.now_ms)
        yield from self._create_with_steps(dict(values) if is_live else values.assigned())

    def _look_steps(self, key: SessionKey) -> Steps[Loaded | Tombstone | None]:
        """Look what has become of the session; what is damaged counts as nothing, for signing in must work."""
        try:
            return (yield Call("load", (key.sid,)))  # type: ignore[no-any-return]
        except CorruptSessionError:
            return None

    def _go_on_after_losing_steps(self, key: SessionKey, values: SealedValues) -> Steps[None]:
        """Keep who changes a password signed in, in a new session, though another request ended this one as stale.

        Between the new password and the new auth hash, a request of the same browser finds a hash that does not fit
        and flushes. It cannot know better; this request does: it was signed in when it began. A session that was
        ended for any other reason (logout, revoke) stays ended, and raises ``UpdateError``.
        """
        stored = yield from self._look_steps(key)
        if not isinstance(stored, Tombstone) or stored.reason != "replaced":
            raise UpdateError(GONE)
        if not (stored.was_replaced_just_now and stored.was_of(key.verifier)):
            raise UpdateError(GONE)
        self.was_ended_here = True  # By a request that could not know better; this one goes on for it.
        self._note_who_leaves(self.record)
        yield from self._create_with_steps(dict(values))


def _changes_owner(values: SealedValues, record: SessionRecord) -> bool:
    """Tell whether saving these contents would give a signed-in session to nobody, or to somebody else."""
    if record.user_id is None:
        return False
    return values.is_dropped(USER_KEY) or (values.is_assigned(USER_KEY) and user_id_in(values) != record.user_id)
