"""Carrying a session over from the engine that a site moves from: at the first request that brings its key.

The key here is a keyed hash of the one there (``SessionKey.standing_for``), or the very same where both engines are
ours. So whoever comes with that key, in whatever process, makes or finds one session, and no table says which is
whose. What has ended here stays ended: its tombstone is kept until the date (``store/rules.py``).

Servers of the step before may still be writing there. They look here after each write, and this looks there once more
after it has stored the session here: whoever is second takes over what the other one wrote.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured

from django_srvsession import migrating
from django_srvsession.engine import ending, reading, waiting
from django_srvsession.engine.conversion import as_ours
from django_srvsession.engine.keys import SessionKey
from django_srvsession.engine.session import SessionStore
from django_srvsession.engine.state import SessionState, Standing
from django_srvsession.engine.values import SealedValues, is_mark, str_name
from django_srvsession.escaping import escaped
from django_srvsession.migrating.source import Found
from django_srvsession.records import AUTH_KEYS, MOVED, UNSET, Delta, Ending, Loaded, Tombstone
from django_srvsession.store import ConflictError, CreateError, Store, StoreUnavailableError, UpdateError, rules
from django_srvsession.store.face import BlockingFace, Face, run_blocking

_MOMENT_MS: Final = 60_000
_TRIES: Final = 5

log = logging.getLogger("django_srvsession")


async def carry(state: SessionState, face: Face, key: SessionKey) -> SealedValues:
    """Read a session that our store does not have from the other engine, and store it; nothing there reads as empty.

    Raises ``StoreUnavailableError`` where either does not answer: the key stays, and nobody is signed out.
    """
    engine = migrating.coming_from()
    if engine is None:
        return state.close()
    if migrating.is_ours(engine):
        return await _carry_within(state, face, key, engine.store())
    if key.origin is None or (source := migrating.source()) is None:
        return state.close()
    for other in SessionKey.standing_for(key.origin)[1:]:  # By a fallback, before SECRET_KEY was changed.
        stored = await face.load(other.sid)
        if stored is not None:
            return await reading.read(state, face, other, stored)
    return await _carry_from(state, face, key, source)


def carry_named(engine: Any, source: migrating.Source, text: str) -> bool | None:
    """Carry the session of another engine's key into one of ours, without a request, blocking.

    Returns whether that was done: False for one that has expired, or has ended here; None for one that is here already,
    whose rest there is taken away.
    """
    session = engine(None)
    return run_blocking(_carry_named(session._state, BlockingFace(engine.store()), source, text))


async def _carry_named(state: SessionState, face: Face, source: migrating.Source, text: str) -> bool | None:
    keys = SessionKey.standing_for(text)
    for key in keys:
        stored = await face.load(key.sid)
        if stored is not None:
            _end_there(source, key)
            return None if isinstance(stored, Loaded) else False
    await _carry_from(state, face, keys[0], source)
    return state.is_live


async def _carry_from(state: SessionState, face: Face, key: SessionKey, source: migrating.Source) -> SealedValues:
    found = await there(face, source.read, key.origin)
    if found is not None and not source.is_one_visitor_s(found.contents):
        return await _copy(state, face, found)
    if found is not None and (how := await waiting.ended_by(face, found.contents)) is not None:
        await refuse(face, key, source, found.contents, how)
        return await _nothing_there(state, face, key)
    now_ms = face.store.clock_ms
    session = None if found is None else await there(face, as_ours, state, key, found, now_ms)
    if found is not None and session is None:
        return state.close(
            Standing.REFUSED
        )  # It stays there, and its key in the browser: it may be carried over later.
    if found is None or session is None or not session.record.is_live(now_ms):
        return await _nothing_there(state, face, key)
    try:
        stored = await face.restore(session)
    except CreateError:  # It has ended here since, or has got another key.
        return await _nothing_there(state, face, key)
    if not await _may_stay(face, key, session.record.user_id, found):
        await _end_there_after_commit(face, source, key)
        return await _nothing_there(state, face, key)
    again = await there(face, source.read, key.origin)
    if again is not None and again.contents != found.contents:
        stored = await _take_over(state, face, key, stored, *difference(found.contents, again.contents))
    values = await reading.read(state, face, key, stored)
    await _end_there_after_commit(face, source, key)
    return values


async def _may_stay(face: Face, key: SessionKey, user_id: str | None, found: Found) -> bool:
    """End a session that was carried over while all sessions of its user ended; tell whether it was not."""
    how = await waiting.of_user_ended_by(face, user_id, found.contents)
    if how is not None:
        await ending.end(face, SessionStore, key.sid, how)
    elif face.store.in_transaction:  # Where neither sees what the other has not committed yet.
        face.store.on_commit(lambda: run_blocking(_may_stay(BlockingFace(face.store), key, user_id, found)))
    return how is None


async def _copy(state: SessionState, face: Face, found: Found) -> SealedValues:
    """Make a session of its own for a visitor whose key others may have: nobody is to see what another one adds."""
    key, now_ms = SessionKey.generate(), face.store.clock_ms
    session = await there(face, as_ours, state, key, found, now_ms)
    if session is None or not session.record.is_live(now_ms):
        return state.close()
    stored = await face.restore(session)
    state.take_over(key, face.store.in_transaction)
    return await reading.read(state, face, key, stored)


async def _nothing_there(state: SessionState, face: Face, key: SessionKey) -> SealedValues:
    """Look here once more: another request may have carried it over between the two looks of this one."""
    stored = await face.load(key.sid)
    if stored is not None:
        return await reading.read(state, face, key, stored)
    state.note_unknown()
    return state.close()


async def _take_over(
    state: SessionState, face: Face, key: SessionKey, stored: Loaded, changed: Mapping[str, Any], removed: set[str]
) -> Loaded:
    """Write what another server has changed there since this one read."""
    sealer = state.sealer(key)
    delta = Delta(changed=sealer.seal_all(changed), removed=frozenset(removed), extend=False)
    try:
        return await face.update(key.sid, key.verifier, delta, stored)
    except UpdateError:  # A sign-in here was faster.
        return stored


def difference(before: Mapping[Any, Any], after: Mapping[Any, Any]) -> tuple[dict[str, Any], set[str]]:
    """Return which names have another value after than before, and which are gone.

    Not those of a sign-in: a session whose user changes has another key.
    """
    old, new = ({str_name(name): value for name, value in contents.items()} for contents in (before, after))
    fixed = {name for name in (*old, *new) if name in AUTH_KEYS or is_mark(name)}
    changed = {name: new[name] for name in new.keys() - fixed if name not in old or old[name] != new[name]}
    return changed, old.keys() - new.keys() - fixed


# From one store of ours to another: verifiers and seals stay as they are.


async def _carry_within(state: SessionState, face: Face, key: SessionKey, source: Store) -> SealedValues:
    """Store what the other store has under this key's sid, and read it."""
    if source is face.store:
        return state.close()
    stored = await move(face, BlockingFace(source) if face.blocks else source.face(), key.sid, key.verifier)
    if stored is None or rules.has_moved(stored):
        return state.close()
    return await reading.read(state, face, key, stored)


