"""A value and its stored bytes: serialize, compress, sign, bound to the session and to the name it stands under.

A sealed value is ``format (1 byte) · flags (1) · key id (4) · MAC (16) · payload``. The MAC is keyed BLAKE2b (RFC 7693)
over all of it, the sid and the name: a value that was forged, cut, or moved to another session or another name does not
verify. It does not stop the replay or the removal of a value by someone who can write the store (see SECURITY.rst).

Sealing is deterministic, so that equal values have equal bytes. The key id tells, without any cryptography, which of
``SECRET_KEY`` and ``SECRET_KEY_FALLBACKS`` made the seal.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from functools import lru_cache
from hmac import compare_digest
from typing import Any, Final, Protocol

from django.conf import settings
from django.utils.encoding import force_bytes

FORMAT: Final = 1
_COMPRESSED: Final = 1
_HEAD: Final = slice(0, 6)
_KEY_ID: Final = slice(2, 6)
_MAC: Final = slice(6, 22)
_HEADER_BYTES: Final = 22
_COMPRESS_FROM_BYTES: Final = 4096  # Below, zlib costs more time than it saves in transfer.
_MAX_PAYLOAD_BYTES: Final = 64 * 1024 * 1024  # Ends a decompression bomb; far above any session.
_SALT: Final = b"django_srvsession.seal"


class SealError(ValueError):
    """Report a sealed value that is not ours as it stands: damaged, moved, forged, or of a newer format."""


class Serializer(Protocol):
    """Describe what ``SESSION_SERIALIZER`` names."""

    def dumps(self, obj: Any) -> bytes:
        """Serialize a value."""

    def loads(self, data: bytes) -> Any:
        """Restore a value."""


class _SealKey:
    """Hold one secret's key id and keyed hash state; the state is copied, never updated."""

    __slots__ = ("key_id", "state")

    def __init__(self, secret: str | bytes) -> None:
        digest = hashlib.sha512(_SALT + b":" + force_bytes(secret)).digest()
        self.key_id = digest[32:36]
        self.state = hashlib.blake2b(key=digest[:32], digest_size=16)


_seal_key = lru_cache(maxsize=16)(_SealKey)


class Sealer:
    """Seal and open the values of one session."""

    __slots__ = ("_serializer", "_sid", "_states")

    def __init__(self, sid: str, serializer: Serializer) -> None:
        self._sid = bytes.fromhex(sid)
        self._serializer = serializer
        self._states: dict[bytes, Any] = {}

    def serialize(self, value: Any) -> bytes:
        """Serialize without sealing; raises what the serializer raises (``TypeError`` for JSON)."""
        return self._serializer.dumps(value)

    def seal(self, name: str, payload: bytes) -> bytes:
        """Return the stored bytes of a serialized value under the current ``SECRET_KEY``."""
        flags = 0
        if len(payload) >= _COMPRESS_FROM_BYTES:
            compressed = zlib.compress(payload, 1)
            if len(compressed) < len(payload):
                payload, flags = compressed, _COMPRESSED
        head = bytes((FORMAT, flags)) + _seal_key(settings.SECRET_KEY).key_id
        return head + self._mac(name, head, payload) + payload

    def verify(self, name: str, sealed: bytes) -> None:
        """Check that the bytes were sealed by this site for this session and name.

        Raises :class:`SealError` if not; compares in constant time.
        """
        if len(sealed) < _HEADER_BYTES or sealed[0] != FORMAT:
            raise SealError("not a sealed value, or of another format")
        if not compare_digest(sealed[_MAC], self._mac(name, sealed[_HEAD], sealed[_HEADER_BYTES:])):
            raise SealError("the seal does not verify")

    def verify_all(self, values: Mapping[str, bytes]) -> None:
        """Check as :meth:`verify` does, for a whole session: in one frame, because every request pays for it."""
        for name, sealed in values.items():
            state = self._states.get(sealed[_KEY_ID])
            if state is None or sealed[0] != FORMAT or len(sealed) < _HEADER_BYTES:
                self.verify(name, sealed)  # Finds the key's state, or says what is wrong.
                continue
            mac = state.copy()
            encoded = name.encode("utf-8", "surrogatepass")
            mac.update(b"%b%d:%b" % (sealed[_HEAD], len(encoded), encoded))
            mac.update(sealed[_HEADER_BYTES:])
            if not compare_digest(sealed[_MAC], mac.digest()):
                raise SealError("the seal does not verify")

    def payload(self, sealed: bytes) -> bytes:
        """Return the serialized value in bytes that were verified before."""
        payload = sealed[_HEADER_BYTES:]
        if not sealed[1] & _COMPRESSED:
            return payload
        decompressor = zlib.decompressobj()
        try:
            payload = decompressor.decompress(payload, _MAX_PAYLOAD_BYTES)
        except zlib.error as error:
            raise SealError("the value cannot be decompressed") from error
        if decompressor.unconsumed_tail:
            raise SealError("the value is too large")
        return payload

    def deserialize(self, payload: bytes) -> Any:
        """Restore a value from its serialized bytes.

        Raises :class:`SealError` whatever the serializer raised: a verified value that does not load was written with
        another ``SESSION_SERIALIZER``.
        """
        try:
            return self._serializer.loads(payload)
        except Exception as error:
            raise SealError("the value does not load with SESSION_SERIALIZER") from error

    def _mac(self, name: str, head: bytes, payload: bytes) -> bytes:
        state = self._states.get(head[_KEY_ID]) or self._state(head[_KEY_ID])
        mac = state.copy()
        encoded = name.encode("utf-8", "surrogatepass")
        mac.update(b"%b%d:%b" % (head, len(encoded), encoded))
        mac.update(payload)
        return bytes(mac.digest())

    def _state(self, key_id: bytes) -> Any:
        """Return the hash state keyed by the secret with this id and bound to the session."""
        for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
            key = _seal_key(secret)
            if key.key_id == key_id:
                state = self._states[key_id] = key.state.copy()
                state.update(self._sid)
                return state
        raise SealError("sealed under a secret that this site does not know")


def is_current(sealed: bytes) -> bool:
    """Tell whether the bytes were sealed under ``SECRET_KEY`` rather than under a fallback (no verification)."""
    return sealed[_KEY_ID] == _seal_key(settings.SECRET_KEY).key_id
