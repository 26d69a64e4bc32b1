"""Which cookie of a request is the session's: read from the header as it was sent.

Django strips Unicode blanks from names: it takes ``<U+2000>__Host-sessionid`` for ``__Host-sessionid``, and of two
cookies of one name the last. A browser accepts such a name from any other site of the domain, for all its ``__Host-``
promises. And where the name has no such prefix, another site of the domain may set a cookie of the same name.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final

from django.conf import settings
from django.http import HttpRequest

from django_srvsession.engine.keys import SessionKey

_BLANKS: Final = " \t"  # What RFC 6265 allows around a name and a value, and no other.

security_log = logging.getLogger("django.security.SuspiciousSession")


def settle(request: HttpRequest) -> bool:
    """Leave in ``request.COOKIES`` the session cookie that was sent under its very name, or none.

    Of several, the one genuine key counts: what another application has set under the name shadows nothing. Returns
    False for two different genuine keys, one of which somebody has slipped in: they are nobody's, and none is left.
    """
    name, header = settings.SESSION_COOKIE_NAME, request.META.get("HTTP_COOKIE") or ""
    count = header.count(name)
    # The everyday case. Where the name is not in the header, what is in COOKIES was put there by the site.
    if count == 0 or (count == 1 and header.isascii() and header.isprintable()):
        return True
    sent = list(dict.fromkeys(values_of(header, name)))
    if len(sent) == 1 and request.COOKIES.get(name) == sent[0]:
        return True
    keys = [key for key in map(SessionKey.parse, sent) if key is not None]
    if len(keys) > 1:
        sids = ", ".join(key.sid for key in keys)
        security_log.warning("A request has cookies of several sessions (%s), and is taken for nobody's.", sids)
        request.COOKIES.pop(name, None)
        return False
    if not sent:
        if request.COOKIES.pop(name, None) is not None:
            security_log.warning("A cookie whose name only looks like that of the session's is passed over.")
    elif keys or request.COOKIES.get(name) not in sent:
        request.COOKIES[name] = keys[0].text if keys else sent[-1]
    return True


def values_of(header: str, name: str) -> Iterator[str]:
    """Yield the values that the header has under this very name, without quotes: a key needs none."""
    for pair in header.split(";"):
        found, is_pair, value = pair.partition("=")
        if is_pair and found.strip(_BLANKS) == name:
            yield value.strip(_BLANKS).strip('"')
