"""How a request ends its session: logout, flush, delete."""

from __future__ import annotations

from django_srvsession.engine.keys import SessionKey
from django_srvsession.engine.reading import SINCE, Found
from django_srvsession.engine.signalling import end_steps
from django_srvsession.engine.steps import Call, Steps
from django_srvsession.engine.values import HASH_KEY, SealedValues
from django_srvsession.engine.writing import SessionWriting
from django_srvsession.records import Loaded, SessionRecord


class SessionEnding(SessionWriting):
    """End the session that a request came with."""

    def flush_steps(self) -> Steps[None]:
        """End the session, then empty this object; when ending fails the object is unchanged."""
        key = self._key or self._lost_key
        self._note_who_leaves(self.record)
        if key is not None and (self._found in (Found.UNREAD, Found.LIVE) or self.logging_out):
            ending = self._log_out_steps(key) if self.logging_out else self._replace_steps(key)
            record = yield from ending
            self.was_ended_here = record is not None
            self._note_who_leaves(self.record or record)
        self._session_cache = SealedValues()
        self.accessed = self.modified = True
        self.needs_cookie = False
        self._session_key, self._loaded, self._lost_key = None, None, None
        self._found = Found.NOTHING
        self.logging_out = False

    def _note_who_leaves(self, record: SessionRecord | None) -> None:
        if record is not None and record.user_id is not None:
            self.came_as = record.user_id
            self._carried = {SINCE: self.signed_in_ms or record.signed_in_ms, **self._carried}
        elif self.signing_in is not None:
            self.came_as = self.signing_in  # In this very request, and not stored yet.

    def _replace_steps(self, key: SessionKey) -> Steps[SessionRecord | None]:
        """End the session only if it is still as this request has seen it.

        A stale request (a wrong auth hash, another user signing in) must not sign out who just changed the password.
        """
        expected = {} if self._loaded is None else {HASH_KEY: self._loaded.values.get(HASH_KEY)}
        return (yield from end_steps(key.sid, "replaced", None, key.verifier, expected))

    def _log_out_steps(self, key: SessionKey) -> Steps[SessionRecord | None]:
        """End the session that the request came with, whatever its key has become since: "signed out" must be true.

        A session in which nobody was signed in is ended under this very key only: whoever has signed in since stays.
        """
        if self._loaded is not None and self._loaded.record.user_id is not None:
            return (yield from end_steps(key.sid, "logout", self._loaded.record.user_id))
        record = yield from end_steps(key.sid, "logout", None, key.verifier)
        if record is None:
            stored = yield Call("load", (key.sid,))
            if isinstance(stored, Loaded) and _was_signed_in_with(key, stored):
                record = yield from end_steps(key.sid, "logout", stored.record.user_id)
        return record

    def delete_steps(self, session_key: str | None = None) -> Steps[None]:
        """End the session of a key, by default this object's; a key that opens nothing is no error."""
        key = self._key if session_key is None else SessionKey.parse(session_key)
        if key is not None:
            yield from end_steps(key.sid, "cleared", None, key.verifier)
            if self._key is not None and key.sid == self._key.sid:
                self._was_written = False  # A save must find out that the session is gone.


def _was_signed_in_with(key: SessionKey, stored: Loaded) -> bool:
    """Tell whether a signed-in session had this key until a moment ago; the key before a sign-in signs nobody out."""
    record = stored.record
    was_signed_in = (record.signed_in_ms or stored.now_ms) < (record.rotated_ms or 0)
    return was_signed_in and record.was_rotated_from(key.verifier, stored.now_ms)
