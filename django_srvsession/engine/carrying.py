"""Carrying a session over from the engine that a site moves from: at the first request that brings its key.

The key here is a keyed hash of the one there (``SessionKey.standing_for``). So whoever comes with that key, in whatever
process, makes or finds one session, and no table says which is whose. What has ended here stays ended: its tombstone
is kept until the date (``store/rules.py``).
"""

from __future__ import annotations

import contextlib
import logging
from typing import Any, Final

from asgiref.sync import sync_to_async

from django_srvsession import migrating
from django_srvsession.engine import reading
from django_srvsession.engine.conversion import as_ours
from django_srvsession.engine.keys import SessionKey
from django_srvsession.engine.state import SessionState
from django_srvsession.engine.values import SealedValues
from django_srvsession.escaping import escaped
from django_srvsession.records import Delta, Ending
from django_srvsession.store import CreateError, StoreUnavailableError
from django_srvsession.store.face import Face

log = logging.getLogger("django_srvsession")

_MOMENT_MS: Final = 60_000


async def carry(state: SessionState, face: Face, key: SessionKey) -> SealedValues:
    """Read a session that our store does not have from the other engine, and store it; nothing there reads as empty.

    Raises ``StoreUnavailableError`` where either does not answer: the key stays, and nobody is signed out.
    """
    source = migrating.coming_from()
    if source is None or key.origin is None:
        return state.close()
    for other in SessionKey.standing_for(key.origin)[1:]:  # By a fallback, before SECRET_KEY was changed.
        stored = await face.load(other.sid)
        if stored is not None:
            return await reading.read(state, face, other, stored)
    found = await _there(face, source.read, key.origin)
    now_ms = face.store.clock_ms
    session = None if found is None else await _there(face, as_ours, state, key, found, now_ms)
    if session is None or not session.record.is_live(now_ms):
        return await _nothing_there(state, face, key)
    try:
        stored = await face.restore(session)
    except CreateError:  # It has ended here since, or has got another key.
        return await _nothing_there(state, face, key)
    values = await reading.read(state, face, key, stored)
    if face.blocks:
        face.store.on_commit(lambda: _end_there(source, key))
    else:
        await sync_to_async(_end_there)(source, key)
    return values


async def _nothing_there(state: SessionState, face: Face, key: SessionKey) -> SealedValues:
    """Look here once more: another request may have carried it over between the two looks of this one."""
    stored = await face.load(key.sid)
    if stored is not None:
        return await reading.read(state, face, key, stored)
    state.note_unknown()
    return state.close()


async def bury(face: Face, key: SessionKey) -> None:
    """End what a key of another engine stands for, here and there; nobody carries it over afterwards.

    A session of it that has got a newer key stays: the other engine's key does not open it.
    """
    source = migrating.coming_from()
    if source is None or key.origin is None:
        return
    with contextlib.suppress(CreateError):
        await face.create(key.sid, key.verifier, Delta(lifetime_ms=_MOMENT_MS))
        await face.end(key.sid, Ending("cleared", None, key.verifier))
    await _there(face, source.end, key.origin)


async def is_there(face: Face, key: SessionKey) -> bool:
    """Tell whether the other engine has a live session of a key that nobody has carried over."""
    source = migrating.coming_from()
    return source is not None and await _there(face, source.read, key.origin) is not None


async def _there(face: Face, function: Any, *args: Any) -> Any:
    """Call what may wait for the other engine."""
    return function(*args) if face.blocks else await sync_to_async(function)(*args)


def _end_there(source: migrating.Source, key: SessionKey) -> None:
    """End the other engine's session. Should that fail, its key still stands for nothing but the one here."""
    try:
        source.end(key.origin or "")
    except StoreUnavailableError as error:
        log.warning("Session %s was carried over, and what it was before is still there: %s", key.sid, escaped(error))
