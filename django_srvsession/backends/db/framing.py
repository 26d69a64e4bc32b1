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
        values = _cut(data, _HEAD.size + 8 * count, lengths)
    except (struct.error, UnicodeDecodeError) as error:
        raise CorruptSessionError("The session's values are damaged.") from error
    if len(values) != count:
        raise CorruptSessionError("The session's values are damaged.")
    return values


def _cut(data: bytes, place: int, lengths: tuple[int, ...]) -> dict[str, bytes]:
    """Cut names and values out of the bytes from ``place`` on, which they must fill exactly."""
    if place + sum(lengths) != len(data):
        raise CorruptSessionError("The session's values are damaged.")
    values = {}
    for name_length, value_length in zip(lengths[::2], lengths[1::2], strict=True):
        middle = place + name_length
        values[data[place:middle].decode("utf-8", "surrogatepass")] = data[middle : middle + value_length]
        place = middle + value_length
    return values
