"""E-mail to users about their sessions.

A site changes it by overriding the templates ``srvsession/email/new_device_subject.txt``, ``new_device.txt`` and
``new_device.html``. No key is in it: whoever reads the mail can open nothing by it, and end the one session
that it is about.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.sites.requests import RequestSite
from django.contrib.sites.shortcuts import get_current_site
from django.core.cache import cache
from django.core.exceptions import DisallowedHost, ImproperlyConfigured, ObjectDoesNotExist
from django.core.mail import EmailMultiAlternatives
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils import timezone, translation
from django.utils.crypto import salted_hmac

from django_srvsession import conf
from django_srvsession.accounts import passwords
from django_srvsession.accounts.current_request import SignIn
from django_srvsession.accounts.disowning import Claim
from django_srvsession.clients.geoip import location_of
from django_srvsession.engine.naming import device_name_of
from django_srvsession.escaping import escaped
from django_srvsession.records import SessionRecord

_TEMPLATES: Final = "srvsession/email/new_device"
_MAX_DEVICE: Final = 80
_MAX_NAME: Final = 80  # Who registers with somebody's address must not write them a letter by it.
_COUNT_SALT: Final = "django_srvsession.accounts.mail"
_HOUR_S: Final = 3600

log = logging.getLogger("django_srvsession")


def mail_new_device(record: SessionRecord, sign_in: SignIn, request: HttpRequest) -> None:
    """Mail a user that the account was signed in to on a device that is not known; without an address, do nothing.

    In the language and time zone of the sign-in. A failure is logged: the sign-in stands, whatever becomes of the mail.
    Whoever signs in over and over does not fill the user's mailbox: see ``SRVSESSION_NEW_DEVICE_MAILS``.
    """
    address = _address_of(sign_in.user)
    if not address:
        return
    if _is_enough(record):
        log.info("User %s is mailed about no further sign-in within this hour.", escaped(record.user_id))
        return
    try:
        with translation.override(sign_in.language), timezone.override(sign_in.zone):
            message = _message(address, _context(record, sign_in, request))
        message.send()
    except Exception:
        # E-mail backends and templates are the site's, with errors of their own; as in Django's password reset.
        log.exception("Could not mail user %s about a new sign-in.", escaped(record.user_id))


def _is_enough(record: SessionRecord) -> bool:
    """Count a mail, and tell whether the user has had as many as allowed within this hour (by the default cache)."""
    limit = conf.new_device_mails
    if limit is None:
        return False
    who = salted_hmac(_COUNT_SALT, str(record.user_id), algorithm="sha256").hexdigest()
    key = f"srvsession:mails:{who}:{int(time.time() // _HOUR_S)}"
    try:
        cache.add(key, 0, _HOUR_S)
        return bool(cache.incr(key) > limit)
    except ValueError:  # It is not kept: Django's dummy cache, or one that is too full.
        return False
    except Exception:
        # Caches are the site's, with errors of their own. One mail more is better than one that is missing.
        log.exception("The cache could not count the mails about new sign-ins.")
        return False


def _address_of(user: Any) -> str:
    name_of = getattr(user, "get_email_field_name", None)
    return str(getattr(user, "email" if name_of is None else name_of(), None) or "")


def _context(record: SessionRecord, sign_in: SignIn, request: HttpRequest) -> dict[str, Any]:
    site_name, base = _site_name_and_base(request)
    claim, change = Claim(record.sid, str(record.user_id)), passwords.url_of("change")
    return {
        "user": sign_in.user,
        "username": _one_line(str(sign_in.user.get_username()))[:_MAX_NAME],
        # Without what the client calls itself: whoever has the password must not write in our name.
        "device": _one_line(device_name_of(record._replace(details=b"")))[:_MAX_DEVICE],
        "address": record.client.ip,
        "place": _one_line(location_of(record.client.ip))[:_MAX_DEVICE],
        "signed_in_at": timezone.localtime(record.signed_in_at, sign_in.zone),
        "site_name": site_name,
        "link": _link(base, "srvsession:sessions"),
        "disown_link": _link(base, "srvsession:disown", claim.token),
        "change_link": base and change and base + change,
    }


def _link(base: str, name: str, *arguments: str) -> str:
    """Return the address of a page of ours; empty where it is not known, or the site does not have our pages."""
    try:
        return base and base + reverse(name, args=arguments)
    except NoReverseMatch:
        return ""


def _site_name_and_base(request: HttpRequest) -> tuple[str, str]:
    """Return the site's name, and what its addresses begin with; either may be empty.

    From ``SRVSESSION_SITE_URL`` and ``contrib.sites``, or else from a host that ``ALLOWED_HOSTS`` has checked: what
    whoever signs in may have made up is not for the user to follow, and must not keep them from hearing of it.
    """
    url, site = conf.site_url, _site_of(request)
    name = site.name if site is not None else urlsplit(url or "").netloc
    if url is None and site is not None:
        url = f"{request.scheme}://{site.domain}"
    return name, url or ""


def _site_of(request: HttpRequest) -> Any:
    """Return the site of ``contrib.sites``, or one named by the request's host, unless that is not to be named."""
    try:
        site = get_current_site(request)
    except (DisallowedHost, ImproperlyConfigured, ObjectDoesNotExist):
        return None
    may_not_name = "*" in settings.ALLOWED_HOSTS or conf.site_url is not None
    return None if isinstance(site, RequestSite) and may_not_name else site


def _message(address: str, context: dict[str, Any]) -> EmailMultiAlternatives:
    subject = _one_line(render_to_string(f"{_TEMPLATES}_subject.txt", context))
    message = EmailMultiAlternatives(subject, render_to_string(f"{_TEMPLATES}.txt", context), to=[address])
    message.attach_alternative(render_to_string(f"{_TEMPLATES}.html", context), "text/html")
    return message


def _one_line(text: str) -> str:
    return " ".join(text.split())
