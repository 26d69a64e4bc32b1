"""What a request knows of its session, and how it learns it."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Any, ClassVar, Final

from django.contrib.sessions.backends.base import SessionBase

from django_srvsession.engine.bookkeeping import best_effort_steps
from django_srvsession.engine.keys import SessionKey
from django_srvsession.engine.lifetimes import Lifetime
from django_srvsession.engine.seal import Sealer, SealError
from django_srvsession.engine.sealed_record import SealedRecord, checked, opened
from django_srvsession.engine.signalling import expire_steps
from django_srvsession.engine.steps import Call, Steps, run
from django_srvsession.engine.values import MARK_PREFIX, SealedValues
from django_srvsession.escaping import escaped
from django_srvsession.records import AUTH_KEYS, Client, Ended, Loaded, SessionRecord, Tombstone
from django_srvsession.store import GONE, CorruptSessionError, Store, UpdateError

USER_KEY: Final = AUTH_KEYS[0]

ENDED: Final = f"{MARK_PREFIX}ended"
"""The mark of an anonymous session that says what became of the browser's session before; the parts of ``Ended``."""
SWITCHED: Final = f"{MARK_PREFIX}switched"
"""The mark of a session whose user has given no proof: a mere switch from another user, or an assignment by hand."""
WRONG: Final = f"{MARK_PREFIX}wrong_confirmations"
"""The mark that counts wrong confirmations in a row."""
SINCE: Final = f"{MARK_PREFIX}signed_in_ms"
"""The mark of a session that goes on for an earlier one: when its user signed in, for the absolute limit."""
CARRIED: Final = (SWITCHED, WRONG, SINCE)
"""The marks that only a sign-in takes away, and no copy of the contents."""

security_log = logging.getLogger("django.security.SuspiciousSession")


class Found(Enum):
    """Say what the cookie's key turned out to be."""

    UNREAD = auto()
    LIVE = auto()
    NOTHING = auto()
    """No key, no genuine key, or one whose session is long gone: a write starts a new session."""
    JUST_ENDED = auto()
    """Replaced less than a minute ago, by a new key or a logout: the browser may hold a newer cookie, which stays."""
    REFUSED = auto()
    """Stored, but not to be trusted: reads as empty and stays as it is; a write starts a new session."""