async def move(face: Face, source: Face, sid: str, verifier: str | None = None) -> Loaded | Tombstone | None:
    """Move a session from one store of ours to another; return what is stored here then, or what it left there.

    ``verifier``: only if the session accepts it. A write there while this goes on is taken over, or comes too late.
    """
    if source.store.namespace != face.store.namespace:
        raise ImproperlyConfigured("Seals name the tenant: sessions stay in stores that know the same tenants.")
    stored = await source.load(sid)
    for _ in range(_TRIES):
        if stored is None or rules.has_moved(stored):
            return await face.load(sid)  # Another request may have moved it between the two looks of this one.
        if not isinstance(stored, Loaded):
            return stored
        if not stored.record.is_live(stored.now_ms):
            return None
        if verifier is not None and not stored.record.accepts(verifier, stored.now_ms):
            return stored
        try:
            here = await face.restore(stored)
        except CreateError:
            return await face.load(sid)
        # Only what has not changed since it was read ends.
        if await source.end(sid, Ending(MOVED, base=stored, version=stored.record.version)) is not None:
            return here
        before, stored = stored, await source.load(sid)
        if isinstance(stored, Loaded):
            await _write_over(face, sid, before, stored)
        elif stored is not None and not rules.has_moved(stored):  # It has ended there meanwhile, and that was told.
            await face.end(sid, Ending(stored.reason, stored.by))
    raise StoreUnavailableError("Others keep changing the session that is to be moved.")


