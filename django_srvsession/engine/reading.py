"""How a request learns of its session."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any, Final

from django_srvsession import conf
from django_srvsession.engine.bookkeeping import best_effort
from django_srvsession.engine.details import Details, user_kind_in
from django_srvsession.engine.ending import expire
from django_srvsession.engine.keys import SessionKey, key_of
from django_srvsession.engine.knowledge import Guard
from django_srvsession.engine.seal import SealError
from django_srvsession.engine.sealed_record import RECORD, checked, opened
from django_srvsession.engine.state import ENDED, SessionState, Standing, Verdict
from django_srvsession.engine.values import SealedValues
from django_srvsession.records import AUTH_KEYS, MOVED, Ended, Loaded, Tombstone
from django_srvsession.store import GONE, CorruptSessionError, Store, UpdateError, rules
from django_srvsession.store.face import Face
from django_srvsession.users import key_in, user_id

USER_KEY: Final = AUTH_KEYS[0]
_READ_FIRST: Final = (RECORD, *AUTH_KEYS)
"""What every request of somebody who is signed in reads: verified together."""

_Stored = Loaded | Tombstone | None


async def contents(state: SessionState, face: Face, no_load: bool = False) -> SealedValues:
    """Return the contents, loading them when they were not used yet."""
    if state.contents is None:
        is_empty = no_load or state.key_text is None
        values = SealedValues() if is_empty else await load(state, face)
        if state.contents is None:  # What was assigned while the load was under way counts, as after clear().
            state.hold(values)
        if state.is_about_to_end:
            await renew(state, face)
    return wrapped(state)


async def renew(state: SessionState, face: Face) -> None:
    """Note the use of a session that is about to end."""
    from django_srvsession.engine import renewing  # Few come in the last minute.

    await renewing.renew(state, face, wrapped(state))


def wrapped(state: SessionState) -> SealedValues:
    """Return contents that are there; a plain dict, which some code has put in their place, is all of them."""
    found = state.contents
    if not isinstance(found, SealedValues):
        values = SealedValues(cleared=state.key_text is not None)
        values.update(found or {})
        state.hold(values)
        return values
    return found


async def load(state: SessionState, face: Face) -> SealedValues:
    """Read the session; anything but a live session of this very key reads as empty and leaves no key."""
    key = state.key
    if key is None:
        return state.close()
    try:
        stored = await face.load(key.sid)
    except CorruptSessionError as error:
        return state.refuse(key.sid, error)
    return await read(state, face, key, stored)


async def read(state: SessionState, face: Face, key: SessionKey, stored: _Stored) -> SealedValues:
    """Read what a load has found under a key's sid."""
    values = _opened_if_live(state, face.store, key, stored)
    return values if values is not None else await _read(state, face, key, stored)


def _opened_if_live(state: SessionState, store: Store, key: SessionKey, stored: _Stored) -> SealedValues | None:
    """Open the live session of this very key; None for all else that a load may find."""
    if not isinstance(stored, Loaded) or stored.now_ms >= stored.record.expires_ms:
        return None
    if not stored.record.accepts(key.verifier, stored.now_ms):
        return None
    try:
        values = _verified(state, key, stored)
        guard = state.guard if stored.record.details else None
        verdict = Verdict.OPEN if guard is None else _judged(guard, stored)
    except SealError as error:
        return state.refuse(key.sid, error)
    if guard is not None and verdict is not Verdict.OPEN:
        return state.turn_away(key.sid, guard.reason, verdict)
    state.open(stored)
    if key.origin is not None:
        state.take_over(key, store.in_transaction)
    if ENDED in stored.values:
        state.note_ended(_ended_in(values))
    return values


def _judged(guard: Guard, stored: Loaded) -> Verdict:
    return guard.judge(stored.record, Details.decode(stored.record.details), stored.now_ms)


async def _read(state: SessionState, face: Face, key: SessionKey, stored: _Stored) -> SealedValues:
    if conf.migrate_from is not None and (stored is None or (key.origin is None and rules.has_moved(stored))):
        from django_srvsession.engine import carrying  # Most sites do not move.

        return await carrying.carry(state, face, key)
    if isinstance(stored, Loaded):
        if not stored.record.accepts(key.verifier, stored.now_ms):
            return _not_opened(state, key, stored)
        # Whether or not that can be noted now, its time is up. In a transaction of the site's nobody waits for it.
        if not face.store.in_transaction:
            await best_effort(face, lambda brief: expire(brief, state.sender, key.sid))
        if stored.record.user_id is not None:
            state.note_ended(Ended(key.sid, stored.record.expiry_reason))
        return state.close()
    if isinstance(stored, Tombstone) and _is_news(stored) and stored.is_of(key.verifier):
        by_owner = None if stored.by is None else stored.by == stored.user_id
        state.note_ended(Ended(key.sid, stored.reason, by_owner))
        state.lose(key)  # Should this request sign out, it may be to repeat what was answered with 503.
    # Any genuine key of this sid will do, also one from two rotations ago: it only leaves a cookie alone.
    was_replaced = isinstance(stored, Tombstone) and stored.was_replaced_just_now
    return state.close(Standing.JUST_ENDED if was_replaced else Standing.NOTHING)


