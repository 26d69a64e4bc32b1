"""A value and its stored bytes: serialize, compress, sign, bound to the session and to the name it stands under.

A sealed value is ``format (1 byte) · key id (4) · flags (1) · payload · MAC (16)``. The MAC is keyed BLAKE2b (RFC
7693) over the store's namespace, the sid, the name and all of it: a value that was forged, cut, or moved to another
tenant, session or name does not verify. It does not stop the replay or the removal of a value by someone who can write
the store (see SECURITY.rst). 128 bits suffice, since a guess is tried at the site, one at a time: RFC 2104, section 5,
asks for 80 at least, NIST SP 800-107, section 5.3.3, for 64.

Sealing is deterministic, so that equal values have equal bytes. The key id tells, without any cryptography, which of
``SECRET_KEY`` and ``SECRET_KEY_FALLBACKS`` made the seal.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from hmac import compare_digest
from typing import Any, Final

from django.utils.encoding import force_bytes

from django_srvsession import conf
from django_srvsession.engine.serializing import DEEPEST, SameAsDjangos, Serializer, as_fast, is_too_deep
from django_srvsession.store.errors import LAST_FORMAT, TooLargeError

FORMAT: Final = 1
_COMPRESSED: Final = 1
_ORIGIN: Final = slice(0, 5)  # Format and key id.
_FLAGS: Final = 5
_PAYLOAD: Final = slice(6, -16)
_SEALED: Final = slice(None, -16)  # All that the MAC speaks for.
_MAC: Final = slice(-16, None)
_MAX_PAYLOAD_BYTES: Final = 64 * 1024 * 1024  # Ends a decompression bomb; far above any session. Holds for both ways.
_CHECKED_FROM_BYTES: Final = 2 * DEEPEST
SEAL_BYTES: Final = 22
"""How many bytes a seal adds to a payload."""
_SALT: Final = b"django_srvsession.engine.seal"


class SealError(ValueError):
    """Report a sealed value that is not ours as it stands: damaged, moved, forged, or of a newer format."""


class LaterSealError(SealError):
    """Report a value that a later version of this package has sealed in a format that is not known here."""


class _SealKey:
    """Hold one secret's origin (format and key id) and keyed hash state; the state is copied, never updated."""

    __slots__ = ("origin", "state")

    def __init__(self, secret: str | bytes) -> None:
        digest = hashlib.sha512(_SALT + b":" + force_bytes(secret)).digest()
        self.origin = bytes((FORMAT,)) + digest[32:36]
        self.state = hashlib.blake2b(key=digest[:32], digest_size=16)


_seal_key = lru_cache(maxsize=16)(_SealKey)


def _bound(to: bytes, text: str) -> bytes:
    """Return what stands before what is sealed, with a text behind its length: where it ends is not open to doubt."""
    encoded = text.encode("utf-8", "surrogatepass")
    return b"%b%d:%b" % (to, len(encoded), encoded)


class _States(dict[bytes, Any]):
    """Hold the keyed hash state of each secret, by origin; ``current`` is the first one's."""

    def __init__(self, secrets: tuple[str | bytes, ...]) -> None:
        super().__init__((key.origin, key.state) for key in map(_seal_key, reversed(secrets)))
        self.current = _seal_key(secrets[0]).origin

    def __missing__(self, origin: bytes) -> Any:
        if origin and FORMAT < origin[0] <= LAST_FORMAT:
            raise LaterSealError("sealed by a later version, in a format that is not known here")
        raise SealError("not a sealed value, of another format, or under a secret that this site does not know")


_states_of = lru_cache(maxsize=4)(_States)


