"""What a session's record must say, sealed among its values: who has no secret cannot make it say otherwise.

Stores need the record as it is, to find, compare and sort. So what decides who opens a session, how old a proof is and
when all ends stands a second time as a *mark* (see ``values.py``). The mark changes in the very step that changes the
record, and only from the mark that its author knows (``Delta.expected``): record and mark always agree. What a step
does not name, such as the client's address, and every plain save or touch, leaves the mark alone.

Instants in it are what the client knows of the store's clock, which is never ahead of it. The times of use are not
sealed: every request moves them. They are bounded by what is.
"""

from __future__ import annotations

import struct
from hmac import compare_digest
from typing import Final, NamedTuple

from django_srvsession.engine.details import DIGEST_BYTES, digest_of
from django_srvsession.engine.seal import SEAL_BYTES, Sealer, SealError
from django_srvsession.engine.values import MARK_PREFIX
from django_srvsession.records import CLOCKS_DIFFER_MS, ROTATION_GRACE_MS, UNSET, Delta, Loaded, SessionRecord, given

RECORD: Final = f"{MARK_PREFIX}record"
"""The name of the mark."""

_SHOWN_DIFFER_MS: Final = 24 * CLOCKS_DIFFER_MS
"""How far an instant that nothing is decided by may be from the sealed one, in milliseconds: before the store's first
answer, a process goes by its machine's clock, which may have a wrong time zone."""

_LAYOUT: Final = struct.Struct("<16sqqqq")
_PREVIOUS: Final = struct.Struct("<16sq")
"""What follows after a rotation that is not final; before it stands the digest of the details, where there are any."""
_WITHOUT_DETAILS: Final = (SEAL_BYTES + _LAYOUT.size, SEAL_BYTES + _LAYOUT.size + _PREVIOUS.size)
"""How many bytes a mark takes without that."""
_NEVER: Final = -1


class SealedRecord(NamedTuple):
    """Hold what is sealed of a record. Of a verifier it is the first half: 128 bits, as many as a key's secret has."""

    verifier: bytes
    created_ms: int
    signed_in_ms: int | None
    lifetime_ms: int
    deadline_ms: int | None
    previous: bytes | None = None
    """The verifier before, if the last rotation was not final."""
    rotated_ms: int = 0
    """When that was; 0 without."""
    details: bytes = b""
    """The digest of the record's details; empty where there are none."""

    @classmethod
    def new(cls, verifier: str, delta: Delta, now_ms: int) -> SealedRecord:
        """Return what is to be sealed of the session that ``Store.create(sid, verifier, delta)`` stores."""
        signed_in_ms = None if delta.user_id is UNSET else now_ms
        sealed = cls(_half(verifier), now_ms, signed_in_ms, given(delta.lifetime_ms, 0), given(delta.deadline_ms, None))
        return sealed if delta.details is UNSET else sealed._replace(details=digest_of(delta.details))

    @classmethod
    def of(cls, record: SessionRecord) -> SealedRecord:
        """Return what is to be sealed of a new session with this record."""
        details = digest_of(record.details) if record.details else b""
        lifetime_ms, deadline_ms = record.lifetime_ms, record.deadline_ms
        half = _half(record.verifier)
        return cls(half, record.created_ms, record.signed_in_ms, lifetime_ms, deadline_ms, details=details)

    @classmethod
    def read(cls, mark: bytes) -> SealedRecord:
        """Read a mark whose seal was verified; raises :class:`SealError`."""
        half, created_ms, signed_in_ms, lifetime_ms, deadline_ms = _unpacked(mark)
        previous, rotated_ms, details = None, 0, b""
        if len(mark) != _WITHOUT_DETAILS[0]:
            details = _details_in(mark)
            rest = Sealer.payload(mark)[_LAYOUT.size + len(details) :]
            if len(rest) == _PREVIOUS.size:
                previous, rotated_ms = _PREVIOUS.unpack(rest)
        return cls(
            half,
            created_ms,
            None if signed_in_ms == _NEVER else signed_in_ms,
            lifetime_ms,
            None if deadline_ms == _NEVER else deadline_ms,
            previous,
            rotated_ms,
            details,
        )

    def seal(self, sealer: Sealer) -> bytes:
        """Return the mark to be stored."""
        payload = _LAYOUT.pack(
            self.verifier,
            self.created_ms,
            _NEVER if self.signed_in_ms is None else self.signed_in_ms,
            self.lifetime_ms,
            _NEVER if self.deadline_ms is None else self.deadline_ms,
        )
        payload += self.details
        if self.previous is not None:
            payload += _PREVIOUS.pack(self.previous, self.rotated_ms)
        return sealer.seal(RECORD, payload)

    def after(self, delta: Delta, now_ms: int) -> SealedRecord:
        """Return what is to be sealed after an update, which may bring a new verifier."""
        sealed = self._replace(
            signed_in_ms=self.signed_in_ms if delta.user_id is UNSET else now_ms,
            lifetime_ms=given(delta.lifetime_ms, self.lifetime_ms),
            deadline_ms=given(delta.deadline_ms, self.deadline_ms),
            details=self.details if delta.details is UNSET else digest_of(delta.details),
        )
        if delta.new_verifier is None:
            return sealed
        previous, rotated_ms = (None, 0) if delta.final else (self.verifier, now_ms)
        return sealed._replace(verifier=_half(delta.new_verifier), previous=previous, rotated_ms=rotated_ms)

    def was_renewed_from(self, verifier: str, now_ms: int) -> bool:
        """Tell whether this was the verifier less than a minute ago, before a rotation that was not final."""
        is_previous = self.previous is not None and compare_digest(_half(verifier), self.previous)
        return is_previous and now_ms - self.rotated_ms < ROTATION_GRACE_MS


