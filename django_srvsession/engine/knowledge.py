"""What one request knows of its session: one value, of which ``state`` says what can happen to it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Any, Final, Protocol

from django_srvsession import conf
from django_srvsession.engine.details import NONE, Change, Details
from django_srvsession.engine.keys import SessionKey, key_of
from django_srvsession.engine.lifetimes import Lifetime
from django_srvsession.engine.seal import Sealer
from django_srvsession.engine.sealed_record import SealedRecord
from django_srvsession.engine.values import MARK_PREFIX, SealedValues
from django_srvsession.records import Client, Ended, Loaded, SessionRecord
from django_srvsession.store import Store, StoreUnavailableError

_LAST_MINUTE_MS: Final = 60_000

ENDED: Final = f"{MARK_PREFIX}ended"
"""The mark of an anonymous session that says what became of the browser's session before; the parts of ``Ended``."""


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


class Verdict(Enum):
    """Say what becomes of a request whose key opens a session, where more than the key is asked for."""

    OPEN = auto()
    WAIT = auto()
    """The session reads as empty; nothing but a sign-in begins another, for what is missing may still come."""
    REFUSE = auto()
    """It reads as empty, and a write begins another."""


class NotNowError(StoreUnavailableError):
    """Report that a request cannot be answered now because of its own browser; the store is well."""


class Guard(Protocol):
    """Decide whether a request may open a session that its key opens."""

    reason: str
    """Why a session is closed to a request."""
    awaits_proof: bool
    """Whether the request was let in only to bring a proof, and has not done so yet: that is no use of the session."""

    def judge(self, record: SessionRecord, details: Details, now_ms: int) -> Verdict:
        """Return what becomes of it; raises :class:`NotNowError` where it may be another one soon."""


class Owner(Protocol):
    """Describe the session object that a state belongs to: what a site may override there."""

    serializer: Any

    def store(self) -> Store:
        """Return the store that the session is kept in."""

    def get_session_cookie_age(self) -> int:
        """Return the seconds that a session without an expiry of its own lives."""


class Knowledge:
    """Hold what one request knows of its session.

    Begins with the key that the request came with, which nobody has looked up yet.
    """

    standing = Standing.UNREAD
    contents: SealedValues | Mapping[Any, Any] | None = None
    """None before they are first used; a plain mapping where some code has put one in their place."""
    is_modified = False
    """Whether somebody said that there is something to save; see :attr:`has_changes`."""
    guard: Guard | None = None
    """Judges, if there is one, whether this request may open a session with details."""
    waits_for_sign_in = False
    """Whether the guard has closed a session to this request that may be open to the next one."""
    outage: StoreUnavailableError | None = None
    """The store's failure in this request, which no answer may hide."""
    client_of_request: Callable[[], Client] | None = None
    """Returns where the request comes from, if there is one."""

    loaded: Loaded | None = None
    """The session as it was last loaded, or written by this request."""
    was_written = False
    """Whether this request has written the session, and the store has said so."""
    was_renewed = False
    """Whether this request has noted its use when it read the session, which was about to end."""
    is_unknown = False
    """Whether the request came with a key of another engine that stands for nothing, here and there."""
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
    pending: tuple[Change, ...] = ()
    """What this request will make of the session's details when it is written next, in this order."""

    # What is sealed of the record, its details, and the lifetime that goes with the contents where it is another one.
    _mark = b""
    _details = b""
    _sealed: SealedRecord | None = None
    _left_as: tuple[SessionRecord, bool] | None = None
    """The record of the signed-in session that this request has left, and whether what is sealed of it is known."""
    _lifetime: Lifetime | None = None
    _parsed: tuple[str | None, SessionKey | None] = (None, None)
    _sealer: tuple[str, Sealer | None] = ("", None)

    def __init__(self, owner: Owner, sender: Any, key_text: str | None) -> None:
        self.owner: Owner = weakref.proxy(owner)  # Weakly: or every request would leave a circle to the collector.
        self.sender = sender
        self.key_text = self.cookie_text = key_text

    # What is known, without any I/O.

    @property
    def key(self) -> SessionKey | None:
        """Return the genuine key that this session has, or its old one stands for, or None; parsed once per text."""
        text = self.key_text
        if self._parsed[0] != text:
            self._parsed = (text, key_of(text))
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
        details = Details.decode(self._details)
        if self._left_as is None or details.since_ms is not None:
            return details
        record, is_sealed = self._left_as
        return details._replace(since_ms=self.sealed.signed_in_ms if is_sealed else record.signed_in_ms)

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
    def is_about_to_end(self) -> bool:
        """Tell whether the session that a request has just read may end before the request does, and a use extends it.

        That is in its last minute. Every request asks.
        """
        loaded = self.loaded
        if loaded is None or loaded.record.expires_ms - loaded.now_ms >= _LAST_MINUTE_MS:
            return False
        if self.guard is not None and self.guard.awaits_proof:
            return False
        is_extended = loaded.record.expires_ms != loaded.record.deadline_ms
        return is_extended and self.is_live and self.client_of_request is not None and self.is_touch_due

    @property
    def came_with_genuine_key(self) -> bool:
        """Tell whether the key that the request came with was signed by this site, or stands for one that was."""
        return not self.is_unknown and key_of(self.cookie_text) is not None

    def sealer(self, key: SessionKey) -> Sealer:
        """Return what seals and opens the values of a key's session."""
        sid, sealer = self._sealer
        if sealer is None or sid != key.sid:
            store = self.owner.store()
            sealer = Sealer(key.sid, self.owner.serializer(), store.compress_from_bytes, store.namespace)
            self._sealer = key.sid, sealer
        return sealer
