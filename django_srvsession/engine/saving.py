"""How a request saves and rotates its session, and what becomes of one that lost a race.

A key that was rotated away or ended under a request's feet stores nothing more, *unless the request signs in*.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from django.middleware.csrf import CSRF_SESSION_KEY

from django_srvsession.engine.details import Change
from django_srvsession.engine.keys import SessionKey
from django_srvsession.engine.reading import USER_KEY, contents, load, look, user_id_in
from django_srvsession.engine.signalling import tell_started
from django_srvsession.engine.state import SessionState, Standing
from django_srvsession.engine.values import HASH_KEY, Changes, SealedValues
from django_srvsession.engine.writing import change_of, create, delta_of, signs_in, write
from django_srvsession.records import Loaded, SessionRecord, Tombstone
from django_srvsession.store import BUSY, GONE, TAKEN, ConflictError, CreateError, StoreUnavailableError, UpdateError
from django_srvsession.store.face import Face

log = logging.getLogger("django_srvsession")


async def save(state: SessionState, face: Face, must_create: bool = False) -> None:
    """Store what this request changed; see ``SessionStore.save``."""
    values = await contents(state, face, no_load=must_create)
    if state.key_text is not None and state.lost_key is not None:
        await _save_lost(state, face, state.lost_key, values)
    elif must_create:
        await _refuse_taken(state, face)
        await create(state, face, values)
    elif state.key_text is None:
        await _save_new(state, face, values)
    elif (key := state.key) is not None:
        await _save_known(state, face, key, values)
    else:
        raise UpdateError(GONE)


async def _refuse_taken(state: SessionState, face: Face) -> None:
    """Raise ``CreateError`` if a caller asks to create a session under the key of one that exists."""
    key = state.key
    if key is not None and (await face.load(key.sid)) is not None:
        raise CreateError(TAKEN)


async def _save_new(state: SessionState, face: Face, values: SealedValues) -> None:
    # The token against forged requests may be kept in the session: a form to sign in needs it.
    may_begin = state.waits_for_sign_in and values.is_assigned(CSRF_SESSION_KEY)
    if state.standing is Standing.JUST_ENDED and not (may_begin or signs_in(state, values)):
        log.info("A save came after its session was ended or its key replaced, and stored nothing.")
        return
    await create(state, face, values)


async def _save_known(state: SessionState, face: Face, key: SessionKey, values: SealedValues) -> None:
    base = await _base(state, face)
    if base is None:
        await _save_new(state, face, values)
        return
    if _changes_owner(state, values, base.record):
        await _move(state, face, key, values)
        return
    is_sign_in = signs_in(state, values)
    sealer = state.sealer(key)
    pending = state.pending
    changes, change = values.changes(sealer), change_of(state, values, is_sign_in, pending)
    if not changes and change is None and state.was_written:
        return  # Written by this very request already: nothing is left to say, not even "still here".
    now_ms = base.now_ms if change is None else face.store.clock_ms
    try:
        record = await _write(state, face, key, values, changes, base, now_ms, change)
    except UpdateError:
        if not is_sign_in:
            raise
        await _sign_in_alone(state, face, key, values)
        return
    values.stored(changes, sealer)
    state.note_changed(pending)
    if is_sign_in:
        await tell_started(face, state.sender, record)


async def _write(
    state: SessionState,
    face: Face,
    key: SessionKey,
    values: SealedValues,
    changes: Changes,
    base: Loaded,
    now_ms: int,
    change: Change | None,
    new: SessionKey | None = None,
    final: bool = True,
) -> SessionRecord:
    details = state.details if change is None else change(state.details, now_ms)
    delta = delta_of(state, values, changes, base, now_ms, details)
    if new is not None:
        delta = delta._replace(new_verifier=new.verifier, final=final)
    try:
        return await write(state, face, key, delta, base, now_ms, change, new)
    except ConflictError as conflict:
        raise StoreUnavailableError(BUSY) from conflict


async def _base(state: SessionState, face: Face) -> Loaded | None:
    """Return what this request has loaded, or load it, when it was cleared or replaced without being read.

    None, and no key, for a key that opens no session.
    """
    if state.loaded is None:
        await load(state, face)
    return state.loaded


async def create_anew(state: SessionState, face: Face) -> None:
    """Store the contents as a new session; one in which somebody is signed in ends, and goes on in the new one."""
    values = await contents(state, face, no_load=True)
    key, record = state.key, state.record
    if key is not None and record is not None and record.user_id is not None:
        await _move(state, face, key, values)  # Or it would live on in a copy after it has ended.
    else:
        await create(state, face, values)


async def _move(state: SessionState, face: Face, key: SessionKey, values: SealedValues) -> None:
    """End the session and go on in a new one: a sid belongs to at most one user in its life."""
    from django_srvsession.engine.owners import end_as_it_stands  # ``login()`` and ``logout()`` do without.

    list(values)
    if state.key_text is None:
        raise UpdateError(GONE)  # A value is not ours, or does not open: this ends nothing.
    try:
        kept = await end_as_it_stands(state, face, key, values)
    except UpdateError:
        state.leave(state.record)
        if not signs_in(state, values):
            raise
        await _sign_in_alone(state, face, key, values)
        return
    state.leave(state.record)
    state.note_end_here()
    await _create_with(state, face, kept)


async def _create_with(state: SessionState, face: Face, kept: Mapping[str, Any]) -> None:
    """Store these contents as a new session, which this request has from now on."""
    values = SealedValues()
    values.update(kept)
    state.hold(values)
    await create(state, face, values)


# Rotate.


async def cycle_key(state: SessionState, face: Face, final: bool = True) -> None:
    """Give the session a new key at once, with what is not saved yet; see ``SessionStore.cycle_key``."""
    values = await contents(state, face)
    key = state.key
    if key is None:
        await _cycle_nothing(state, face, values)
    elif values.awaits_new_hash and not values.is_assigned(USER_KEY):
        # Django's get_user() cycles the key when the auth hash was made with a fallback secret. Sixteen parallel
        # requests must agree on one key, so the same key is signed anew, or left where a page signed it already.
        state.resign()
        state.note_change()
    else:
        await _rotate(state, face, key, values, final)


async def _cycle_nothing(state: SessionState, face: Face, values: SealedValues) -> None:
    state.take_key(None)
    if state.standing is not Standing.JUST_ENDED:
        await create(state, face, values)


async def _rotate(state: SessionState, face: Face, key: SessionKey, values: SealedValues, final: bool) -> None:
    sealer = state.sealer(key)
    new = key.rotated()
    try:
        base = await _base(state, face)
        if base is None:
            await _cycle_nothing(state, face, values)
            return
        if _changes_owner(state, values, base.record):
            await _move(state, face, key, values)
            return
        is_sign_in = signs_in(state, values)
        pending = state.pending
        changes, change = values.changes(sealer), change_of(state, values, is_sign_in, pending)
        record = await _write(state, face, key, values, changes, base, face.store.clock_ms, change, new, final)
    except UpdateError:
        # Another request was first. Only the save can tell what to do: it knows whether this one signs in.
        if final:
            state.lose(key)
        return
    values.stored(changes, sealer)
    state.note_changed(pending)
    state.tell_browser()
    if is_sign_in:
        await tell_started(face, state.sender, record)


# Lose a race.


async def _save_lost(state: SessionState, face: Face, key: SessionKey, values: SealedValues) -> None:
    """Save after another request was first to rotate the key or to end the session."""
    if signs_in(state, values):
        await _sign_in_alone(state, face, key, values)
    elif values.is_assigned(HASH_KEY):
        await _go_on_after_losing(state, face, key, values)
    else:
        raise UpdateError(GONE)


async def _sign_in_alone(state: SessionState, face: Face, key: SessionKey, values: SealedValues) -> None:
    """Sign in with a session of its own, since another request has rotated or ended the one that this came with.

    The new session holds what this request loaded and verified while its key was valid, and what it assigned: never
    what anybody stored since. Of a session that has ended it holds only what this request assigned.
    """
    stored = await look(face, key)  # Signing in must work, whatever is stored there.
    is_live = isinstance(stored, Loaded) and stored.record.is_live(stored.now_ms)
    await _create_with(state, face, dict(values) if is_live else values.assigned())


async def _go_on_after_losing(state: SessionState, face: Face, key: SessionKey, values: SealedValues) -> None:
    """Keep who changes a password signed in, in a new session, though another request ended this one as stale.

    Between the new password and the new auth hash, a request of the same browser finds a hash that does not fit and
    flushes. It cannot know better; this request does: it was signed in when it began. A session that was ended for
    any other reason (logout, revoke) stays ended, and raises ``UpdateError``.
    """
    stored = await look(face, key)
    if not isinstance(stored, Tombstone) or stored.reason != "replaced":
        raise UpdateError(GONE)
    if not (stored.was_replaced_just_now and stored.was_of(key.verifier)):
        raise UpdateError(GONE)
    state.note_end_here()  # By a request that could not know better; this one goes on for it.
    state.leave(state.record)
    await _create_with(state, face, dict(values))


def _changes_owner(state: SessionState, values: SealedValues, record: SessionRecord) -> bool:
    """Tell whether saving these contents would give a signed-in session to nobody, or to somebody else."""
    if record.user_id is None:
        return False
    return values.is_dropped(USER_KEY) or (values.is_assigned(USER_KEY) and user_id_in(state, values) != record.user_id)
