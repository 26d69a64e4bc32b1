"""How sessions end: by their sid, for whatever reason, and by a request of their own (logout, flush, delete)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from django_srvsession.engine.keys import SessionKey, key_of
from django_srvsession.engine.signalling import is_heard, tell_ended
from django_srvsession.engine.state import SessionState, Standing
from django_srvsession.engine.values import HASH_KEY
from django_srvsession.records import EXPIRED, Ending, Loaded, SessionRecord
from django_srvsession.signals import session_ended
from django_srvsession.store import CorruptSessionError, Store, StoreUnavailableError
from django_srvsession.store.face import BlockingFace, Face, run_blocking

# Any session. What ends is told by signal, with ``sender``.


async def end(face: Face, sender: Any, sid: str, ending: Ending) -> SessionRecord | None:
    """End a live session; the record to the one caller that ended it, None to others.

    What is damaged opens for nobody, and is nothing to end. What has ended though the store has failed is told, too.
    """
    try:
        record = await face.end(sid, ending)
    except CorruptSessionError:
        return None
    except StoreUnavailableError as error:
        await _tell(face, sender, error.ended, ending)
        raise
    if record is not None:
        await _tell(face, sender, [record], ending)
    return record


async def end_many(face: Face, sender: Any, sids: Sequence[str], ending: Ending) -> Sequence[SessionRecord]:
    """End live sessions in one step; return the records of those that this call has ended."""
    if len(sids) == 1:
        record = await end(face, sender, sids[0], ending)
        return [] if record is None else [record]
    try:
        records = await face.end_many(sids, ending)
    except StoreUnavailableError as error:
        await _tell(face, sender, error.ended, ending)
        raise
    await _tell(face, sender, records, ending)
    return records


async def end_all_of(face: Face, sender: Any, user_id: str, keep: Collection[str], how: Ending) -> list[SessionRecord]:
    """End all live sessions of a user, except those with the sids ``keep``; return the records.

    First those that are listed, and then those that no list had, because a server lost what it had acknowledged.
    """
    ended = await _end_listed(face, sender, user_id, keep, how)
    if await face.ensure_listed():
        ended += await _end_listed(face, sender, user_id, keep, how)
    return ended


async def _end_listed(face: Face, sender: Any, user_id: str, keep: Collection[str], how: Ending) -> list[SessionRecord]:
    sids = [record.sid for record in await face.records(user_id) if record.sid not in keep]
    at_once = face.store.ends_at_once
    ended: list[SessionRecord] = []
    for start in range(0, len(sids), at_once):
        ended += await end_many(face, sender, sids[start : start + at_once], how)
    return ended


async def _tell(face: Face, sender: Any, records: Sequence[SessionRecord], ending: Ending) -> None:
    if records:
        await tell_ended(face, sender, records, ending.reason or records[0].expiry_reason, ending.by)


async def expire(face: Face, sender: Any, sid: str) -> SessionRecord | None:
    """End a session whose time is up; returns as :func:`end`."""
    record = await face.end(sid, EXPIRED)
    if record is not None:
        await tell_ended(face, sender, [record], record.expiry_reason)
    return record


def clear_expired(store: Store, sender: Any, **options: Any) -> int:
    """End all sessions whose time is up, each with its signal; options and result as ``Store.clear_expired``."""

    def tell(record: SessionRecord) -> None:
        run_blocking(tell_ended(BlockingFace(store), sender, [record], record.expiry_reason))

    # A store may be several times as fast where nobody asks for the records.
    return store.clear_expired(on_ended=tell if is_heard(session_ended, sender) else None, **options)


# The session of a request.


async def flush(state: SessionState, face: Face) -> None:
    """End the session, and be as without one; when ending fails nothing has changed."""
    key, record = state.key or state.lost_key, None
    if key is not None and (state.standing in (Standing.UNREAD, Standing.LIVE) or state.is_signing_out):
        ending = _log_out if state.is_signing_out else _replace
        record = await ending(state, face, key)
        state.note_end_here(record is not None or await _ends_there(face, key))
    state.leave(state.record or record)
    state.begin_anew()


async def _ends_there(face: Face, key: SessionKey) -> bool:
    """End what a key of another engine stands for there, where nobody has carried it over; tell whether it was one."""
    if key.origin is None:
        return False
    from django_srvsession.engine import carrying  # Most sites do not move.

    await carrying.bury(face, key)
    return True


async def _replace(state: SessionState, face: Face, key: SessionKey) -> SessionRecord | None:
    """End the session only if it is still as this request has seen it.

    A stale request (a wrong auth hash, another user signing in) must not sign out who just changed the password.
    """
    expected = {} if state.loaded is None else {HASH_KEY: state.loaded.values.get(HASH_KEY)}
    return await end(face, state.sender, key.sid, Ending("replaced", None, key.verifier, expected, state.loaded))


async def _log_out(state: SessionState, face: Face, key: SessionKey) -> SessionRecord | None:
    """End the session that the request came with, whatever its key has become since: "signed out" must be true.

    A session in which nobody was signed in is ended under this very key only: whoever has signed in since stays.
    """
    if state.record is not None and state.record.user_id is not None:
        return await end(face, state.sender, key.sid, Ending("logout", state.record.user_id, base=state.loaded))
    record = await end(face, state.sender, key.sid, Ending("logout", None, key.verifier, base=state.loaded))
    if record is None:
        stored = await face.load(key.sid)
        if isinstance(stored, Loaded) and _was_signed_in_with(key, stored):
            record = await end(face, state.sender, key.sid, Ending("logout", stored.record.user_id, base=stored))
    return record


def _was_signed_in_with(key: SessionKey, stored: Loaded) -> bool:
    """Tell whether a signed-in session had this key until a moment ago; the key before a sign-in signs nobody out."""
    record = stored.record
    was_signed_in = (record.signed_in_ms or stored.now_ms) < (record.rotated_ms or 0)
    return was_signed_in and record.was_rotated_from(key.verifier, stored.now_ms)


async def end_own(state: SessionState, face: Face, reason: str) -> SessionRecord | None:
    """End the session that this request has read or written, unless another one has given it a new key since.

    The state stays as it is: what becomes of the answer is up to the caller.
    """
    record = state.record
    if record is None:
        return None
    return await end(face, state.sender, record.sid, Ending(reason, None, record.verifier, base=state.loaded))


async def delete(state: SessionState, face: Face, key_text: str | None = None) -> None:
    """End the session of a key, by default this request's; a key that opens nothing is no error."""
    key = state.key if key_text is None else key_of(key_text)
    if key is not None:
        is_own = state.key is not None and key.sid == state.key.sid
        base = state.loaded if is_own else None
        if await end(face, state.sender, key.sid, Ending("cleared", None, key.verifier, base=base)) is None:
            await _ends_there(face, key)
        if is_own:
            state.note_gone()
