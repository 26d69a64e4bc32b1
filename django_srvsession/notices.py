"""E-mail to users about their sessions.

A site changes it by overriding the templates ``srvsession/email/new_device_subject.txt``, ``new_device.txt`` and
``new_device.html``. No key is in it, and no name of a session: whoever reads the mail can open nothing by it.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from django.contrib.sites.shortcuts import get_current_site
from django.core.exceptions import DisallowedHost, ImproperlyConfigured, ObjectDoesNotExist
from django.core.mail import EmailMultiAlternatives
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils import timezone, translation

from django_srvsession.devices import device_name
from django_srvsession.escaping import escaped
from django_srvsession.records import SessionRecord
from django_srvsession.visits import SignIn

_TEMPLATES: Final = "srvsession/email/new_device"
_MAX_DEVICE: Final = 80

log = logging.getLogger("django_srvsession")


def mail_new_device(record: SessionRecord, sign_in: SignIn, request: HttpRequest) -> None:
    """Mail a user that the account was signed in to on a device that is not known; without an address, do nothing.

    In the language and time zone of the sign-in. A failure is logged: the sign-in stands, whatever becomes of the mail.
    """
    address = _address_of(sign_in.user)
    if not address:
        return
    try:
        with translation.override(sign_in.language), timezone.override(sign_in.zone):
            message = _message(address, _context(record, sign_in, request))
        message.send()
    except Exception:
        # E-mail backends and templates are the site's, with errors of their own; as in Django's password reset.
        log.exception("Could not mail user %s about a new sign-in.", escaped(record.user_id))


def _address_of(user: Any) -> str:
    name_of = getattr(user, "get_email_field_name", None)
    return str(getattr(user, "email" if name_of is None else name_of(), None) or "")


def _context(record: SessionRecord, sign_in: SignIn, request: HttpRequest) -> dict[str, Any]:
    site_name, link = _site_name_and_link(request)
    return {
        "user": sign_in.user,
        "username": str(sign_in.user.get_username()),
        "device": _one_line(device_name(record.client.user_agent))[:_MAX_DEVICE],
        "address": record.client.ip,
        "signed_in_at": timezone.localtime(record.signed_in_at, sign_in.zone),
        "site_name": site_name,
        "link": link,
    }


def _site_name_and_link(request: HttpRequest) -> tuple[str, str]:
    """Return the site's name, and the address of the user's list of sessions; either may be empty.

    As Django's password reset does it: from ``contrib.sites``, or from a host that ``ALLOWED_HOSTS`` allows. A host
    that is not must not keep the user from hearing of the sign-in.
    """
    try:
        site = get_current_site(request)
    except (DisallowedHost, ImproperlyConfigured, ObjectDoesNotExist):
        return "", ""
    try:
        return site.name, f"{request.scheme}://{site.domain}{reverse('srvsession:sessions')}"
    except NoReverseMatch:
        return site.name, ""


def _message(address: str, context: dict[str, Any]) -> EmailMultiAlternatives:
    subject = _one_line(render_to_string(f"{_TEMPLATES}_subject.txt", context))
    message = EmailMultiAlternatives(subject, render_to_string(f"{_TEMPLATES}.txt", context), to=[address])
    message.attach_alternative(render_to_string(f"{_TEMPLATES}.html", context), "text/html")
    return message


def _one_line(text: str) -> str:
    return " ".join(text.split())
