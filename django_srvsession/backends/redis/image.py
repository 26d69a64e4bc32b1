"""A session as the one string that Redis keeps of it, and what stays of an ended one.

A session's string: a head of fixed size (``_HEAD``), the user's id, address and agent, then runs of sealed values
(``backends/framing.py``). A script finds all that its rules need in the head, writes the part that a save changes in
place, and appends the changed values; when as much again has been appended, it writes the string whole.

Numbers are little-endian; instants and spans are milliseconds; ``NEVER`` stands for an instant that there is none of.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from django_srvsession.backends.framing import frame, unframe
from django_srvsession.backends.redis.keys import decoded, encoded
from django_srvsession.records import Client, Loaded, SessionRecord, Tombstone
from django_srvsession.store import CorruptSessionError

SESSION: Final = 1
TOMBSTONE: Final = 2
"""The first byte: what it is, in the format of this version. Another byte is another format, and never written to."""

_TOMBSTONE: Final = bytes([TOMBSTONE])

NEVER: Final = 2**62
ABSENT: Final = 2**32 - 1
"""The length of a text that is None."""

_NO_VERIFIER: Final = bytes(32)
_LUA_CODES: Final = {"B": "B", "s": "c32", "q": "i8", "I": "I4"}


def _layout(codes: str) -> tuple[struct.Struct, str]:
    """Return a layout as Python's :mod:`struct` and as Redis' spell it; ``s`` is 32 bytes."""
    return struct.Struct("<" + codes.replace("s", "32s")), "<" + "".join(map(_LUA_CODES.__getitem__, codes))


_HEAD, LUA_HEAD = _layout("BsqqqqqqIqqqsBIII")
"""kind, verifier; version, last_seen_ms, expires_ms (these three are what a save moves), lifetime_ms, deadline_ms,
until when the user's index is known to hold the session (``NEVER`` without a user), the string's length when it was
last written whole; created_ms, signed_in_ms, rotated_ms, previous verifier, whether the rotation was final; the lengths
of the user's id, of the address and of the agent."""
_TOMB, LUA_TOMBSTONE = _layout("BssqIII")
"""kind, verifier, previous verifier, ended_ms; the lengths of the reason, of by whom, of the user's id."""

LUA_GUARD: Final = _layout("BsqqqqqqI")[1]
"""The part of the head that decides on a save."""

HEAD_BYTES: Final = _HEAD.size
MOVED_FROM: Final = 33
WHOLE_FROM: Final = MOVED_FROM + 6 * 8
LENGTHS_FROM: Final = HEAD_BYTES - 3 * 4
"""Where in the head, in bytes from 0, what a save moves begins; where the whole length stands; the texts' lengths."""
RECORD_BYTES: Final = 512
"""How much to read of a session for its record: all of it but where agent or user are extraordinarily long."""


def raw_verifier(verifier: str) -> bytes:
    """Return a verifier as it is stored, for comparison: what is not hex digits is like no verifier."""
    try:
        return bytes.fromhex(verifier)
    except ValueError:
        return b""


def new_raw_verifier(verifier: str) -> bytes:
    """Return a verifier as it is to be stored; raises ``ValueError`` for what is not 64 hex digits."""
    raw = bytes.fromhex(verifier)
    if len(raw) != len(_NO_VERIFIER):
        raise ValueError("A verifier is 64 hex digits.")
    return raw


def session_image(record: SessionRecord, values: Mapping[str, bytes], indexed_until_ms: int) -> bytes:
    """Return a session as it is stored."""
    user = b"" if record.user_id is None else encoded(record.user_id)
    ip, agent = encoded(record.client.ip), encoded(record.client.user_agent)
    run = frame(values)
    head = _HEAD.pack(
        SESSION,
        new_raw_verifier(record.verifier),
        record.version,
        record.last_seen_ms,
        record.expires_ms,
        record.lifetime_ms,
        _instant(record.deadline_ms),
        NEVER if record.user_id is None else indexed_until_ms,
        HEAD_BYTES + len(user) + len(ip) + len(agent) + len(run),
        record.created_ms,
        _instant(record.signed_in_ms),
        _instant(record.rotated_ms),
        _NO_VERIFIER if record.previous_verifier is None else new_raw_verifier(record.previous_verifier),
        record.rotation_final,
        ABSENT if record.user_id is None else len(user),
        len(ip),
        len(agent),
    )
    return b"".join((head, user, ip, agent, run))


