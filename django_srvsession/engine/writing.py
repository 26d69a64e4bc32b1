"""What a request writes: new sessions, touches, and the delta that names what it changed."""

from __future__ import annotations

from typing import Final

from django_srvsession.engine import lifetimes
from django_srvsession.engine.keys import SessionKey
from django_srvsession.engine.reading import USER_KEY, contents, user_id_in
from django_srvsession.engine.seal import SealError
from django_srvsession.engine.sealed_record import RECORD, SealedRecord, is_sealed_anew
from django_srvsession.engine.signalling import tell_started
from django_srvsession.engine.state import ENDED, SINCE, SWITCHED, WRONG, SessionState
from django_srvsession.engine.values import Changes, SealedValues
from django_srvsession.records import TOUCH, UNSET, Client, Delta, Loaded, SessionRecord, Unset, given
from django_srvsession.store import GONE, ConflictError, CreateError, StoreUnavailableError, UpdateError
from django_srvsession.store.face import Face

_SEAL_TRIES: Final = 50  # Each time that one try fails, somebody else's has succeeded.
_CREATE_TRIES: Final = 5  # 72 random bits collide about never; a store that says so five times is broken.


async def create(state: SessionState, face: Face, values: SealedValues) -> None:
    """Store the contents as a new session under a key of its own.

    Raises ``UpdateError`` for a session that would live on in a copy: its user was signed in when the request began,
    the session was ended since, and nobody has signed in.
    """
    user_id = user_id_in(values)
    if user_id is not None and user_id == state.came_as and not (state.was_ended_here or state.signing_in == user_id):
        raise UpdateError(GONE)
    leave_marks(state, values)
    for _ in range(_CREATE_TRIES):
        key = SessionKey.generate()
        sealer = state.sealer(key)
        now_ms, before = face.store.clock_ms, values.state
        changes = Changes(values.everything(sealer), frozenset(), True, {}, before)
        delta = delta_of(state, values, changes, None, now_ms)
        mark = SealedRecord.new(key.verifier, delta, now_ms).seal(sealer)
        changes.changed[RECORD] = mark  # The delta's are the same.
        try:
            loaded = await face.create(key.sid, key.verifier, delta)
        except CreateError:
            continue
        state.adopt(key, loaded)
        state.note_sealed(mark)
        values.stored(changes, sealer)
        state.tell_browser()
        if loaded.record.user_id is not None:
            await tell_started(face, state.sender, loaded.record)
        return
    raise CreateError("The store found every new session key taken.")


def leave_marks(state: SessionState, values: SealedValues) -> None:
    """Note in a session that begins, or that somebody signs in to, what is to be known of it later."""
    user_id = user_id_in(values)
    if user_id is None:
        if state.ended is not None:
            values.put(ENDED, list(state.ended))
        return
    carry_marks(state, values)
    came_as = state.came_as or (None if state.record is None else state.record.user_id)
    if state.signing_in == user_id:
        values.discard(WRONG)
    if state.signing_in == user_id or came_as != user_id:
        values.discard(SINCE)
    if state.signing_in == user_id == state.authenticated:
        values.discard(SWITCHED)
    elif state.signing_in != user_id or came_as not in (None, user_id):
        values.put(SWITCHED, True)


def carry_marks(state: SessionState, values: SealedValues) -> None:
    """Take along what only a sign-in takes away."""
    for name, value in state.carried.items():
        if values.peek(name) is None:
            values.put(name, value)


def signs_in(state: SessionState, values: SealedValues) -> bool:
    """Tell whether saving these contents signs somebody in: by ``login()``, or by hand as who was nobody before.

    To assign the user of the session anew is no sign-in: whoever can have names assigned would renew the proof.
    """
    if not values.is_assigned(USER_KEY):
        return False
    user_id = user_id_in(values)
    before = state.came_as if state.record is None else state.record.user_id
    return user_id is not None and (state.signing_in == user_id or before != user_id)


