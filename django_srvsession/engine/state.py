"""What can happen to what one request knows of its session.

The procedures (``reading``, ``writing``, ``ending``, ``saving``, ``changing``, ``settling``) get it together with the
store's face. Only an answer of the store changes what is believed of the stored session; after an error it is as
before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from django_srvsession.engine.details import Change
from django_srvsession.engine.keys import SessionKey
from django_srvsession.engine.knowledge import ENDED, Guard, Knowledge, Owner, Standing, Verdict
from django_srvsession.engine.lifetimes import Lifetime
from django_srvsession.engine.seal import LaterSealError
from django_srvsession.engine.values import SealedValues
from django_srvsession.escaping import escaped
from django_srvsession.records import Client, Ended, Loaded, SessionRecord
from django_srvsession.store import LaterFormatError, StoreUnavailableError

__all__ = ["ENDED", "SessionState", "Standing", "Verdict"]

security_log: Final = logging.getLogger("django.security.SuspiciousSession")


class SessionState(Knowledge):
    """Hold what one request knows of its session, and change it by what happens; nobody assigns to it."""

    def copy(self, owner: Owner) -> SessionState:
        """Return the same knowledge for another session object; its contents are not copied."""
        other = SessionState(owner, self.sender, None)
        other.__dict__.update(self.__dict__, owner=other.owner)
        return other

    # What can happen.

    def open(self, loaded: Loaded) -> None:
        """Take a session that was loaded, and verified, as the live one of this key."""
        self.loaded, self.standing, self.was_written = loaded, Standing.LIVE, False

    def learn(self, loaded: Loaded, mark: bytes) -> None:
        """Take what was loaded only to change it: it is of this key, and its contents stay unread."""
        self.loaded = loaded
        self.note_sealed(mark, loaded.record.details)

    def adopt(self, key: SessionKey, loaded: Loaded) -> None:
        """Take what the store has just written as the live session of this key."""
        self.key_text = key.text
        self.loaded, self.standing, self.lost_key = loaded, Standing.LIVE, None
        self.was_written = True

    def note_sealed(self, mark: bytes, details: bytes, lifetime: Lifetime | None = None) -> None:
        """Take note of what is sealed of the record, and which lifetime the contents have where it is another one."""
        self._mark, self._details, self._lifetime = mark, details, lifetime
        self._sealed = self._left_as = None

    def hold(self, contents: Mapping[Any, Any] | None) -> None:
        """Have these contents; None: have used none yet."""
        self.contents = contents

    def read_again(self, contents: SealedValues) -> None:
        """Have these contents, and nothing to save."""
        self.hold(contents)
        self.is_modified, self.pending = False, ()

    def note_change(self, is_change: bool = True) -> None:
        """Take note that somebody says that there is something to save, or nothing."""
        self.is_modified = is_change

    def change_with_bookkeeping(self, change: Change) -> None:
        """Make this of the session's details when it is written, or when the store can; no answer depends on it."""
        self.pending = (*self.pending, change)

    def change_later(self, change: Change) -> None:
        """Make this of the session's details when it is written next."""
        self.pending = (*self.pending, change)
        self.note_change()

    def note_changed(self, changes: tuple[Change, ...]) -> None:
        """Take note that the store has what was pending; what was added to it meanwhile stays pending."""
        if self.pending[: len(changes)] == changes:
            self.pending = self.pending[len(changes) :]

    def tell_browser(self) -> None:
        """Take note that the store has a new key, which the answer must bring."""
        self.needs_cookie = self.is_modified = True

    def note_unknown(self) -> None:
        """Take note that a key of another engine stands for nothing, here and there."""
        self.is_unknown = True

    def take_over(self, key: SessionKey, in_transaction: bool) -> None:
        """Have a session of ours in place of one of another engine; the answer must bring its key."""
        self.key_text = key.text
        self.tell_of_key()
        self.doubt(in_transaction)

    def take_over_elsewhere(self, key_text: str) -> None:
        """Leave the browser the key of the engine that the session has gone to."""
        self.key_text = key_text
        self.tell_of_key()

    def tell_of_key(self) -> None:
        """Take note that the browser has another key than this, which the answer must bring."""
        self.needs_cookie = True

    def resign(self) -> None:
        """Sign a live session's key with the current ``SECRET_KEY`` where a fallback had signed it; no I/O.

        Only the signature changes, to the same text for all concurrent requests. The next save re-seals the values.
        """
        key = self.key
        if self.is_live and key is not None and not key.is_current:
            self.key_text = key.resigned().text
            self.needs_cookie = True

    def close(self, standing: Standing = Standing.NOTHING) -> SealedValues:
        """Have no session any more; return the contents of none."""
        self.key_text, self.loaded, self.standing = None, None, standing
        return SealedValues()

    def take_key(self, key_text: str | None) -> None:
        """Have this key, which nobody has looked up, or none."""
        self.key_text = key_text

    def lose(self, key: SessionKey) -> None:
        """Take note that another request was first to give the session a new key, or to end it."""
        self.lost_key = key

    def refuse(self, sid: str, error: Exception) -> SealedValues:
        """Have no session, because what is stored cannot be trusted.

        What a later version has stored is well: its key stays in the browser, and only a sign-in begins another.
        """
        security_log.warning("Session %s is refused and reads as empty: %s.", sid, escaped(error))
        is_later = isinstance(error, LaterFormatError | LaterSealError)
        return self.close(Standing.JUST_ENDED if is_later else Standing.REFUSED)

    def turn_away(self, sid: str, reason: str, verdict: Verdict) -> SealedValues:
        """Have no session, because the guard closes it to this request; what becomes of it is the guard's."""
        self.note_ended(Ended(sid, reason))
        self.waits_for_sign_in = verdict is Verdict.WAIT
        return self.close(Standing.JUST_ENDED if verdict is Verdict.WAIT else Standing.REFUSED)

    def give_up(self, sid: str, error: Exception) -> None:
        """Do as :meth:`refuse` in the middle of something: what was read of it is dropped, too."""
        self.hold(self.refuse(sid, error))

    def forget(self) -> None:
        """Have no session, because it was ended on this request's behalf, though not through it."""
        self.note_end_here()
        self.hold(self.close())

    def stand_aside(self) -> None:
        """Have no session, and store nothing unless somebody signs in: nobody knows whose session it is."""
        self.hold(self.close(Standing.JUST_ENDED))

    def note_end_here(self, is_end: bool = True) -> None:
        """Take note that this request ended the session that its cookie named, or that it found nothing to end."""
        self.was_ended_here = is_end

    def note_renewal(self) -> None:
        """Take note of whether the use was noted at the beginning of the request: the cookie is to live on, too."""
        self.was_renewed = self.was_written

    def note_gone(self) -> None:
        """Take note that what was written is gone again: a save must find that out."""
        self.was_written = False

    def note_ended(self, ended: Ended | None) -> None:
        """Take note of what became of the signed-in session that this browser had."""
        self.ended = ended

    def leave(self, record: SessionRecord | None) -> None:
        """Take note of who leaves a session: whoever was signed in there, or was just signed in."""
        if record is not None and record.user_id is not None:
            self.came_as = record.user_id
            if self._left_as is None:
                self._left_as = record, self.loaded is not None
        elif self.signing_in is not None:
            self.came_as = self.signing_in  # In this very request, and not stored yet.

    def begin_anew(self) -> None:
        """Be as if the request had come without a key: what was there has ended."""
        self.hold(self.close())
        self.lost_key, self.pending, self.is_modified = None, (), True
        self.needs_cookie = self.is_signing_out = False

    def clear(self) -> None:
        """Have empty contents without reading the session; a save then drops every stored key."""
        if self.key is None:
            self.key_text = None  # What is no genuine key is never adopted, and stands for no session.
        self.contents = SealedValues(cleared=self.key_text is not None)
        self.is_modified = True

    def withhold(self) -> None:
        """Keep the key from the browser."""
        self.needs_cookie = False

    def doubt(self, in_transaction: bool) -> None:
        """Take note of whether a transaction may undo what gave the browser a new key, or ended its session."""
        self.is_unconfirmed = self.is_unconfirmed or in_transaction

    def look_again(self) -> bool:
        """Tell whether there was a doubt, which is gone with this."""
        doubted, self.is_unconfirmed = self.is_unconfirmed, False
        return doubted

    def end(self) -> None:
        """Take note that the session has ended since it was written."""
        self.standing, self.needs_cookie = Standing.JUST_ENDED, False

    def come_back(self) -> None:
        """Leave the browser its cookie, as nothing came of what was to replace it; what began since is not to."""
        self.key_text, self.needs_cookie, self.standing = self.cookie_text, False, Standing.NOTHING

    # What ``login()``, ``logout()`` and our pages say.

    def note_client(self, client_of_request: Callable[[], Client]) -> None:
        """Take note of how to learn where the request comes from."""
        self.client_of_request = client_of_request

    def note_guard(self, guard: Guard) -> None:
        """Take note of who judges whether this request may open a session."""
        self.guard = guard

    def note_authenticated(self, user_id: str) -> None:
        """Take note of whose credentials were checked."""
        self.authenticated = user_id

    def note_sign_in(self, user_id: str) -> None:
        """Take note of who has signed in by ``login()``."""
        self.signing_in = user_id

    def note_sign_out(self) -> None:
        """Take note that the flush which follows is a logout."""
        self.is_signing_out = True

    def note_outage(self, outage: StoreUnavailableError | None) -> None:
        """Take note that the store did not answer, or that somebody has dealt with that."""
        self.outage = outage
