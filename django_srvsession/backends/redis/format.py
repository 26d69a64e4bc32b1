"""A session as the one string that Redis keeps of it, and what stays of an ended one.

A session's string: a head of fixed size (``HEAD``); once its key was replaced, the former key's verifier and when
that was (``ROTATION``); the user's id, the address, the agent, the details; runs of sealed values
(``store/framing.py``); and some room. A script finds all that its rules need in the head, overwrites the part that a
save moves, and puts the changed values into the room; when there is too little, it writes the string whole.

The room is there because Redis doubles what it keeps for a string that grows. It is what the memory that Redis takes
for the string has left anyway (:func:`room`).

Numbers are little-endian; instants and spans are milliseconds; ``NEVER`` stands for an instant that there is none of.
Scripts know all of this by the names in ``LUA``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from django_srvsession.backends.redis.keys import decoded, encoded
from django_srvsession.records import NO_CLIENT, Client, Loaded, SessionRecord, Tombstone, is_sound
from django_srvsession.store import LAST_FORMAT, CorruptSessionError, LaterFormatError, TooLargeError
from django_srvsession.store.framing import frame, unframe

SESSION: Final = 1
TOMBSTONE: Final = 2
"""The first byte: what it is, in the format of this version. Another byte is another format, and never written to."""

FINAL: Final = 1
RENEWED: Final = 2
"""How the key was replaced last: the former one opens nothing; it opens the session for a minute more. Else 0."""

NEVER: Final = 2**62
ABSENT: Final = 2**16 - 1
"""The length of a text that is None; no text is as long."""

_TOMBSTONE: Final = bytes([TOMBSTONE])
_LUA_CODES: Final = {"B": "B", "s": "c32", "q": "i8", "I": "I4", "H": "I2"}


def _lua(codes: str) -> str:
    """Return a layout as Redis' ``struct`` spells it."""
    return "<" + "".join(map(_LUA_CODES.__getitem__, codes))


def _struct(codes: str) -> struct.Struct:
    """Return a layout as Python's :mod:`struct` spells it; ``s`` is 32 bytes."""
    return struct.Struct("<" + codes.replace("s", "32s"))


_MOVED: Final = "qqqI"
"""version, last_seen_ms, expires_ms, how many bytes are in use: what a save moves."""
_GUARD: Final = f"Bs{_MOVED}qqq"
"""kind, verifier; what a save moves; lifetime_ms, deadline_ms, until when the user's index is known to hold the session
(``NEVER`` without a user): what decides on a save."""
_LENGTHS: Final = "BHHHH"
"""How the key was replaced last; the lengths of the user's id, of the address, of the agent, of the details."""
_CODES: Final = f"{_GUARD}qq{_LENGTHS}"
"""The head: that, created_ms and signed_in_ms, the lengths."""
_ENDED_HEAD: Final = "Bsq"
"""kind, verifier, ended_ms."""
_ENDED_LENGTHS: Final = "BHHH"
"""The lengths of the former verifier (0 or 32), the reason, by whom, the user's id."""
_ENDED: Final = f"{_ENDED_HEAD}{_ENDED_LENGTHS}"

_HEAD: Final = _struct(_CODES)
_ROTATION: Final = _struct("sq")
_TOMB: Final = _struct(_ENDED)
_TOMB_LENGTHS: Final = _struct(_ENDED_LENGTHS)
_TAIL: Final = _struct(_LENGTHS)

HEAD_BYTES: Final = _HEAD.size
MOVED_FROM: Final = 1 + 32
MOVED_TO: Final = MOVED_FROM + _struct(_MOVED).size
INDEXED_FROM: Final = MOVED_TO + 2 * 8
LENGTHS_FROM: Final = HEAD_BYTES - _TAIL.size
"""In bytes from 0: where in the head what a save moves begins and ends, the index's bound stands, the lengths stand."""
LEAST_ROOM_BYTES: Final = 64
"""The room that a save leaves at least when it writes a string whole: a session that is saved will be saved again."""
OVERHEAD_BYTES: Final = 6
"""What Redis keeps before and behind the bytes of a string."""
RECORD_BYTES: Final = 512
"""How much to read of a session for its record: all of it but where agent, user or details are extraordinarily long."""

LUA: Final[Mapping[str, int | str]] = {
    "SESSION": SESSION,
    "TOMBSTONE": TOMBSTONE,
    "FINAL": FINAL,
    "RENEWED": RENEWED,
    "NEVER": NEVER,
    "ABSENT": ABSENT,
    "HEAD": _lua(_CODES),
    "HEAD_BYTES": HEAD_BYTES,
    "GUARD": _lua(_GUARD),
    "MOVED": _lua(_MOVED),
    "MOVED_FROM": MOVED_FROM,
    "MOVED_TO": MOVED_TO,
    "LENGTHS": _lua(_LENGTHS),
    "LENGTHS_FROM": LENGTHS_FROM,
    "ROTATION": _lua("sq"),
    "ROTATION_BYTES": _ROTATION.size,
    "ENDED": _lua(_ENDED),
    "ENDED_HEAD": _lua(_ENDED_HEAD),
    "RECORD_BYTES": RECORD_BYTES,
    "LEAST_ROOM_BYTES": LEAST_ROOM_BYTES,
    "OVERHEAD_BYTES": OVERHEAD_BYTES,
}
"""What scripts are to know of the format, by the names that they know it by."""


