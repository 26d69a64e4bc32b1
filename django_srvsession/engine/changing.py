"""Changing one value at once and atomically, and reading the session again."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any, Final

from django_srvsession.engine.keys import SessionKey
from django_srvsession.engine.reading import Found
from django_srvsession.engine.saving import SessionSaving
from django_srvsession.engine.seal import SealError
from django_srvsession.engine.steps import Call, Pause, Steps
from django_srvsession.engine.values import SealedValues
from django_srvsession.records import Delta
from django_srvsession.store import GONE, ConflictError, UpdateError

_CHANGE_TRIES: Final = 200


class SessionLifecycle(SessionSaving):
    """Hold one request's view of a session, and the procedures that load, save, rotate, end and change it."""

    def change_steps(self, name: str, function: Callable[[Any], Any], default: Any = None) -> Steps[Any]:
        """Replace one value by ``function(value)``, at once and atomically; see ``SessionStore.change``."""
        values = yield from self.values_steps()
        key = self._key
        if key is None:
            return (yield from self._change_new_steps(values, name, function, default))
        if self._loaded is None:
            self._loaded = yield from self._find_steps(key)
        sealer = self._sealer(key)
        sealed = self._loaded.values.get(name)
        # What this request did to the value and has not stored yet stands in for the stored one.
        is_pending, pending = values.is_pending(name), values.peek(name, default)
        before = values.held(name)
        for attempt in range(_CHANGE_TRIES):
            current = default if sealed is None else self._reopened(key, name, sealed)
            value = function(copy.deepcopy(pending) if is_pending else current)
            changed = sealer.seal(name, sealer.serialize(value))
            delta = Delta(changed={name: changed}, expected={name: sealed})
            try:
                loaded = yield Call("update", (key.sid, key.verifier, delta, self._loaded))
            except ConflictError as conflict:
                if attempt == _CHANGE_TRIES - 1:
                    raise
                sealed = conflict.current.get(name)
                yield Pause(random.uniform(0, min(0.001 * 2 ** min(attempt, 6), 0.05)))  # noqa: S311 - jitter is no secret
            else:
                self._adopt(key, loaded)
                values.stored_one(name, changed, value, sealer, before)
                return value
        raise AssertionError("unreachable")

    def _reopened(self, key: SessionKey, name: str, sealed: bytes) -> Any:
        sealer = self._sealer(key)
        try:
            sealer.verify(name, sealed)
            return sealer.open(sealed)
        except SealError as error:
            self._session_cache = self._refuse(key.sid, error)
            raise UpdateError("The stored value is not to be trusted, and stays as it is.") from error

    def _change_new_steps(
        self, values: SealedValues, name: str, function: Callable[[Any], Any], default: Any
    ) -> Steps[Any]:
        """Start a session that holds this one value; what else is assigned stays pending."""
        before = values.held(name)
        value = function(values.peek(name, default))
        if self._session_key is not None:
            raise UpdateError(GONE)
        if self._found is Found.JUST_ENDED:
            values.put(name, value)  # For this answer only: the browser may hold a newer cookie already.
            return value
        one = SealedValues()
        one.put(name, value)
        yield from self.create_steps(one)
        if (key := self._key) is not None and self._loaded is not None:  # create_steps() left them.
            values.stored_one(name, self._loaded.values[name], value, self._sealer(key), before)
        return value

    def reload_steps(self) -> Steps[None]:
        """Drop what is not saved and read the session again; raises ``UpdateError`` if it is gone."""
        had_key = self._session_key is not None
        self._session_cache = SealedValues() if not had_key else (yield from self.load_steps())
        self._modified = False
        if had_key and self._session_key is None:
            raise UpdateError(GONE)
