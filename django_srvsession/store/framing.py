"""Sealed values as runs of bytes, and back: for stores that keep a session's contents in one place.

A run, version 1: the byte 1; the length of the names' part; that part: how many names, the length of each, the names;
the length of each value; the values. Numbers are four bytes, little-endian; names are UTF-8, in which a lone surrogate
may stand. Where runs follow each other, the last value of a name is the one that counts: so a store may add what has
changed.

Most sessions of a site have one of a few sets of names, so their names' parts are made, and read, once.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from itertools import accumulate, pairwise
from typing import Final, TypeVar

from django_srvsession.store.errors import CorruptSessionError

K = TypeVar("K")
V = TypeVar("V")

VERSION: Final = 1
_HEAD: Final = struct.Struct("<BI")
_MOST_KEPT: Final = 1024
_MOST_KEPT_BYTES: Final = 1024


def frame(values: Mapping[str, bytes]) -> bytes:
    """Return the values as one run of bytes, which :func:`unframe` reads."""
    part, bodies = _parts[tuple(values)], values.values()
    lengths = struct.pack(f"<{len(bodies)}I", *map(len, bodies))
    return b"".join((_HEAD.pack(VERSION, len(part)), part, lengths, *bodies))


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
    except (struct.error, UnicodeDecodeError) as error:
        raise _damaged() from error
    if place != end:
        raise _damaged()
    return values


def _read_run(data: bytes, place: int) -> tuple[dict[str, bytes], int]:
    """Return the values of the run at a place, and where it ends."""
    version, part_length = _HEAD.unpack_from(data, place)
    if version != VERSION:
        raise CorruptSessionError(f"The session's values are in format {version}, which is not known here.")
    place += _HEAD.size
    names = _names[data[place : place + part_length]]
    place += part_length
    lengths = struct.unpack_from(f"<{len(names)}I", data, place)
    place += 4 * len(names)
    values = {}
    for name, length in zip(names, lengths, strict=False):  # There are as many.
        end = place + length
        values[name] = data[place:end]
        place = end
    return values, place


def _damaged() -> CorruptSessionError:
    return CorruptSessionError("The session's values are damaged.")


class _Names(dict[bytes, tuple[str, ...]]):
    """Hold the names that a names' part stands for."""

    def __missing__(self, part: bytes) -> tuple[str, ...]:
        (count,) = struct.unpack_from("<I", part)
        lengths = struct.unpack_from(f"<{count}I", part, 4)
        places = [*accumulate(lengths, initial=4 + 4 * count)]
        names = tuple(part[start:end].decode("utf-8", "surrogatepass") for start, end in pairwise(places))
        if places[-1] != len(part) or len(set(names)) != count:
            raise _damaged()
        return _keep(self, part, names, len(part))


class _Parts(dict[tuple[str, ...], bytes]):
    """Hold the names' part that stands for some names."""

    def __missing__(self, names: tuple[str, ...]) -> bytes:
        encoded = [name.encode("utf-8", "surrogatepass") for name in names]
        part = struct.pack(f"<{len(encoded) + 1}I", len(encoded), *map(len, encoded)) + b"".join(encoded)
        return _keep(self, names, part, len(part))


def _keep(kept: dict[K, V], key: K, value: V, size_bytes: int) -> V:
    """Keep an entry, in bounds: names may be a visitor's choice."""
    if size_bytes <= _MOST_KEPT_BYTES:
        if len(kept) >= _MOST_KEPT:
            kept.clear()
        kept[key] = value
    return value


_names: Final = _Names()
_parts: Final = _Parts()
