"""What a request writes: new sessions, touches, and the delta that names what it changed."""

from __future__ import annotations

import random
from typing import Final

from django_srvsession.engine import lifetimes
from django_srvsession.engine.details import NONE, Change, Details, in_order
from django_srvsession.engine.keys import SessionKey
from django_srvsession.engine.reading import USER_KEY, contents, find, user_id_in
from django_srvsession.engine.seal import SealError
from django_srvsession.engine.sealed_record import RECORD, SealedRecord, is_sealed_anew, opened
from django_srvsession.engine.signalling import tell_started
from django_srvsession.engine.state import ENDED, SessionState
from django_srvsession.engine.values import Changes, SealedValues
from django_srvsession.records import TOUCH, UNSET, Client, Delta, Loaded, SessionRecord, Unset, given
from django_srvsession.store import GONE, ConflictError, CreateError, UpdateError
from django_srvsession.store.face import Face
from django_srvsession.users import kind_in

_SEAL_TRIES: Final = 200  # Each time that one try fails, somebody else's has succeeded.
_CREATE_TRIES: Final = 5  # 72 random bits collide about never; a store that says so five times is broken.


async def create(state: SessionState, face: Face, values: SealedValues) -> None:
    """Store the contents as a new session under a key of its own.

    Raises ``UpdateError`` for a session that would live on in a copy: its user was signed in when the request began,
    the session was ended since, and nobody has signed in.
    """
    user_id = user_id_in(state, values)
    if user_id is not None and user_id == state.came_as and not (state.was_ended_here or state.signing_in == user_id):
        raise UpdateError(GONE)
    if user_id is None and state.ended is not None:
        values.put(ENDED, list(state.ended))
    for _ in range(_CREATE_TRIES):
        key = SessionKey.generate()
        sealer = state.sealer(key)
        now_ms, before = face.store.clock_ms, values.state
        pending = state.pending
        details = _details_of_next_session(state, values, pending, now_ms)
        changes = Changes(values.everything(sealer), frozenset(), True, {}, before)
        delta = delta_of(state, values, changes, None, now_ms, details)
        mark = SealedRecord.new(key.verifier, delta, now_ms).seal(sealer)
        changes.changed[RECORD] = mark  # The delta's are the same.
        try:
            loaded = await face.create(key.sid, key.verifier, delta)
        except CreateError:
            continue
        state.adopt(key, loaded)
        state.note_sealed(mark, given(delta.details, b""))
        state.note_changed(pending)
        values.stored(changes, sealer)
        state.tell_browser()
        if loaded.record.user_id is not None:
            await tell_started(face, state.sender, loaded.record)
        return
    raise CreateError("The store found every new session key taken.")


def _details_of_next_session(
    state: SessionState, values: SealedValues, pending: tuple[Change, ...], now_ms: int
) -> Details:
    """Return the details of a session that begins with these contents: of the one before, what goes along."""
    user_id = user_id_in(state, values)
    if user_id is None:
        return NONE
    details = state.carried.of_next_session(user_id == came_as(state), now_ms)
    for change in (_sign_in(state, user_id), *pending):
        details = change(details, now_ms)
    return details


def change_of(
    state: SessionState, values: SealedValues, is_sign_in: bool, pending: tuple[Change, ...]
) -> Change | None:
    """Return what saving these contents, and what is pending, makes of the session's details, or None."""
    user_id = user_id_in(state, values) if is_sign_in else None
    if user_id is None:
        return in_order(*pending)
    return in_order(_sign_in(state, user_id), *pending)


def _sign_in(state: SessionState, user_id: str) -> Change:
    before, by_login = came_as(state), state.signing_in == user_id
    came_as_same = None if before is None else before == user_id
    was_checked = user_id == state.authenticated
    kind = kind_in(user_id)
    return lambda details, now_ms: details.after_sign_in(by_login, was_checked, came_as_same).of_kind(kind)


def came_as(state: SessionState) -> str | None:
    """Return who was signed in before this request signed somebody in, or None."""
    return state.came_as or (None if state.record is None else state.record.user_id)


def signs_in(state: SessionState, values: SealedValues) -> bool:
    """Tell whether saving these contents signs somebody in: by ``login()``, or by hand as who was nobody before.

    To assign the user of the session anew is no sign-in: whoever can have names assigned would renew the proof.
    """
    if not values.is_assigned(USER_KEY):
        return False
    user_id = user_id_in(state, values)
    before = state.came_as if state.record is None else state.record.user_id
    return user_id is not None and (state.signing_in == user_id or before != user_id)


