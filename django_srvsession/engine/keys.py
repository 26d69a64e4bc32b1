"""The session key in the cookie: a public selector, a secret, and a signature, in exactly 40 characters.

``session_key`` = base64url of 30 bytes: 9 bytes **sid** (random, public), 16 bytes **secret** (128 bits from
``secrets``; OWASP ASVS 5.0 7.2.3), 5 bytes **MAC** (keyed BLAKE2b, RFC 7693, over the 25 bytes before). What opens a
session is the secret; the MAC only keeps forged cookies away from the store and authorises nothing.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import secrets
from functools import lru_cache
from hmac import compare_digest
from typing import Any, Final

from django.utils.encoding import force_bytes

from django_srvsession import conf

KEY_LENGTH: Final = 40
_SID_BYTES: Final = 9
_SECRET_BYTES: Final = 16
_MAC_BYTES: Final = 5
_SIGNED_BYTES: Final = _SID_BYTES + _SECRET_BYTES
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
_TO_STANDARD: Final = bytes.maketrans(b"-_+/=", b"+/   ")
_SALT: Final = b"django_srvsession.engine.keys"
_ALPHABET_ELSEWHERE: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
_LETTERS_ELSEWHERE: Final = 32
_MIGRATION_SALT: Final = b"django_srvsession.migrating"


class SessionKey:
    """Hold a genuine key: one whose MAC was made with one of this site's secrets.

    ``text`` is the cookie's value. It opens a session, so it is not part of the ``repr``. ``verifier`` is what a store
    keeps to recognise the secret: its SHA-256 as 64 hex digits, which opens nothing. ``is_current`` tells whether
    ``SECRET_KEY``, rather than a fallback, signed it. ``origin`` is the key of another engine that this one stands for,
    while the site moves from there (:func:`key_of`); None for a key that the browser has.
    """

    __slots__ = ("_raw", "is_current", "origin", "sid", "text", "verifier")

    def __init__(self, raw: bytes, text: str, is_current: bool, origin: str | None = None) -> None:
        self._raw = raw[:_SIGNED_BYTES]
        self.text = text
        self.is_current = is_current
        self.origin = origin
        self.sid = raw[:_SID_BYTES].hex()
        self.verifier = hashlib.sha256(raw[_SID_BYTES:_SIGNED_BYTES]).hexdigest()

    def __repr__(self) -> str:
        return f"SessionKey(sid={self.sid!r})"

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
        if not isinstance(text, str) or len(text) != KEY_LENGTH:
            return None
        try:
            raw = binascii.a2b_base64(text.encode("ascii").translate(_TO_STANDARD), strict_mode=True)
        except ValueError:
            return None
        signed, mac = raw[:_SIGNED_BYTES], raw[_SIGNED_BYTES:]
        for secret in (secrets_ := conf.secrets()):
            if compare_digest(mac, _mac(signed, secret)):
                return cls(raw, text, secret is secrets_[0])
        return None

    @classmethod
    def standing_for(cls, origin: str) -> list[SessionKey]:
        """Return the keys that a key of another engine may stand for: by ``SECRET_KEY``, then by each fallback.

        Whoever computes them gets the same ones: sid and secret are a keyed hash (HMAC-SHA256) of the other key.
        """
        digests = (hmac.digest(_migration_key(secret), origin.encode(), "sha256") for secret in conf.secrets())
        return [cls._signed(digest[:_SIGNED_BYTES], origin) for digest in digests]

    @classmethod
    def marking(cls, user_id: str, number: int) -> list[SessionKey]:
        """Return the keys of a user's mark (``engine/waiting.py``): by ``SECRET_KEY``, then by each fallback.

        Nobody has them. No key of another engine has a NUL, so none stands for one of these.
        """
        text = f"\0ended:{number}:{user_id}".encode("utf-8", "surrogatepass")
        digests = (hmac.digest(_migration_key(secret), text, "sha256") for secret in conf.secrets())
        return [cls._signed(digest[:_SIGNED_BYTES]) for digest in digests]

    def elsewhere(self) -> str:
        """Return the key of Django's form that this one stands for in an engine that the site goes back to.

        The same for whoever computes it: a keyed hash, as :meth:`standing_for`.
        """
        digest = hmac.digest(_migration_key(conf.secrets()[0]), b"back:" + self._raw, "sha512")
        number, text = int.from_bytes(digest, "big"), ""
        for _ in range(_LETTERS_ELSEWHERE):
            number, place = divmod(number, len(_ALPHABET_ELSEWHERE))
            text += _ALPHABET_ELSEWHERE[place]
        return text

    @classmethod
    def _signed(cls, signed: bytes, origin: str | None = None) -> SessionKey:
        raw = signed + _mac(signed, conf.secrets()[0])
        text = binascii.b2a_base64(raw, newline=False).translate(_TO_URL).decode("ascii")
        return cls(raw, text, True, origin)

    def rotated(self) -> SessionKey:
        """Make a key with the same sid and a new secret."""
        return self._signed(self._raw[:_SID_BYTES] + secrets.token_bytes(_SECRET_BYTES))

    def resigned(self) -> SessionKey:
        """Return the same sid and secret under the current ``SECRET_KEY``: the same text for every caller."""
        return self._signed(self._raw)


def key_of(text: object) -> SessionKey | None:
    """Return the key that a cookie holds, or that a cookie of the engine stands for which the site moves from.

    None for anything else; does no I/O. Raises ``ImproperlyConfigured`` where a site moves without a date.
    """
    key = SessionKey.parse(text)
    if key is not None or conf.migrate_from is None or not isinstance(text, str):
        return key
    from django_srvsession import migrating  # Most sites do not move.

    source = migrating.source()
    return SessionKey.standing_for(text)[0] if source is not None and source.is_key(text) else None


@lru_cache(maxsize=16)
def _migration_key(secret: str | bytes) -> bytes:
    return hashlib.sha256(_MIGRATION_SALT + b":" + force_bytes(secret)).digest()


@lru_cache(maxsize=16)
def _mac_state(secret: str | bytes) -> Any:
    """Return the keyed hash state of one secret; it is copied, never updated."""
    key = hashlib.sha256(_SALT + b":" + force_bytes(secret)).digest()
    return hashlib.blake2b(key=key, digest_size=_MAC_BYTES)


def _mac(signed: bytes, secret: str | bytes) -> bytes:
    mac = _mac_state(secret).copy()
    mac.update(signed)
    return bytes(mac.digest())
