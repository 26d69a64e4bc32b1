"""A session as the one string that Redis keeps of it, and what stays of an ended one.

A session's string: a head of fixed size (``_HEAD``), the user's id, address and agent, runs of sealed values
(``backends/framing.py``), and some room. A script finds all that its rules need in the head, overwrites the part that a
save moves, and puts the changed values into the room; when there is too little, it writes the string whole.

The room is there because Redis doubles what it keeps for a string that grows.

Numbers are little-endian; instants and spans are milliseconds; ``NEVER`` stands for an instant that there is none of.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from django_srvsession.backends.redis.keys import decoded, encoded
from django_srvsession.records import NO_CLIENT, Client, Loaded, SessionRecord, Tombstone, is_sound
from django_srvsession.store import CorruptSessionError
from django_srvsession.store.framing import frame, unframe

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


_HEAD, LUA_HEAD = _layout("BsqqqIqqqqqqsBIII")
"""kind, verifier; version, last_seen_ms, expires_ms, how many bytes are in use (these four are what a save moves);
lifetime_ms, deadline_ms, until when the user's index is known to hold the session (``NEVER`` without a user);
created_ms, signed_in_ms, rotated_ms, previous verifier, whether the rotation was final; the lengths of the user's id,
of the address and of the agent."""
_TOMB, LUA_TOMBSTONE = _layout("BssqIII")
"""kind, verifier, previous verifier, ended_ms; the lengths of the reason, of by whom, of the user's id."""

LUA_GUARD: Final = _layout("BsqqqIqqq")[1]
"""The part of the head that decides on a save."""
LUA_MOVED: Final = _layout("qqqI")[1]

HEAD_BYTES: Final = _HEAD.size
MOVED_FROM: Final = 1 + 32
MOVED_TO: Final = MOVED_FROM + 3 * 8 + 4
INDEXED_FROM: Final = MOVED_TO + 2 * 8
LENGTHS_FROM: Final = HEAD_BYTES - 3 * 4
"""In bytes from 0: where in the head what a save moves begins and ends, the index's bound stands, the lengths stand."""
ROOM_BYTES: Final = 256
ROOM_SHARE: Final = 8
"""The room in a string that is written whole: an eighth of what is in use, and so much at least."""
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
    client, deadline_ms = record.client, record.deadline_ms
    ip, agent = (b"", b"") if client is NO_CLIENT else (encoded(client.ip), encoded(client.user_agent))
    run = frame(values)
    used = HEAD_BYTES + len(user) + len(ip) + len(agent) + len(run)
    head = _HEAD.pack(
        SESSION,
        new_raw_verifier(record.verifier),
        record.version,
        record.last_seen_ms,
        record.expires_ms,
        used,
        record.lifetime_ms,
        NEVER if deadline_ms is None else deadline_ms,
        NEVER if record.user_id is None else indexed_until_ms,
        record.created_ms,
        NEVER if record.signed_in_ms is None else record.signed_in_ms,
        NEVER if record.rotated_ms is None else record.rotated_ms,
        _NO_VERIFIER if record.previous_verifier is None else new_raw_verifier(record.previous_verifier),
        record.rotation_final,
        ABSENT if record.user_id is None else len(user),
        len(ip),
        len(agent),
    )
    return b"".join((head, user, ip, agent, run, bytes(max(ROOM_BYTES, used // ROOM_SHARE))))


def read_image(sid: str, image: Any, now_ms: int) -> Loaded | Tombstone:
    """Read what :func:`session_image` or a script wrote: a session, or a tombstone.

    Raises :class:`CorruptSessionError` for anything else.
    """
    if type(image) is bytes and image[:1] == _TOMBSTONE:
        return _read_tombstone(sid, image, now_ms)
    record, place, end = _read_record(sid, image)
    if end > len(image):
        raise _damaged(sid)
    return Loaded(record, unframe(image, place, end), now_ms)


def read_record(sid: str, image: Any) -> SessionRecord:
    """Read a session's record from its image, or from as much of that as holds it; raises as :func:`read_image`."""
    return _read_record(sid, image)[0]


def is_tombstone(image: Any) -> bool:
    """Tell whether these bytes begin as those of an ended session."""
    return type(image) is bytes and image[:1] == _TOMBSTONE


def indexed_until_ms(image: bytes) -> int:
    """Return until when the user's index is known to hold a session, by a record that was read."""
    return int(struct.unpack_from("<q", image, INDEXED_FROM)[0])


def record_end(image: Any) -> int:
    """Return where the record ends in a session's image, of which this may be a part; 0 where that is not known."""
    if type(image) is not bytes or len(image) < HEAD_BYTES or image[0] != SESSION:
        return 0
    lengths: tuple[int, ...] = struct.unpack_from("<III", image, LENGTHS_FROM)
    return HEAD_BYTES + sum(length for length in lengths if length != ABSENT)


def _read_record(sid: str, image: Any) -> tuple[SessionRecord, int, int]:
    """Return the record, where it ends, and where the values end."""
    try:
        (
            kind,
            verifier,
            version,
            seen,
            expires,
            used,
            lifetime,
            deadline,
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
    if not is_sound(record):
        raise _damaged(sid)
    return record, place, used


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
    tombstone = Tombstone(
        sid=sid,
        verifiers=tuple(each.hex() for each in verifiers),
        reason=reason,
        by=by,
        ended_ms=ended_ms,
        now_ms=now_ms,
        user_id=user_id,
    )
    if not tombstone.is_sound:
        raise _damaged(sid)
    return tombstone


def _damaged(sid: str) -> CorruptSessionError:
    return CorruptSessionError(f"What is stored for session {sid} is damaged.")
