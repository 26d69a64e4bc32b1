"""Read a security event token (SET, RFC 8417) of the Shared Signals Framework: whose sessions were revoked."""

from __future__ import annotations

import itertools
import logging
from typing import Any, Final

from django_srvsession import conf
from django_srvsession.conf import Provider
from django_srvsession.oidc import tokens
from django_srvsession.oidc.index import EMAIL, SESSION, USER, Name, Revocation
from django_srvsession.oidc.tokens import BadTokenError, Token, is_name, is_number

LONGEST: Final = 32_768
"""How many characters a token may have; one has some 2,000, and more with reasons in many languages."""
OLDEST_S: Final = 7 * 86_400
"""How long ago a token may have been issued, in seconds: transmitters keep what they could not deliver."""
_KIND: Final = "secevent+jwt"
_REVOKED: Final = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
_UPDATED: Final = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated"
_MOST_NAMES: Final = 20

log = logging.getLogger("django_srvsession")


def read(text: str) -> Revocation | None:
    """Return what a token ends; None where it tells of something else, such as the verification of a stream.

    Raises :class:`BadTokenError`, and ``StoreUnavailableError`` while the transmitter's keys cannot be fetched.
    """
    token = tokens.parse(text, LONGEST)
    if token.kind != _KIND:
        raise BadTokenError("it is another kind of token")
    provider = _provider_of(token)
    claims = tokens.verify(
        token,
        issuer=provider.transmitter,
        audience=provider.ssf_audience,
        jwks_uri=provider.ssf_jwks_uri or provider.jwks_uri,
        oldest_s=OLDEST_S,
    )
    if "sub" in claims:
        raise BadTokenError("it has a sub, which security events have not")
    events = claims["events"]
    if _UPDATED in events and events[_UPDATED].get("status") != "enabled":
        log.warning("The stream of security events of %s does not go on: see there.", provider.transmitter)
    if _REVOKED not in events:
        return None
    event, issued_s = events[_REVOKED], int(claims["iat"])
    whom = _whom(claims.get("sub_id", event.get("subject")), provider)
    if not whom:
        log.warning("A security event of %s names nobody in a way that could be known here.", provider.transmitter)
    happened = event.get("event_timestamp")
    at_s = max(0, min(int(happened), issued_s)) if is_number(happened) else issued_s
    return Revocation(provider.issuer, claims["iss"], claims["jti"], at_s, whom)


def _provider_of(token: Token) -> Provider:
    """Return the provider whose transmitter a token says it is from, for the audience that it says it is for."""
    of_issuer = [each for each in conf.oidc if each.ssf_audience and each.transmitter == token.claims.get("iss")]
    if not of_issuer:
        raise BadTokenError("it is from another transmitter", "invalid_issuer")
    for provider in of_issuer:
        if provider.ssf_audience in token.audiences:
            return provider
    raise BadTokenError("it is for another site", "invalid_audience")


def _whom(subject: Any, provider: Provider) -> list[tuple[Name, ...]]:
    """Return whom a subject is about: entries of names that are to hold together. Empty: nobody that is known here.

    A session narrows a user down. So would a device, a tenant or a group; but those are not known here, and what is
    not known of a session does not keep it from being meant (Shared Signals Framework, "Subject Matching").
    """
    if not isinstance(subject, dict):
        raise BadTokenError("it has no subject")
    if subject.get("format", "complex") != "complex":
        return [(name,) for name in _names(subject, SESSION if subject["format"] == "opaque" else USER, provider)]
    told = [_names(subject[kind], kind, provider) for kind in (SESSION, USER) if kind in subject]
    return list(itertools.product(*told)) if told else []


def _names(subject: Any, kind: str, provider: Provider) -> list[Name]:
    """Return the names of a user, or of a session, by a subject identifier (RFC 9493); empty for other formats."""
    identifiers = subject.get("identifiers") if isinstance(subject, dict) and _format(subject) == "aliases" else None
    if identifiers is None:
        return _name(subject, kind, provider)
    if not isinstance(identifiers, list) or len(identifiers) > _MOST_NAMES:
        raise BadTokenError("its subject is malformed")
    return [name for each in identifiers for name in _name(each, kind, provider)]


def _name(subject: Any, kind: str, provider: Provider) -> list[Name]:
    if not isinstance(subject, dict):
        raise BadTokenError("its subject is malformed")
    member = {"iss_sub": "sub", "email": "email", "opaque": "id"}.get(_format(subject))
    if member is None:
        return []
    value = subject.get(member)
    if not is_name(value):
        raise BadTokenError("its subject is malformed")
    if member == "email":
        return [(EMAIL, value.lower())] if kind == USER else []
    if member == "sub" and subject.get("iss") not in (provider.issuer, provider.transmitter):
        return []  # Somebody at another provider, of whom this one has no say.
    return [(kind, value)]


def _format(subject: dict[str, Any]) -> str:
    name = subject.get("format")
    if not isinstance(name, str):
        raise BadTokenError("its subject is malformed")
    return name