def _is_news(tombstone: Tombstone) -> bool:
    return tombstone.user_id is not None and tombstone.reason != MOVED


def _not_opened(state: SessionState, key: SessionKey, loaded: Loaded) -> SealedValues:
    """Read a session that has a newer key as empty; remember this one if it was the session's just now."""
    if not loaded.record.was_rotated_just_now(loaded.now_ms):
        return state.close()
    state.lose(key)  # Should this request sign out, it may have been signed in a moment ago.
    return state.close(Standing.JUST_ENDED)


def _verified(state: SessionState, key: SessionKey, loaded: Loaded) -> SealedValues:
    """Check what decides who opens the session, and that it belongs to the user it names; the rest when it is read."""
    sealer = state.sealer(key)
    payloads = sealer.payloads(loaded.values, _READ_FIRST)
    state.note_sealed(checked(loaded, key.verifier), loaded.record.details)
    # Weakly: contents that knew their session would be garbage for the collector, one more for every request.
    of_contents = weakref.ref(state)

    def refused(error: SealError) -> None:
        if (alive := of_contents()) is not None:
            alive.refuse(key.sid, error)

    auth = {name: sealer.load(payloads[name]) for name in AUTH_KEYS if name in payloads}
    user_key = auth_key_in(auth)
    if (None if user_key is None else user_id(user_kind_in(loaded.record.details), user_key)) != loaded.record.user_id:
        raise SealError("the session names another user than its record")
    return SealedValues(sealer, loaded.values, opened=auth, refused=refused)


async def find(state: SessionState, face: Face, key: SessionKey) -> Loaded:
    """Return what is known of the session; learn it, when it was cleared or replaced without being read.

    Raises ``UpdateError`` for a key that opens no session.
    """
    if state.loaded is not None:
        return state.loaded
    stored = await face.load(key.sid)
    if not isinstance(stored, Loaded):
        raise UpdateError(GONE)
    try:
        state.learn(stored, opened(state.sealer(key), stored, key.verifier))
    except SealError as error:
        raise UpdateError(GONE) from error
    return stored


async def look(face: Face, key: SessionKey) -> _Stored:
    """Look what has become of a session; what is damaged counts as nothing."""
    try:
        return await face.load(key.sid)
    except CorruptSessionError:
        return None


async def exists(state: SessionState, face: Face, key_text: str | None) -> bool:
    """Tell whether a key opens a live session."""
    return await standing_of(state, face, key_text) is Standing.LIVE


async def standing_of(state: SessionState, face: Face, key_text: str | None) -> Standing:
    """Tell whether a key opens a live session, or did so to its end (``JUST_ENDED``, however long ago)."""
    key = key_of(key_text)
    stored = None if key is None else await look(face, key)
    if key is not None and stored is None and key.origin is not None:
        from django_srvsession.engine import carrying  # Most sites do not move.

        return Standing.LIVE if await carrying.is_there(face, key) else Standing.NOTHING
    if key is None or stored is None:
        return Standing.NOTHING
    if isinstance(stored, Tombstone):
        return Standing.JUST_ENDED if stored.is_of(key.verifier) else Standing.NOTHING
    try:
        opened(state.sealer(key), stored, key.verifier)
    except SealError:
        return Standing.NOTHING
    return Standing.LIVE


def auth_key_in(values: Mapping[Any, Any]) -> str | None:
    """Return the primary key of the user as text, whatever type ``_auth_user_id`` has."""
    key = values.get(USER_KEY)
    return None if key is None else str(key)


def user_id_in(state: SessionState, values: Mapping[Any, Any]) -> str | None:
    """Return the id of the user whom contents name, as records hold it.

    They hold the key alone. Of which kind the user is was said by ``login()``, or is known of the session that they
    come from; who is assigned by hand is of ``AUTH_USER_MODEL``.
    """
    key = auth_key_in(values)
    if key is None:
        return None
    for known in (state.signing_in, state.record and state.record.user_id, state.came_as):
        if known is not None and key_in(known) == key:
            return known
    return user_id("", key)


def _ended_in(values: SealedValues) -> Ended | None:
    """Return what a new session tells of the one before it; nothing once somebody has signed in."""
    noted = values.peek(ENDED)
    if USER_KEY in values or not isinstance(noted, list) or len(noted) != len(Ended._fields):
        return None
    return Ended(*noted)
