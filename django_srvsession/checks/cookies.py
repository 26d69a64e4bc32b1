"""The cookie's settings, where Django's own checks say nothing.

``security.W010`` to ``W015`` look for ``django.contrib.sessions`` and its middleware by name, so they are silent on a
site that has only ours.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured

from django_srvsession import conf

_STOCK_MIDDLEWARE: Final = "django.contrib.sessions.middleware.SessionMiddleware"
_OTHER_NAMES: Final = ("CSRF_COOKIE_NAME", "LANGUAGE_COOKIE_NAME")
# Browsers compare prefixes without regard to capitals.
_SECURE_PREFIXES: Final = ("__secure-", "__host-", "__http-")
_HTTP_PREFIXES: Final = ("__http-", "__host-http-")
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", re.IGNORECASE)
_PATH: Final = re.compile(r"/[^;\x00-\x1f\x7f]*")
_LONGEST_S: Final = 400 * 86_400
"""How long browsers keep a cookie, at most (RFC 6265bis)."""


def check_cookie(**kwargs: Any) -> list[CheckMessage]:
    """Report a cookie that cannot be set, or that browsers refuse or do not keep."""
    return [*_name(), *_prefix(), *_domain(), *_path(), *_same_site(), *_age()]


def _name() -> Iterator[CheckMessage]:
    name = settings.SESSION_COOKIE_NAME
    if not _is_a_name(name):
        text = f"SESSION_COOKIE_NAME is {name!r}: no cookie can have that name."
        yield Error(text, hint="Use letters, digits, - and _.", id="srvsession.E006")
    for other in _OTHER_NAMES:
        if name == getattr(settings, other):
            text = f"SESSION_COOKIE_NAME and {other} are both {name!r}: each overwrites the other's cookie."
            yield Error(text, hint="Give the session's cookie a name of its own.", id="srvsession.E006")


def _is_a_name(name: object) -> bool:
    try:
        return isinstance(name, str) and name.isascii() and bool(SimpleCookie({name: ""}) and name)
    except CookieError:
        return False


def _prefix() -> Iterator[CheckMessage]:
    name = str(settings.SESSION_COOKIE_NAME).lower()
    wrong = []
    if name.startswith(_SECURE_PREFIXES) and settings.SESSION_COOKIE_SECURE is not True:
        wrong.append("SESSION_COOKIE_SECURE = True")
    if name.startswith("__host-"):
        wrong += ["SESSION_COOKIE_DOMAIN = None"] if settings.SESSION_COOKIE_DOMAIN else []
        wrong += ['SESSION_COOKIE_PATH = "/"'] if settings.SESSION_COOKIE_PATH != "/" else []
    if name.startswith(_HTTP_PREFIXES) and not settings.SESSION_COOKIE_HTTPONLY:
        wrong.append("SESSION_COOKIE_HTTPONLY = True")
    if wrong:
        text = f"SESSION_COOKIE_NAME is {settings.SESSION_COOKIE_NAME!r}: browsers refuse such a cookie without"
        text = f"{text} {' and '.join(wrong)}."
        yield Error(text, hint="Set that, or use a name without the prefix.", id="srvsession.E007")


def _domain() -> Iterator[CheckMessage]:
    domain = settings.SESSION_COOKIE_DOMAIN
    if domain and not _is_a_domain(domain):
        text = f"SESSION_COOKIE_DOMAIN is {domain!r}: for that no browser keeps a cookie, and nobody stays signed in."
        hint = 'Set it to None, or to a domain such as "example.com", without scheme, port or path.'
        yield Error(text, hint=hint, id="srvsession.E008")


def _is_a_domain(domain: object) -> bool:
    if not isinstance(domain, str) or _is_an_address(domain):
        return False
    labels = domain.removeprefix(".").split(".")
    return domain == "localhost" or (len(labels) > 1 and all(map(_LABEL.fullmatch, labels)))


def _is_an_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _path() -> Iterator[CheckMessage]:
    path = settings.SESSION_COOKIE_PATH
    if not isinstance(path, str) or not _PATH.fullmatch(path):
        text = f"SESSION_COOKIE_PATH is {path!r}: browsers put in its place the path of the page that set the cookie."
        yield Error(text, hint='Set it to "/", or to a path that begins with it.', id="srvsession.E009")


def _same_site() -> Iterator[CheckMessage]:
    same_site = settings.SESSION_COOKIE_SAMESITE
    if same_site is None or same_site is False:
        return
    if not isinstance(same_site, str) or same_site.lower() not in ("lax", "strict", "none"):
        text = f"SESSION_COOKIE_SAMESITE is {same_site!r}: setting the cookie will fail, and with it every sign-in."
        yield Error(text, hint='Set it to "Lax" or "Strict".', id="srvsession.E010")
    elif same_site.lower() == "none" and not settings.SESSION_COOKIE_SECURE:
        text = 'SESSION_COOKIE_SAMESITE is "None" and SESSION_COOKIE_SECURE is not set: browsers refuse such a cookie.'
        hint = 'Nobody can stay signed in. Set SESSION_COOKIE_SECURE = True, or SESSION_COOKIE_SAMESITE = "Lax".'
        yield Warning(text, hint=hint, id="srvsession.W005")


def _age() -> Iterator[CheckMessage]:
    hint = "After that, people are signed out whatever the setting says. It is in seconds."
    for name, age_s in _ages():
        if age_s > _LONGEST_S:
            text = f"{name} is {age_s / 86_400:,.0f} days: browsers keep no cookie for longer than 400."
            yield Warning(text, hint=hint, id="srvsession.W014")


def _ages() -> Iterator[tuple[str, float]]:
    """Yield what is set, where it is a number; what is none is reported elsewhere."""
    try:
        if not conf.flag("SESSION_EXPIRE_AT_BROWSER_CLOSE"):
            yield "SESSION_COOKIE_AGE", conf.seconds("SESSION_COOKIE_AGE", settings.SESSION_COOKIE_AGE)
        yield "SRVSESSION_REMEMBER_AGE", conf.remember_age_ms / 1000
    except ImproperlyConfigured:
        return


def check_cookie_for_deployment(**kwargs: Any) -> list[CheckMessage]:
    """Report a cookie that travels unencrypted or to more hosts and sites than need be, or that scripts can read."""
    return [*_sent_too_far(), *([] if _django_speaks() else _exposed())]


def _sent_too_far() -> Iterator[CheckMessage]:
    domain, same_site = settings.SESSION_COOKIE_DOMAIN, settings.SESSION_COOKIE_SAMESITE
    if domain and _is_a_domain(domain):
        text = (
            f"SESSION_COOKIE_DOMAIN is {domain!r}: every host below it is sent the session's key, and can replace it."
        )
        hint = 'Set it to None, and SESSION_COOKIE_NAME to "__Host-sessionid", unless the hosts are to share sessions.'
        yield Warning(text, hint=hint, id="srvsession.W012")
    if same_site is None or same_site is False or str(same_site).lower() == "none":
        text = f"SESSION_COOKIE_SAMESITE is {same_site!r}: browsers send the cookie with requests of any other site."
        yield Warning(text, hint='Set SESSION_COOKIE_SAMESITE = "Lax".', id="srvsession.W013")


def _exposed() -> Iterator[CheckMessage]:
    if settings.SESSION_COOKIE_SECURE is not True:
        text = "SESSION_COOKIE_SECURE is not True: the session cookie also travels unencrypted, for anyone to read."
        yield Warning(text, hint="Set SESSION_COOKIE_SECURE = True.", id="srvsession.W003")
    if settings.SESSION_COOKIE_HTTPONLY is not True:
        text = "SESSION_COOKIE_HTTPONLY is not True: a script that gets into a page can send the session cookie away."
        yield Warning(text, hint="Set SESSION_COOKIE_HTTPONLY = True.", id="srvsession.W004")


def _django_speaks() -> bool:
    return "django.contrib.sessions" in settings.INSTALLED_APPS or _STOCK_MIDDLEWARE in settings.MIDDLEWARE
