"""Read a logout token of OpenID Connect Back-Channel Logout 1.0: whom the provider has signed out."""

from __future__ import annotations

from typing import Final

from django_srvsession import conf
from django_srvsession.conf import Provider
from django_srvsession.oidc import tokens
from django_srvsession.oidc.index import SESSION, USER, Revocation
from django_srvsession.oidc.tokens import BadTokenError, Token, is_name

LONGEST: Final = 8192
"""How many characters a token may have; one has some 1,000."""
OLDEST_S: Final = 600
"""How long ago a token may have been issued, in seconds: providers try again after an outage of ours."""
_KIND: Final = "logout+jwt"
_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"


def read(text: str) -> Revocation:
    """Return what a token ends.

    Raises :class:`BadTokenError`, and ``StoreUnavailableError`` while the provider's keys cannot be fetched.
    """
    token = tokens.parse(text, LONGEST)
    provider = _provider_of(token)
    if token.kind == "jwt" and provider.logout_typ != "JWT":
        raise BadTokenError('its typ is JWT, for which SRVSESSION_OIDC must have "logout_typ": "JWT"')
    if token.kind not in (None, _KIND, "jwt"):
        raise BadTokenError("it is another kind of token")
    claims = tokens.verify(
        token,
        issuer=provider.issuer,
        audience=provider.client_id,
        jwks_uri=provider.jwks_uri,
        oldest_s=OLDEST_S,
    )
    if _EVENT not in claims["events"]:
        raise BadTokenError("it tells of no logout")
    if "nonce" in claims:
        raise BadTokenError("it has a nonce, as tokens of a sign-in have")
    told = [(kind, claims[name]) for kind, name in ((USER, "sub"), (SESSION, "sid")) if claims.get(name) is not None]
    if not told or not all(is_name(value) for _, value in told):
        raise BadTokenError("it does not say who was signed out")
    return Revocation(provider.issuer, claims["iss"], claims["jti"], int(claims["iat"]), [tuple(told)])


def _provider_of(token: Token) -> Provider:
    """Return the provider that a token says it is from, for the site that it says it is for."""
    issuer = token.claims.get("iss")
    of_issuer = [provider for provider in conf.oidc if provider.issuer == issuer]
    if not of_issuer:
        if isinstance(issuer, str) and any(each.issuer.rstrip("/") == issuer.rstrip("/") for each in conf.oidc):
            raise BadTokenError("its issuer and that of SRVSESSION_OIDC differ by a slash at the end")
        raise BadTokenError("its issuer is none that SRVSESSION_OIDC names")
    for provider in of_issuer:
        if provider.client_id in token.audiences:
            return provider
    raise BadTokenError("it is for another site: its aud is not the client_id of SRVSESSION_OIDC")
