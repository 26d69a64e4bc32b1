"""The lazy mapping of sealed values behind ``session._session``; what changed since the load is computed, not tracked.

Values stay sealed bytes until they are used. At save, every value that was assigned, or that was handed out and can
change in place (a list, a dict), is serialized again and compared with the bytes that were loaded. So a change inside
a list is found without ``session.modified = True``, and a mere read never becomes a write.

*Marks* are values of this package's own (when a password was confirmed). Their names begin with ``MARK_PREFIX``. They
are sealed and stored like all others, but the mapping neither shows nor takes them: a view that keeps whatever names a
visitor sends cannot forge one, and contents that are copied into another session leave them behind.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

from django.contrib.sessions.exceptions import SuspiciousSession

from django_srvsession.engine.seal import Sealer, SealError, is_current, under_fallbacks
from django_srvsession.records import AUTH_KEYS

HASH_KEY: Final = AUTH_KEYS[2]
MARK_PREFIX: Final = "_srvsession_"
_IMMUTABLE: Final = frozenset({str, int, float, bool, type(None), bytes})


_make_lock: Final = type(threading.RLock())  # What threading.RLock() calls.
_DROPPED: Final = object()
_CLOSED: Final = object()


class Changes(NamedTuple):
    """Hold what differs from what was loaded: sealed values by name, dropped names, and seals made anew."""

    changed: dict[str, bytes]
    removed: frozenset[str]
    cleared: bool
    resealed: dict[str, tuple[bytes, bytes]]
    state: object = None
    """What :attr:`SealedValues.state` was."""

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed or self.cleared or self.resealed)


class SealedValues(MutableMapping[Any, Any]):
    """Map session keys to values, verifying and opening each sealed value when it is first used.

    ``base`` holds the stored bytes, of which the caller has verified and ``opened`` some. ``refused`` is called, once,
    when a value turns out not to be ours, or cannot be opened; the mapping then reads as empty. ``cleared`` says that
    the stored session may hold keys that are not in ``base`` and that a save must drop them.
    """

    def __init__(
        self,
        sealer: Sealer | None = None,
        base: Mapping[str, bytes] | None = None,
        *,
        opened: dict[Any, Any] | None = None,
        cleared: bool = False,
        refused: Callable[[SealError], object] | None = None,
    ) -> None:
        self._sealer = sealer
        self._base: Mapping[str, bytes] = {} if base is None else base  # Replaced when it changes, never written to.
        self._open: dict[Any, Any] = {} if opened is None else opened
        self._assigned: set[Any] = set()
        self._removed: set[str] = set()
        self._cleared = cleared
        self._refused = refused
        # What threads of one request assign while another one saves is neither lost nor in its way.
        self._lock = _make_lock()
        self._has_marks = False  # Whether a mark may be among the open values.
        self.state: object = None
        """Stands for what is assigned and dropped: another object after each such change."""

    # The mapping.

    def __getitem__(self, name: Any) -> Any:
        if name in self._open and not self._has_marks:
            return self._open[name]
        if is_mark(name):
            raise KeyError(name)
        return self._opened(name)

    def _opened(self, name: Any) -> Any:
        if name not in self._open:
            if name not in self._base or name in self._removed:
                raise KeyError(name)
            self._open_all((name,))
        return self._open[name]

    def _open_all(self, names: Iterable[str]) -> None:
        """Verify and open stored values; when one of them is not ours, the mapping is empty after that."""
        if self._sealer is None:
            return
        try:
            payloads = self._sealer.payloads(self._base, names)
            with self._lock:
                for name, payload in payloads.items():
                    if name not in self._open and name not in self._removed:
                        self._open[name] = self._sealer.load(payload)
        except SealError as error:
            self.refuse(error)

    def get(self, name: Any, default: Any = None) -> Any:
        """Return the value of a name, or ``default``."""
        if name not in self._open and name not in self._base:
            return default  # Nearly always so for ``_session_expiry``, which every save asks for.
        try:
            return self[name]
        except KeyError:
            return default

    def __setitem__(self, name: Any, value: Any) -> None:
        refuse_mark(name)
        self.put(name, value)

    def put(self, name: Any, value: Any) -> None:
        """Assign a value, also to the name of a mark."""
        self._has_marks = self._has_marks or is_mark(name)
        with self._lock:
            self._open[name] = value
            self._assigned.add(name)
            self._removed.discard(name)
            self.state = object()

    def update(self, other: Any = (), /, **names: Any) -> None:
        """Assign all that another mapping, or iterable of pairs, holds, as ``dict.update`` does."""
        values = dict(other, **names)
        for name in values:
            if isinstance(name, str) and name.startswith(MARK_PREFIX):  # As is_mark(), for contents of any size.
                refuse_mark(name)
        with self._lock:
            self._open.update(values)
            self._assigned.update(values)
            self._removed.difference_update(values)
            self.state = object()

    def __delitem__(self, name: Any) -> None:
        if name not in self:
            raise KeyError(name)
        self.discard(name)

    def discard(self, name: Any) -> None:
        """Drop a name, also that of a mark, if it is there."""
        with self._lock:
            self._open.pop(name, None)
            self._assigned.discard(name)
            if name in self._base:
                self._removed.add(name)
            self.state = object()

    def __contains__(self, name: object) -> bool:
        """Tell whether there is a value under this name: one that is ours, so it is verified and opened."""
        if name not in self._open and name in self._base and not is_mark(name):
            with suppress(KeyError):
                self._opened(name)
        return name in self._open and not is_mark(name)

    def __iter__(self) -> Iterator[Any]:
        # All are opened before a name is handed out: one that does not open empties the mapping.
        self._open_all([name for name in self._names() if name not in self._open])
        yield from self._names()

    def __len__(self) -> int:
        self._open_all([name for name in self._names() if name not in self._open])
        return len(self._names())

    def __eq__(self, other: object) -> bool:
        return dict(self) == dict(other) if isinstance(other, Mapping) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __deepcopy__(self, memo: dict[int, Any]) -> SealedValues:
        """Return contents of their own: equal values, and what is pending is pending in both."""
        other = SealedValues(self._sealer, self._base, opened=copy.deepcopy(self._open, memo), cleared=self._cleared)
        other._assigned, other._removed = set(self._assigned), set(self._removed)
        other._has_marks = self._has_marks
        return other

    def __copy__(self) -> SealedValues:
        return copy.deepcopy(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("The contents of a session cannot be pickled. Pickle a plain copy: dict(session.items()).")

    def __repr__(self) -> str:
        # Names only: values do not belong into logs and error reports.
        return f"<{type(self).__name__} of {sorted(map(str, self._names()))}>"

    def _names(self) -> list[Any]:
        """List all names but those of marks, without opening a value."""
        stored = [name for name in self._base if name not in self._removed and not is_mark(name)]
        return stored + [name for name in self._open if name not in self._base and not is_mark(name)]

    def copy(self) -> dict[Any, Any]:
        """Return the opened values as a plain dict, as ``dict.copy`` would."""
        return dict(self)

    # Marks.

    def peek(self, name: Any, default: Any = None) -> Any:
        """Return the value of a name, also of a mark, or ``default``."""
        self._has_marks = self._has_marks or is_mark(name)
        try:
            return self._opened(name)
        except KeyError:
            return default

    # What changed.

    @property
    def is_cleared(self) -> bool:
        """Tell whether a save drops every stored name that was not assigned since."""
        return self._cleared

    def is_assigned(self, name: str) -> bool:
        """Tell whether this name was assigned since the load, also with an equal value."""
        return name in self._assigned

    def is_dropped(self, name: str) -> bool:
        """Tell whether a save will remove this name from the stored session."""
        return name in self._removed or (self._cleared and name not in self)

    def is_pending(self, name: str) -> bool:
        """Tell whether this request changed the name in any way that is not stored yet."""
        return (
            name in self._assigned
            or self.is_dropped(name)
            or (name in self._open and type(self._open[name]) not in _IMMUTABLE and self._differs(name))
        )

    def assigned(self) -> dict[Any, Any]:
        """Return what was assigned since the load, by name, without marks."""
        return {name: self._open[name] for name in self._assigned if not is_mark(name)}

    @property
    def is_changed_in_place(self) -> bool:
        """Tell whether a value that was handed out differs from what was loaded; no I/O."""
        values = list(self._open.items())
        return any(type(value) not in _IMMUTABLE and self._differs(name) for name, value in values)

    def changes(self, sealer: Sealer) -> Changes:
        """Compute what differs from what was loaded, sealed by ``sealer``.

        The keys of ``django.contrib.auth`` are one group: when one differs, all are named. Raises what the serializer
        raises for a value that it does not take (``TypeError`` for JSON): nothing is stored then.
        """
        with self._lock:
            return self._changes(sealer)

    def _changes(self, sealer: Sealer) -> Changes:
        state = self.state
        names = {}
        for name, value in list(self._open.items()):
            may_differ = self._cleared or name in self._assigned or type(value) not in _IMMUTABLE
            if may_differ and self._differs(name):
                names[str_name(name)] = name
        if not names.keys().isdisjoint(AUTH_KEYS) or not self._removed.isdisjoint(AUTH_KEYS):
            names.update((name, name) for name in AUTH_KEYS if name in self)
        changed = sealer.seal_all({name: self._opened(key) for name, key in names.items()})
        removed = frozenset(self._removed - changed.keys())
        return Changes(changed, removed, self._cleared, self._resealed(sealer, changed), state)

    def everything(self, sealer: Sealer) -> dict[str, bytes]:
        """Seal all values for another session (its sealer is bound to another sid); of marks only those just set."""
        with self._lock:
            return self._everything(sealer)

    def _everything(self, sealer: Sealer) -> dict[str, bytes]:
        if self._base:
            list(self)  # Opens what is not open yet.
        values = self._open
        if self._has_marks:
            values = {name: value for name, value in values.items() if not is_mark(name) or name in self._assigned}
        if {*map(type, values)} - {str}:
            values = {str_name(name): value for name, value in values.items()}
        return sealer.seal_all(values)

    def stored(self, changes: Changes, sealer: Sealer) -> None:
        """Take note that ``changes`` are stored: they are what later changes are compared with."""
        with self._lock:
            self._stored(changes, sealer)

    def _stored(self, changes: Changes, sealer: Sealer) -> None:
        base = {} if changes.cleared else dict(self._base)
        for name in changes.removed:
            base.pop(name, None)
        base.update({name: new for name, (_, new) in changes.resealed.items()})
        base.update(changes.changed)
        self._base = base
        self._sealer, self._cleared = sealer, False
        if changes.state is self.state:
            self._assigned.clear()
            self._removed.clear()
        else:  # Another task or thread has assigned or dropped something while this was stored.
            stored = {name for name in self._assigned if str_name(name) in changes.changed}
            self._assigned -= {name for name in stored if not self._differs(name)}
            self._removed -= changes.removed
            self._removed |= changes.changed.keys() - set(map(str_name, self._open))
        if {*map(type, self._open)} - {str}:
            # They are stored as JSON spells them; keep one entry per stored name.
            self._open = {str_name(name) if str_name(name) in self._base else name: v for name, v in self._open.items()}

    def stored_one(self, name: str, sealed: bytes, value: Any, sealer: Sealer, before: object) -> None:
        """Take note that one value was stored by itself; all else that is not stored stays pending.

        So does what was assigned to this name meanwhile: if :meth:`held` does not say ``before`` any more.
        """
        with self._lock:
            self._base = {**self._base, name: sealed}
            self._sealer = sealer
            if self.held(name) is before:
                self._open[name] = value
                self._assigned.discard(name)
                self._removed.discard(name)

    def held(self, name: str) -> object:
        """Return the very object that stands under a name, or what says that it is dropped, or not open yet."""
        return self._open.get(name, _DROPPED if name in self._removed else _CLOSED)

    def refuse(self, error: SealError) -> None:
        """Empty the mapping because what is stored cannot be trusted; nothing of this is a change."""
        self._base, self._open = {}, {}
        self._assigned.clear()
        self._removed.clear()
        if self._refused is not None:
            self._refused(error)

    def _differs(self, name: Any) -> bool:
        """Compare an open value with the stored bytes, without writing anything."""
        stored_name = str_name(name)
        base = self._base.get(stored_name)
        if base is None or self._sealer is None or self._cleared:
            return True
        value = self._open[name]
        try:
            if name in self._assigned:  # Maybe without a look at what it replaces.
                payload = self._sealer.payloads(self._base, (stored_name,))[stored_name]
            else:
                payload = self._sealer.payload(base)
            if self._sealer.serialize(value) == payload:
                return False
            # Other bytes need not be another value (a pickled set, a dict in another order, another encoder).
            return not is_same(value, self._sealer.load(payload))
        except (TypeError, ValueError, RecursionError):
            return True  # The save will say what is wrong with it.

    def _resealed(self, sealer: Sealer, changed: Mapping[str, bytes]) -> dict[str, tuple[bytes, bytes]]:
        """Seal anew, under the current secret, what a fallback sealed and this request leaves as it is."""
        resealed = {}
        for name in under_fallbacks(self._base):
            if name not in changed and name not in self._removed and name != HASH_KEY:
                with suppress(SealError):  # What is not ours stays as it is, for whoever reads it.
                    payload = sealer.payloads(self._base, (name,))[name]
                    resealed[name] = self._base[name], sealer.seal(name, payload)
        return resealed

    @property
    def needs_resealing(self) -> bool:
        """Tell whether a stored value is sealed under a fallback secret."""
        return any(name != HASH_KEY for name in under_fallbacks(self._base))

    @property
    def only_renews_hash(self) -> bool:
        """Tell whether nothing was assigned but a new auth hash for one of a fallback secret."""
        sealed = self._base.get(HASH_KEY)
        is_renewal = self._assigned == {HASH_KEY} and sealed is not None and not is_current(sealed)
        return is_renewal and not self._removed and not self._cleared and not self.is_changed_in_place

    @property
    def awaits_new_hash(self) -> bool:
        """Tell whether the auth hash is one of a fallback secret, and this request has not made a new one.

        Its seal tells: nobody but who makes the hash anew seals it anew.
        """
        sealed = self._base.get(HASH_KEY)
        return sealed is not None and not is_current(sealed) and HASH_KEY not in self._assigned


def is_mark(name: object) -> bool:
    """Tell whether a name is reserved for marks."""
    return isinstance(name, str) and name.startswith(MARK_PREFIX)


def refuse_mark(name: object) -> None:
    """Raise ``SuspiciousSession`` (an answer of 400) for a name that is reserved: visitors may have chosen it."""
    if is_mark(name):
        raise SuspiciousSession(f"Session keys that begin with {MARK_PREFIX!r} are reserved.")


def str_name(name: Any) -> str:
    """Return a session key's name as JSON would store it (``1`` as ``"1"``, ``True`` as ``"true"``)."""
    if isinstance(name, str):
        return name
    if name is None or isinstance(name, bool):
        return {None: "null", True: "true", False: "false"}[name]
    if isinstance(name, int | float):
        return repr(name)
    raise TypeError(f"A session key must be a str, int, float, bool or None, not {type(name).__name__}.")


def is_same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal, and of the same types at every depth (``1`` is not ``True``)."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_same(value, other[name]) for name, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other)