def checked(loaded: Loaded, verifier: str) -> bytes:
    """Return the mark of a session whose record says what is sealed, and which a key with this verifier opens now.

    The caller has verified the seal, and knows that the session is live and that its record accepts the verifier.
    Raises :class:`SealError` where the record says what was not sealed. Every request pays for this.
    """
    mark = loaded.values.get(RECORD)
    if mark is None:
        raise SealError("its record is not sealed")
    half, created_ms, signed_in_ms, lifetime_ms, deadline_ms = _unpacked(mark)
    record, now_ms = loaded.record, loaded.now_ms
    last_ms, expires_ms = record.last_seen_ms, record.expires_ms
    if record.verifier[:32] != half.hex():
        raise SealError("its record names another key than its seal")
    if verifier != record.verifier and not SealedRecord.read(mark).was_renewed_from(verifier, now_ms):
        raise SealError("its record takes a key that its seal does not")
    if (record.user_id is None) != (signed_in_ms == _NEVER):
        raise SealError("its record and its seal disagree on whether somebody is signed in")
    if (
        record.lifetime_ms != lifetime_ms
        or (_NEVER if record.deadline_ms is None else record.deadline_ms) != deadline_ms
    ):
        raise SealError("its record names another lifetime or deadline than its seal")
    if expires_ms > last_ms + lifetime_ms or (deadline_ms != _NEVER and expires_ms > deadline_ms):
        raise SealError("it expires later than its last use and its sealed lifetime allow")
    if (
        last_ms > now_ms + CLOCKS_DIFFER_MS
        or abs(record.created_ms - created_ms) > _SHOWN_DIFFER_MS
        or (signed_in_ms != _NEVER and abs((record.signed_in_ms or 0) - signed_in_ms) > _SHOWN_DIFFER_MS)
    ):
        raise SealError("its record names an instant that cannot be")
    has_details = record.details or len(mark) not in _WITHOUT_DETAILS
    if has_details and digest_of(record.details) != _details_in(mark):
        raise SealError("its record has other details than its seal")
    return mark


def opened(sealer: Sealer, loaded: Loaded, verifier: str) -> bytes:
    """Return the mark of a session if a key with this verifier opens it now; its other values stay unread.

    Raises :class:`SealError` where the key does not, and where the record says what was not sealed.
    """
    if not loaded.record.is_live(loaded.now_ms) or not loaded.record.accepts(verifier, loaded.now_ms):
        raise SealError("it is not live, or has another key")
    sealer.verify(RECORD, loaded.values.get(RECORD, b""))
    return checked(loaded, verifier)


def is_sealed_anew(delta: Delta) -> bool:
    """Tell whether an update changes what is sealed, or would drop the mark."""
    is_same_record = delta.user_id is delta.lifetime_ms is delta.deadline_ms is delta.details is UNSET
    return delta.cleared or not is_same_record or delta.new_verifier is not None


def _unpacked(mark: bytes) -> tuple[bytes, int, int, int, int]:
    try:
        return _LAYOUT.unpack_from(Sealer.payload(mark))
    except struct.error as error:
        raise SealError("its record is sealed in another way") from error


def _details_in(mark: bytes) -> bytes:
    """Return the digest of the details that a mark holds; its length tells whether there is one."""
    if len(mark) in _WITHOUT_DETAILS:
        return b""
    return Sealer.payload(mark)[_LAYOUT.size : _LAYOUT.size + DIGEST_BYTES]


def _half(verifier: str) -> bytes:
    return bytes.fromhex(verifier[:32])
