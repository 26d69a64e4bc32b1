"""How a request ends its session: logout, flush, delete."""

from __future__ import annotations

from django_srvsession.keys import SessionKey
from django_srvsession.lifecycle.events import end_steps
from django_srvsession.lifecycle.reading import Found
from django_srvsession.lifecycle.writing import SessionWriting
from django_srvsession.records import SessionRecord
from django_srvsession.steps import Steps
from django_srvsession.values import HASH_KEY, SealedValues


class SessionEnding(SessionWriting):
    """End the session that a request came with."""

    def flush_steps(self) -> Steps[None]:
        """End the session, then empty this object; when ending fails the object is unchanged."""
        key = self._key
        if key is not None and self._found in (Found.UNREAD, Found.LIVE):
            self.was_ended_here = (yield from self._end_own_steps(key)) is not None
        self._session_cache = SealedValues()
        self.accessed = self.modified = True
        self.needs_cookie = False
        self._session_key, self._loaded, self._lost_key = None, None, None
        self._found = Found.NOTHING

    def _end_own_steps(self, key: SessionKey) -> Steps[SessionRecord | None]:
        if not self.logging_out:
            # A stale request (a wrong auth hash, another user signing in) must not sign out the person who just
            # changed the password: it ends only what it has itself seen.
            expected = {} if self._loaded is None else {HASH_KEY: self._loaded.values.get(HASH_KEY)}
            return (yield from end_steps(key.sid, "replaced", None, key.verifier, expected))
        if self._loaded is None:
            return (yield from end_steps(key.sid, "logout", None, key.verifier))
        # A logout ends the session that the request loaded, whatever its key has become since.
        return (yield from end_steps(key.sid, "logout", self._loaded.record.user_id))

    def delete_steps(self, session_key: str | None = None) -> Steps[None]:
        """End the session of a key, by default this object's; a key that opens nothing is no error."""
        key = self._key if session_key is None else SessionKey.parse(session_key)
        if key is not None:
            yield from end_steps(key.sid, "cleared", None, key.verifier)
            if self._key is not None and key.sid == self._key.sid:
                self._was_written = False  # A save must find out that the session is gone.
