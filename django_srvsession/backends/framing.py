"""Sealed values as runs of bytes, and back: for stores that keep a session's contents in one place.

A run, version 1: the byte 1; the number of values; for each the length of its name and of its value; then name, value,
name, value... Numbers are four bytes, little-endian; names are UTF-8, in which a lone surrogate may stand. Where runs
follow each other, the last value of a name is the one that counts: so a store may append what has changed.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from django_srvsession.store import CorruptSessionError

VERSION: Final = 1
_HEAD: Final = struct.Struct("<BI")


def frame(values: Mapping[str, bytes]) -> bytes:
    """Return the values as one run of bytes, which :func:`unframe` reads."""
    parts: list[bytes] = []
    for name, value in values.items():
        parts += (name.encode("utf-8", "surrogatepass"), value)
    lengths = struct.pack(f"<{len(parts)}I", *map(len, parts))
    return b"".join((_HEAD.pack(VERSION, len(values)), lengths, *parts))


def unframe(data: bytes, place: int = 0) -> dict[str, bytes]:
    """Return the values of all runs from a place on to the end; there is one at least.

    Raises ``CorruptSessionError`` for bytes that :func:`frame` did not make: damaged ones, or a newer version's.
    """
    values: dict[str, bytes] = {}
    try:
        while True:
            run, place = _read_run(data, place)
            values = {**values, **run} if values else run
            if place == len(data):
                return values
    except (struct.error, UnicodeDecodeError) as error:
        raise _damaged() from error


def _read_run(data: bytes, place: int) -> tuple[dict[str, bytes], int]:
    """Return the values of the run at a place, and where it ends."""
    version, count = _HEAD.unpack_from(data, place)
    if version != VERSION:
        raise CorruptSessionError(f"The session's values are in format {version}, which is not known here.")
    place += _HEAD.size
    lengths = struct.unpack_from(f"<{2 * count}I", data, place)
    place += 8 * count
    if place + sum(lengths) > len(data):
        raise _damaged()
    values, pairs = {}, iter(lengths)
    for name_length, value_length in zip(pairs, pairs, strict=True):
        middle = place + name_length
        name, place = _names[data[place:middle]], middle + value_length
        values[name] = data[middle:place]
    if len(values) != count:
        raise _damaged()
    return values, place


def _damaged() -> CorruptSessionError:
    return CorruptSessionError("The session's values are damaged.")


class _Names(dict[bytes, str]):
    """Hold names as text: they come again in every session."""

    def __missing__(self, raw: bytes) -> str:
        if len(self) >= _MOST_NAMES:
            self.clear()
        name = self[raw] = raw.decode("utf-8", "surrogatepass")
        return name


_MOST_NAMES: Final = 1024
_names: Final = _Names()