def raw_verifier(verifier: str) -> bytes:
    """Return a verifier as it is stored, for comparison: what is not hex digits is like no verifier."""
    try:
        return bytes.fromhex(verifier)
    except ValueError:
        return b""


def new_raw_verifier(verifier: str) -> bytes:
    """Return a verifier as it is to be stored; raises ``ValueError`` for what is not 64 hex digits."""
    raw = bytes.fromhex(verifier)
    if len(raw) != 32:
        raise ValueError("A verifier is 64 hex digits.")
    return raw


def raw_text(text: str) -> bytes:
    """Return a text as it is to be stored; raises ``TooLargeError`` for one of 64 kB."""
    raw = encoded(text)
    if len(raw) >= ABSENT:
        raise TooLargeError(f"A text of {len(raw)} bytes is more than a session's record can hold.")
    return raw


def room(used: int) -> int:
    """Return how many bytes Redis' memory for a string has left: its sizes are four to each doubling."""
    size = used + OVERHEAD_BYTES
    return -size % (1 << max((size - 1).bit_length() - 3, 4))


def session_image(record: SessionRecord, values: Mapping[str, bytes], indexed_until_ms: int) -> bytes:
    """Return a session as it is stored."""
    user = b"" if record.user_id is None else raw_text(record.user_id)
    client, deadline_ms, details = record.client, record.deadline_ms, record.details
    ip, agent = (b"", b"") if client is NO_CLIENT else (raw_text(client.ip), raw_text(client.user_agent))
    rotation, former = 0, b""
    if record.previous_verifier is not None:
        rotation = FINAL if record.rotation_final else RENEWED
        former = _ROTATION.pack(new_raw_verifier(record.previous_verifier), record.rotated_ms)
    run = frame(values)
    used = HEAD_BYTES + len(former) + len(user) + len(ip) + len(agent) + len(details) + len(run)
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
        rotation,
        ABSENT if record.user_id is None else len(user),
        len(ip),
        len(agent),
        len(details),
    )
    return b"".join((head, former, user, ip, agent, details, run, bytes(room(used))))


def tombstone_rest(record: SessionRecord, reason: str, by: str | None) -> bytes:
    """Return what the tombstone of a session says behind the time of its end."""
    former = b"" if record.previous_verifier is None else new_raw_verifier(record.previous_verifier)
    texts = [None if text is None else raw_text(text) for text in (reason, by, record.user_id)]
    lengths = (ABSENT if text is None else len(text) for text in texts)
    return b"".join((_TOMB_LENGTHS.pack(len(former), *lengths), former, *filter(None, texts)))


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
    rotation, user_length, *lengths = _TAIL.unpack_from(image, LENGTHS_FROM)
    place = HEAD_BYTES + (_ROTATION.size if rotation else 0)
    return int(place + (0 if user_length == ABSENT else user_length) + sum(lengths))


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
            rotation,
            user_length,
            ip_length,
            agent_length,
            details_length,
        ) = _HEAD.unpack_from(image)
        if kind != SESSION:
            is_later = TOMBSTONE < kind <= LAST_FORMAT
            raise (LaterFormatError if is_later else CorruptSessionError)(f"Session {sid} is stored in format {kind}.")
        place, previous, rotated, user = HEAD_BYTES, None, None, None
        if rotation:
            former, rotated = _ROTATION.unpack_from(image, place)
            previous, place = former.hex(), place + _ROTATION.size
        if user_length != ABSENT:
            start, place = place, place + user_length
            user = decoded(image[start:place])
        start, place = place, place + ip_length + agent_length
        client = _client(image[start:place], ip_length)
        start, place = place, place + details_length
        if place > len(image) or rotation > RENEWED:
            raise _damaged(sid)
        record = SessionRecord(
            sid,
            verifier.hex(),
            created,
            seen,
            lifetime,
            expires,
            user,
            client,
            None if signed_in == NEVER else signed_in,
            None if deadline == NEVER else deadline,
            previous,
            rotated,
            rotation != RENEWED,
            version,
            image[start:place],
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
        _, verifier, ended_ms, *lengths = _TOMB.unpack_from(image)
        parts, place = [], _TOMB.size
        for length in lengths:
            end = place + (0 if length == ABSENT else length)
            parts.append(None if length == ABSENT else image[place:end])
            place = end
        previous, *texts = parts
        reason, by, user_id = (None if text is None else decoded(text) for text in texts)
    except (struct.error, UnicodeDecodeError) as error:
        raise _damaged(sid) from error
    if place != len(image) or reason is None:
        raise _damaged(sid)
    tombstone = Tombstone(
        sid=sid,
        verifiers=tuple(each.hex() for each in (verifier, previous) if each),
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