class SessionReading(SessionBase):
    """Hold what one request knows of its session, and read it."""

    store_class: ClassVar[type[Store]]
    """What keeps the sessions of this engine."""

    @classmethod
    def store(cls) -> Store:
        """Return the store that all sessions of this engine are kept in."""
        raise NotImplementedError

    _session_cache: Any  # Django's name: the contents, absent before they are first used.
    client_of_request: Callable[[], Client] | None = None
    """Set by the middleware: returns where the request comes from."""

    logging_out = False
    """Set while ``user_logged_out`` is being handled: what is flushed then is a logout."""

    needs_cookie = False
    """Whether the browser must learn the key: it was made, rotated or re-signed, and the store has it."""
    was_ended_here = False
    """Whether this request ended the session that its cookie named."""
    ended: Ended | None = None
    """What became of the signed-in session that this browser had, if it has ended; known once the session was read."""
    came_as: str | None = None
    """Who was signed in in the session that this request has left, or None."""
    signing_in: str | None = None
    """Whom ``login()`` has signed in during this request; who is only assigned has not signed in."""
    authenticated: str | None = None
    """Whose credentials were checked in this request, by who says so: then signing in is no mere switch of users."""

    _found = Found.UNREAD
    _loaded: Loaded | None = None
    _mark = b""  # The mark of what is sealed of the record, as this request last read or wrote it.
    _read_mark: SealedRecord | None = None
    _lifetime: Lifetime | None = None  # The one that goes with the contents, where it is not what was sealed with them.
    _parsed: tuple[str | None, SessionKey | None] = (None, None)
    _lost_key: SessionKey | None = None  # The key that another request rotated away meanwhile.
    _was_written = False
    _carried: Mapping[str, Any] = {}  # Marks that go along wherever the contents of a signed-in session go.

    # What this object knows, without any I/O.

    @property
    def _key(self) -> SessionKey | None:
        """Return the genuine key that this object has, or None; parsed once per text."""
        text = self._session_key
        if self._parsed[0] != text:
            self._parsed = (text, SessionKey.parse(text))
        return self._parsed[1]

    @property
    def record(self) -> SessionRecord | None:
        """Return the record as last loaded or written by this request; no I/O, None before."""
        return None if self._loaded is None else self._loaded.record

    @property
    def signed_in_ms(self) -> int | None:
        """Return when the user signed in, as it is sealed, in milliseconds since 1970 UTC; no I/O, None before."""
        return None if self._loaded is None else self._sealed.signed_in_ms

    def _adopt(self, key: SessionKey, loaded: Loaded) -> None:
        self._session_key = key.text
        self._loaded, self._found, self._lost_key = loaded, Found.LIVE, None
        self._was_written = True

    def _take(self, mark: bytes, lifetime: Lifetime | None = None) -> None:
        self._mark, self._read_mark, self._lifetime = mark, None, lifetime

    @property
    def _sealed(self) -> SealedRecord:
        """Return what is sealed of the record; read when it is first used, as most requests need none of it."""
        if self._read_mark is None:
            self._read_mark = SealedRecord.read(self._mark)
        return self._read_mark

    def _nothing(self, found: Found = Found.NOTHING) -> SealedValues:
        self._session_key, self._loaded, self._found = None, None, found
        return SealedValues()

    def _sealer(self, key: SessionKey) -> Sealer:
        return Sealer(key.sid, self.serializer(), self.store_class.compress_from_bytes)

    # Load.

    def load_steps(self) -> Steps[SealedValues]:
        """Read the session; anything but a live session of this very key reads as empty and leaves no key."""
        key = self._key
        if key is None:
            return self._nothing()
        try:
            stored = yield Call("load", (key.sid,))
        except CorruptSessionError as error:
            return self._refuse(key.sid, error)
        values = self._opened_if_live(key, stored)
        return values if values is not None else (yield from self._read_steps(key, stored))

    def load_now(self, store: Store) -> SealedValues:
        """Do as :meth:`load_steps`, blocking: the everyday case, a live session, is spared the driver of steps."""
        key = self._key
        if key is None:
            return self._nothing()
        try:
            stored = store.load(key.sid)
        except CorruptSessionError as error:
            return self._refuse(key.sid, error)
        values = self._opened_if_live(key, stored)
        return values if values is not None else run(self._read_steps(key, stored), store)

    def _opened_if_live(self, key: SessionKey, stored: Loaded | Tombstone | None) -> SealedValues | None:
        """Open the live session of this very key; None for all else that a load may find."""
        if not isinstance(stored, Loaded) or stored.now_ms >= stored.record.expires_ms:
            return None
        return self._opened(key, stored) if stored.record.accepts(key.verifier, stored.now_ms) else None

    def _read_steps(self, key: SessionKey, stored: Loaded | Tombstone | None) -> Steps[SealedValues]:
        if isinstance(stored, Loaded):
            if not stored.record.accepts(key.verifier, stored.now_ms):
                return self._not_opened(key, stored)
            # Whether or not that can be noted now, its time is up. In a transaction of the site's nobody waits for it.
            if not self.store().in_transaction:
                yield from best_effort_steps(self.store(), expire_steps(key.sid))
            if stored.record.user_id is not None:
                self.ended = Ended(key.sid, stored.record.expiry_reason)
            return self._nothing()
        if isinstance(stored, Tombstone) and stored.user_id is not None and stored.is_of(key.verifier):
            by_owner = None if stored.by is None else stored.by == stored.user_id
            self.ended = Ended(key.sid, stored.reason, by_owner)
        # Any genuine key of this sid will do, also one from two rotations ago: it only leaves a cookie alone.
        was_replaced = isinstance(stored, Tombstone) and stored.was_replaced_just_now
        return self._nothing(Found.JUST_ENDED if was_replaced else Found.NOTHING)

    def _opened(self, key: SessionKey, loaded: Loaded) -> SealedValues:
        try:
            values = self._verified(key, loaded)
        except SealError as error:
            return self._refuse(key.sid, error)
        self._loaded, self._found, self._was_written = loaded, Found.LIVE, False
        if ENDED in loaded.values:
            self.ended = _ended_in(values)
        if not loaded.values.keys().isdisjoint(CARRIED):
            self._carried = {name: values.peek(name) for name in CARRIED if name in loaded.values}
        return values

    def _not_opened(self, key: SessionKey, loaded: Loaded) -> SealedValues:
        """Read a session that has a newer key as empty; remember this one if it was the session's just now."""
        if not loaded.record.was_rotated_just_now(loaded.now_ms):
            return self._nothing()
        self._lost_key = key  # Should this request sign out, it may have been signed in a moment ago.
        return self._nothing(Found.JUST_ENDED)

    def _verified(self, key: SessionKey, loaded: Loaded) -> SealedValues:
        """Check every seal before any value is handed out, and that the session belongs to the user it names."""
        sealer = self._sealer(key)
        are_current = sealer.verify_all(loaded.values)
        self._take(checked(loaded, key.verifier))
        # Weakly: contents that knew their session would be garbage for the collector, one more for every request.
        session = weakref.ref(self)

        def refused(error: SealError) -> None:
            if (alive := session()) is not None:
                alive._refuse(key.sid, error)

        values = SealedValues(sealer, loaded.values, are_current=are_current, refused=refused)
        if (user_id_in(values) if USER_KEY in loaded.values else None) != loaded.record.user_id:
            raise SealError("the session names another user than its record")
        return values

    def _refuse(self, sid: str, error: Exception) -> SealedValues:
        security_log.warning("Session %s is refused and reads as empty: %s.", sid, escaped(error))
        return self._nothing(Found.REFUSED)

    def values_steps(self, no_load: bool = False) -> Steps[SealedValues]:
        """Return the contents, loading them when they were not used yet."""
        try:
            values = self._session_cache
        except AttributeError:
            empty = no_load or self._session_key is None
            values = SealedValues() if empty else (yield from self.load_steps())
            # What was assigned while the load was under way counts, as after clear().
            values = self.__dict__.get("_session_cache", values)
        if not isinstance(values, SealedValues):
            values = self._wrapped(values)
        self._session_cache = values
        return values

    def _wrapped(self, contents: Mapping[Any, Any]) -> SealedValues:
        """Take a plain dict, which some code assigns to ``_session_cache``, as the whole contents."""
        values = SealedValues(cleared=self._session_key is not None)
        values.update(contents)
        return values

    def _find_steps(self, key: SessionKey) -> Steps[Loaded]:
        """Learn whose session it is before changing it, when it was cleared or replaced without being read."""
        stored = yield Call("load", (key.sid,))
        if not isinstance(stored, Loaded):
            raise UpdateError(GONE)
        try:
            self._take(opened(self._sealer(key), stored, key.verifier))
        except SealError as error:
            raise UpdateError(GONE) from error
        return stored

    def exists_steps(self, session_key: str | None) -> Steps[bool]:
        """Tell whether a key opens a live session."""
        return (yield from self.standing_steps(session_key)) is Found.LIVE

    def standing_steps(self, session_key: str | None) -> Steps[Found]:
        """Tell whether a key opens a live session, or did so to its end (``JUST_ENDED``, however long ago)."""
        key = SessionKey.parse(session_key)
        try:
            stored = None if key is None else (yield Call("load", (key.sid,)))
        except CorruptSessionError:
            return Found.NOTHING
        if key is None or stored is None:
            return Found.NOTHING
        if isinstance(stored, Tombstone):
            return Found.JUST_ENDED if stored.is_of(key.verifier) else Found.NOTHING
        try:
            opened(self._sealer(key), stored, key.verifier)
        except SealError:
            return Found.NOTHING
        return Found.LIVE


def user_id_in(values: Mapping[Any, Any]) -> str | None:
    """Return the user's id as records hold it: text, whatever type ``_auth_user_id`` has."""
    user_id = values.get(USER_KEY)
    return None if user_id is None else str(user_id)


def _ended_in(values: SealedValues) -> Ended | None:
    """Return what a new session tells of the one before it; nothing once somebody has signed in."""
    noted = values.peek(ENDED)
    return (
        None if USER_KEY in values or not isinstance(noted, list) or len(noted) != len(Ended._fields) else Ended(*noted)
    )