class Sealer:
    """Seal and open the values of one session."""

    __slots__ = ("_compress_from", "_loads", "_serializer", "_sid", "_states")

    def __init__(self, sid: str, serializer: Serializer, compress_from_bytes: int = 4096, namespace: str = "") -> None:
        self._compress_from = compress_from_bytes
        self._sid = _bound(bytes.fromhex(sid), namespace)
        self._serializer = serializer = as_fast(serializer)
        self._loads = serializer.loads
        self._states = _states_of(conf.secrets())

    def serialize(self, value: Any) -> bytes:
        """Serialize without sealing; raises what the serializer raises (``TypeError`` for JSON)."""
        return self._serializer.dumps(value)

    def _dumps_all(self) -> Callable[[Any], bytes]:
        """Return what serializes several values, one after the other."""
        serializer = self._serializer
        return serializer.encoder() if isinstance(serializer, SameAsDjangos) else serializer.dumps

    def seal(self, name: str, payload: bytes) -> bytes:
        """Return the stored bytes of a serialized value under the current ``SECRET_KEY``.

        Raises :class:`TooLargeError` above 64 MiB, or 200 levels of JSON: it could not be read again.
        """
        flags = b"\x00"
        if len(payload) > _CHECKED_FROM_BYTES:
            self._check(name, payload)
        if len(payload) >= self._compress_from:
            compressed = zlib.compress(payload, 1)
            if len(compressed) < len(payload):
                payload, flags = compressed, b"\x01"
        origin = self._states.current
        sealed = origin + flags + payload
        mac = self._states[origin].copy()
        mac.update(_bound(self._sid, name) + sealed)
        return sealed + bytes(mac.digest())

    def seal_all(self, values: Mapping[str, Any]) -> dict[str, bytes]:
        """Serialize and seal values by their names; one frame for all.

        Raises as :meth:`seal`, and what the serializer raises.
        """
        dumps, compress_from, sid = self._dumps_all(), self._compress_from, self._sid
        origin = self._states.current
        state, plain = self._states[origin], origin + b"\x00"
        sealed_values = {}
        for name, value in values.items():
            payload = dumps(value)
            if len(payload) > _CHECKED_FROM_BYTES:
                self._check(name, payload)
            if len(payload) >= compress_from:
                sealed_values[name] = self.seal(name, payload)
                continue
            sealed = plain + payload
            mac = state.copy()
            mac.update(_bound(sid, name) + sealed)
            sealed_values[name] = sealed + mac.digest()
        return sealed_values

    def _check(self, name: str, payload: bytes) -> None:
        if len(payload) > _MAX_PAYLOAD_BYTES:
            text = f"takes {len(payload)} bytes; it may take {_MAX_PAYLOAD_BYTES}"
            raise TooLargeError(f"The session's value {name!r} {text}.")
        if isinstance(self._serializer, SameAsDjangos) and is_too_deep(payload):
            raise TooLargeError(f"The session's value {name!r} is nested deeper than {DEEPEST} levels.")

    def verify(self, name: str, sealed: bytes) -> None:
        """Check that these bytes were sealed by this site for this session and this name; raises :class:`SealError`."""
        self.payloads({name: sealed}, (name,))

    def payloads(self, values: Mapping[str, bytes], names: Iterable[str]) -> dict[str, bytes]:
        """Return the serialized values of those of these names that are there, once all of them are verified.

        Raises :class:`SealError` for any bytes that this site did not seal for this session and their name; compares in
        constant time. One frame for all: every request pays for it.
        """
        sid, origin = self._sid, self._states.current
        state = self._states[origin]
        payloads, computed, found = {}, b"", b""
        for name in names:
            sealed = values.get(name)
            if sealed is None:
                continue
            if sealed[_ORIGIN] != origin:
                origin = sealed[_ORIGIN]
                state = self._states[origin]
            mac = state.copy()
            encoded = name.encode("utf-8", "surrogatepass")
            mac.update(b"%b%d:%b%b" % (sid, len(encoded), encoded, sealed[_SEALED]))  # As _bound().
            computed += mac.digest()
            found += sealed[_MAC]
            payloads[name] = sealed
        if not compare_digest(computed, found):
            raise SealError("a seal does not verify")
        for name, sealed in payloads.items():
            payloads[name] = sealed[_PAYLOAD] if sealed[_FLAGS] == 0 else self.payload(sealed)
        return payloads

    def open(self, name: str, sealed: bytes) -> Any:
        """Verify a value, and restore it; raises as :meth:`payloads` and :meth:`load`."""
        return self.load(self.payloads({name: sealed}, (name,))[name])

    def load(self, payload: bytes) -> Any:
        """Restore a serialized value, which was verified before.

        Raises :class:`SealError` whatever the serializer raised: a verified value that does not load was written with
        another ``SESSION_SERIALIZER``.
        """
        try:
            return self._loads(payload)
        except (SealError, RecursionError, MemoryError):
            raise  # The latter say something of the moment, and nothing of the value.
        except Exception as error:
            raise SealError("the value does not load with SESSION_SERIALIZER") from error

    @staticmethod
    def payload(sealed: bytes) -> bytes:
        """Return the serialized value in bytes that were verified before; raises :class:`SealError`."""
        payload = sealed[_PAYLOAD]
        if not sealed[_FLAGS] & _COMPRESSED:
            return payload
        decompressor = zlib.decompressobj()
        try:
            payload = decompressor.decompress(payload, _MAX_PAYLOAD_BYTES)
        except zlib.error as error:
            raise SealError("the value cannot be decompressed") from error
        if decompressor.decompress(decompressor.unconsumed_tail, 1):  # The end of the stream is no value.
            raise SealError("the value is too large")
        return payload


def is_current(sealed: bytes) -> bool:
    """Tell whether the bytes were sealed under ``SECRET_KEY`` rather than under a fallback (no verification)."""
    return sealed[_ORIGIN] == _seal_key(conf.secrets()[0]).origin


def under_fallbacks(values: Mapping[str, bytes]) -> list[str]:
    """List the names whose bytes say that they were sealed under a fallback (no verification)."""
    fallbacks = {_seal_key(secret).origin for secret in conf.secrets()[1:]} - {_seal_key(conf.secrets()[0]).origin}
    return [name for name, sealed in values.items() if sealed[_ORIGIN] in fallbacks] if fallbacks else []
