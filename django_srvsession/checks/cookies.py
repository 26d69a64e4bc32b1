"""The cookie's settings, where Django's own checks say nothing.

``security.W010`` to ``W015`` look for ``django.contrib.sessions`` and its middleware by name, so they are silent on a
site that has only ours.
"""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Warning

_STOCK_MIDDLEWARE: Final = "django.contrib.sessions.middleware.SessionMiddleware"


def check_cookie(**kwargs: Any) -> list[CheckMessage]:
    """Report a cookie that browsers refuse."""
    same_site = settings.SESSION_COOKIE_SAMESITE
    # The text, in any case; the value None leaves the attribute out.
    if not isinstance(same_site, str) or same_site.lower() != "none" or settings.SESSION_COOKIE_SECURE:
        return []
    text = 'SESSION_COOKIE_SAMESITE is "None" and SESSION_COOKIE_SECURE is not set: browsers refuse such a cookie.'
    hint = 'Nobody can stay signed in. Set SESSION_COOKIE_SECURE = True, or SESSION_COOKIE_SAMESITE = "Lax".'
    return [Warning(text, hint=hint, id="srvsession.W005")]


def check_cookie_for_deployment(**kwargs: Any) -> list[CheckMessage]:
    """Report a cookie that travels unencrypted, or that scripts can read."""
    if _django_speaks():
        return []
    messages: list[CheckMessage] = []
    if settings.SESSION_COOKIE_SECURE is not True:
        text = "SESSION_COOKIE_SECURE is not True: the session cookie also travels unencrypted, for anyone to read."
        messages.append(Warning(text, hint="Set SESSION_COOKIE_SECURE = True.", id="srvsession.W003"))
    if settings.SESSION_COOKIE_HTTPONLY is not True:
        text = "SESSION_COOKIE_HTTPONLY is not True: a script that gets into a page can send the session cookie away."
        messages.append(Warning(text, hint="Set SESSION_COOKIE_HTTPONLY = True.", id="srvsession.W004"))
    return messages


def _django_speaks() -> bool:
    return "django.contrib.sessions" in settings.INSTALLED_APPS or _STOCK_MIDDLEWARE in settings.MIDDLEWARE
