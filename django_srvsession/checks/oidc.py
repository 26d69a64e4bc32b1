"""What it takes that an identity provider ends sessions: PyJWT, and addresses that hear of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.urls import URLPattern, URLResolver, get_resolver

from django_srvsession import conf


def check_oidc(**kwargs: Any) -> list[CheckMessage]:
    """Report a site that names identity providers, and cannot verify what they sign or does not hear it."""
    try:
        if not conf.oidc:
            return []
    except ImproperlyConfigured:
        return []  # Reported as srvsession.E002.
    return [*_libraries(), *_addresses()]


def _libraries() -> Iterator[CheckMessage]:
    if find_spec("jwt") is None or find_spec("cryptography") is None:
        hint = 'Run: pip install "django-srvsession[oidc]"'
        yield Error("SRVSESSION_OIDC needs PyJWT with cryptography.", hint=hint, id="srvsession.E019")


def _addresses() -> Iterator[CheckMessage]:
    if not hasattr(settings, "ROOT_URLCONF"):
        return  # No pages: workers, commands.
    from django_srvsession.oidc.views import BackChannelLogoutView, SecurityEventView

    hears_events = _has_view(SecurityEventView, get_resolver().url_patterns)
    if any(provider.ssf_audience for provider in conf.oidc) and not hears_events:
        yield _unheard("Security events", SecurityEventView)
    # With a place to sign out at, that may be all that is wanted: not every provider tells of logouts.
    wants_logouts = not hears_events and not all(provider.end_session_endpoint for provider in conf.oidc)
    if wants_logouts and not _has_view(BackChannelLogoutView, get_resolver().url_patterns):
        yield _unheard("Logouts", BackChannelLogoutView)


def _unheard(what: str, view: type) -> CheckMessage:
    text = f"{what} of the providers in SRVSESSION_OIDC end nothing: no URL pattern leads to {view.__name__}."
    hint = f"Add django_srvsession.oidc.{view.__name__}.as_view() to the URLs."
    return Warning(text, hint=hint, id="srvsession.W027")


def _has_view(view: type, patterns: Iterable[URLPattern | URLResolver]) -> bool:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            if _has_view(view, pattern.url_patterns):
                return True
        elif isinstance(found := getattr(pattern.callback, "view_class", None), type) and issubclass(found, view):
            return True
    return False
