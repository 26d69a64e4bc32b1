"""Sealed values as runs of bytes, and back: for stores that keep a session's contents in one place.

A run: a byte that says how many bytes each number takes, two or four; the length of the names' part; that part: how
many names, the length of each, the names; the length of each value; the values. Numbers are little-endian. Names are
UTF-8, in which a lone surrogate may stand; those that nearly every session has are one byte (:func:`name_bytes`). Where
runs follow each other, the last value of a name is the one that counts: so a store may add what has changed.

Most sessions of a site have one of a few sets of names, so what stands before the lengths is made, and read, once.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Final, NamedTuple, TypeVar

from django_srvsession.store.errors import LAST_FORMAT, CorruptSessionError, LaterFormatError

K = TypeVar("K")
V = TypeVar("V")

SHORT: Final = 2
LONG: Final = 4
"""The two kinds of runs, by the bytes of a number; the longer ones are for what does not fit, which is rare."""
SHORT_BELOW: Final = 1 << 8 * SHORT
"""What a number of a short run is less than."""

_CODES: Final = {SHORT: "H", LONG: "I"}
_HEADS: Final = {width: struct.Struct(f"<B{code}") for width, code in _CODES.items()}
_MOST_KEPT: Final = 1024
_MOST_KEPT_BYTES: Final = 1024

# By place, which is part of the format: new ones go to the end. They are read by one version, and written by the next.
_KNOWN: Final = (
    "_auth_user_id",
    "_auth_user_backend",
    "_auth_user_hash",
    "_srvsession_record",
    "_session_expiry",
    "_csrftoken",
    "_messages",
    "_srvsession_confirmed",
    "_srvsession_switched",
)
_BYTES_OF: Final = {name: bytes((place,)) for place, name in enumerate(_KNOWN, 1)}
_NAME_OF: Final = {short: name for name, short in _BYTES_OF.items()}
_ESCAPE: Final = b"\0"


class _Head(NamedTuple):
    """Hold what stands before the lengths of values, the names it stands for, and how their lengths are written."""

    data: bytes
    names: tuple[str, ...]
    lengths: struct.Struct


def name_bytes(name: str) -> bytes:
    """Return a name as it is stored: one byte for some, else its UTF-8; what begins like one of these is escaped."""
    short = _BYTES_OF.get(name)
    if short is not None:
        return short
    written = name.encode("utf-8", "surrogatepass")
    return _ESCAPE + written if written[:1] < b" " and written else written


def name_of(stored: bytes) -> str:
    """Return the name that :func:`name_bytes` has written; raises ``CorruptSessionError`` for anything else."""
    if stored[:1] >= b" " or not stored:
        return stored.decode("utf-8", "surrogatepass")
    if stored[:1] == _ESCAPE:
        return stored[1:].decode("utf-8", "surrogatepass")
    try:
        return _NAME_OF[stored]
    except KeyError:
        raise LaterFormatError("A value of the session has a name that is not known here.") from None


def frame(values: Mapping[str, bytes]) -> bytes:
    """Return the values as one run of bytes, which :func:`unframe` reads."""
    bodies = values.values()
    head = _written[tuple(values)]
    try:
        return b"".join((head.data, head.lengths.pack(*map(len, bodies)), *bodies))
    except struct.error:  # A value is longer than a short run can say.
        head = _head(head.names, LONG)
        return b"".join((head.data, head.lengths.pack(*map(len, bodies)), *bodies))


def unframe(data: bytes, place: int = 0, end: int | None = None) -> dict[str, bytes]:
    """Return the values of all runs, there is one at least, from a place to where they end: with the data, as a rule.

    Raises ``CorruptSessionError`` for bytes that :func:`frame` did not make: damaged ones, or a newer version's.
    """
    end = len(data) if end is None else end
    try:
        values, place = _read_run(data, place)
        while place < end:
            run, place = _read_run(data, place)
            values |= run
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise _damaged() from error
    if place != end:
        raise _damaged()
    return values


def _read_run(data: bytes, place: int) -> tuple[dict[str, bytes], int]:
    """Return the values of the run at a place, and where it ends."""
    width, start = data[place], place
    if width not in _HEADS:
        is_later = LONG < width <= LAST_FORMAT
        raise (LaterFormatError if is_later else CorruptSessionError)(f"The session's values are in format {width}.")
    place += 1 + width + _HEADS[width].unpack_from(data, place)[1]
    _, names, lengths = _read[data[start:place]]
    sizes = lengths.unpack_from(data, place)
    place += lengths.size
    values = {}
    for name, size in zip(names, sizes, strict=False):  # There are as many.
        end = place + size
        values[name] = data[place:end]
        place = end
    return values, place


def _head(names: Sequence[str], width: int) -> _Head:
    written = [name_bytes(name) for name in names]
    code = _CODES[width]
    part = struct.pack(f"<{len(written) + 1}{code}", len(written), *map(len, written)) + b"".join(written)
    head = _HEADS[width].pack(width, len(part)) + part
    return _Head(head, tuple(names), struct.Struct(f"<{len(written)}{code}"))


def _damaged() -> CorruptSessionError:
    return CorruptSessionError("The session's values are damaged.")


class _Read(dict[bytes, _Head]):
    """Hold what the bytes before the lengths stand for."""

    def __missing__(self, head: bytes) -> _Head:
        width = head[0]
        code, begin = _CODES[width], 1 + width
        (count,) = struct.unpack_from(f"<{code}", head, begin)
        name_lengths = struct.unpack_from(f"<{count}{code}", head, begin + width)
        places = [*accumulate(name_lengths, initial=begin + width * (1 + count))]
        names = tuple(name_of(head[start:end]) for start, end in pairwise(places))
        if places[-1] != len(head) or len(set(names)) != count:
            raise _damaged()
        return _keep(self, head, _Head(head, names, struct.Struct(f"<{count}{code}")), len(head))


class _Written(dict[tuple[str, ...], _Head]):
    """Hold the bytes before the lengths that stand for some names; short, if they fit."""

    def __missing__(self, names: tuple[str, ...]) -> _Head:
        try:
            head = _head(names, SHORT)
        except struct.error:
            head = _head(names, LONG)
        return _keep(self, names, head, len(head.data))


def _keep(kept: dict[K, V], key: K, value: V, size_bytes: int) -> V:
    """Keep an entry, in bounds: names may be a visitor's choice."""
    if size_bytes <= _MOST_KEPT_BYTES:
        if len(kept) >= _MOST_KEPT:
            kept.clear()
        kept[key] = value
    return value


_read: Final = _Read()
_written: Final = _Written()
