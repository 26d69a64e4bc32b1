"""Read what a provider signs, a JWT; nothing of it is believed before its signature, but where to look for its key."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeGuard

import jwt
from cryptography.exceptions import UnsupportedAlgorithm

from django_srvsession.oidc import keys

# Signatures with public keys alone: never "none", and no secret that both sides know.
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_CLOCKS_DIFFER_S: Final = 60
_REQUIRED: Final = ["iss", "aud", "iat", "jti", "events"]
# What the two libraries raise for texts and numbers that are none.
_ERRORS: Final = (
    *(jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, KeyError, OverflowError),
    *(RecursionError, AttributeError),
)


class BadTokenError(Exception):
    """Report a token that ends nothing; its text says why, and holds nothing of the token. ``code`` is RFC 8935's."""

    def __init__(self, text: str, code: str = "invalid_request") -> None:
        super().__init__(text)
        self.code = code


class Token(NamedTuple):
    """Hold a token that nobody has verified yet."""

    text: str
    header: Mapping[str, Any]
    claims: Mapping[str, Any]

    @property
    def kind(self) -> object:
        """Return its ``typ``, without the "application/" that may stand before it; None where it has none."""
        kind = self.header.get("typ")
        return kind.lower().removeprefix("application/") if isinstance(kind, str) else kind

    @property
    def audiences(self) -> list[Any]:
        """Return whom it says that it is for."""
        audience = self.claims.get("aud")
        return audience if isinstance(audience, list) else [audience]


def parse(text: str, longest: int) -> Token:
    """Return a token as it stands; raises :class:`BadTokenError` for what is none, and for one of many characters."""
    if len(text) > longest:
        raise BadTokenError("it is too long")
    try:
        header = jwt.get_unverified_header(text)
        claims = jwt.decode(text, options={"verify_signature": False})
    except _ERRORS as error:
        raise BadTokenError("it is no JWT") from error
    if header.get("alg") not in ALGORITHMS:
        raise BadTokenError("it is not signed with a public key", "invalid_key")
    return Token(text, header, claims)


def verify(token: Token, *, issuer: str, audience: str, jwks_uri: str, oldest_s: int) -> Mapping[str, Any]:
    """Return the claims of a token that one of these keys has signed, for us, and that is not older than that.

    They have a ``jti`` and an ``iat``, and ``events`` by their names. Raises :class:`BadTokenError`, and
    ``StoreUnavailableError`` while the keys cannot be fetched.
    """
    kid, algorithm = token.header.get("kid"), token.header["alg"]
    if not isinstance(kid, str | None):
        raise BadTokenError("the name of its key is no text")
    for key in keys.keys_of(jwks_uri).of(kid):
        try:
            if key.get("alg", algorithm) != algorithm:
                continue
            claims: Mapping[str, Any] = jwt.decode(
                token.text,
                jwt.PyJWK.from_dict(key, algorithm),
                algorithms=[algorithm],
                audience=audience,
                issuer=issuer,
                leeway=_CLOCKS_DIFFER_S,
                options={"require": _REQUIRED},
            )
        except jwt.InvalidSignatureError:
            continue
        except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError) as error:
            raise BadTokenError("it is not valid now") from error
        except jwt.MissingRequiredClaimError as error:
            raise BadTokenError(f"it has no claim {error.claim}") from error
        except _ERRORS:
            continue  # Another kind of key, or a claim of a wrong type.
        return _checked(claims, oldest_s)
    raise BadTokenError("no key of the provider has signed it, or its claims are malformed", "invalid_key")


def _checked(claims: Mapping[str, Any], oldest_s: int) -> Mapping[str, Any]:
    if not is_number(claims["iat"]) or claims["iat"] < time.time() - oldest_s:
        raise BadTokenError("it is too old")
    if not is_name(claims["jti"]):
        raise BadTokenError("it has no name of its own")
    events = claims["events"]
    if not isinstance(events, dict) or not events or not all(isinstance(event, dict) for event in events.values()):
        raise BadTokenError("its events are malformed")
    return claims


def is_number(value: object) -> bool:
    """Tell whether a value of JSON is a number, and a finite one."""
    return type(value) is int or (type(value) is float and math.isfinite(value))


def is_name(value: object) -> TypeGuard[str]:
    """Tell whether a value of JSON is a text that says something."""
    return isinstance(value, str) and bool(value)
