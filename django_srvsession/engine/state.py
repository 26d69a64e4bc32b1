"""What one request knows of its session: one value, and what can happen to it.

The procedures (``reading``, ``writing``, ``ending``, ``saving``, ``changing``, ``settling``) get it together with the
store's face. Only an answer of the store changes what is believed of the stored session; after an error it is as
before.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Any, Final, Protocol

from django_srvsession import conf
from django_srvsession.engine.details import NONE, Change, Details, then
from django_srvsession.engine.keys import SessionKey
from django_srvsession.engine.lifetimes import Lifetime
from django_srvsession.engine.seal import Sealer
from django_srvsession.engine.sealed_record import SealedRecord
from django_srvsession.engine.values import MARK_PREFIX, SealedValues
from django_srvsession.escaping import escaped
from django_srvsession.records import Client, Ended, Loaded, SessionRecord
from django_srvsession.store import Store, StoreUnavailableError

ENDED: Final = f"{MARK_PREFIX}ended"
"""The mark of an anonymous session that says what became of the browser's session before; the parts of ``Ended``."""

security_log: Final = logging.getLogger("django.security.SuspiciousSession")


class Standing(Enum):
    """Say what the cookie's key turned out to be."""

    UNREAD = auto()
    LIVE = auto()
    NOTHING = auto()
    """No key, no genuine key, or one whose session is long gone: a write starts a new session."""
    JUST_ENDED = auto()
    """Replaced less than a minute ago, by a new key or a logout: the browser may hold a newer cookie, which stays."""
    REFUSED = auto()
    """Stored, but not to be trusted: reads as empty and stays as it is; a write starts a new session."""


class Owner(Protocol):
    """Describe the session object that a state belongs to: what a site may override there."""

    serializer: Any

    def store(self) -> Store:
        """Return the store that the session is kept in."""

    def get_session_cookie_age(self) -> int:
        """Return the seconds that a session without an expiry of its own lives."""


