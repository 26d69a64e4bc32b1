"""Whether a user signed in with this browser before, and what happens when not.

The browser shows it by a cookie: digests of the users who signed in there, signed by us, without an id in clear. So no
list of devices is kept, and none can leak. Forged, damaged, expired or dropped, it says "unknown", and the user hears
of one sign-in more. It opens nothing.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final, cast

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone, translation
from django.utils.crypto import constant_time_compare, salted_hmac

from django_srvsession import conf, notices, visits
from django_srvsession.engine import SessionStore
from django_srvsession.records import SessionRecord
from django_srvsession.services import user_id_of
from django_srvsession.signals import signed_in_on_new_device

SALT: Final = "django_srvsession.new_devices"
MAX_AGE_SECONDS: Final = 400 * 24 * 3600  # No browser keeps a cookie longer.
MAX_USERS: Final = 8
_DIGEST_LENGTH: Final = 32  # Hexadecimal digits: 128 bits.


def note_sign_in(session: SessionStore, user: Any) -> None:
    """Note a sign-in for the answer of the request under way, where somebody is to hear of new devices.

    The device of a user's very first sign-in is noted as known, and is no news.
    """
    visit = visits.current()
    if visit is not None and visit.session is session and _is_wanted():
        is_first = _never_signed_in(user)
        zone = timezone.get_current_timezone()
        visit.sign_in = visits.SignIn(user, is_first, translation.get_language(), zone)


def tell(request: HttpRequest, session: SessionStore, response: HttpResponseBase) -> None:
    """After the session was stored: tell of a sign-in on a new device, and let the browser remember it."""
    visit = visits.current()
    sign_in = None if visit is None or visit.session is not session else visit.sign_in
    record = session.record
    if sign_in is None or record is None or record.user_id != user_id_of(sign_in.user):
        return  # Nobody signed in, or not for long: the session was ended, or never stored.
    known = _users_of(request)
    if not sign_in.is_first and not _is_known(sign_in.user, known):
        session.store().on_commit(partial(_send, record, sign_in, request))
    _remember(response, sign_in.user, known)


async def atell(request: HttpRequest, session: SessionStore, response: HttpResponseBase) -> None:
    """Do as :func:`tell`, in a thread only if somebody has signed in."""
    visit = visits.current()
    if visit is not None and visit.sign_in is not None:
        await sync_to_async(tell)(request, session, response)


def cookie_name() -> str:
    """Return the name of the cookie, beside the session's own: with its prefix, if that has one."""
    return f"{settings.SESSION_COOKIE_NAME}_devices"


def _is_wanted() -> bool:
    return conf.get("NOTIFY_NEW_DEVICE") or signed_in_on_new_device.has_listeners(SessionStore)


def _send(record: SessionRecord, sign_in: visits.SignIn, request: HttpRequest) -> None:
    signed_in_on_new_device.send_robust(SessionStore, record=record, user=sign_in.user, request=request)
    if conf.get("NOTIFY_NEW_DEVICE"):
        notices.mail_new_device(record, sign_in, request)


def _never_signed_in(user: Any) -> bool:
    """Tell whether the user model keeps the last sign-in, and there was none."""
    keeps_it = any(field.name == "last_login" for field in user._meta.concrete_fields)
    return keeps_it and user.last_login is None


# The cookie.


def _users_of(request: HttpRequest) -> list[str]:
    """Return the digests of those who signed in with this browser, latest first; none for a cookie that is not ours."""
    text = request.get_signed_cookie(cookie_name(), None, SALT, max_age=MAX_AGE_SECONDS)
    return text.split(".") if text else []


def _is_known(user: Any, known: list[str]) -> bool:
    mine = [_digest(user, secret) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]
    return any(constant_time_compare(digest, one) for one in mine for digest in known)


def _remember(response: HttpResponseBase, user: Any, known: list[str]) -> None:
    mine = _digest(user, settings.SECRET_KEY)
    others = [digest for digest in known if digest != mine]
    response.set_signed_cookie(
        cookie_name(),
        ".".join([mine, *others][:MAX_USERS]),
        SALT,
        max_age=MAX_AGE_SECONDS,
        domain=settings.SESSION_COOKIE_DOMAIN,
        path=settings.SESSION_COOKIE_PATH,
        secure=settings.SESSION_COOKIE_SECURE or False,
        httponly=True,
        samesite=cast(Any, settings.SESSION_COOKIE_SAMESITE),
    )


def _digest(user: Any, secret: str | bytes) -> str:
    who = f"{settings.AUTH_USER_MODEL}:{user_id_of(user)}"
    return salted_hmac(SALT, who, secret, algorithm="sha256").hexdigest()[:_DIGEST_LENGTH]
