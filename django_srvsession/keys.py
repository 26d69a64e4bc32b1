"""The session key in the cookie: a public selector, a secret, and a signature, in exactly 40 characters.

``session_key`` = base64url of 30 bytes: 9 bytes **sid** (random, public), 16 bytes **secret** (128 bits from
``secrets``; OWASP ASVS 5.0 7.2.3), 5 bytes **MAC** (keyed BLAKE2b, RFC 7693, over the 25 bytes before). What opens a
session is the secret; the MAC only keeps forged cookies away from the store and authorises nothing.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass, field
from functools import lru_cache
from hmac import compare_digest
from typing import Any, Final

from django.conf import settings
from django.utils.encoding import force_bytes

KEY_LENGTH: Final = 40
_SID_BYTES: Final = 9
_SECRET_BYTES: Final = 16
_MAC_BYTES: Final = 5
_SIGNED_BYTES: Final = _SID_BYTES + _SECRET_BYTES
_FORM: Final = re.compile(rf"[A-Za-z0-9_-]{{{KEY_LENGTH}}}", re.ASCII)
_SALT: Final = b"django_srvsession.keys"


@dataclass(frozen=True, slots=True)
class SessionKey:
    """Hold a genuine key: one whose MAC was made with one of this site's secrets.

    ``text`` is the cookie's value. It opens a session, so it is not part of the ``repr``.
    """

    text: str = field(repr=False)
    sid: str
    is_current: bool
    _raw: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> SessionKey:
        """Make a key for a new session, with a sid and a secret of its own."""
        return cls._signed(secrets.token_bytes(_SIGNED_BYTES))

    @classmethod
    def parse(cls, text: object) -> SessionKey | None:
        """Return the key that a cookie holds, or None for anything that this site did not sign; never raises.

        Does no I/O, and compares in constant time. Accepts the signatures of ``SECRET_KEY`` and of
        ``SECRET_KEY_FALLBACKS``; ``is_current`` tells which.
        """
        # An exact length and alphabet leave one spelling per key: 30 bytes need no padding and have no spare bits.
        if not isinstance(text, str) or len(text) != KEY_LENGTH or _FORM.fullmatch(text) is None:
            return None
        raw = base64.urlsafe_b64decode(text)
        signed, mac = raw[:_SIGNED_BYTES], raw[_SIGNED_BYTES:]
        if compare_digest(mac, _mac(signed, settings.SECRET_KEY)):
            return cls._of(raw, text, True)
        if any(compare_digest(mac, _mac(signed, secret)) for secret in settings.SECRET_KEY_FALLBACKS):
            return cls._of(raw, text, False)
        return None

    @classmethod
    def _signed(cls, signed: bytes) -> SessionKey:
        raw = signed + _mac(signed, settings.SECRET_KEY)
        return cls._of(raw, base64.urlsafe_b64encode(raw).decode("ascii"), True)

    @classmethod
    def _of(cls, raw: bytes, text: str, is_current: bool) -> SessionKey:
        return cls(text, raw[:_SID_BYTES].hex(), is_current, raw[:_SIGNED_BYTES])

    @property
    def verifier(self) -> str:
        """Return what a store keeps to recognise the secret: its SHA-256 as 64 hex digits, which opens nothing."""
        return hashlib.sha256(self._raw[_SID_BYTES:]).hexdigest()

    def rotated(self) -> SessionKey:
        """Make a key with the same sid and a new secret."""
        return self._signed(self._raw[:_SID_BYTES] + secrets.token_bytes(_SECRET_BYTES))

    def resigned(self) -> SessionKey:
        """Return the same sid and secret under the current ``SECRET_KEY``: the same text for every caller."""
        return self._signed(self._raw)


@lru_cache(maxsize=16)
def _mac_state(secret: str | bytes) -> Any:
    """Return the keyed hash state of one secret; it is copied, never updated."""
    key = hashlib.sha256(_SALT + b":" + force_bytes(secret)).digest()
    return hashlib.blake2b(key=key, digest_size=_MAC_BYTES)


def _mac(signed: bytes, secret: str | bytes) -> bytes:
    mac = _mac_state(secret).copy()
    mac.update(signed)
    return bytes(mac.digest())
