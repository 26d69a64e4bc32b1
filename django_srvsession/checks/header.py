"""The header in which apps send their key: who else may see it, and who else may send one."""

from __future__ import annotations

import re
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning
from django.core.exceptions import ImproperlyConfigured
from django.views.debug import get_default_exception_reporter_filter

from django_srvsession import conf
from django_srvsession.clients.header import meta_name


def check_header(**kwargs: Any) -> list[CheckMessage]:
    """Report a name by which Django does not know a secret: the reports of errors that it shows and mails hold it."""
    header = _header()
    hidden: Any = getattr(get_default_exception_reporter_filter(), "hidden_settings", None)
    if header is None or not isinstance(hidden, re.Pattern) or hidden.search(meta_name(header)):
        return []
    text = f"SRVSESSION_HEADER is {header!r}: Django's reports of errors show what it holds, the key of a session."
    hint = 'Use a name with "Token" in it, such as "X-Session-Token".'
    return [Warning(text, hint=hint, id="srvsession.W020")]


def check_header_for_deployment(**kwargs: Any) -> list[CheckMessage]:
    """Report that every site's scripts may send the header, where django-cors-headers says so."""
    header, allowed = _header(), getattr(settings, "CORS_ALLOW_HEADERS", ())
    for_all = getattr(settings, "CORS_ALLOW_ALL_ORIGINS", False) or getattr(settings, "CORS_ORIGIN_ALLOW_ALL", False)
    if header is None or not for_all or header.lower() not in {str(name).lower() for name in allowed}:
        return []
    text = f"CORS_ALLOW_ALL_ORIGINS lets scripts of every site send {header}, with which no CSRF token is asked for."
    hint = "Name the origins of your own in CORS_ALLOWED_ORIGINS. Native apps need no CORS."
    return [Warning(text, hint=hint, id="srvsession.W021")]


def _header() -> str | None:
    try:
        return conf.read("HEADER")  # type: ignore[no-any-return]
    except ImproperlyConfigured:
        return None  # It is reported as such.
