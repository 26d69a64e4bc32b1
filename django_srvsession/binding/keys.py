"""A device's public key, in the one spelling that RFC 7638 gives it, and what a session keeps of it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from django_srvsession.engine.seal import SealError

_INSTANT: Final = 8
_SHOWN: Final = 1
_COORDINATE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_MODULUS: Final = re.compile(r"[A-Za-z0-9_-]{342,460}")  # 2,048 bits and more; what a session has no room for is none.


class ProofError(ValueError):
    """Report a proof, or a key, that is refused; the text says why, and holds nothing of it."""


class Binding(NamedTuple):
    """Hold what a session keeps of its device; sealed with the session's details.

    ``at_ms`` is when the device last proved to have the key. ``was_shown`` tells whether a request has brought the
    bound cookie: from then on each must.
    """

    at_ms: int
    was_shown: bool
    jwk: bytes

    @classmethod
    def decode(cls, data: bytes) -> Binding:
        """Return what is stored in the details; raises ``SealError`` where that is no binding."""
        if len(data) <= _INSTANT + 1:
            raise SealError("its binding is damaged")
        return cls(int.from_bytes(data[:_INSTANT], "big"), data[_INSTANT] == _SHOWN, data[_INSTANT + 1 :])

    def encode(self) -> bytes:
        """Return the bytes to store in the details."""
        return self.at_ms.to_bytes(_INSTANT, "big") + bytes((_SHOWN if self.was_shown else 0,)) + self.jwk

    @property
    def thumbprint(self) -> str:
        """Return the key's SHA-256 as RFC 7638 defines it, in base64url."""
        return base64.urlsafe_b64encode(hashlib.sha256(self.jwk).digest()).rstrip(b"=").decode()


def canonical(jwk: object) -> bytes:
    """Return a public key as RFC 7638 spells it; raises :class:`ProofError` for a kind of key that is not accepted.

    Accepted are P-256 and RSA of 2,048 bits or a little more. Whether the numbers make a key is not looked at here.
    """
    if not isinstance(jwk, Mapping):
        raise ProofError("it brings no key")
    if jwk.get("kty") == "EC":
        return _spelt(_elliptic(jwk))
    if jwk.get("kty") == "RSA":
        return _spelt(_rsa(jwk))
    raise ProofError("its key is of another kind")


def algorithm_of(jwk: bytes) -> str:
    """Return which of the two algorithms goes with a key that was accepted."""
    return "ES256" if json.loads(jwk)["kty"] == "EC" else "RS256"


def _elliptic(jwk: Mapping[str, Any]) -> dict[str, str]:
    x, y = jwk.get("x"), jwk.get("y")
    if jwk.get("crv") != "P-256" or not all(isinstance(part, str) and _COORDINATE.fullmatch(part) for part in (x, y)):
        raise ProofError("its key is not on P-256")
    return {"crv": "P-256", "kty": "EC", "x": str(x), "y": str(y)}


def _rsa(jwk: Mapping[str, Any]) -> dict[str, str]:
    modulus = jwk.get("n")
    if jwk.get("e") != "AQAB" or not (isinstance(modulus, str) and _MODULUS.fullmatch(modulus)):
        raise ProofError("its RSA key is of another size, or has another exponent")
    return {"e": "AQAB", "kty": "RSA", "n": modulus}


def _spelt(members: Mapping[str, str]) -> bytes:
    return json.dumps(members, separators=(",", ":"), sort_keys=True).encode()
