"""End a session that is to be somebody else's, or nobody's, and take along all that was stored in it until then."""

from __future__ import annotations

from typing import Any, Final

from django_srvsession.engine.ending import end
from django_srvsession.engine.keys import SessionKey
from django_srvsession.engine.state import SessionState
from django_srvsession.engine.values import SealedValues, str_name
from django_srvsession.engine.writing import as_another_left_it, back_off
from django_srvsession.records import Ending, Loaded
from django_srvsession.store import BUSY, GONE, StoreUnavailableError, UpdateError
from django_srvsession.store.face import Face

_TRIES: Final = 200  # Each time that one try fails, somebody else's write has succeeded.


async def end_as_it_stands(state: SessionState, face: Face, key: SessionKey, values: SealedValues) -> dict[Any, Any]:
    """End the session; return its contents with the changes of this request, and of all that were saved before.

    Raises ``UpdateError`` if it has ended or has another key, ``StoreUnavailableError`` if others never stop to save.
    """
    base, kept = state.loaded, dict(values)
    for attempt in range(_TRIES):
        version = None if base is None else base.record.version
        ending = Ending("replaced", None, key.verifier, base=base, version=version)
        if await end(face, state.sender, key.sid, ending) is not None:
            return kept
        if attempt:
            await back_off(face, attempt)
        base, mark = await as_another_left_it(state, face, key)
        state.learn(base, mark)
        kept = _merged(state, key, values, base)
    raise StoreUnavailableError(BUSY)


def _merged(state: SessionState, key: SessionKey, values: SealedValues, stored: Loaded) -> dict[Any, Any]:
    """Return what another request has left, with the changes of this one."""
    sealer = state.sealer(key)
    changes = values.changes(sealer)
    others = SealedValues(sealer, stored.values, refused=lambda error: state.give_up(key.sid, error))
    kept = {} if changes.cleared else {name: value for name, value in others.items() if name not in changes.removed}
    if state.key_text is None:
        raise UpdateError(GONE)  # One of them is not ours: this ends nothing.
    kept.update((name, value) for name, value in values.items() if str_name(name) in changes.changed)
    return kept