async def _write_over(face: Face, sid: str, before: Loaded, after: Loaded) -> None:
    """Make the copy here what the session there has become; the next try finds it stored."""
    changed = {name: value for name, value in after.values.items() if before.values.get(name) != value}
    delta = Delta(changed=changed, removed=frozenset(before.values.keys() - after.values.keys()), extend=False)
    if after.record.verifier != before.record.verifier:
        delta = delta._replace(new_verifier=after.record.verifier, final=after.record.rotation_final)
    with contextlib.suppress(UpdateError, ConflictError):
        await face.update(sid, before.record.verifier, delta)


# Ending, and looking.


async def bury(face: Face, key: SessionKey) -> None:
    """End what a key of another engine stands for, here and there; nobody carries it over afterwards.

    A session of it that has got a newer key stays: the other engine's key does not open it.
    """
    source = migrating.source()
    if source is None or key.origin is None:
        return
    await bury_here(face, key, source)
    await there(face, source.end, key.origin)


async def bury_here(face: Face, key: SessionKey, source: migrating.Source) -> None:
    """Leave a tombstone where a session would be made of a key of another engine, whether there is one or not."""
    found = await there(face, source.read, key.origin)
    if found is not None and not source.is_one_visitor_s(found.contents):
        return
    with contextlib.suppress(CreateError):
        await face.create(key.sid, key.verifier, Delta(lifetime_ms=_MOMENT_MS))
        await face.end(key.sid, Ending("cleared", None, key.verifier))


async def refuse(
    face: Face, key: SessionKey, source: migrating.Source, contents: Mapping[Any, Any], how: Ending
) -> None:
    """End a session that has waited there, as all of its user's have ended; it was never one of ours to open."""
    user_id = await waiting.named_in(face, contents)
    with contextlib.suppress(CreateError):
        await face.create(key.sid, key.verifier, Delta(lifetime_ms=_MOMENT_MS, user_id=user_id or UNSET))
        await ending.end(face, SessionStore, key.sid, how)
    await _end_there_after_commit(face, source, key)


async def is_there(face: Face, key: SessionKey) -> bool:
    """Tell whether the other engine has a live session of a key that nobody has carried over."""
    source = migrating.source()
    found = None if source is None else await there(face, source.read, key.origin)
    return found is not None and await waiting.ended_by(face, found.contents) is None


async def there(face: Face, function: Any, *args: Any) -> Any:
    """Call what may wait for the other engine."""
    return function(*args) if face.blocks else await sync_to_async(function)(*args)


async def _end_there_after_commit(face: Face, source: migrating.Source, key: SessionKey) -> None:
    if face.blocks:
        face.store.on_commit(lambda: _end_there(source, key))
    else:
        await sync_to_async(_end_there)(source, key)


def _end_there(source: migrating.Source, key: SessionKey) -> None:
    """End the other engine's session. Should that fail, its key still stands for nothing but the one here."""
    try:
        source.end(key.origin or "")
    except StoreUnavailableError as error:
        log.warning("Session %s was carried over, and what it was before is still there: %s", key.sid, escaped(error))