class SessionState:
    """Hold what one request knows of its session.

    Begins with the key that the request came with, which nobody has looked up yet.
    """

    standing = Standing.UNREAD
    contents: SealedValues | Mapping[Any, Any] | None = None
    """None before they are first used; a plain mapping where some code has put one in their place."""
    is_modified = False
    """Whether somebody said that there is something to save; see :attr:`has_changes`."""
    outage: StoreUnavailableError | None = None
    """The store's failure in this request, which no answer may hide."""
    client_of_request: Callable[[], Client] | None = None
    """Returns where the request comes from, if there is one."""

    loaded: Loaded | None = None
    """The session as it was last loaded, or written by this request."""
    was_written = False
    """Whether this request has written the session, and the store has said so."""
    lost_key: SessionKey | None = None
    """The key that another request rotated away meanwhile."""

    needs_cookie = False
    """Whether the browser must learn the key: it was made, rotated or re-signed, and the store has it."""
    was_ended_here = False
    """Whether this request ended the session that its cookie named."""
    is_unconfirmed = False
    """Whether a transaction may have undone what gave the browser a new key, or ended its session."""

    ended: Ended | None = None
    """What became of the signed-in session that this browser had, if it has ended; known once the session was read."""
    came_as: str | None = None
    """Who was signed in in the session that this request has left, or None."""
    signing_in: str | None = None
    """Whom ``login()`` has signed in during this request; who is only assigned has not signed in."""
    authenticated: str | None = None
    """Whose credentials were checked in this request, by who says so: then signing in is no mere switch of users."""
    is_signing_out = False
    """Whether ``user_logged_out`` is being handled: what is flushed then is a logout."""
    pending: Change | None = None
    """What this request will make of the session's details when it is written next."""

    # What is sealed of the record, its details, and the lifetime that goes with the contents where it is another one.
    _mark = b""
    _details = b""
    _sealed: SealedRecord | None = None
    _left: Details | None = None
    _lifetime: Lifetime | None = None
    _parsed: tuple[str | None, SessionKey | None] = (None, None)

    def __init__(self, owner: Owner, sender: Any, key_text: str | None) -> None:
        self.owner: Owner = weakref.proxy(owner)  # Weakly: or every request would leave a circle to the collector.
        self.sender = sender
        self.key_text = self.cookie_text = key_text

    def copy(self, owner: Owner) -> SessionState:
        """Return the same knowledge for another session object; its contents are not copied."""
        other = SessionState(owner, self.sender, None)
        other.__dict__.update(self.__dict__, owner=other.owner)
        return other

    # What is known, without any I/O.

    @property
    def key(self) -> SessionKey | None:
        """Return the genuine key that this session has, or None; parsed once per text."""
        text = self.key_text
        if self._parsed[0] != text:
            self._parsed = (text, SessionKey.parse(text))
        return self._parsed[1]

    @property
    def record(self) -> SessionRecord | None:
        """Return the record as last loaded or written by this request."""
        return None if self.loaded is None else self.loaded.record

    @property
    def mark(self) -> bytes:
        """Return the mark of what is sealed of the record, as this request last read or wrote it."""
        return self._mark

    @property
    def sealed(self) -> SealedRecord:
        """Return what is sealed of the record; read when it is first used, as most requests need none of it."""
        if self._sealed is None:
            self._sealed = SealedRecord.read(self._mark)
        return self._sealed

    @property
    def encoded_details(self) -> bytes:
        """Return the details that go with the mark, as they are stored."""
        return self._details

    @property
    def details(self) -> Details:
        """Return the details as last loaded or written by this request; none before, and without a session."""
        return NONE if self.loaded is None else Details.decode(self._details)

    @property
    def carried(self) -> Details:
        """Return the details of the session that this request is in, or has left."""
        return Details.decode(self._details) if self._left is None else self._left

    @property
    def lifetime(self) -> Lifetime | SealedRecord:
        """Return the lifetime and the deadline that go with the contents."""
        return self._lifetime or self.sealed

    @property
    def has_changes(self) -> bool:
        """Tell whether there is something to save: the flag, or a list or dict that was changed in place."""
        return self.is_modified or (isinstance(self.contents, SealedValues) and self.contents.is_changed_in_place)

    @property
    def is_to_be_saved(self) -> bool:
        """Tell whether the request changed something: more than the auth hash, which a new secret makes anew."""
        values = self.contents
        return self.has_changes and not (isinstance(values, SealedValues) and values.only_renews_hash)

    @property
    def needs_resealing(self) -> bool:
        """Tell whether a value that this request loaded is sealed under a fallback secret."""
        return isinstance(self.contents, SealedValues) and self.contents.needs_resealing

    @property
    def is_empty(self) -> bool:
        """Tell whether there is neither a key nor anything in the contents."""
        return not self.key_text and not self.contents

    @property
    def is_live(self) -> bool:
        """Tell whether this request has read, or written, a live session."""
        return self.standing is Standing.LIVE

    @property
    def is_touch_due(self) -> bool:
        """Tell whether this request read the session so long after its last recorded use that it records its own.

        A tenth of the lifetime at most: a short idle limit must not end a session that is in use.
        """
        if self.loaded is None or self.was_written:
            return False
        record = self.loaded.record
        return self.loaded.now_ms - record.last_seen_ms >= min(conf.touch_interval_ms, record.lifetime_ms // 10)

    @property
    def came_with_genuine_key(self) -> bool:
        """Tell whether the key that the request came with was signed by this site."""
        return SessionKey.parse(self.cookie_text) is not None

    def sealer(self, key: SessionKey) -> Sealer:
        """Return what seals and opens the values of a key's session."""
        store = self.owner.store()
        return Sealer(key.sid, self.owner.serializer(), store.compress_from_bytes, store.namespace)

    # What can happen.

    def open(self, loaded: Loaded) -> None:
        """Take a session that was loaded, and verified, as the live one of this key."""
        self.loaded, self.standing, self.was_written = loaded, Standing.LIVE, False

    def adopt(self, key: SessionKey, loaded: Loaded) -> None:
        """Take what the store has just written as the live session of this key."""
        self.key_text = key.text
        self.loaded, self.standing, self.lost_key = loaded, Standing.LIVE, None
        self.was_written = True

    def note_sealed(self, mark: bytes, details: bytes, lifetime: Lifetime | None = None) -> None:
        """Take note of what is sealed of the record, and which lifetime the contents have where it is another one."""
        self._mark, self._details, self._lifetime = mark, details, lifetime
        self._sealed = self._left = None

    def change_later(self, change: Change) -> None:
        """Make this of the session's details when it is written next."""
        self.pending = change if self.pending is None else then(self.pending, change)
        self.is_modified = True

    def note_changed(self, change: Change | None) -> None:
        """Take note that the store has what was pending; what was added to it meanwhile stays pending."""
        if self.pending is change:
            self.pending = None

    def tell_browser(self) -> None:
        """Take note that the store has a new key, which the answer must bring."""
        self.needs_cookie = self.is_modified = True

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

    def lose(self, key: SessionKey) -> None:
        """Take note that another request was first to give the session a new key, or to end it."""
        self.lost_key = key

    def refuse(self, sid: str, error: Exception) -> SealedValues:
        """Have no session, because what is stored cannot be trusted."""
        security_log.warning("Session %s is refused and reads as empty: %s.", sid, escaped(error))
        return self.close(Standing.REFUSED)

    def forget(self) -> None:
        """Have no session, because it was ended on this request's behalf, though not through it."""
        self.was_ended_here = True
        self.contents = self.close()

    def leave(self, record: SessionRecord | None) -> None:
        """Take note of who leaves a session: whoever was signed in there, or was just signed in."""
        if record is not None and record.user_id is not None:
            self.came_as = record.user_id
            signed_in_ms = record.signed_in_ms if self.loaded is None else self.sealed.signed_in_ms
            self._left = self.carried._replace(since_ms=self.carried.since_ms or signed_in_ms)
        elif self.signing_in is not None:
            self.came_as = self.signing_in  # In this very request, and not stored yet.

    def begin_anew(self) -> None:
        """Be as if the request had come without a key: what was there has ended."""
        self.contents = self.close()
        self.lost_key, self.pending, self.is_modified = None, None, True
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

    def end(self) -> None:
        """Take note that the session has ended since it was written."""
        self.standing, self.needs_cookie = Standing.JUST_ENDED, False

    def come_back(self) -> None:
        """Leave the browser its cookie, as nothing came of what was to replace it; what began since is not to."""
        self.key_text, self.needs_cookie, self.standing = self.cookie_text, False, Standing.NOTHING
