"""Changing one value at once and atomically, and reading the session again."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final

from django_srvsession.engine.keys import SessionKey
from django_srvsession.engine.reading import contents, find, load
from django_srvsession.engine.seal import SealError
from django_srvsession.engine.state import SessionState, Standing
from django_srvsession.engine.values import SealedValues
from django_srvsession.engine.writing import back_off, create
from django_srvsession.records import Delta
from django_srvsession.store import GONE, ConflictError, UpdateError
from django_srvsession.store.face import Face

_CHANGE_TRIES: Final = 200


async def change(
    state: SessionState, face: Face, name: str, function: Callable[[Any], Any], default: Any = None
) -> Any:
    """Replace one value by ``function(value)``, at once and atomically; see ``SessionStore.change``."""
    values = await contents(state, face)
    key = state.key
    if key is None:
        return await _change_new(state, face, values, name, function, default)
    base = await find(state, face, key)
    sealer = state.sealer(key)
    sealed = base.values.get(name)
    # What this request did to the value and has not stored yet stands in for the stored one.
    is_pending, pending = values.is_pending(name), values.peek(name, default)
    before = values.held(name)
    for attempt in range(_CHANGE_TRIES):
        current = default if sealed is None else _reopened(state, key, name, sealed)
        value = function(copy.deepcopy(pending) if is_pending else current)
        changed = sealer.seal(name, sealer.serialize(value))
        delta = Delta(changed={name: changed}, expected={name: sealed})
        try:
            loaded = await face.update(key.sid, key.verifier, delta, state.loaded)
        except ConflictError as conflict:
            if attempt == _CHANGE_TRIES - 1:
                raise
            sealed = conflict.current.get(name)
            await back_off(face, attempt)
        else:
            state.adopt(key, loaded)
            values.stored_one(name, changed, value, sealer, before)
            return value
    raise AssertionError("unreachable")


def _reopened(state: SessionState, key: SessionKey, name: str, sealed: bytes) -> Any:
    sealer = state.sealer(key)
    try:
        return sealer.open(name, sealed)
    except SealError as error:
        state.give_up(key.sid, error)
        raise UpdateError("The stored value is not to be trusted, and stays as it is.") from error


async def _change_new(
    state: SessionState, face: Face, values: SealedValues, name: str, function: Callable[[Any], Any], default: Any
) -> Any:
    """Start a session that holds this one value; what else is assigned stays pending."""
    before = values.held(name)
    value = function(values.peek(name, default))
    if state.key_text is not None:
        raise UpdateError(GONE)
    if state.standing is Standing.JUST_ENDED:
        values.put(name, value)  # For this answer only: the browser may hold a newer cookie already.
        return value
    one = SealedValues()
    one.put(name, value)
    await create(state, face, one)
    if (key := state.key) is not None and state.loaded is not None:  # create() left them.
        values.stored_one(name, state.loaded.values[name], value, state.sealer(key), before)
    return value


async def reload(state: SessionState, face: Face) -> None:
    """Drop what is not saved and read the session again; raises ``UpdateError`` if it is gone."""
    had_key = state.key_text is not None
    state.read_again(await load(state, face) if had_key else SealedValues())
    if had_key and state.key_text is None:
        raise UpdateError(GONE)
