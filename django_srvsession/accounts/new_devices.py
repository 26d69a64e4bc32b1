"""Whether a user signed in with this browser before, and what happens when not.

The browser shows it by a cookie: a mark for each of the users who signed in there, signed by us, without an id in
clear. So no list of devices is kept, and none can leak. Forged, damaged, expired or dropped, it says "unknown", and the
user hears of one sign-in more; after a new password, of one in each browser. It opens nothing.
"""

from __future__ import annotations

import copy
import itertools
import secrets
from collections.abc import Iterator
from functools import partial
from typing import Any, Final, NamedTuple, cast

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone, translation
from django.utils.crypto import constant_time_compare, salted_hmac

from django_srvsession import conf, services
from django_srvsession.accounts import current_request
from django_srvsession.accounts.account_changes import HASH_BEFORE, password_field_name
from django_srvsession.clients import header
from django_srvsession.engine import SessionStore
from django_srvsession.events import log as event_log
from django_srvsession.records import SessionRecord
from django_srvsession.services import user_id_of
from django_srvsession.signals import signed_in_on_new_device

SALT: Final = "django_srvsession.accounts.new_devices"
MAX_AGE_SECONDS: Final = 400 * 24 * 3600  # No browser keeps a cookie longer.
MAX_USERS: Final = 8
_RANDOM_BYTES: Final = 9
_DIGEST_LENGTH: Final = 32  # Hexadecimal digits: 128 bits.


def note_sign_in(session: SessionStore, user: Any) -> None:
    """Note a sign-in for the answer of the request under way, where somebody is to hear of new devices.

    The device of a user's very first sign-in is noted as known, and is no news.
    """
    visit = current_request.current()
    if visit is not None and visit.session is session and _is_wanted():
        is_first = _never_signed_in(session, user)
        zone = timezone.get_current_timezone()
        visit.sign_in = current_request.SignIn(user, is_first, translation.get_language(), zone)


def tell(request: HttpRequest, session: SessionStore, response: HttpResponseBase) -> None:
    """After the session was stored: tell of a sign-in on a new device, and let the browser remember it."""
    visit = current_request.current()
    sign_in = None if visit is None or visit.session is not session else visit.sign_in
    record = session.record
    if sign_in is None or record is None or record.user_id != user_id_of(sign_in.user):
        return  # Nobody signed in, or not for long: the session was ended, or never stored.
    marks = _marks_of(request)
    others = [mark for mark in marks if not mark.is_of(sign_in.user)]
    if not sign_in.is_first and len(others) == len(marks):
        session.store().on_commit(partial(_send, record, sign_in, request))
    if not header.is_used(request):  # An app keeps no cookies.
        _remember(response, sign_in.user, others)


async def atell(request: HttpRequest, session: SessionStore, response: HttpResponseBase) -> None:
    """Do as :func:`tell`, in a thread only if somebody has signed in."""
    visit = current_request.current()
    if visit is not None and visit.sign_in is not None:
        await sync_to_async(tell)(request, session, response)


def cookie_name() -> str:
    """Return the name of the cookie, beside the session's own: with its prefix, if that has one."""
    return f"{settings.SESSION_COOKIE_NAME}_devices"


def _is_wanted() -> bool:
    return conf.notify_new_device or signed_in_on_new_device.has_listeners(SessionStore)


def _send(record: SessionRecord, sign_in: current_request.SignIn, request: HttpRequest) -> None:
    signed_in_on_new_device.send_robust(SessionStore, record=record, user=sign_in.user, request=request)
    if conf.notify_new_device:
        from django_srvsession.accounts import mail

        mail.mail_new_device(record, sign_in, request)


def _never_signed_in(session: SessionStore, user: Any) -> bool:
    """Tell whether this is a user's very first sign-in.

    ``last_login`` tells where the site keeps it. Where it does not, another live session of the user tells, or the
    event log.
    """
    if getattr(user, "last_login", None) is not None:
        return False
    if any(record.sid != session.sid for record in services.sessions_of(user)):
        return False
    return not event_log.has_seen(user_id_of(user))


# The cookie.


class Mark(NamedTuple):
    """Hold what a browser shows of a user who signed in there: a random value, and a digest of it and the user.

    So it is another one in each browser, and nobody learns by two of them that they are one person's. A new password
    makes it worthless.
    """

    random: str
    digest: str

    @classmethod
    def of(cls, user: Any) -> Mark:
        """Make a mark for a browser in which a user has just signed in."""
        random, secret = secrets.token_urlsafe(_RANDOM_BYTES), settings.SECRET_KEY
        return cls(random, _digest(user, random, _auth_hash(user), secret))

    @classmethod
    def parse(cls, text: str) -> Mark:
        """Return the mark in a text; any other text is one that fits nobody."""
        random, _, digest = text.partition("~")
        return cls(random, digest)

    def __str__(self) -> str:
        return f"{self.random}~{self.digest}"

    def is_of(self, user: Any) -> bool:
        """Tell whether this user signed in with this browser, and has the same password still."""
        proofs = _proofs_of(user)
        return any(constant_time_compare(self.digest, _digest(user, self.random, *proof)) for proof in proofs)


def _marks_of(request: HttpRequest) -> list[Mark]:
    """Return the marks of those who signed in with this browser, latest first; none for a cookie that is not ours."""
    text = request.get_signed_cookie(cookie_name(), None, SALT, max_age=MAX_AGE_SECONDS)
    return [Mark.parse(part) for part in text.split(".")[:MAX_USERS]] if text else []


def _remember(response: HttpResponseBase, user: Any, others: list[Mark]) -> None:
    response.set_signed_cookie(
        cookie_name(),
        ".".join(map(str, [Mark.of(user), *others][:MAX_USERS])),
        SALT,
        max_age=MAX_AGE_SECONDS,
        domain=settings.SESSION_COOKIE_DOMAIN,
        path=settings.SESSION_COOKIE_PATH,
        secure=settings.SESSION_COOKIE_SECURE or False,
        httponly=True,
        samesite=cast(Any, settings.SESSION_COOKIE_SAMESITE),
    )


def _proofs_of(user: Any) -> Iterator[tuple[str, str | bytes]]:
    """Yield each auth hash that a mark of this user may be bound to, and the secret that it was made with.

    Beside that of today: what a hasher of before made of the same password, and what fallback secrets make.
    """
    yield _auth_hash(user), settings.SECRET_KEY
    if before := user.__dict__.get(HASH_BEFORE):
        same = copy.copy(user)
        setattr(same, password_field_name(user), before)
        yield _auth_hash(same), settings.SECRET_KEY
    fallbacks = getattr(user, "get_session_auth_fallback_hash", None)
    hashes = itertools.repeat("") if fallbacks is None else fallbacks()
    yield from zip(hashes, settings.SECRET_KEY_FALLBACKS, strict=False)


def _auth_hash(user: Any) -> str:
    """Return what Django binds sessions to; empty for a user model that has no such thing."""
    hash_of = getattr(user, "get_session_auth_hash", None)
    return "" if hash_of is None else str(hash_of())


def _digest(user: Any, random: str, auth_hash: str, secret: str | bytes) -> str:
    who = "\n".join((settings.AUTH_USER_MODEL, random, auth_hash, user_id_of(user)))
    return salted_hmac(SALT, who, secret, algorithm="sha256").hexdigest()[:_DIGEST_LENGTH]
