"""What it takes that an identity provider ends sessions: PyJWT."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured

from django_srvsession import conf


def check_oidc(**kwargs: Any) -> list[CheckMessage]:
    """Report a site that names identity providers and cannot verify what they sign."""
    try:
        if not conf.oidc:
            return []
    except ImproperlyConfigured:
        return []  # Reported as srvsession.E002.
    if find_spec("jwt") is not None and find_spec("cryptography") is not None:
        return []
    hint = 'Run: pip install "django-srvsession[oidc]"'
    return [Error("SRVSESSION_OIDC needs PyJWT with cryptography.", hint=hint, id="srvsession.E019")]
