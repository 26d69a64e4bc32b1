"""The bound cookie: what a browser has for a while after each proof, beside the session's own cookie.

It is signed, and says for which session and key it was given out, after how many renewals, and when. So it is checked
against the session that every request loads anyway, and costs no look into the store of its own.
"""

from __future__ import annotations

from typing import Any, Final, cast

from django.conf import settings
from django.core.signing import BadSignature, Signer
from django.http import HttpRequest, HttpResponseBase

from django_srvsession import conf
from django_srvsession.binding.keys import Binding
from django_srvsession.engine.cookies import values_of
from django_srvsession.engine.details import Details
from django_srvsession.records import CLOCKS_DIFFER_MS, ROTATION_GRACE_MS

IN_FLIGHT_MS: Final = 10_000
"""How long a request may be under way, at most, in milliseconds: it comes with what the browser had when it left."""
_SALT: Final = "django_srvsession.binding.cookies"


def name() -> str:
    """Return the name of the cookie, beside the session's own: with its prefix, if that has one."""
    return f"{settings.SESSION_COOKIE_NAME}_bound"


def attributes() -> str:
    """Return the cookie's attributes as the browser is told of them: those that :func:`put` sets, but its age."""
    domain, same_site = settings.SESSION_COOKIE_DOMAIN, settings.SESSION_COOKIE_SAMESITE
    parts = [f"Domain={domain}"] if domain else []
    parts += [f"Path={settings.SESSION_COOKIE_PATH}", "Secure", "HttpOnly"]
    return "; ".join([*parts, f"SameSite={same_site}"] if same_site else parts)


def put(response: HttpResponseBase, sid: str, details: Details, now_ms: int) -> None:
    """Give the browser a cookie for what its session is bound to now."""
    binding = Binding.decode(details.binding)
    value = f"{sid}:{binding.thumbprint}:{details.generation}:{now_ms}"
    _put(response, Signer(salt=_SALT).sign(value), max_age=conf.bind_age_ms // 1000)


def delete(response: HttpResponseBase) -> None:
    """Take the cookie away from the browser."""
    _put(response, "", max_age=0, expires="Thu, 01 Jan 1970 00:00:00 GMT")


def is_shown(request: HttpRequest, sid: str, binding: Binding, generation: int, now_ms: int) -> bool:
    """Tell whether a request brings a cookie that is good for this session now.

    Of several, one is enough: what another site of the domain has set under the name shuts nobody out.
    """
    header = request.META.get("HTTP_COOKIE") or ""
    return any(_is_good(value, sid, binding, generation, now_ms) for value in values_of(header, name()))


def _is_good(value: str, sid: str, binding: Binding, generation: int, now_ms: int) -> bool:
    try:
        of, thumbprint, renewed, issued = Signer(salt=_SALT).unsign(value).split(":")
    except BadSignature:
        return False
    if of != sid or thumbprint != binding.thumbprint:
        return False
    age_ms = now_ms - int(issued)
    if not -CLOCKS_DIFFER_MS < age_ms < conf.bind_age_ms + IN_FLIGHT_MS:
        return False
    # The one before the last renewal is good for a minute more, for requests that are under way.
    was_renewed_just_now = int(renewed) == generation - 1 and now_ms - binding.at_ms < ROTATION_GRACE_MS
    return int(renewed) == generation or was_renewed_just_now


def _put(response: HttpResponseBase, value: str, **ends: Any) -> None:
    response.set_cookie(
        name(),
        value,
        domain=settings.SESSION_COOKIE_DOMAIN,
        path=settings.SESSION_COOKIE_PATH,
        secure=True,
        httponly=True,
        samesite=cast(Any, settings.SESSION_COOKIE_SAMESITE or None),
        **ends,
    )