def delta_of(
    state: SessionState, values: SealedValues, changes: Changes, base: Loaded | None, now_ms: int, details: Details
) -> Delta:
    """Name what this request changes; of the record only what differs from what it loaded.

    The details are what they will be; a session that begins has them named.
    """
    record, sealed = (None, None) if base is None else (base.record, state.sealed)
    user_id = user_id_in(state, values) if record is None or signs_in(state, values) else None
    signed_in_ms = now_ms if user_id is not None else (None if sealed is None else sealed.signed_in_ms)
    if signed_in_ms is not None and details.since_ms is not None:
        signed_in_ms = details.since_ms
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
        details=UNSET if base is not None or details == NONE else details.encode(),
    )


async def write(
    state: SessionState,
    face: Face,
    key: SessionKey,
    delta: Delta,
    base: Loaded,
    now_ms: int,
    change: Change | None = None,
    new: SessionKey | None = None,
) -> SessionRecord:
    """Update the session and, with a ``new`` key, rotate it; what changes of the record is sealed in the same step.

    ``change`` says what becomes of its details. When another request has changed the record first, what is named here
    is named of what stands then. Raises ``ConflictError`` where that happens again and again.
    """
    stands, mark, encoded, known = state.sealed, state.mark, state.encoded_details, state.lifetime
    sealer = state.sealer(key)
    for attempt in range(_SEAL_TRIES):
        step = _with_details(delta, encoded, change, now_ms)
        if not is_sealed_anew(step):
            loaded = await face.update(key.sid, key.verifier, step, base)
            state.adopt(key, loaded)
            return loaded.record
        new_mark = stands.after(step, now_ms).seal(sealer)
        sealed_step = step._replace(changed={**step.changed, RECORD: new_mark}, expected={RECORD: mark})
        try:
            loaded = await face.update(key.sid, key.verifier, sealed_step, base)
        except ConflictError:
            if attempt == _SEAL_TRIES - 1:
                raise
            if attempt:
                await back_off(face, attempt)
            base, mark = await as_another_left_it(state, face, key)
            stands, encoded = SealedRecord.read(mark), base.record.details
        else:
            state.adopt(new or key, loaded)
            lifetime_ms = given(delta.lifetime_ms, known.lifetime_ms)
            deadline_ms = given(delta.deadline_ms, known.deadline_ms)
            state.note_sealed(new_mark, given(step.details, encoded), lifetimes.Lifetime(lifetime_ms, deadline_ms))
            return loaded.record
    raise AssertionError("unreachable")


def _with_details(delta: Delta, encoded: bytes, change: Change | None, now_ms: int) -> Delta:
    """Name the details too, if they change."""
    if change is None:
        return delta
    details = change(Details.decode(encoded), now_ms).encode()
    return delta if details == encoded else delta._replace(details=details)


async def back_off(face: Face, attempt: int) -> None:
    """Wait a little, at random, before another try."""
    await face.pause(random.uniform(0, min(0.001 * 2 ** min(attempt, 6), 0.05)))  # noqa: S311 - jitter is no secret


async def as_another_left_it(state: SessionState, face: Face, key: SessionKey) -> tuple[Loaded, bytes]:
    """Return the session, and the mark of its record, as another request has just left them.

    Or an older mark that somebody has put back would be sealed anew: its key with what this step adds.
    """
    stored = await face.load(key.sid)
    if not isinstance(stored, Loaded) or not stored.record.accepts(key.verifier, stored.now_ms):
        raise UpdateError(GONE)
    try:
        return stored, opened(state.sealer(key), stored, key.verifier)
    except SealError as error:
        state.give_up(key.sid, error)
        raise UpdateError(GONE) from error


async def change_details(state: SessionState, face: Face, change: Change) -> None:
    """Change the session's details at once and atomically; what else is pending stays pending.

    Raises ``UpdateError`` when there is no session any more, ``ConflictError`` when others kept changing its record,
    and ``ValueError`` for details that are out of range.
    """
    await contents(state, face)
    key = state.key
    if key is None:
        raise UpdateError(GONE)
    base = await find(state, face, key)
    await write(state, face, key, TOUCH, base, face.store.clock_ms, change)


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