def read_image(sid: str, image: Any, now_ms: int) -> Loaded | Tombstone:
    """Read what :func:`session_image` or a script wrote: a session, or a tombstone.

    Raises :class:`CorruptSessionError` for anything else.
    """
    if type(image) is bytes and image[:1] == _TOMBSTONE:
        return _read_tombstone(sid, image, now_ms)
    record, place = _read_record(sid, image)
    return Loaded(record, unframe(image, place), now_ms)


def read_record(sid: str, image: Any) -> SessionRecord:
    """Read a session's record from its image, or from as much of that as holds it; raises as :func:`read_image`."""
    return _read_record(sid, image)[0]


def is_tombstone(image: Any) -> bool:
    """Tell whether these bytes begin as those of an ended session."""
    return type(image) is bytes and image[:1] == _TOMBSTONE


def record_end(image: Any) -> int:
    """Return where the record ends in a session's image, of which this may be a part; 0 where that is not known."""
    if type(image) is not bytes or len(image) < HEAD_BYTES or image[0] != SESSION:
        return 0
    lengths: tuple[int, ...] = struct.unpack_from("<III", image, LENGTHS_FROM)
    return HEAD_BYTES + sum(length for length in lengths if length != ABSENT)


def _read_record(sid: str, image: Any) -> tuple[SessionRecord, int]:
    try:
        (
            kind,
            verifier,
            version,
            seen,
            expires,
            lifetime,
            deadline,
            _,
            _,
            created,
            signed_in,
            rotated,
            previous,
            final,
            user_length,
            ip_length,
            agent_length,
        ) = _HEAD.unpack_from(image)
        if kind != SESSION:
            raise CorruptSessionError(f"What is stored for session {sid} is of another format.")
        user, place = None, HEAD_BYTES
        if user_length != ABSENT:
            place += user_length
            user = decoded(image[HEAD_BYTES:place])
        client_from, place = place, place + ip_length + agent_length
        if place > len(image):
            raise _damaged(sid)
        record = SessionRecord(
            sid,
            verifier.hex(),
            created,
            seen,
            lifetime,
            expires,
            user,
            _client(image[client_from:place], ip_length),
            None if signed_in == NEVER else signed_in,
            None if deadline == NEVER else deadline,
            None if previous == _NO_VERIFIER else previous.hex(),
            None if rotated == NEVER else rotated,
            final != 0,
            version,
        )
    except (struct.error, TypeError, UnicodeDecodeError) as error:
        raise _damaged(sid) from error
    return record, place


@lru_cache(maxsize=1024)
def _client(ip_and_agent: bytes, ip_length: int) -> Client:
    return Client(decoded(ip_and_agent[:ip_length]), decoded(ip_and_agent[ip_length:]))


def _read_tombstone(sid: str, image: bytes, now_ms: int) -> Tombstone:
    try:
        _, verifier, previous, ended_ms, *lengths = _TOMB.unpack_from(image)
        texts, place = [], _TOMB.size
        for length in lengths:
            end = place + (0 if length == ABSENT else length)
            texts.append(None if length == ABSENT else decoded(image[place:end]))
            place = end
    except (struct.error, UnicodeDecodeError) as error:
        raise _damaged(sid) from error
    reason, by, user_id = texts
    if place != len(image) or reason is None:
        raise _damaged(sid)
    verifiers = (verifier,) if previous == _NO_VERIFIER else (verifier, previous)
    return Tombstone(
        sid=sid,
        verifiers=tuple(each.hex() for each in verifiers),
        reason=reason,
        by=by,
        ended_ms=ended_ms,
        now_ms=now_ms,
        user_id=user_id,
    )


def _instant(instant_ms: int | None) -> int:
    return NEVER if instant_ms is None else instant_ms


def _damaged(sid: str) -> CorruptSessionError:
    return CorruptSessionError(f"What is stored for session {sid} is damaged.")