def delta_of(state: SessionState, values: SealedValues, changes: Changes, base: Loaded | None, now_ms: int) -> Delta:
    """Name what this request changes; of the record only what differs from what it loaded."""
    record, sealed = (None, None) if base is None else (base.record, state.sealed)
    user_id = user_id_in(values) if record is None or signs_in(state, values) else None
    signed_in_ms = now_ms if user_id is not None else (None if sealed is None else sealed.signed_in_ms)
    if signed_in_ms is not None and SINCE in state.carried:
        signed_in_ms = values.peek(SINCE) or signed_in_ms
    expiry = values.get(lifetimes.EXPIRY_KEY)
    lifetime = lifetimes.lifetime_of(expiry, state.owner.get_session_cookie_age(), signed_in_ms, now_ms)
    # A fixed date keeps its deadline; its remaining time, computed anew each time, is no change.
    same_expiry = lifetimes.EXPIRY_KEY not in changes.changed and lifetimes.EXPIRY_KEY not in changes.removed
    is_dated = lifetime.deadline_ms is not None and same_expiry
    known = None if base is None else state.lifetime
    keep = known is not None and (lifetime.lifetime_ms == known.lifetime_ms or is_dated) and not changes.cleared
    keep_deadline = known is not None and lifetime.deadline_ms == known.deadline_ms
    return Delta(
        changed=changes.changed,
        removed=changes.removed,
        cleared=changes.cleared,
        resealed=changes.resealed,
        user_id=UNSET if user_id is None else user_id,
        client=_client_if_new(state, record),
        lifetime_ms=UNSET if keep else lifetime.lifetime_ms,
        deadline_ms=UNSET if keep_deadline else lifetime.deadline_ms,
    )


async def write(
    state: SessionState,
    face: Face,
    key: SessionKey,
    delta: Delta,
    base: Loaded,
    now_ms: int,
    new: SessionKey | None = None,
) -> SessionRecord:
    """Update the session and, with a ``new`` key, rotate it; what changes of the record is sealed in the same step.

    When another request has changed the record first, what is named here is named of what stands then.
    """
    if not is_sealed_anew(delta):
        loaded = await face.update(key.sid, key.verifier, delta, base)
        state.adopt(key, loaded)
        return loaded.record
    sealer = state.sealer(key)
    mark, stands, known = state.mark, state.sealed, state.lifetime
    for _ in range(_SEAL_TRIES):
        new_mark = stands.after(delta, now_ms).seal(sealer)
        step = delta._replace(changed={**delta.changed, RECORD: new_mark}, expected={RECORD: mark})
        try:
            loaded = await face.update(key.sid, key.verifier, step, base)
        except ConflictError as conflict:
            mark = conflict.current[RECORD] or b""
            stands = _sealed_by_another(state, face, key, mark)
        else:
            state.adopt(new or key, loaded)
            lifetime_ms = given(delta.lifetime_ms, known.lifetime_ms)
            deadline_ms = given(delta.deadline_ms, known.deadline_ms)
            state.note_sealed(new_mark, lifetimes.Lifetime(lifetime_ms, deadline_ms))
            return loaded.record
    raise StoreUnavailableError("Other requests kept changing the session; nothing was written.")


def _sealed_by_another(state: SessionState, face: Face, key: SessionKey, mark: bytes) -> SealedRecord:
    """Read the mark that another request has written meanwhile."""
    try:
        state.sealer(key).verify(RECORD, mark)
        sealed = SealedRecord.read(mark)
        # Or an older mark that somebody has put back would be sealed anew: its key with what this step adds.
        if not sealed.opens(key.verifier, face.store.clock_ms):
            raise SealError("its record is sealed for another key")
        return sealed
    except SealError as error:
        state.contents = state.refuse(key.sid, error)
        raise UpdateError(GONE) from error


def _client_if_new(state: SessionState, record: SessionRecord | None) -> Client | Unset:
    if state.client_of_request is None:
        return UNSET
    client = state.client_of_request()
    return UNSET if record is not None and record.client == client else client


async def touch(state: SessionState, face: Face, extend: bool = True) -> None:
    """Record that the session is in use; with ``extend`` its lifetime starts anew."""
    await contents(state, face)
    key, base = state.key, state.loaded
    if key is None or base is None:
        return
    delta = Delta(client=_client_if_new(state, base.record), extend=extend)
    loaded = await face.update(key.sid, key.verifier, TOUCH if delta == TOUCH else delta, base)
    state.adopt(key, loaded)
