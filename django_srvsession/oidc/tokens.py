"""Read a logout token, a JWT that the provider signs; nothing of it is believed before that, but where to look."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import jwt
from cryptography.exceptions import UnsupportedAlgorithm

from django_srvsession import conf
from django_srvsession.conf import Provider
from django_srvsession.oidc import keys

# Signatures with public keys alone: never "none", and no secret that both sides know.
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
LONGEST: Final = 8192
"""How many characters a token may have; one has some 1,000."""
OLDEST_S: Final = 600
"""How long ago a token may have been issued, in seconds: providers try again after an outage of ours."""
_CLOCKS_DIFFER_S: Final = 60
_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
# "JWT" says nothing more than that it is one, and several libraries put it in by themselves.
_KINDS: Final = (None, "logout+jwt", "application/logout+jwt", "jwt")
_REQUIRED: Final = ["iss", "aud", "iat", "jti", "events"]
# What the two libraries raise for texts and numbers that are none.
_ERRORS: Final = (
    *(jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, KeyError, OverflowError),
    *(RecursionError, AttributeError),
)


class BadTokenError(Exception):
    """Report a token that ends nothing; its text says why, and holds nothing of the token."""


class LogoutToken(NamedTuple):
    """Hold what a genuine token says: who was signed out, ``subject`` or ``provider_sid`` or both."""

    issuer: str
    jti: str
    issued_s: int
    subject: str | None
    provider_sid: str | None


def read(text: str) -> LogoutToken:
    """Return what a token says.

    Raises :class:`BadTokenError`, and ``StoreUnavailableError`` while the provider's keys cannot be fetched.
    """
    if len(text) > LONGEST:
        raise BadTokenError("it is too long")
    try:
        header = jwt.get_unverified_header(text)
        unverified = jwt.decode(text, options={"verify_signature": False})
    except _ERRORS as error:
        raise BadTokenError("it is no JWT") from error
    if (algorithm := header.get("alg")) not in ALGORITHMS:
        raise BadTokenError("it is not signed with a public key")
    if not _is_of_kind(header.get("typ")):
        raise BadTokenError("it is another kind of token")
    provider = _provider_of(unverified)
    return _told(_verified(text, header, algorithm, provider))


def _is_of_kind(kind: object) -> bool:
    return (kind.lower() if isinstance(kind, str) else kind) in _KINDS


def _provider_of(claims: Mapping[str, Any]) -> Provider:
    """Return the provider that a token says it is from, for the site that it says it is for."""
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    for provider in conf.oidc:
        if provider.issuer == claims.get("iss") and provider.client_id in audiences:
            return provider
    raise BadTokenError("it is from another provider, or for another site")


def _verified(text: str, header: Mapping[str, Any], algorithm: str, provider: Provider) -> Mapping[str, Any]:
    """Return the claims of a token that one of the provider's keys has signed, and that is not old."""
    kid = header.get("kid")
    if not isinstance(kid, str | None):
        raise BadTokenError("the name of its key is no text")
    for key in keys.keys_of(provider.jwks_uri).of(kid):
        try:
            if key.get("alg", algorithm) != algorithm:
                continue
            claims: Mapping[str, Any] = jwt.decode(
                text,
                jwt.PyJWK.from_dict(key, algorithm),
                algorithms=[algorithm],
                audience=provider.client_id,
                issuer=provider.issuer,
                leeway=_CLOCKS_DIFFER_S,
                options={"require": _REQUIRED},
            )
        except jwt.InvalidSignatureError:
            continue
        except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError) as error:
            raise BadTokenError("it is not valid now") from error
        except jwt.MissingRequiredClaimError as error:
            raise BadTokenError("a claim is missing") from error
        except _ERRORS:
            continue  # Another kind of key, or a claim of a wrong type.
        return claims
    raise BadTokenError("no key of the provider has signed it, or its claims are malformed")


def _told(claims: Mapping[str, Any]) -> LogoutToken:
    events, issued, jti = claims["events"], claims["iat"], claims["jti"]
    if not isinstance(events, dict) or not isinstance(events.get(_EVENT), dict):
        raise BadTokenError("it tells of no logout")
    if "nonce" in claims:
        raise BadTokenError("it has a nonce, as tokens of a sign-in have")
    if isinstance(issued, bool) or not isinstance(issued, int | float) or time.time() - issued > OLDEST_S:
        raise BadTokenError("it is too old")
    if not isinstance(jti, str) or not jti:
        raise BadTokenError("it has no name of its own")
    subject, provider_sid = claims.get("sub"), claims.get("sid")
    if subject is None and provider_sid is None:
        raise BadTokenError("it does not say who was signed out")
    if not all(value is None or (isinstance(value, str) and value) for value in (subject, provider_sid)):
        raise BadTokenError("it does not say who was signed out")
    return LogoutToken(claims["iss"], jti, int(issued), subject, provider_sid)
