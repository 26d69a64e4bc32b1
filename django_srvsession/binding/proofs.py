"""Read a proof, which is a JWT that the browser signs with its device's key; nothing of it is believed before that.

PyJWT checks the signature (the extra ``bind``). It is imported with this module, and so by the first proof.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from django.http import HttpRequest

from django_srvsession.binding.keys import ProofError, algorithm_of, canonical

ALGORITHMS: Final = ("ES256", "RS256")
LONGEST: Final = 4096
"""How many characters a proof may have: one with the largest key that is accepted has some 1,600."""
_KIND: Final = "dbsc+jwt"
_OPTIONS: Final[Any] = {"require": ["jti"], "verify_aud": False}
# What the two libraries raise for texts and numbers that are none; JSON in itself too often, too.
_ERRORS: Final = (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, KeyError, RecursionError)


def key_in(text: str) -> bytes:
    """Return the public key that a new device's proof brings, as :func:`keys.canonical` spells it; it proves nothing.

    Raises :class:`ProofError`.
    """
    return canonical(_header_of(text).get("jwk"))


def challenge_in(text: str, key: bytes, request: HttpRequest) -> str:
    """Return the challenge that was signed with this key; raises :class:`ProofError` for any other text."""
    algorithm = algorithm_of(key)
    if (header := _header_of(text)).get("alg") != algorithm or header.get("typ") != _KIND:
        raise ProofError("it is signed in another way, or is no proof of a device")
    try:
        public = jwt.PyJWK.from_dict(json.loads(key), algorithm)
        claims: Mapping[str, Any] = jwt.decode(text, public, algorithms=[algorithm], options=_OPTIONS)
    except _ERRORS as error:
        raise ProofError("its signature is wrong, or was made by another key") from error
    if "aud" in claims and not _is_here(claims["aud"], request):
        raise ProofError("it was made for another address")
    return str(claims["jti"])


def sent_in(request: HttpRequest) -> str | None:
    """Return the proof that a request brings, raw or as a quoted string; None where it brings none."""
    sent = request.META.get("HTTP_SECURE_SESSION_RESPONSE")
    if sent is None:
        return None
    text = str(sent).strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _header_of(text: str) -> Mapping[str, Any]:
    if len(text) > LONGEST:
        raise ProofError("it is too long")
    try:
        return jwt.get_unverified_header(text)
    except _ERRORS as error:
        raise ProofError("it is no JWT") from error


def _is_here(audience: object, request: HttpRequest) -> bool:
    """Tell whether an address is the one that was asked for; a proxy may have changed its scheme."""
    try:
        parts = urlsplit(str(audience))
    except ValueError:
        return False
    return (parts.netloc, parts.path) == (request.get_host(), request.path)
