"""Keep which session of the identity provider a session of ours belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.contrib.auth import SESSION_KEY
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

from django_srvsession import conf, services
from django_srvsession.engine import SessionStore
from django_srvsession.oidc import index
from django_srvsession.oidc.index import EMAIL, SESSION, USER, Identity, Revocation

REASON: Final = "provider_logout"


def link(request: HttpRequest, claims: Mapping[str, Any], *, id_token: str | None = None) -> None:
    """Keep that the request's session belongs to the provider's session of these claims, of a verified ID token.

    Call it after ``login()``; it saves the session. Where the provider has ended its session already, because its
    logout was faster than this sign-in, ours is ended, too: at once, or after the commit where a transaction is open.

    ``id_token``, the token itself, is for providers that sign nobody out without it (``provider_logout_url()``): the
    session holds it as long as it lives. It is personal data, and who reads the store can read it.

    Raises ``ValueError`` where nobody is signed in or the claims are those of no ID token, ``ImproperlyConfigured``
    for a provider that ``SRVSESSION_OIDC`` does not name, and ``StoreUnavailableError``.
    """
    session = request.session
    if not isinstance(session, SessionStore):
        raise ImproperlyConfigured("link() needs a session engine of django-srvsession.")
    identity = _identity_in(claims)
    if not isinstance(id_token, str | None):
        raise ValueError("id_token is the ID token itself, a text.")
    if session.get(SESSION_KEY) is None:
        raise ValueError("Nobody is signed in: call link() after login().")
    _keep_for_logout(session, claims, id_token)
    session.save()  # Before that there is no session that a logout could end.
    sid = session.sid
    assert sid is not None  # noqa: S101 - it was saved.
    index.add(sid, identity)

    def end_if_overtaken() -> None:
        if index.is_ended(identity):
            services.revoke(sid, by=identity.issuer, reason=REASON)

    index.after_all_commits(end_if_overtaken)


def carry_out(revocation: Revocation) -> None:
    """End the sessions that a token ends, also those whose sign-in is still under way.

    Raises ``StoreUnavailableError`` where that is not sure: then the same token ends the rest.
    """
    index.mark_ended(revocation)
    for _ in services.revoke_many(index.sids_of(revocation), by=revocation.issuer, reason=REASON):
        pass
    index.mark_used(revocation)


def _keep_for_logout(session: SessionStore, claims: Mapping[str, Any], id_token: str | None) -> None:
    """Keep what the provider is told when the person signs out here: as little as it may need."""
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    of_issuer = [provider for provider in conf.oidc if provider.issuer == claims["iss"]]
    provider = next((each for each in of_issuer if each.client_id in audiences), of_issuer[0])
    if not provider.end_session_endpoint:
        return
    told = {"issuer": provider.issuer, "client_id": provider.client_id}
    hint = claims.get("login_hint") or claims.get("sid")  # The former is what Entra takes.
    if id_token:
        told["id_token"] = id_token
    elif isinstance(hint, str):
        told["logout_hint"] = hint
    session[services.PROVIDER_KEY] = told


def _identity_in(claims: Mapping[str, Any]) -> Identity:
    issuer, subject, provider_sid, issued = (claims.get(name) for name in ("iss", "sub", "sid", "iat"))
    ours = [provider for provider in conf.oidc if provider.issuer == issuer]
    if not ours:
        raise ImproperlyConfigured(f"SRVSESSION_OIDC names no provider with the issuer {issuer!r}.")
    if not isinstance(subject, str) or not subject or not isinstance(provider_sid, str | None):
        raise ValueError("These are no claims of an ID token: sub and sid are texts.")
    if isinstance(issued, bool) or not isinstance(issued, int | float):
        raise ValueError("These are no claims of an ID token: iat is a number.")
    names = [(USER, subject)]
    if provider_sid:
        names.append((SESSION, provider_sid))
    email = claims.get("email")
    # Only security events name people by their address. One that is not theirs would end sessions of somebody else.
    is_theirs = claims.get("email_verified", True) in (True, "true")
    if any(each.ssf_audience for each in ours) and isinstance(email, str) and is_theirs:
        names.append((EMAIL, email.lower()))
    return Identity(str(issuer), tuple(names), int(issued))
