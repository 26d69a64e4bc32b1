"""The session's key in a header of request and answer, for native apps: ``SRVSESSION_HEADER`` names it.

The value is the key that a cookie would hold, and opens the same session. No browser sends such a header by itself: no
form can, and a script of another site only where the CORS settings of this one let it. So these requests need no CSRF
token, unless a cookie stands for somebody as well.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils.cache import patch_cache_control

from django_srvsession import conf

NO_TOKEN: Final = ("new", "")
"""What an app sends that has none: the word, or what it was told last."""


def is_used(request: HttpRequest) -> bool:
    """Tell whether a request comes with the header: it says which session counts, and no cookie of ours is set."""
    name = conf.header
    return name is not None and meta_name(name) in request.META


def is_contradicted(request: HttpRequest) -> bool:
    """Tell whether a cookie names a session beside the header, whichever session that is."""
    return settings.SESSION_COOKIE_NAME in request.COOKIES


def key_text_of(request: HttpRequest) -> str | None:
    """Return what the header holds, which nobody has looked at yet; None of an app that has no token."""
    text = str(request.META[meta_name(conf.header or "")]).strip(" \t")
    return None if text in NO_TOKEN else text


def put(response: HttpResponseBase, token: str) -> None:
    """Tell the app its new token; an empty one says that it has none any more.

    No cache may keep that: it would hand one app's token to the next.
    """
    response.headers[conf.header or ""] = token
    patch_cache_control(response, private=True, no_store=True)


@lru_cache(maxsize=8)
def meta_name(header: str) -> str:
    """Return what WSGI, and Django, call a header."""
    return "HTTP_" + header.upper().replace("-", "_")
