"""Sealed values as one run of bytes, and back: for stores that keep a session's contents in one place.

Version 1: the byte 1; the number of values; for each the length of its name and of its value; then name, value, name,
value... Numbers are four bytes, little-endian; names are UTF-8, in which a lone surrogate may stand.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from django_srvsession.store import CorruptSessionError

VERSION: Final = 1
_HEAD: Final = struct.Struct("<BI")


def frame(values: Mapping[str, bytes]) -> bytes:
    """Return the values as bytes that :func:`unframe` reads."""
    parts: list[bytes] = []
    for name, value in values.items():
        parts += (name.encode("utf-8", "surrogatepass"), value)
    lengths = struct.pack(f"<{len(parts)}I", *map(len, parts))
    return b"".join((_HEAD.pack(VERSION, len(values)), lengths, *parts))


def unframe(data: bytes) -> dict[str, bytes]:
    """Return the values that :func:`frame` was given.

    Raises ``CorruptSessionError`` for bytes that it did not make: damaged ones, or a newer version's.
    """
    try:
        version, count = _HEAD.unpack_from(data)
        if version != VERSION:
            raise CorruptSessionError(f"The session's values are in format {version}, which is not known here.")
        lengths = struct.unpack_from(f"<{2 * count}I", data, _HEAD.size)
        place = _HEAD.size + 8 * count
        if place + sum(lengths) != len(data):
            raise CorruptSessionError("The session's values are damaged.")
        values, pairs = {}, iter(lengths)
        for name_length, value_length in zip(pairs, pairs, strict=True):
            middle = place + name_length
            name, place = _names[data[place:middle]], middle + value_length
            values[name] = data[middle:place]
    except (struct.error, UnicodeDecodeError) as error:
        raise CorruptSessionError("The session's values are damaged.") from error
    if len(values) != count:
        raise CorruptSessionError("The session's values are damaged.")
    return values


class _Names(dict[bytes, str]):
    """Hold names as text: they come again in every session."""

    def __missing__(self, raw: bytes) -> str:
        if len(self) >= _MOST_NAMES:
            self.clear()
        name = self[raw] = raw.decode("utf-8", "surrogatepass")
        return name


_MOST_NAMES: Final = 1024
_names: Final = _Names()
