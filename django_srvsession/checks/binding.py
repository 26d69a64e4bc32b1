"""What binding sessions to devices takes: TLS, two addresses that the cookie reaches, PyJWT, and a sensible age."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured

from django_srvsession import conf
from django_srvsession.binding.guarding import address_of

_SHORTEST_MS: Final = 240_000  # Twice the time before its end at which browsers renew the cookie.
_LONGEST_MS: Final = 86_400_000


def check_binding(**kwargs: Any) -> list[CheckMessage]:
    """Report what keeps a site that sets ``SRVSESSION_BIND`` from binding any session, or makes it of little use."""
    try:
        is_binding, age_ms, _ = conf.bind is not None, conf.bind_age_ms, conf.bind_site
    except ImproperlyConfigured:
        return []  # Reported as srvsession.E002.
    return [*_parts(), *_cookie(), *_age(age_ms)] if is_binding else []


def _parts() -> Iterator[CheckMessage]:
    if find_spec("jwt") is None or find_spec("cryptography") is None:
        hint = 'Run: pip install "django-srvsession[bind]"'
        yield Error("SRVSESSION_BIND needs PyJWT with cryptography.", hint=hint, id="srvsession.E014")
    if not hasattr(settings, "ROOT_URLCONF"):
        return  # No pages: workers, commands.
    address = address_of("register")
    if address is None:
        text = "SRVSESSION_BIND binds nothing: browsers have no address to register at."
        hint = 'Add path("device/", include("django_srvsession.binding.urls")) to the URLs.'
        yield Error(text, hint=hint, id="srvsession.E014")
    elif not address.startswith(str(settings.SESSION_COOKIE_PATH)):
        text = f"SRVSESSION_BIND binds nothing: browsers do not send the session's cookie to {address}."
        hint = f"Include django_srvsession.binding.urls below SESSION_COOKIE_PATH, {settings.SESSION_COOKIE_PATH!r}."
        yield Error(text, hint=hint, id="srvsession.E018")


def _cookie() -> Iterator[CheckMessage]:
    if settings.SESSION_COOKIE_SECURE is not True:
        text = "SRVSESSION_BIND is set and SESSION_COOKIE_SECURE is not: browsers bind sessions over TLS alone."
        hint = "Set SESSION_COOKIE_SECURE = True. Behind a proxy, set SECURE_PROXY_SSL_HEADER too."
        yield Error(text, hint=hint, id="srvsession.E015")
    domain, site = settings.SESSION_COOKIE_DOMAIN, conf.bind_site
    if domain and site is None:
        text = (
            f"SRVSESSION_BIND is set and SESSION_COOKIE_DOMAIN is {domain!r}: a browser renews its proof for the host "
            "that it signed in on. On the others nobody is signed in when it has run out."
        )
        hint = "Set SESSION_COOKIE_DOMAIN to None, or SRVSESSION_BIND_SITE to the site that all these hosts are in."
        yield Warning(text, hint=hint, id="srvsession.W024")
    elif site is not None and not _is_site_of(domain or "", site):
        text = f"SRVSESSION_BIND_SITE is {site!r}, and SESSION_COOKIE_DOMAIN is {domain!r}: browsers bind nothing so."
        hint = 'For "https://example.com", the cookie\'s domain is "example.com" or one below it.'
        yield Error(text, hint=hint, id="srvsession.E020")


def _is_site_of(domain: str, site: str) -> bool:
    """Tell whether a cookie of this domain is one of the site's, and the site is on TLS."""
    host = site.removeprefix("https://").partition(":")[0]
    return site.startswith("https://") and f".{domain.lstrip('.')}".endswith(f".{host}")


def _age(age_ms: int) -> Iterator[CheckMessage]:
    if age_ms < _SHORTEST_MS:
        text = "SRVSESSION_BIND_AGE is below four minutes: browsers renew two minutes before the end, so at every page."
        yield Warning(text, hint="Ten minutes will do.", id="srvsession.W023")
    elif age_ms > _LONGEST_MS:
        text = "SRVSESSION_BIND_AGE is more than a day: so long, whoever copies both cookies is signed in."
        yield Warning(text, hint="Ten minutes will do.", id="srvsession.W023")
